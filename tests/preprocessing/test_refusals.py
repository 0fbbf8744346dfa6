"""What no dataset can be made of is refused in one line, and the dataset that stands is left as it was."""

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

from preprocessing import storage
from preprocessing.config import CorpusConfig, DatasetConfig
from preprocessing.errors import UserError
from preprocessing.pipeline import build_dataset
from preprocessing.schema import SPLITS

pytestmark = pytest.mark.spark

GOOD = [f"say {word} {number},{word}," for word in ("lost", "track") for number in range(30)]
SPLIT = [f"say {word} {number},{word},{split}" for number, split in enumerate(["train", "train", "val", "test"] * 4)
         for word in ("lost", "track")]  # fmt: skip


def checksums(directory: Path) -> dict[str, str]:
    """Path -> checksum of all files in and beside the dataset."""
    files = [file for file in directory.rglob("*") if file.is_file()]
    return {str(file.relative_to(directory)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


class Refusing:
    """A directory with a corpus and a dataset that stands."""

    def __init__(self, spark: SparkSession, directory: Path) -> None:
        self.spark, self.directory, self.file = spark, directory, directory / "in/a.csv"
        for name in ("train/part-0.parquet", "labels.txt", "manifest.json"):
            storage.write_text(f"{directory}/out/data/{name}", f"the old {name}")
        self.corpus = CorpusConfig(path=(str(self.file),), format="csv")
        self.config = DatasetConfig(path=f"{directory}/out/data", files_per_split=1)
        self.where = f"corpus.path ['{self.file}']"

    def message(self, rows: list[str], corpus: dict[str, str] | None = None, **config: object) -> str:
        """What building a dataset of `rows` is refused with; nothing is lost, left behind or said in two lines."""
        storage.write_text(str(self.file), "\n".join(["text,intent,part", *rows, ""]))
        before = checksums(self.directory / "out")
        with pytest.raises(UserError) as error:
            build_dataset(self.spark, replace(self.corpus, **corpus or {}), replace(self.config, **config))  # type: ignore[arg-type]
        after = checksums(self.directory / "out")
        assert {name: found for name, found in after.items() if not name.startswith("data.rejected/")} == before
        assert "\n" not in str(error.value)
        return str(error.value)

    def rejected(self) -> Counter:
        """Reason and text of the rejected rows that were left beside the dataset."""
        table = pq.read_table(self.directory / "out/data.rejected")
        return Counter((row["reason"], row["text"]) for row in table.to_pylist())


@pytest.fixture
def refusing(spark: SparkSession, tmp_path: Path) -> Iterator[Refusing]:
    yield Refusing(spark, tmp_path)
    assert spark.sparkContext._jsc.getPersistentRDDs().size() == 0  # nothing stays cached


def test_a_corpus_without_rows(refusing: Refusing) -> None:
    assert refusing.message([]) == (
        f"{refusing.where} holds no rows: check the path and corpus.format = 'csv'"
    )  # fmt: skip


def test_a_corpus_without_an_example(refusing: Refusing) -> None:
    assert refusing.message(["hello,,", ",lost,", "hi,,"]) == (
        f"{refusing.where}: none of its 3 rows is a training example; rejected: no intent (2), no text (1): "
        "check corpus.text, corpus.intent and corpus.split"
    )


def test_one_intent(refusing: Refusing) -> None:
    assert refusing.message(GOOD[:30]) == (
        f"{refusing.where} has one intent in training, 'lost': a classifier needs at least two; check corpus.intent"
    )


def test_a_vocabulary_of_nothing(refusing: Refusing) -> None:
    assert refusing.message(GOOD, min_count=100) == (
        "the vocabulary is empty: no word occurs dataset.min_count = 100 times in the training split: "
        "lower it, or check corpus.text"
    )


def test_intents_of_the_own_test_split_that_training_lacks(refusing: Refusing) -> None:
    unseen = [f"say {number},intent{number:02},test" for number in range(12)]
    named = ", ".join(f"intent{number:02}" for number in range(10))
    assert refusing.message([*SPLIT, *unseen], {"split": "part"}, max_rejected_fraction=1.0) == (
        f"12 examples of validation or test have intents absent from training: {named} and 2 more: "
        "add training examples, or leave corpus.split empty to have the dialogs split anew"
    )


def test_too_many_rejected_rows_are_left_beside(refusing: Refusing) -> None:
    bad = ["hello,,", "hello,,", "\u200b,lost,"]
    assert refusing.message([*GOOD[:27], *GOOD[30:57], *bad]) == (
        "3 of 57 rows are rejected, more than dataset.max_rejected_fraction = 0.05: no intent (2), no tokens (1): "
        f"look at {refusing.directory}/out/data.rejected, then mend the corpus or raise the limit"
    )
    assert refusing.rejected() == {("no intent", "hello"): 2, ("no tokens", "\u200b"): 1}
    build_dataset(refusing.spark, refusing.corpus, replace(refusing.config, max_rejected_fraction=0.1))
    assert [path.name for path in (refusing.directory / "out").iterdir()] == ["data"]  # with the next dataset they go


def test_a_corpus_with_one_row_in_a_hundred_corrupted_is_built_and_one_in_ten_refused(
    refusing: Refusing, spark: SparkSession
) -> None:
    rows = [f"say {word} {number},{word},".encode() for number in range(500) for word in ("lost", "track")]
    broken = [b"say \xff\xfe,lost,", b"x" * 2001 + b",lost,", b"say, lost, track,,", b",lost,", b"say,,"]
    reasons = {"not UTF-8": 2, "text too long": 2, "malformed record": 2, "no text": 2, "no intent": 2}

    def corrupted(count: int) -> CorpusConfig:
        content = b"\n".join([b"text,intent,part", *rows[count:], *[broken[n % 5] for n in range(count)], b""])
        file = refusing.directory / f"{count}.csv"
        file.write_bytes(content)
        return replace(refusing.corpus, path=(str(file),))

    manifest = build_dataset(spark, corrupted(10), replace(refusing.config, path=f"{refusing.directory}/one"))
    assert manifest.rejected == reasons
    assert manifest.rows_in == sum(map(manifest.rows, SPLITS)) + 10 == 1000
    left = pq.read_table(refusing.directory / "one/rejected").to_pylist()
    assert Counter(row["reason"] for row in left) == reasons
    assert {row["text"] for row in left if row["reason"] == "not UTF-8"} == {"say \ufffd\ufffd"}

    before = checksums(refusing.directory / "out")
    with pytest.raises(UserError) as error:
        build_dataset(spark, corrupted(100), refusing.config)
    assert str(error.value) == (
        "100 of 1000 rows are rejected, more than dataset.max_rejected_fraction = 0.05: malformed record (20), "
        "no intent (20), no text (20), not UTF-8 (20), text too long (20): "
        f"look at {refusing.directory}/out/data.rejected, then mend the corpus or raise the limit"
    )
    assert refusing.rejected()["not UTF-8", "say \ufffd\ufffd"] == 20
    after = checksums(refusing.directory / "out")
    assert {name: found for name, found in after.items() if not name.startswith("data.rejected/")} == before


def test_rows_without_a_date_are_rejected_where_dates_split(refusing: Refusing) -> None:
    rows = [f"say {word} {day},{word},2024-03-{day:02}" for day in range(1, 21) for word in ("lost", "track")]
    undated = [f"say lost {number},lost,March" for number in range(30, 34)]
    message = refusing.message([*rows, *undated], {"date": "part"}, split_by="date")
    assert message.startswith("4 of 44 rows are rejected, more than ") and "no date (4)" in message
    left = pq.read_table(refusing.directory / "out/data.rejected").to_pylist()
    assert [(row["reason"], row["date"]) for row in left] == [("no date", "March")] * 4


def test_examples_that_training_lacks_are_among_the_rejected_rows(refusing: Refusing) -> None:
    rare = [f"say rare {number},rare{number}," for number in range(30)]
    message = refusing.message([*GOOD, *rare])
    rejected = refusing.rejected()
    assert message.startswith(f"{rejected.total()} of 90 rows are rejected")
    assert {(reason, text.split()[1]) for reason, text in rejected} == {("intent absent from training", "rare")}


def test_splits_without_examples(refusing: Refusing) -> None:
    rows = [row for row in SPLIT if not row.endswith("val")]
    assert refusing.message([*rows, "say lost x,,val"], {"split": "part"}, validation_fraction=0.001) == (
        f"no examples in validation of {refusing.where}: give more dialogs, "
        "or larger dataset.validation_fraction and dataset.test_fraction"
    )


def test_an_out_of_scope_intent_that_is_none(refusing: Refusing) -> None:
    assert refusing.message(GOOD, out_of_scope="oos") == (
        "dataset.out_of_scope = 'oos' is no intent of the training split, which has lost, track: "
        "correct it, or leave it empty"
    )


def test_an_output_in_use(refusing: Refusing) -> None:
    target = storage.absolute(refusing.config.path)
    with storage.lease(target):
        assert refusing.message(GOOD).startswith(f"{target} is being written by process ")


def test_no_output_at_all(refusing: Refusing) -> None:
    assert refusing.message(GOOD, path="") == (
        "dataset.path is empty: say where the dataset goes, with --set dataset.path=URI"
    )


def test_a_column_that_is_not_there(refusing: Refusing) -> None:
    assert refusing.message(GOOD, {"intent": "intents"}) == (
        "corpus.intent = 'intents': the corpus has no such column; it has text, intent, part: did you mean 'intent'?"
    )
