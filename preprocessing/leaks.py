"""Leaks: the same text in two splits, or under two intents, found by the hash of its tokens."""

import logging
from collections import Counter
from collections.abc import Mapping
from typing import Any

from pyspark import StorageLevel
from pyspark.sql import Column, DataFrame, Row
from pyspark.sql import functions as F

from preprocessing.schema import SPLITS

log = logging.getLogger(__name__)

# reasons to reject an example of another split, with dataset.duplicates = "train"
OF_TRAINING, OF_VALIDATION = DUPLICATES = ("text of training", "text of validation")
LISTED = 20  # texts of each kind
SHOWN = 200  # characters of a text
HELD_OUT = SPLITS[1:]


def with_tokens_hash(turns: DataFrame) -> DataFrame:
    """`tokens_hash`: equal for what is the same to a model, after folding and tokenising, context included."""
    parts = [F.col("tokens")]
    if "context_tokens" in turns.columns:  # Spark hashes an array entry by entry, so that it matters where one ends
        parts += [F.col("context_tokens"), F.col("speakers")]
    # 64 bits: of a hundred million texts, two collide with a chance of one in four thousand
    return turns.withColumn("tokens_hash", F.xxhash64(*parts))


def reject_duplicates(turns: DataFrame) -> DataFrame:
    """The turns, with a reason for examples of validation with a text of training, and of test with one of either."""
    held_out = F.col("reason").isNull() & (F.col("split") != "train")
    earlier = turns.where("reason is null and split in ('train', 'validation')").groupBy("tokens_hash")
    first = earlier.agg(F.max(F.col("split") == "train").alias("trained"))  # null for what neither has
    marked = (
        turns.where(held_out)
        # a merge join: the others would send the hashes to the driver, or hold them in the memory of a worker
        .join(first.hint("merge"), "tokens_hash", "left")
        .withColumn(
            "reason",
            F.when(F.col("trained"), OF_TRAINING).when(~F.col("trained") & (F.col("split") == "test"), OF_VALIDATION),
        )
    )
    return turns.where(~held_out).unionByName(marked.select(*turns.columns))


def find_leaks(turns: DataFrame) -> dict[str, Any]:
    """The content of leaks.json. One shuffle of (hash, split, intent's hash); only listed texts reach the driver."""
    examples = turns.where("reason is null")
    leaking = (
        examples.groupBy("tokens_hash")
        # an intent's hash instead of its name: Spark aggregates numbers in place, but sorts for the least of strings
        .agg(
            *[F.count_if(F.col("split") == split).alias(split) for split in SPLITS],
            F.min(F.xxhash64("intent")).alias("least"),
            F.max(F.xxhash64("intent")).alias("greatest"),
        )
        .select("tokens_hash", *SPLITS, (F.col("least") != F.col("greatest")).alias("mixed"))
        .where(_in_several_splits() | F.col("mixed"))
        .persist(StorageLevel.DISK_ONLY)
    )
    try:
        totals = _totals(leaking)
        if not totals.texts:
            return summarise(totals, [], [], [])
        across, mixed = (_most_frequent(leaking.where(kind)) for kind in (_in_several_splits(), F.col("mixed")))
    finally:
        leaking.unpersist()
    listed = examples.where(F.col("tokens_hash").isin(*across, *mixed)).groupBy("tokens_hash", "split", "intent")
    said = listed.agg(F.count("*").alias("examples"), F.min(F.substring("text", 1, SHOWN)).alias("text")).collect()
    return summarise(totals, across, mixed, said)


def _in_several_splits() -> Column:
    train, validation, test = ((F.col(split) > 0).cast("int") for split in SPLITS)
    return train + validation + test > 1


def _most_frequent(leaking: DataFrame) -> list[int]:
    """Hashes of the texts that occur most often."""
    total = F.col("train") + F.col("validation") + F.col("test")
    return [row.tokens_hash for row in leaking.orderBy(F.desc(total), "tokens_hash").limit(LISTED).collect()]


def _totals(leaking: DataFrame) -> Row:
    """One row of counts: texts, and examples, of each kind."""
    across, everywhere = _in_several_splits(), F.col("train") + F.col("validation") + F.col("test")
    copied = [F.sum(F.when(F.col("train") > 0, F.col(split))).alias(f"copied_{split}") for split in HELD_OUT]
    counted = leaking.agg(
        F.count("*").alias("texts"),
        F.count_if(across).alias("across"),
        F.count_if("mixed").alias("mixed"),
        *[F.sum(F.when(across, F.col(split))).alias(f"across_{split}") for split in SPLITS],
        *copied,
        F.sum(F.when(F.col("mixed"), everywhere)).alias("mixed_examples"),
    )
    return counted.fillna(0).collect()[0]


def summarise(totals: Row, across: list[int], mixed: list[int], said: list[Row]) -> dict[str, Any]:
    """The counts, and the listed texts with their splits and intents, the most frequent first."""
    found: dict[int, list[Row]] = {}
    for row in said:
        found.setdefault(row.tokens_hash, []).append(row)
    return {
        "several_splits": {
            "texts": totals.across,
            "examples": {split: totals[f"across_{split}"] for split in SPLITS},
            "of_training": {split: totals[f"copied_{split}"] for split in HELD_OUT},
            "listed": [_listed(found[number]) for number in across],
        },
        "several_intents": {
            "texts": totals.mixed,
            "examples": totals.mixed_examples,
            "listed": [_listed(found[number]) for number in mixed],
        },
    }


def _listed(rows: list[Row]) -> dict[str, Any]:
    splits, intents = Counter[str](), Counter[str]()
    for row in rows:
        splits[row.split] += row.examples
        intents[row.intent] += row.examples
    return {
        "text": min(row.text for row in rows),
        "examples": splits.total(),
        "splits": {split: splits[split] for split in SPLITS if splits[split]},
        "intents": dict(sorted(intents.items(), key=lambda entry: (-entry[1], entry[0]))),
    }


def counts_of(leaks: Mapping[str, Any]) -> dict[str, Any]:
    """The leaks without their texts."""
    return {kind: {key: found[key] for key in found if key != "listed"} for kind, found in leaks.items()}


def report(leaks: Mapping[str, Any]) -> None:
    """One line, where there are any."""
    splits, intents = leaks["several_splits"], leaks["several_intents"]
    if splits["texts"] or intents["texts"]:
        log.warning(
            "%d texts occur in several splits (%s are texts of training), %d texts have several intents (%d examples): "
            "see leaks.json; dataset.duplicates = 'train' keeps each text in one split",
            splits["texts"], " and ".join(f"{count} {split}" for split, count in splits["of_training"].items()),
            intents["texts"], intents["examples"],
        )  # fmt: skip
