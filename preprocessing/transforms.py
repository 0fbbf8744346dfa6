"""Steps of preprocessing, each DataFrame -> DataFrame; row work is in `encoding.py`."""

import functools
from collections.abc import Iterable

from pyspark.sql import Column, DataFrame, SparkSession, Window
from pyspark.sql import functions as F

from preprocessing.schema import REPLACEMENT, SEVERAL, SPLIT_NAMES, SPLITS, USER_SPEAKERS
from preprocessing.splits import moment
from preprocessing.turns import hashed_turn

CONTEXT = "context"  # not a reason to reject: a turn that is there for the turns after it
BROKEN = "not UTF-8"
NO_LABEL = "not a label"
NO_TURN = "no turn"
COPY = "_copy"  # a column that nobody has
MAX_LABEL = 200  # characters; longer "intents" are texts in the wrong column


def with_clean_labels(turns: DataFrame) -> DataFrame:
    """Intent and split trimmed, empty ones null; the split by the name that Parley knows it by."""
    names = F.create_map(*[F.lit(part) for pair in SPLIT_NAMES.items() for part in pair])
    known = F.when(F.col("split").isNotNull(), F.coalesce(names[F.lower(F.trim("split"))], F.lit("unknown")))
    return turns.withColumns({"intent": F.nullif(F.trim("intent"), F.lit("")), "split": known})


def with_reason(turns: DataFrame, max_characters: int) -> DataFrame:
    """Why a turn is no example: CONTEXT, a reason to reject it, or null for an example. Needs `num_tokens`."""
    silent = F.col("speaker").isNotNull() & ~F.lower(F.trim("speaker")).isin(*USER_SPEAKERS)
    lost = [F.contains(F.coalesce(name, F.lit("")), F.lit(REPLACEMENT)) for name in ("malformed", "text", "intent")]
    return turns.withColumn(
        "reason",
        F.when(lost[0] | lost[1] | lost[2], BROKEN)  # some of its bytes did not decode, here or before
        .when(F.col("malformed").isNotNull(), "malformed record")
        .when(F.col("split") == "unknown", "unknown split")
        .when(F.col("intent").isNull() & silent, CONTEXT)
        .when(F.col("text").isNull() | (F.trim("text") == ""), "no text")
        .when(F.length("text") > max_characters, "text too long")
        .when(F.col("intent").isNull(), "no intent")
        .when(F.col("intent").rlike("[\\x00-\\x1f]") | (F.length("intent") > MAX_LABEL), NO_LABEL)
        .when(F.contains("intent", F.lit(SEVERAL)), "several intents")
        .when(F.col("split").isNull(), "no date")
        .when(F.col("num_tokens") == 0, "no tokens"),
    )


def without_lost_turns(turns: DataFrame) -> DataFrame:
    """Examples and context of a dialog are rejected where nothing says which turn of it they are."""
    used = F.col("reason").isNull() | (F.col("reason") == CONTEXT)
    lost = used & F.col("dialog_id").isNotNull() & F.col("turn").isNull()
    return turns.withColumn("reason", F.when(lost, NO_TURN).otherwise(F.col("reason")))


def with_masked_intents(turns: DataFrame) -> DataFrame:
    """Of a text that stands in the place of an intent or a date only its length is left."""

    def length_of(name: str) -> Column:
        return F.concat(F.lit("a text of "), F.length(name).cast("string"), F.lit(" characters"))

    no_label = F.col("reason").isin(NO_LABEL, BROKEN)
    return turns.withColumns({
        "intent": F.when(no_label, length_of("intent")).otherwise(F.col("intent")),
        "date": F.when(moment().isNull(), length_of("date")).otherwise(F.col("date")),
    })  # fmt: skip


def with_known_intents(turns: DataFrame, labels: Iterable[str]) -> DataFrame:
    """Examples of intents that training never saw are rejected: no model could name them."""
    unseen = F.col("reason").isNull() & ~F.col("intent").isin(*labels)
    return turns.withColumn("reason", F.when(unseen, "intent absent from training").otherwise(F.col("reason")))


def with_copy_numbers(examples: DataFrame) -> DataFrame:
    """`_copy`: the number of each among its split's equals, for corpora whose rows no dialog tells apart."""
    order = Window.partitionBy("split", row_hash()).orderBy("text", "intent", "language", "slice")
    return examples.withColumn(COPY, F.row_number().over(order))


def row_hash() -> Column:
    """What an example is told from others by."""
    return F.xxhash64("dialog_id", *hashed_turn(), "text", "intent")


def spread(examples: DataFrame, files: int) -> DataFrame:
    """Each split in `files` partitions of nearly equal size, the same rows in the same order whatever the cluster.

    Equal rows are in one partition, but for those that have a number: they are dealt.
    """
    copy = F.col(COPY) if COPY in examples.columns else F.lit(0)
    place = F.pmod(F.pmod("row", F.lit(files)) + copy, F.lit(files))
    numbers = F.create_map(*[F.lit(part) for number, split in enumerate(SPLITS) for part in (split, number)])
    keys = F.array(*[F.lit(key) for key in _partition_keys(len(SPLITS) * files)])
    part = F.get(keys, (numbers[F.col("split")] * files + place).cast("int"))
    # no split is null; where it cannot be, Spark takes the order for that of a table partitioned by it, and sorts once
    return (
        examples.withColumns({"row": row_hash(), "split": F.coalesce("split", F.lit(SPLITS[0]))})
        .repartition(len(SPLITS) * files, part)
        .sortWithinPartitions("split", "row", "text", "intent", "language", "slice")
        .drop("row", COPY)
    )


@functools.cache
def _partition_keys(partitions: int) -> list[int]:
    """For each partition an integer that Spark hashes into it: hashing 0, 1, 2 ... would leave some of them empty."""
    number = F.col("id").cast("int")
    numbers = SparkSession.active().range(partitions * 64).select(number, F.pmod(F.hash(number), F.lit(partitions)))
    found = {place: key for key, place in reversed(numbers.collect())}  # of several keys the least
    assert len(found) == partitions, f"no key found for {partitions - len(found)} of {partitions} partitions"
    return [found[place] for place in range(partitions)]


def most_frequent(counts: DataFrame, size: int, min_count: int) -> list[str]:
    """The `size` most frequent words of training, ties in the order of the words; `counts` has each word once."""
    frequent = counts.where(F.col("train") >= min_count).select("word", "train")
    # in one place before they are cut: else each partition sends the driver as many words as the vocabulary has
    top = frequent.coalesce(1).orderBy(F.desc("train"), "word").limit(size)
    return [row.word for row in top.collect()]
