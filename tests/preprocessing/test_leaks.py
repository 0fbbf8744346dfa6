"""Texts that are in two splits or under two intents, counted by hand in a dozen literal turns."""

import json
import logging
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from pyspark.sql import DataFrame, SparkSession

from preprocessing import leaks
from preprocessing.config import CorpusConfig, DatasetConfig
from preprocessing.errors import UserError
from preprocessing.manifest import DatasetManifest
from preprocessing.pipeline import build_dataset, checked
from preprocessing.splits import plan_splits, splits_present
from preprocessing.transforms import with_clean_labels

pytestmark = pytest.mark.spark

TURNS = [
    ("train", "Yes", "affirm"), ("train", "yes", "affirm"), ("test", " YES ", "affirm"),  # one text after folding
    ("train", "ok", "affirm"), ("train", "ok", "thanks"), ("validation", "OK", "thanks"),  # and under two intents
    ("train", "where is it", "track"), ("train", "whereis it", "track"),  # other tokens, another text
    ("validation", "lost it", "lost"), ("test", "lost it", "track"),  # in two splits, but not in training
    ("train", "hello", "thanks"), ("train", "hello", None), ("train", "lost", "lost"),  # one of them is rejected
    ("validation", "my card", "lost"), ("test", "my order", "track"),  # in one split each
]  # fmt: skip


def config(path: Path, **changes: Any) -> DatasetConfig:
    return DatasetConfig(path=f"{path}/data", min_count=1, files_per_split=1, max_rejected_fraction=0.1, **changes)


@pytest.fixture
def corpus(tmp_path: Path) -> CorpusConfig:
    names = ("part", "text", "intent")
    lines = [json.dumps(dict(zip(names, turn, strict=True))) for turn in TURNS]
    (tmp_path / "turns.json").write_text("\n".join(lines))
    return CorpusConfig(path=(f"{tmp_path}/turns.json",), split="part")


@pytest.fixture
def turns(spark: SparkSession, corpus: CorpusConfig, tmp_path: Path) -> DataFrame:
    schema = "split string, text string, intent string, dialog_id string, speaker string, malformed string"
    frame = spark.createDataFrame([(*turn, None, None, None) for turn in TURNS], schema).repartition(3)
    labelled, settings = frame.transform(with_clean_labels), config(tmp_path)
    return checked(labelled, plan_splits(labelled, splits_present(labelled), corpus, settings), settings)


def listed(text: str, examples: int, splits: dict[str, int], intents: dict[str, int]) -> dict[str, Any]:
    return {"text": text, "examples": examples, "splits": splits, "intents": intents}


OK = listed("OK", 3, {"train": 2, "validation": 1}, {"thanks": 2, "affirm": 1})
LOST = listed("lost it", 2, {"validation": 1, "test": 1}, {"lost": 1, "track": 1})
YES = listed(" YES ", 3, {"train": 2, "test": 1}, {"affirm": 3})


def test_texts_in_two_splits_and_texts_of_two_intents_are_counted_and_listed(turns: DataFrame) -> None:
    found = leaks.find_leaks(turns)
    several_splits, several_intents = found["several_splits"], found["several_intents"]
    assert sorted(several_splits.pop("listed"), key=lambda row: row["text"]) == [YES, OK, LOST]
    assert several_intents.pop("listed") == [OK, LOST]  # the most frequent first
    assert found == {
        "several_splits": {
            "texts": 3,
            "examples": {"train": 4, "validation": 2, "test": 2},
            "of_training": {"validation": 1, "test": 1},
        },
        "several_intents": {"texts": 2, "examples": 5},
    }


def test_without_leaks_all_counts_are_zero_and_nothing_is_said(
    turns: DataFrame, caplog: pytest.LogCaptureFixture
) -> None:
    found = leaks.find_leaks(turns.where("split = 'train' and intent != 'affirm'"))
    nothing = {"validation": 0, "test": 0}
    assert found == {
        "several_splits": {"texts": 0, "examples": {"train": 0, **nothing}, "of_training": nothing, "listed": []},
        "several_intents": {"texts": 0, "examples": 0, "listed": []},
    }
    with caplog.at_level(logging.INFO):
        leaks.report(found)
    assert not caplog.records


def test_only_so_many_texts_are_listed_and_these_only_as_far_as_they_can_be_read(spark: SparkSession) -> None:
    rows = [(split, n, f"{n:02d}" + "x" * 300, "a", None) for n in range(30) for split in ("train", "test", "test")]
    rows += [("train", 7, "07", "a", None)]
    found = leaks.find_leaks(
        spark.createDataFrame(rows, "split string, tokens_hash long, text string, intent string, reason string")
    )
    texts = [row["text"] for row in found["several_splits"]["listed"]]
    assert (found["several_splits"]["texts"], found["several_splits"]["of_training"]["test"]) == (30, 60)
    assert texts == ["07", *[f"{n:02d}" + "x" * 198 for n in range(20) if n != 7]]


