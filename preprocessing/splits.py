"""Which dialog trains, validates or tests: the corpus' own split, a stable hash of the dialog, or its date."""

import dataclasses
import logging
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from preprocessing.config import CorpusConfig, DatasetConfig
from preprocessing.errors import UserError
from preprocessing.turns import time_of

log = logging.getLogger(__name__)

RESOLUTION = 1_000_000  # parts of the hash's range


@dataclass(frozen=True)
class Splitting:
    """How the turns that the corpus gives to no split, or to train, are split; nothing is carved of what it brings."""

    by: str  # hash or date
    salt: str
    validation_fraction: float  # of the dialogs
    test_fraction: float
    validation_from: str = ""  # by date: the first hours, ISO 8601, of the dialogs that are not for training
    test_from: str = ""


def dialog_key() -> Column:
    """What a split keeps together: the dialog, or, where the corpus has no dialogs, all rows of the same text."""
    return F.coalesce(F.col("dialog_id"), F.col("text"), F.lit(""))


def moment() -> Column:
    """The date of a turn as a timestamp: whatever Spark can cast, or seconds or milliseconds since 1970."""
    number = F.expr("try_cast(date as bigint)")
    return (
        F.when(F.col("date").rlike("^[0-9]{9,10}$"), F.timestamp_seconds(number))
        .when(F.col("date").rlike("^[0-9]{12,13}$"), F.timestamp_millis(number))
        .otherwise(time_of("trim(date)"))
    )


def splits_present(turns: DataFrame) -> list[str]:
    """The splits that the corpus itself gives its labelled turns to."""
    labelled = turns.where(F.col("split").isNotNull() & F.col("intent").isNotNull())
    return [row.split for row in labelled.select("split").distinct().collect()]


def plan_splits(turns: DataFrame, present: Collection[str], corpus: CorpusConfig, config: DatasetConfig) -> Splitting:
    """What the configuration asks for, less the splits that are `present`; with the dates at which it cuts."""
    splitting = Splitting(
        config.split_by,
        config.split_salt,
        0.0 if "validation" in present else config.validation_fraction,
        0.0 if "test" in present else config.test_fraction,
    )
    if config.split_by != "date":
        return splitting
    if not corpus.date:
        raise UserError("dataset.split_by = 'date' needs dates: name their field with --set corpus.date=NAME")
    hours = _dialogs_by_hour(turns)
    validation, test = cut_hours(hours, splitting.validation_fraction, splitting.test_fraction)
    if not hours or min(hours) in (validation, test):  # nothing is left to train
        raise UserError(
            f"dataset.split_by = 'date' finds dialogs of {len(hours)} different hours in corpus.date = "
            f"'{corpus.date}', too few to part them: check that the dates are like 2024-03-01T12:30:00, "
            "or split by 'hash'"
        )
    splitting = dataclasses.replace(splitting, validation_from=_iso(validation), test_from=_iso(test))
    log.info("split by date: validation from %s, test from %s", splitting.validation_from, splitting.test_from)
    return splitting


def _iso(hour: int) -> str:
    return datetime.fromtimestamp(hour * 3600, UTC).isoformat() if hour else ""


def _dialogs_by_hour(turns: DataFrame) -> dict[int, int]:
    """Hour since 1970 -> labelled dialogs that began then."""
    dialogs = (
        turns.where(F.coalesce("split", F.lit("train")) == "train")
        .groupBy(F.xxhash64(dialog_key()))
        .agg(F.min(moment()).alias("first"), F.max(F.col("intent").isNotNull()).alias("labelled"))
        .where("labelled and first is not null")
    )
    hour = F.floor(F.unix_seconds("first") / 3600)
    return {row.hour: row["count"] for row in dialogs.groupBy(hour.alias("hour")).count().collect()}


def cut_hours(dialogs: dict[int, int], validation_fraction: float, test_fraction: float) -> tuple[int, int]:
    """The hours from which on dialogs validate and test; 0 for a split that gets none.

    Whole hours, at which the shares come nearest to those asked for: the same whatever the cluster.
    """
    total, newest = sum(dialogs.values()), sorted(dialogs, reverse=True)
    cuts = []
    for fraction in (test_fraction, validation_fraction):
        taken, share = 0, 0.0
        while fraction and taken < len(newest):
            more = share + dialogs[newest[taken]] / total
            if taken and more - fraction >= fraction - share:
                break
            taken, share = taken + 1, more
        cuts.append(newest[taken - 1] if taken else 0)
        newest = newest[taken:]
    return cuts[1], cuts[0]


def with_split(turns: DataFrame, splitting: Splitting) -> DataFrame:
    """The corpus' own split where it has one; what is missing is carved from train, a whole dialog at a time.

    The hash depends on the dialog's key alone, so that new data moves no dialog that was there before. By date the
    newest dialogs test, a dialog's date being that of its first turn; null where none of its turns has a date.
    """
    carved = _by_date(splitting) if splitting.by == "date" else _by_hash(splitting)
    return turns.withColumn(
        "split", F.when(F.coalesce("split", F.lit("train")) == "train", carved).otherwise(F.col("split"))
    )


def _by_hash(splitting: Splitting) -> Column:
    test, validation = splitting.test_fraction, splitting.validation_fraction
    place = F.pmod(F.xxhash64(F.lit(splitting.salt), dialog_key()), F.lit(RESOLUTION)) / RESOLUTION
    return F.when(place < test, "test").when(place < test + validation, "validation").otherwise("train")


def _by_date(splitting: Splitting) -> Column:
    first = F.min(moment()).over(Window.partitionBy(F.xxhash64(dialog_key())))
    split = F.when(first.isNull(), None)
    for name, start in (("test", splitting.test_from), ("validation", splitting.validation_from)):
        if start:
            split = split.when(first >= F.lit(start).cast("timestamp"), name)
    return split.otherwise("train")
