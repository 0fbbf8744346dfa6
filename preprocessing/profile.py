"""profile.json: what the dataset is made of, for people and for the drift of the next dataset."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from preprocessing import leaks
from preprocessing.census import Census
from preprocessing.config import CorpusConfig, DatasetConfig
from preprocessing.coverage import measure_coverage
from preprocessing.layout import SplitDescription
from preprocessing.schema import SPLITS

VERSION = 1
FEW = 10  # training examples; an intent with fewer is named as too small
LISTED = 20  # rejected rows of each reason


@dataclass(frozen=True)
class Findings:
    """What the turns tell besides the census."""

    dialogs: Counter[int]  # by number of turns
    coverage: dict[str, dict[str, Any]]  # by split
    leaks: dict[str, Any]


def find(turns: DataFrame, counts: DataFrame, words: Sequence[str]) -> Findings:
    """Dialogs and leaks of the checked turns, and what the vocabulary knows of their counted words."""
    return Findings(count_dialogs(turns), measure_coverage(counts, words), leaks.find_leaks(turns))


def count_dialogs(turns: DataFrame) -> Counter[int]:
    """Dialogs by their number of turns, of both speakers, rejected ones too."""
    sizes = turns.where("dialog_id is not null").groupBy(F.xxhash64("dialog_id")).agg(F.count("*").alias("turns"))
    return Counter({row.turns: row["count"] for row in sizes.groupBy("turns").count().collect()})


def rejected_examples(rejected: DataFrame) -> dict[str, list[dict[str, Any]]]:
    """A few rejected rows of each reason, the same ones each time, cut to what can be read."""
    shown = {name: F.substring(name, 1, leaks.SHOWN).alias(name) for name in ("text", "intent", "malformed")}
    place = F.row_number().over(Window.partitionBy("reason").orderBy(F.xxhash64(*shown), *shown))
    few = rejected.withColumn("place", place).where(F.col("place") <= LISTED).orderBy("reason", "place")
    listed: dict[str, list[dict[str, Any]]] = {}
    for row in few.select("reason", "dialog_id", "turn", *shown.values()).collect():
        told = {name: value for name, value in row.asDict().items() if value is not None}
        listed.setdefault(told.pop("reason"), []).append(told)
    return listed


def profile(
    census: Census,
    findings: Findings,
    splits: Mapping[str, SplitDescription],
    num_words: int,
    corpus: CorpusConfig,
    config: DatasetConfig,
) -> dict[str, Any]:
    """Rows by fate, dialogs, leaks, intents that are too small, and what each split holds."""
    return {
        "version": VERSION,
        "corpus": {"path": list(corpus.path), "format": corpus.format},
        "tokenizer": config.tokenizer,
        "max_tokens": config.max_tokens,
        "rows_in": census.rows_in,
        "context_only": census.context_only,
        "rejected": dict(census.rejected.most_common()),
        "dialogs": findings.dialogs.total(),
        "turns_per_dialog": {str(turns): dialogs for turns, dialogs in sorted(findings.dialogs.items())},
        "vocabulary_size": num_words,
        "leaks": leaks.counts_of(findings.leaks),
        "small_intents": small_intents(census),
        "splits": {
            split: {
                "examples": census.examples[split].total(),
                "tokens": description.tokens,
                "unknown_fraction": round(description.unknown / max(description.tokens, 1), 6),
                "coverage": findings.coverage[split],
                "languages": dict(census.languages[split].most_common()),
                "intents": dict(census.examples[split].most_common()),
                "lengths": {str(length): rows for length, rows in sorted(description.by_length().items())},
            }
            for split, description in splits.items()
        },
    }


def small_intents(census: Census) -> list[dict[str, Any]]:
    """Intents with few training examples, or none in validation or test, where nothing measures them."""
    counted: list[dict[str, Any]] = [
        {"intent": intent, **{split: census.examples[split][intent] for split in SPLITS}} for intent in census.labels
    ]
    return [row for row in counted if row["train"] < FEW or not (row["validation"] and row["test"])]
