"""Splits by hash and by date: a dialog in one split, always the same one, and the shares that were asked for."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from preprocessing import splits
from preprocessing.config import CorpusConfig, DatasetConfig
from preprocessing.errors import UserError
from preprocessing.schema import SPLITS, TURN
from preprocessing.splits import Splitting, cut_hours, plan_splits

pytestmark = pytest.mark.spark

DIALOGS = st.sets(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")), min_size=1, max_size=40)


def turns(spark: SparkSession, *rows: dict[str, Any]) -> DataFrame:
    """TURN rows, null where a row does not name a column."""
    return spark.createDataFrame([tuple(row.get(name) for name in TURN.names) for row in rows], TURN)


def carved(frame: DataFrame, present: tuple[str, ...] = (), salt: str = "parley") -> dict[str, set[str]]:
    """Dialog -> its splits."""
    config = DatasetConfig(validation_fraction=0.2, test_fraction=0.3, split_salt=salt)
    rows = frame.transform(splits.with_split, plan_splits(frame, present, CorpusConfig(), config)).collect()
    found: dict[str, set[str]] = {}
    for row in rows:
        found.setdefault(row.dialog_id or row.text, set()).add(row.split)
    return found


def test_only_labelled_turns_make_a_split_present(spark: SparkSession) -> None:
    rows = [("a", "train"), ("b", "train"), (None, "test"), ("a", None), ("a", "validation")]
    frame = turns(spark, *[{"intent": intent, "split": split} for intent, split in rows])
    assert sorted(splits.splits_present(frame)) == ["train", "validation"]


def test_a_dialog_goes_where_it_always_went(spark: SparkSession) -> None:
    """Literal, as another hash would move dialogs between the splits of a dataset and of its next version."""
    frame = turns(spark, *[{"dialog_id": f"d{number}"} for number in range(12)])
    found = carved(frame)
    assert {split: sorted(name for name in found if found[name] == {split}) for split in SPLITS} == {
        "train": ["d1", "d11", "d3", "d4", "d8"],
        "validation": ["d0", "d10", "d5", "d9"],
        "test": ["d2", "d6", "d7"],
    }


CASES = st.lists(
    st.tuples(DIALOGS, DIALOGS, st.text(), st.floats(0.01, 0.49), st.floats(0.01, 0.49)), min_size=20, max_size=20
)


@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(cases=CASES)
def test_new_dialogs_move_no_old_one(
    spark: SparkSession, cases: list[tuple[set[str], set[str], str, float, float]]
) -> None:
    """A hundred corpora, each with its own salt and shares, twenty in a query."""

    def places(corpora: list[set[str]]) -> list[dict[str, str]]:
        rows = [{"dialog_id": dialog, "slice": f"{n}"} for n, dialogs in enumerate(corpora) for dialog in dialogs]
        frame = turns(spark, *rows).repartition(3)
        for number, (_, _, *chosen) in enumerate(cases):
            frame = frame.withColumn("split", F.lit(None)).transform(splits.with_split, Splitting("hash", *chosen))
            frame = frame.withColumnRenamed("split", f"split {number}")
        found: list[dict[str, str]] = [{} for _ in corpora]
        for row in frame.collect():
            found[int(row.slice)][row.dialog_id] = row[f"split {row.slice}"]
        return found

    before, after = places([old for old, *_ in cases]), places([old | new for old, new, *_ in cases])
    assert [{*dialogs} for dialogs in after] == [old | new for old, new, *_ in cases]
    for one, other in zip(before, after, strict=True):
        assert one == {dialog: other[dialog] for dialog in one}
        assert set(other.values()) <= set(SPLITS)


def test_another_salt_draws_other_splits(spark: SparkSession) -> None:
    frame = turns(spark, *[{"dialog_id": f"d{number}"} for number in range(50)])
    assert carved(frame) == carved(frame, salt="parley") != carved(frame, salt="2")


def test_a_dialog_stays_in_one_split_whatever_its_turns_say(spark: SparkSession) -> None:
    rows = [{"dialog_id": f"d{number % 40}", "turn": number, "text": f"t{number}"} for number in range(200)]
    assert [found for found in carved(turns(spark, *rows)).values() if len(found) != 1] == []


def test_without_dialogs_equal_texts_stay_together(spark: SparkSession) -> None:
    rows = [{"text": f"t{number % 40}", "intent": f"{number}"} for number in range(120)]
    found = carved(turns(spark, *rows))
    assert [names for names in found.values() if len(names) != 1] == []
    assert set.union(*found.values()) == {"train", "validation", "test"}


def test_the_shares_are_those_asked_for(spark: SparkSession) -> None:
    frame = spark.range(5000).select(
        F.col("id").cast("string").alias("dialog_id"), F.lit("").alias("text"), F.lit(None).alias("split")
    )
    counted = (
        frame.transform(splits.with_split, Splitting("hash", "parley", 0.1, 0.25)).groupBy("split").count().collect()
    )
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
    found = carved(turns(spark, *kept, *train), present)
    assert {row["dialog_id"]: found[row["dialog_id"]] for row in kept} == {
        row["dialog_id"]: {row["split"]} for row in kept
    }
    assert set.union(*[found[row["dialog_id"]] for row in train]) == from_train


def by_date(validation: float = 0.2, test: float = 0.3, date: str = "when") -> tuple[CorpusConfig, DatasetConfig]:
    return CorpusConfig(date=date), DatasetConfig(split_by="date", validation_fraction=validation, test_fraction=test)


def day(number: int, clock: str = "12:00:00") -> str:
    return f"2024-03-{number:02}T{clock}"


def test_by_date_the_newest_dialogs_test_and_the_ones_before_validate(spark: SparkSession) -> None:
    rows = [{"dialog_id": f"d{n}", "intent": "a", "date": day(n, f"{clock}:59:00")} for n in range(1, 11)
            for clock in (10, 11)]  # fmt: skip
    rows += [{"dialog_id": "d9", "intent": None, "date": None, "turn": 9}]  # follows its dialog
    frame = turns(spark, *rows)
    splitting = plan_splits(frame, [], *by_date())
    assert (splitting.validation_from, splitting.test_from) == (
        "2024-03-06T10:00:00+00:00",
        "2024-03-08T10:00:00+00:00",
    )
    found = frame.transform(splits.with_split, splitting).select("dialog_id", "split").distinct().collect()
    assert {row.dialog_id: row.split for row in found} == (
        {f"d{n}": "train" for n in range(1, 6)} | {f"d{n}": "validation" for n in (6, 7)}
        | {f"d{n}": "test" for n in (8, 9, 10)}
    )  # fmt: skip
    assert len(found) == 10


def test_a_dialog_that_lasts_past_a_cut_is_in_the_split_of_its_first_turn(spark: SparkSession) -> None:
    rows = [{"dialog_id": f"d{n}", "intent": "a", "date": day(n)} for n in range(1, 11)]
    frame = turns(spark, *rows, {"dialog_id": "d1", "date": day(30)}, {"dialog_id": "d6", "date": day(9)})
    found = frame.transform(splits.with_split, plan_splits(frame, [], *by_date())).collect()
    assert sorted((row.dialog_id, row.split) for row in found if row.dialog_id in ("d1", "d6")) == [
        ("d1", "train"), ("d1", "train"), ("d6", "validation"), ("d6", "validation")
    ]  # fmt: skip


def test_by_date_a_corpus_keeps_its_own_test_split(spark: SparkSession) -> None:
    rows = [{"dialog_id": f"d{n}", "intent": "a", "date": day(n), "split": "train"} for n in range(1, 11)]
    own = [{"dialog_id": f"t{n}", "intent": "a", "date": day(1), "split": "test"} for n in range(9)]
    frame = turns(spark, *rows, *own)
    splitting = plan_splits(frame, ["train", "test"], *by_date())
    assert (splitting.validation_from, splitting.test_from) == ("2024-03-09T12:00:00+00:00", "")
    counted = frame.transform(splits.with_split, splitting).groupBy("split").count().collect()
    assert {row.split: row["count"] for row in counted} == {"train": 8, "validation": 2, "test": 9}


def test_dates_are_read_in_any_notation_that_is_plain_and_are_null_in_others(spark: SparkSession) -> None:
    dates = ["2024-03-01", "2024-03-01 10:30:00", "2024-03-01T10:30:00+09:00", " 2024-03-01T10:30:00Z ", "1709289000",
             "1709289000123", "01.03.2024", "10:30:00", "", "yesterday", None]  # fmt: skip
    frame = turns(spark, *[{"date": date} for date in dates])
    found = frame.select(F.unix_seconds(splits.moment()).alias("seconds")).collect()
    at_half_past_ten = 1709289000
    assert [row.seconds for row in found] == [
        1709251200, at_half_past_ten, at_half_past_ten - 9 * 3600, at_half_past_ten, at_half_past_ten,
        at_half_past_ten, None, None, None, None, None,
    ]  # fmt: skip


def test_turns_of_a_dialog_without_any_date_have_no_split(spark: SparkSession) -> None:
    rows = [{"dialog_id": f"d{n}", "intent": "a", "date": day(n)} for n in range(1, 11)]
    frame = turns(spark, *rows, {"dialog_id": "x", "date": "soon"}, {"dialog_id": "x"})
    found = frame.transform(splits.with_split, plan_splits(frame, [], *by_date())).collect()
    assert [row.split for row in found if row.dialog_id == "x"] == [None, None]


@given(
    dialogs=st.dictionaries(st.integers(400_000, 500_000), st.integers(1, 50), max_size=60),
    validation=st.floats(0.01, 0.49),
    test=st.floats(0.01, 0.49),
)
def test_cuts_come_as_near_to_the_shares_as_whole_hours_can(
    dialogs: dict[int, int], validation: float, test: float
) -> None:
    from_validation, from_test = cut_hours(dialogs, validation, test)
    if not dialogs:
        assert (from_validation, from_test) == (0, 0)
        return

    def share(start: int, end: float = float("inf")) -> float:
        return sum(count for hour, count in dialogs.items() if start <= hour < end) / sum(dialogs.values())

    assert from_test in dialogs
    assert abs(share(from_test) - test) <= min(abs(share(hour) - test) for hour in dialogs) + 1e-9
    older = [hour for hour in dialogs if hour < from_test]
    assert (from_validation in older) if older else from_validation == 0
    if older:
        nearest = min(abs(share(hour, from_test) - validation) for hour in older)
        assert abs(share(from_validation, from_test) - validation) <= nearest + 1e-9


@pytest.mark.parametrize("dates", [["soon", None], [day(1), day(1)], [day(1), day(2)]])
def test_too_few_dates_to_part_are_refused(spark: SparkSession, dates: list[str | None]) -> None:
    frame = turns(spark, *[{"dialog_id": f"d{n}", "intent": "a", "date": date} for n, date in enumerate(dates * 5)])
    with pytest.raises(UserError, match=r"^dataset.split_by = 'date' finds dialogs of [012] different hours in corpus"):
        plan_splits(frame, [], *by_date())


def test_a_split_by_date_needs_dates(spark: SparkSession) -> None:
    with pytest.raises(UserError, match=r"needs dates: name their field with --set corpus.date=NAME"):
        plan_splits(turns(spark, {"text": "a"}), [], *by_date(date=""))
