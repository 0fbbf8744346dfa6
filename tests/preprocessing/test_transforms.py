"""Steps of preprocessing on literal rows."""

from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from preprocessing import transforms
from preprocessing.schema import SPLITS, TURN, conform

pytestmark = pytest.mark.spark


def turns(spark: SparkSession, *rows: dict[str, Any], columns: str = "") -> DataFrame:
    """TURN rows, and further columns, that are null where a row does not name them."""
    types = ", ".join([f"{field.name} {field.dataType.simpleString()}" for field in TURN] + [columns][: bool(columns)])
    names = [part.split()[0] for part in types.split(", ")]
    return spark.createDataFrame([tuple(row.get(name) for name in names) for row in rows], types)


def test_labels_are_trimmed_and_splits_have_one_name(spark: SparkSession) -> None:
    rows = [
        (" lost card ", " Dev"), ("  ", "TRAINING"), ("", "valid"), (None, "val"), ("a", "validation"), ("a", "test "),
        ("a", "train"), ("a", "holdout"), ("a", ""), ("a", None),
    ]  # fmt: skip
    frame = turns(spark, *[{"intent": intent, "split": split} for intent, split in rows])
    cleaned = frame.transform(transforms.with_clean_labels).select("intent", "split").collect()
    assert [tuple(row) for row in cleaned] == [
        ("lost card", "validation"), (None, "train"), (None, "validation"), (None, "validation"), ("a", "validation"),
        ("a", "test"), ("a", "train"), ("a", "unknown"), ("a", "unknown"), ("a", None),
    ]  # fmt: skip


def test_each_row_has_the_first_reason_that_applies(spark: SparkSession) -> None:
    fine = {"text": "hi", "intent": "greet", "split": "train", "num_tokens": 1}
    cases: list[tuple[dict[str, Any], str | None]] = [
        ({}, None),
        ({"speaker": "USER"}, None),
        ({"speaker": "agent"}, None),  # labelled, whoever said it
        ({"speaker": "agent", "intent": None}, "context"),
        ({"speaker": "agent", "intent": None, "text": None}, "context"),
        ({"speaker": "Customer", "intent": None}, "no intent"),
        ({"intent": None}, "no intent"),
        ({"text": None}, "no text"),
        ({"text": "   ", "num_tokens": 0}, "no text"),
        ({"text": "\u200b", "num_tokens": 0}, "no tokens"),
        ({"intent": "a\nb"}, "not a label"),
        ({"intent": "a" * 200}, None),
        ({"intent": "a" * 201}, "not a label"),
        ({"text": "b\ufffdd"}, "not UTF-8"),
        ({"text": "b\ufffdd", "speaker": "agent", "intent": None}, "not UTF-8"),
        ({"intent": "b\ufffdd"}, "not UTF-8"),
        ({"malformed": '{"text": "b\ufffdd', "text": None, "intent": None}, "not UTF-8"),
        ({"text": "분" * 30}, None),
        ({"text": "분" * 31}, "text too long"),
        ({"text": "분" * 31, "intent": None}, "text too long"),
        ({"text": "분" * 31, "speaker": "agent", "intent": None}, "context"),
        ({"intent": "lost ␞ track"}, "several intents"),
        ({"intent": "lost; track"}, None),
        ({"split": None}, "no date"),
        ({"split": None, "speaker": "agent", "intent": None}, "context"),
        ({"split": "unknown"}, "unknown split"),
        ({"split": "unknown", "intent": None, "speaker": "agent"}, "unknown split"),
        ({"malformed": "{", "text": None, "intent": None, "split": "unknown"}, "malformed record"),
    ]
    frame = turns(spark, *[fine | changed for changed, _ in cases], columns="num_tokens int")
    found = [row.reason for row in frame.transform(transforms.with_reason, 30).collect()]
    assert list(zip([changed for changed, _ in cases], found, strict=True)) == cases


def test_examples_of_intents_that_training_lacks_are_rejected(spark: SparkSession) -> None:
    rows = [("a", None), ("z", None), ("z", "no text"), (None, "no intent")]
    frame = turns(spark, *[{"intent": intent, "reason": reason} for intent, reason in rows], columns="reason string")
    found = frame.transform(transforms.with_known_intents, ["a", "b"]).select("intent", "reason").collect()
    assert [tuple(row) for row in found] == [
        ("a", None), ("z", "intent absent from training"), ("z", "no text"), (None, "no intent")
    ]  # fmt: skip


def test_the_most_frequent_words_come_first_and_ties_in_the_order_of_words(spark: SparkSession) -> None:
    counts = [("b", 3), ("a", 3), ("가", 2), ("c", 5), ("rare", 1), ("B", 2), ("of others", 0)]
    frame = spark.createDataFrame(counts, "word string, train long").repartition(3)
    assert transforms.most_frequent(frame, size=9, min_count=2) == ["c", "a", "b", "B", "가"]
    assert transforms.most_frequent(frame, size=2, min_count=1) == ["c", "a"]
    assert transforms.most_frequent(frame, size=9, min_count=6) == []


def test_files_hold_the_same_rows_however_the_input_was_cut(spark: SparkSession) -> None:
    rows = [
        {"dialog_id": f"d{n}", "turn": n % 7, "text": f"t{n % 11}", "intent": f"i{n % 5}", "split": SPLITS[n % 3]}
        for n in range(360)
    ]
    same = {"dialog_id": "d", "turn": 0, "text": "hi", "intent": "greet", "split": "train"}
    rows += [same | {"language": f"{n % 2}", "slice": f"{n * 7 % 10}"} for n in range(10)]
    frame = turns(spark, *rows)

    def parts(cut: DataFrame) -> list[list[Any]]:
        return cut.transform(transforms.spread, 3).rdd.glom().collect()

    whole = parts(frame.coalesce(1))
    assert parts(frame.repartition(7)) == whole == parts(frame.orderBy(F.desc("dialog_id")))
    assert [{row.split for row in part} for part in whole] == [{split} for split in SPLITS for _ in range(3)]
    assert min(map(len, whole)) >= 30
    assert sorted(row.dialog_id for part in whole for row in part) == sorted(row["dialog_id"] for row in rows)
    assert whole[0][0].__fields__ == TURN.names


def test_the_contract_makes_null_of_what_is_absent_or_of_another_type(spark: SparkSession) -> None:
    frame = spark.createDataFrame([("3", 1.5, "x"), ("third", None, "y")], "turn string, text double, other string")
    assert [row.asDict() for row in frame.transform(conform, TURN).collect()] == [
        dict.fromkeys(TURN.names) | {"turn": 3, "text": "1.5"}, dict.fromkeys(TURN.names)
    ]  # fmt: skip
    assert frame.transform(conform, TURN).schema == TURN
