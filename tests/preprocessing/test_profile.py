"""What the profile says of dialogs, small intents, rejected rows and the vocabulary."""

from collections import Counter
from typing import Any

import pyarrow as pa
import pytest
from pyspark.sql import SparkSession

from preprocessing.census import Census
from preprocessing.coverage import count_known, measure_coverage
from preprocessing.profile import count_dialogs, rejected_examples, small_intents


def census(train: dict[str, int], validation: dict[str, int], test: dict[str, int]) -> Census:
    counted = {"train": Counter(train), "validation": Counter(validation), "test": Counter(test)}
    return Census(0, 0, Counter(), counted, {}, sorted(train), [])


def test_intents_are_small_with_few_training_examples_or_none_to_measure_them_by() -> None:
    found = small_intents(
        census({"a": 10, "b": 9, "c": 99, "d": 99}, {"a": 1, "b": 5, "c": 1}, {"a": 1, "b": 5, "d": 1})
    )
    assert found == [
        {"intent": "b", "train": 9, "validation": 5, "test": 5},
        {"intent": "c", "train": 99, "validation": 1, "test": 0},
        {"intent": "d", "train": 99, "validation": 0, "test": 1},
    ]


@pytest.mark.spark
def test_dialogs_are_counted_by_their_turns(spark: SparkSession) -> None:
    dialogs = ["one", *["two"] * 2, *["three"] * 3, *["also three"] * 3, None, None]
    turns = spark.createDataFrame([(dialog,) for dialog in dialogs], "dialog_id string").repartition(3)
    assert count_dialogs(turns) == {1: 1, 2: 1, 3: 2}


@pytest.mark.spark
def test_twenty_rejected_rows_of_each_reason_are_shown_as_far_as_they_can_be_read(spark: SparkSession) -> None:
    rows: list[tuple[Any, ...]] = [("no intent", f"d{n}", n, f"{n}" + "x" * 300, None, None) for n in range(30)]
    rows.append(("malformed record", None, None, None, None, "{half"))
    schema = "reason string, dialog_id string, turn int, text string, intent string, malformed string"
    frame = spark.createDataFrame(rows, schema)
    found = rejected_examples(frame.repartition(3))
    assert found.pop("malformed record") == [{"malformed": "{half"}]
    assert len({row["dialog_id"] for row in found["no intent"]}) == 20
    assert all(row["text"] == f"{row['turn']}{'x' * 300}"[:200] for row in found["no intent"])
    assert rejected_examples(frame.orderBy("text"))["no intent"] == found["no intent"]


COUNTS = [("my", 3, 1, 0), ("card", 2, 0, 4), ("rare", 1, 1, 0), ("new", 0, 0, 5)]
COVERED = {
    "train": {"types": 3, "known_types": 2, "tokens": 6, "known_tokens": 5},
    "validation": {"types": 2, "known_types": 1, "tokens": 2, "known_tokens": 1},
    "test": {"types": 2, "known_types": 1, "tokens": 9, "known_tokens": 4},
}


def test_known_words_are_counted_once_and_as_often_as_they_stand() -> None:
    columns = dict(zip(("word", "train", "validation", "test"), map(list, zip(*COUNTS, strict=True)), strict=True))
    batch = pa.RecordBatch.from_pydict(columns)
    found, nothing = count_known([batch, batch.slice(0, 0)], ["my", "card", "other"])
    assert found.to_pylist() == [{"split": split, **counts} for split, counts in COVERED.items()]
    assert {tuple(row.values())[1:] for row in nothing.to_pylist()} == {(0, 0, 0, 0)}


@pytest.mark.spark
def test_coverage_has_the_shares_of_types_and_of_tokens(spark: SparkSession) -> None:
    counts = spark.createDataFrame(COUNTS, "word string, train long, validation long, test long").repartition(3)
    found = measure_coverage(counts, ["my", "card", "other"])
    assert found["test"] == {**COVERED["test"], "known_types_fraction": 0.5, "known_tokens_fraction": 0.444444}
    assert list(found) == ["train", "validation", "test"]
