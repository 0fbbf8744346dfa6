"""A dataset that takes over the words and labels of an older one: old ids stay, new ones follow."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

from preprocessing.config import CorpusConfig, DatasetConfig
from preprocessing.errors import UserError
from preprocessing.manifest import DatasetManifest, read_manifest
from preprocessing.pipeline import build_dataset
from preprocessing.vocabulary import read_lines

pytestmark = pytest.mark.spark

Build = Callable[..., DatasetManifest]


@pytest.fixture(scope="module")
def build(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Build:
    """A function that builds the dataset `name` of intents and their words, 20 examples each, half of it training."""
    directory = tmp_path_factory.mktemp("vocabulary")

    def build(name: str, intents: dict[str, str], only_test: tuple[str, ...] = (), **config: object) -> DatasetManifest:
        splits = [*["train"] * 10, *["validation"] * 5, *["test"] * 5]
        rows = [f"{words},{intent},{split},{intent}{number},0" for intent, words in intents.items()
                for number, split in enumerate(splits) if intent not in only_test or split == "test"]  # fmt: skip
        (directory / f"{name}.csv").write_text("\n".join(["text,intent,part,dialog,turn", *rows]))
        corpus = CorpusConfig(path=(f"{directory}/{name}.csv",), format="csv", split="part", dialog_id="dialog",
                              turn="turn")  # fmt: skip
        settings = DatasetConfig(path=f"{directory}/{name}", files_per_split=1, max_tokens=4)
        return build_dataset(spark, corpus, replace(settings, **config))  # type: ignore[arg-type]

    build("old", {"track": "where is it", "lost": "lost my card"})
    build.directory = directory  # type: ignore[attr-defined]
    return build


@pytest.fixture
def directory(build: Build) -> Path:
    return build.directory  # type: ignore[attr-defined, no-any-return]


NEW = {"pay": "pay my my bill", "track": "where is my parcel", "greet": "hi hi hi"}


def test_old_ids_stay_and_new_words_and_intents_follow(build: Build, directory: Path) -> None:
    old = read_lines(f"{directory}/old/vocabulary.txt")
    assert old == ["<pad>", "<unknown>", "card", "is", "it", "lost", "my", "where"]
    manifest = build("new", NEW, vocabulary=f"{directory}/old")
    assert read_lines(f"{directory}/new/vocabulary.txt") == [*old, "hi", "bill", "parcel", "pay"]
    assert read_lines(f"{directory}/new/labels.txt") == ["lost", "track", "greet", "pay"]
    assert (manifest.vocabulary_size, manifest.num_labels, manifest.vocabulary) == (12, 4, f"{directory}/old")
    assert read_manifest(f"{directory}/new") == manifest
    rows = pq.read_table(directory / "new/train").to_pylist()
    assert {(row["intent"], row["label_id"], *row["input_ids"]) for row in rows} == {
        ("pay", 3, 11, 6, 6, 9), ("track", 1, 7, 3, 6, 10), ("greet", 2, 8, 8, 8, 0)
    }  # fmt: skip


def test_new_words_fill_what_room_there_is(build: Build, directory: Path) -> None:
    build("filled", NEW, vocabulary=f"{directory}/old", vocabulary_size=8)
    assert read_lines(f"{directory}/filled/vocabulary.txt")[8:] == ["hi", "bill"]


def test_the_marks_of_speakers_come_where_there_is_no_old_id(build: Build, directory: Path) -> None:
    old = read_lines(f"{directory}/old/vocabulary.txt")
    build("context", NEW, vocabulary=f"{directory}/old", context_turns=1, vocabulary_size=8)
    assert read_lines(f"{directory}/context/vocabulary.txt") == [*old, "<user>", "<agent>", "hi", "bill"]
    build("again", NEW, vocabulary=f"{directory}/context", context_turns=1, vocabulary_size=8)
    assert read_lines(f"{directory}/again/vocabulary.txt") == [*old, "<user>", "<agent>", "hi", "bill"]


def test_test_examples_of_an_old_intent_that_training_lacks_stay(build: Build, directory: Path) -> None:
    manifest = build("forgotten", {**NEW, "lost": "lost"}, ("lost",), vocabulary=f"{directory}/old")
    assert (manifest.rejected, manifest.rows("test")) == ({}, 20)
    assert {row["label_id"] for row in pq.read_table(directory / "forgotten/test").to_pylist()} == {0, 1, 2, 3}


def test_a_model_hands_its_vocabulary_on_too(build: Build, directory: Path) -> None:
    model = directory / "model"
    model.mkdir()
    for name in ("vocabulary.txt", "labels.txt"):
        shutil.copy(directory / "old" / name, model / name)
    (model / "manifest.json").write_text(json.dumps({"kind": "model", "version": 1, "tokenizer": "words"}))
    assert build("of-model", NEW, vocabulary=str(model)).vocabulary_size == 12


@pytest.mark.parametrize(
    ("name", "config", "message"),
    [
        ("old", {"tokenizer": "characters"}, "was made by the tokenizer 'words', and dataset.tokenizer = 'characters'"),
        ("old", {"vocabulary_size": 5}, "has 6 words, more than dataset.vocabulary_size = 5: raise that"),
        ("absent", {}, "is neither a dataset nor a model"),
    ],
)
def test_a_vocabulary_that_does_not_fit_is_refused(
    build: Build, directory: Path, name: str, config: dict[str, object], message: str
) -> None:
    with pytest.raises(UserError) as error:
        build("refused", NEW, vocabulary=f"{directory}/{name}", **config)
    assert str(error.value).startswith(f"dataset.vocabulary = '{directory}/{name}' {message}")
    assert "\n" not in str(error.value)
    assert not (directory / "refused").exists()


def test_one_trained_intent_is_too_few_however_many_are_inherited(build: Build, directory: Path) -> None:
    with pytest.raises(UserError, match="has one intent in training, 'pay'"):
        build("one", {"pay": "pay my bill"}, vocabulary=f"{directory}/old")
