"""What the counts of a corpus say of it."""

import logging
from collections import Counter

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from preprocessing import census as counting
from preprocessing.census import Census, report, take_census
from preprocessing.errors import UserError
from preprocessing.schema import SPLITS


def test_intents_too_small_to_split_are_named_in_one_line(caplog: pytest.LogCaptureFixture) -> None:
    few = {f"few{number:02}": 1 for number in range(9)}
    examples = {
        "train": Counter({"lost": 9, "track": 9, "pay": 9, "three": 1, "two": 1, **few}),
        "validation": Counter({"lost": 1, "pay": 1, "three": 1, "two": 1}),
        "test": Counter({"lost": 1, "track": 1, "three": 1}),
    }
    census = Census(99, 0, Counter(), examples, {}, sorted(examples["train"]), [])
    assert census.scarce == [*few, "pay", "track", "two"]
    with caplog.at_level(logging.WARNING, "preprocessing.census"):
        report(census)
    assert [record.getMessage() for record in caplog.records] == [
        f"12 intents have fewer than 3 examples in all, or none in one of the splits: {', '.join(few)}, pay and 2 more"
    ]


def test_rejected_rows_are_told_in_one_line_by_reason(caplog: pytest.LogCaptureFixture) -> None:
    examples = {split: Counter({"lost": 3}) for split in SPLITS}
    rejected = Counter({"no text": 1, "no intent": 12})
    with caplog.at_level(logging.INFO, "preprocessing.census"):
        report(Census(99, 0, rejected, examples, {}, ["lost"], []))
        report(Census(86, 0, Counter(), examples, {}, ["lost"], []))
    said = [f"{split}: 3 examples of 1 intents" for split in SPLITS]
    assert [record.getMessage() for record in caplog.records] == [
        *said, "13 of 99 rows rejected: no intent 12, no text 1", *said
    ]  # fmt: skip


@pytest.mark.spark
def test_turns_are_counted_by_split_intent_and_language_or_by_reason(spark: SparkSession) -> None:
    rows = [
        ("train", None, "a", "en"), ("train", None, "a", None), ("train", None, "b", "en"), ("test", None, "a", "ko"),
        ("test", None, "new", "fr"), ("train", "no text", "c", "en"), ("test", "context", None, "en"),
    ]  # fmt: skip
    frame = spark.createDataFrame(rows, "split string, reason string, intent string, language string").repartition(3)
    found = take_census(frame, ["old"])
    assert found == Census(
        7, 1, Counter({"no text": 1, "intent absent from training": 1}),
        {"train": Counter({"a": 2, "b": 1}), "validation": Counter(), "test": Counter({"a": 1})},
        {"train": Counter({"en": 2, "": 1}), "validation": Counter(), "test": Counter({"ko": 1})},
        ["old", "a", "b"], ["new"],
    )  # fmt: skip
    assert "old" in take_census(frame.where("split = 'train'"), ["old"]).labels


@pytest.mark.spark
@pytest.mark.parametrize(
    ("intents", "languages", "told"),
    [(20, 1, "20 intents in corpus.intent and 1 languages"), (2, 40, "intents in corpus.intent and ")],
)
def test_a_column_that_holds_no_intents_or_languages_is_refused(
    spark: SparkSession, monkeypatch: pytest.MonkeyPatch, intents: int, languages: int, told: str
) -> None:
    """What stands there in rejected rows does not count."""
    for name, most in (("MAX_INTENTS", 19), ("MAX_GROUPS", 60)):
        monkeypatch.setattr(counting, name, most)
    names = [F.format_string(f"{kind} %d", "id").alias(kind) for kind in ("intent", "language")]
    one = spark.range(70).select(F.lit("train").alias("split"), F.lit("no text").alias("reason"), *names)
    some = [F.format_string("%d", F.col("id") % count) for count in (intents, languages)]
    few = [value.alias(name) for value, name in zip(some, ("intent", "language"), strict=True)]
    two = spark.range(840).select(F.lit("test").alias("split"), F.lit(None).cast("string").alias("reason"), *few)
    assert take_census(one).rows_in == 70
    with pytest.raises(UserError, match=f"^the examples have at least .*{told}.* name the columns that hold"):
        take_census(one.unionByName(two).unionByName(two.withColumn("split", F.lit("train"))))