def test_a_text_stays_in_the_first_split_that_has_it_and_nothing_else_changes(turns: DataFrame) -> None:
    before = {(row.split, row.text, row.intent): row.reason for row in turns.collect()}
    after = leaks.reject_duplicates(turns)
    assert after.columns == turns.columns
    found = {(row.split, row.text, row.intent): row.reason for row in after.collect()}
    assert found == {
        **before, ("test", " YES ", "affirm"): "text of training", ("validation", "OK", "thanks"): "text of training",
        ("test", "lost it", "track"): "text of validation",
    }  # fmt: skip
    assert after.count() == len(TURNS)


def test_with_context_the_same_words_after_others_are_not_the_same(spark: SparkSession) -> None:
    rows = [
        ("yes", ["", "sure ?"], ["user", "agent"]), ("yes", ["", "sure ?"], ["user", "agent"]),
        ("yes", ["", "sure ?"], ["user", "user"]), ("yes", ["sure", "?"], ["user", "agent"]),
        ("yes sure", ["", "?"], ["user", "agent"]), ("yes sure ?", ["", ""], ["user", "agent"]),
    ]  # fmt: skip
    schema = "tokens string, context_tokens array<string>, speakers array<string>"
    hashes = [row.tokens_hash for row in leaks.with_tokens_hash(spark.createDataFrame(rows, schema)).collect()]
    assert hashes[0] == hashes[1] and len(set(hashes)) == 5


def build(spark: SparkSession, corpus: CorpusConfig, tmp_path: Path, **changes: Any) -> DatasetManifest:
    return build_dataset(spark, corpus, config(tmp_path, **changes))


def test_a_dataset_has_its_leaks_beside_it_and_in_the_log(
    spark: SparkSession, corpus: CorpusConfig, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    manifest = build(spark, corpus, tmp_path)
    assert (manifest.rejected, manifest.rows("validation"), manifest.rows("test")) == ({"no intent": 1}, 3, 3)
    written = json.loads((tmp_path / "data/leaks.json").read_text())
    assert written["several_intents"] == {"texts": 2, "examples": 5, "listed": [OK, LOST]}
    profile = json.loads((tmp_path / "data/profile.json").read_text())
    assert profile["leaks"]["several_intents"] == {"texts": 2, "examples": 5}
    assert [record.getMessage() for record in caplog.records if "leaks.json" in record.getMessage()] == [
        "3 texts occur in several splits (1 validation and 1 test are texts of training), 2 texts have several intents "
        "(5 examples): see leaks.json; dataset.duplicates = 'train' keeps each text in one split"
    ]


def test_duplicates_are_rejected_counted_and_kept_out_of_the_limit(
    spark: SparkSession, corpus: CorpusConfig, tmp_path: Path
) -> None:
    """4 of 15 rows are rejected, 3 of them since the user asked for it: the limit is 0.1."""
    manifest = build(spark, corpus, tmp_path, duplicates="train")
    assert (manifest.rejected, manifest.rows_in) == (
        {"text of training": 2, "text of validation": 1, "no intent": 1}, 15
    )  # fmt: skip
    assert [manifest.rows(split) for split in ("train", "validation", "test")] == [8, 2, 1]
    rejected = pq.read_table(tmp_path / "data/rejected").to_pylist()
    assert sorted((row["reason"], row["split"], row["text"]) for row in rejected) == [
        ("no intent", "train", "hello"), ("text of training", "test", " YES "),
        ("text of training", "validation", "OK"), ("text of validation", "test", "lost it"),
    ]  # fmt: skip
    leaks_left = json.loads((tmp_path / "data/leaks.json").read_text())["several_splits"]
    assert (leaks_left["texts"], leaks_left["of_training"]) == (0, {"validation": 0, "test": 0})


def test_a_split_of_nothing_but_texts_of_training_is_refused(spark: SparkSession, tmp_path: Path) -> None:
    rows = [("train", "a", "x"), ("train", "b", "y"), ("validation", "c", "x"), ("test", "a", "x")]
    (tmp_path / "turns.csv").write_text("\n".join(["part,text,intent", *[",".join(row) for row in rows]]))
    corpus = CorpusConfig(path=(f"{tmp_path}/turns.csv",), format="csv", split="part")
    with pytest.raises(UserError, match="no examples in test"):
        build(spark, corpus, tmp_path, duplicates="train")
