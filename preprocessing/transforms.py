"""Steps of preprocessing, each DataFrame -> DataFrame; row work is in `encoding.py`."""

from collections.abc import Collection, Iterable

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from preprocessing.schema import SPLIT_NAMES, USER_SPEAKERS

SALT = "parley"  # of the split's hash; to change it moves every dialog
RESOLUTION = 1_000_000  # parts of the hash's range

CONTEXT = "context"  # not a reason to reject: a turn that is there for the turns after it
NO_LABEL = "not a label"
MAX_LABEL = 200  # characters; longer "intents" are texts in the wrong column


def dialog_key() -> Column:
    """What a split keeps together: the dialog, or, where the corpus has no dialogs, all rows of the same text."""
    return F.coalesce(F.col("dialog_id"), F.col("text"), F.lit(""))


def with_clean_labels(turns: DataFrame) -> DataFrame:
    """Intent and split trimmed, empty ones null; the split by the name that Parley knows it by."""
    names = F.create_map(*[F.lit(part) for pair in SPLIT_NAMES.items() for part in pair])
    known = F.when(F.col("split").isNotNull(), F.coalesce(names[F.lower(F.trim("split"))], F.lit("unknown")))
    return turns.withColumns({"intent": F.nullif(F.trim("intent"), F.lit("")), "split": known})


def splits_present(turns: DataFrame) -> list[str]:
    """The splits that the corpus itself gives its labelled turns to."""
    labelled = turns.where(F.col("split").isNotNull() & F.col("intent").isNotNull())
    return [row.split for row in labelled.select("split").distinct().collect()]


def with_split(
    turns: DataFrame, present: Collection[str], validation_fraction: float, test_fraction: float
) -> DataFrame:
    """The corpus' own split where it has one; what is missing is carved from train by a stable hash of the dialog.

    The hash depends on the dialog's key alone, so that new data moves no dialog that was there before.
    """
    place = F.pmod(F.xxhash64(F.lit(SALT), dialog_key()), F.lit(RESOLUTION)) / RESOLUTION
    test = 0.0 if "test" in present else test_fraction
    validation = 0.0 if "validation" in present else validation_fraction
    carved = F.when(place < test, "test").when(place < test + validation, "validation").otherwise("train")
    return turns.withColumn(
        "split", F.when(F.coalesce("split", F.lit("train")) == "train", carved).otherwise(F.col("split"))
    )


def with_reason(turns: DataFrame) -> DataFrame:
    """Why a turn is no example: CONTEXT, a reason to reject it, or null for an example. Needs `num_tokens`."""
    silent = F.col("speaker").isNotNull() & ~F.lower(F.trim("speaker")).isin(*USER_SPEAKERS)
    return turns.withColumn(
        "reason",
        F.when(F.col("malformed").isNotNull(), "malformed record")
        .when(F.col("split") == "unknown", "unknown split")
        .when(F.col("intent").isNull() & silent, CONTEXT)
        .when(F.col("text").isNull() | (F.trim("text") == ""), "no text")
        .when(F.col("intent").isNull(), "no intent")
        .when(F.col("intent").rlike("[\\x00-\\x1f]") | (F.length("intent") > MAX_LABEL), NO_LABEL)
        .when(F.col("num_tokens") == 0, "no tokens"),
    )


def with_masked_intents(turns: DataFrame) -> DataFrame:
    """Of a text that stands in the place of an intent only its length is left."""
    length = F.concat(F.lit("a text of "), F.length("intent").cast("string"), F.lit(" characters"))
    return turns.withColumn("intent", F.when(F.col("reason") == NO_LABEL, length).otherwise(F.col("intent")))


def with_known_intents(turns: DataFrame, labels: Iterable[str]) -> DataFrame:
    """Examples of intents that training never saw are rejected: no model could name them."""
    unseen = F.col("reason").isNull() & ~F.col("intent").isin(*labels)
    return turns.withColumn("reason", F.when(unseen, "intent absent from training").otherwise(F.col("reason")))


def spread(examples: DataFrame, files: int) -> DataFrame:
    """The examples in `files` partitions of nearly equal size, the same rows in the same order whatever the cluster."""
    row = F.xxhash64("dialog_id", "turn", "text", "intent")
    keys = F.array(*[F.lit(key) for key in _partition_keys(examples, files)])
    part = F.get(keys, F.pmod("row", F.lit(files)).cast("int"))
    return (
        examples.withColumn("row", row)
        .repartition(files, part)
        .sortWithinPartitions("row", "text", "intent")
        .drop("row")
    )


def _partition_keys(frame: DataFrame, partitions: int) -> list[int]:
    """For each partition an integer that Spark hashes into it: hashing 0, 1, 2 ... would leave some of them empty."""
    numbers = frame.sparkSession.range(partitions * 64).select(F.col("id").cast("int").alias("key"))
    place = F.pmod(F.hash("key"), F.lit(partitions))
    found = numbers.groupBy(place.alias("place")).agg(F.min("key").alias("key")).orderBy("place").collect()
    assert len(found) == partitions, f"no key found for {partitions - len(found)} of {partitions} partitions"
    return [row.key for row in found]


def most_frequent(counts: DataFrame, size: int, min_count: int) -> list[str]:
    """The `size` most frequent words of training, ties in the order of the words; `counts` has each word once."""
    top = counts.where(F.col("train") >= min_count).orderBy(F.desc("train"), "word").limit(size)
    return [row.word for row in top.collect()]
