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


def carved(frame: DataFrame, present: tuple[str, ...] = (), validation: float = 0.2, test: float = 0.3) -> dict:
    """Dialog -> its splits."""
    rows = frame.transform(transforms.with_split, present, validation, test).collect()
    found: dict[str, set[str]] = {}
    for row in rows:
        found.setdefault(row.dialog_id or row.text, set()).add(row.split)
    return found


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


def test_only_labelled_turns_make_a_split_present(spark: SparkSession) -> None:
    rows = [("a", "train"), ("b", "train"), (None, "test"), ("a", None), ("a", "validation")]
    frame = turns(spark, *[{"intent": intent, "split": split} for intent, split in rows])
    assert sorted(transforms.splits_present(frame)) == ["train", "validation"]


def test_a_dialog_goes_where_it_always_went(spark: SparkSession) -> None:
    """Literal, as another hash would move dialogs between the splits of a dataset and of its next version."""
    frame = turns(spark, *[{"dialog_id": f"d{number}"} for number in range(12)])
    splits = carved(frame)
    assert {split: sorted(name for name in splits if splits[name] == {split}) for split in SPLITS} == {
        "train": ["d1", "d11", "d3", "d4", "d8"],
        "validation": ["d0", "d10", "d5", "d9"],
        "test": ["d2", "d6", "d7"],
    }


def test_new_dialogs_move_no_old_one(spark: SparkSession) -> None:
    old = [{"dialog_id": f"d{number}"} for number in range(50)]
    new = [{"dialog_id": f"e{number}"} for number in range(150)]
    before, after = carved(turns(spark, *old)), carved(turns(spark, *new, *old).repartition(3))
    assert before == {dialog: after[dialog] for dialog in before}
    assert set.union(*before.values()) == {"train", "validation", "test"}


def test_a_dialog_stays_in_one_split_whatever_its_turns_say(spark: SparkSession) -> None:
    rows = [{"dialog_id": f"d{number % 40}", "turn": number, "text": f"t{number}"} for number in range(200)]
    assert [splits for splits in carved(turns(spark, *rows)).values() if len(splits) != 1] == []


def test_without_dialogs_equal_texts_stay_together(spark: SparkSession) -> None:
    rows = [{"text": f"t{number % 40}", "intent": f"{number}"} for number in range(120)]
    splits = carved(turns(spark, *rows))
    assert [found for found in splits.values() if len(found) != 1] == []
    assert set.union(*splits.values()) == {"train", "validation", "test"}


def test_the_shares_are_those_asked_for(spark: SparkSession) -> None:
    frame = spark.range(5000).select(
        F.col("id").cast("string").alias("dialog_id"), F.lit("").alias("text"), F.lit(None).alias("split")
    )
    counted = frame.transform(transforms.with_split, [], 0.1, 0.25).groupBy("split").count().collect()
    shares = {row.split: row["count"] / 5000 for row in counted}
    assert shares == pytest.approx({"train": 0.65, "validation": 0.1, "test": 0.25}, abs=0.02)


@pytest.mark.parametrize(
    ("present", "from_train"),
    [
        (("train", "test"), {"train", "validation"}),
        (("train", "validation"), {"train", "test"}),
        (("train", "validation", "test"), {"train"}),
        (("train",), {"train", "validation", "test"}),
    ],
)
def test_own_splits_are_kept_and_missing_ones_come_from_train(
    spark: SparkSession, present: tuple[str, ...], from_train: set[str]
) -> None:
    own = [split for split in (*present, "unknown") if split != "train"]
    kept = [{"dialog_id": f"{split}-{number}", "split": split} for split in own for number in range(20)]
    train = [{"dialog_id": f"train-{number}", "split": "train"} for number in range(60)]
    splits = carved(turns(spark, *kept, *train), present)
    assert {row["dialog_id"]: splits[row["dialog_id"]] for row in kept} == {
        row["dialog_id"]: {row["split"]} for row in kept
    }
    assert set.union(*[splits[row["dialog_id"]] for row in train]) == from_train


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
        ({"split": "unknown"}, "unknown split"),
        ({"split": "unknown", "intent": None, "speaker": "agent"}, "unknown split"),
        ({"malformed": "{", "text": None, "intent": None, "split": "unknown"}, "malformed record"),
    ]
    frame = turns(spark, *[fine | changed for changed, _ in cases], columns="num_tokens int")
    found = [row.reason for row in frame.transform(transforms.with_reason).collect()]
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
    rows = [{"dialog_id": f"d{n}", "turn": n % 7, "text": f"t{n % 11}", "intent": f"i{n % 3}"} for n in range(120)]
    frame = turns(spark, *rows)

    def parts(cut: DataFrame) -> list[list[Any]]:
        return cut.transform(transforms.spread, 3).rdd.glom().collect()

    whole = parts(frame.coalesce(1))
    assert parts(frame.repartition(7)) == whole == parts(frame.orderBy(F.desc("dialog_id")))
    assert len(whole) == 3 and min(map(len, whole)) >= 30
    assert sorted(row.dialog_id for part in whole for row in part) == sorted(row["dialog_id"] for row in rows)
    assert whole[0][0].__fields__ == TURN.names


def test_the_contract_makes_null_of_what_is_absent_or_of_another_type(spark: SparkSession) -> None:
    frame = spark.createDataFrame([("3", 1.5, "x"), ("third", None, "y")], "turn string, text double, other string")
    assert [row.asDict() for row in frame.transform(conform, TURN).collect()] == [
        dict.fromkeys(TURN.names) | {"turn": 3, "text": "1.5"}, dict.fromkeys(TURN.names)
    ]  # fmt: skip
    assert frame.transform(conform, TURN).schema == TURN
