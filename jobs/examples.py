"""What `evaluate` asks a model about: the test split of a dataset, or the labelled rows of any table."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from jobs.config import AppConfig
from preprocessing import storage
from preprocessing.context import CONTEXT_COLUMNS, require_dialogs
from preprocessing.errors import UserError
from preprocessing.manifest import manifest_checksum, read_manifest
from preprocessing.pipeline import checked
from preprocessing.readers import read_turns
from preprocessing.splits import Splitting
from preprocessing.transforms import CONTEXT, with_clean_labels
from training.artifact import Model

ROW = ("dialog_id", "turn", "language", "text", "intent", "length")


@dataclass(frozen=True)
class Examples:
    """Rows of ROW, and of `slice`, `context` and `speakers` where these are asked for."""

    rows: DataFrame
    slice: str  # the corpus' name for the column `slice`; "" without one
    origin: Mapping[str, Any]  # for the report's manifest
    rejected: Mapping[str, int] = field(default_factory=dict)  # rows of the table that are no example, by reason


def examples_of(spark: SparkSession, config: AppConfig, model: Model) -> Examples:
    """Those of `evaluation.input`, or else of the test split of `dataset.path`. Raises UserError without any."""
    return labelled_table(spark, config, model) if config.evaluation.input else test_split(spark, config)


def test_split(spark: SparkSession, config: AppConfig) -> Examples:
    """The test split of the dataset, as preprocess wrote it."""
    dataset = storage.absolute(config.dataset.path)
    manifest = read_manifest(dataset)
    rows = spark.read.parquet(*[f"{dataset}/{file.path}" for file in manifest.splits["test"]])
    origin = {
        "dataset": dataset, "fingerprint": manifest.fingerprint, "dataset_checksum": manifest_checksum(dataset),
    }  # fmt: skip
    return Examples(_of_row(rows, manifest.slice, bool(manifest.context_turns)), manifest.slice, origin)


def labelled_table(spark: SparkSession, config: AppConfig, model: Model) -> Examples:
    """The rows with text and intent of a table that [corpus] describes but for its path, read as preprocess does."""
    corpus = dataclasses.replace(config.corpus, path=config.evaluation.input, split="", date="")
    asked = dataclasses.replace(
        config.dataset, tokenizer=model.manifest["tokenizer"], mask=model.masked, context_turns=model.context_turns
    )
    require_dialogs(corpus, asked)
    turns = read_turns(spark, corpus).withColumn("split", F.lit("test")).transform(with_clean_labels)
    rows = checked(turns, Splitting("hash", "", 0.0, 0.0), asked)
    reasons = rows.groupBy(F.coalesce("reason", F.lit("")).alias("reason")).count().collect()
    counts = {row.reason: row["count"] for row in reasons}
    found, rejected = counts.pop("", 0), {name: count for name, count in counts.items() if name != CONTEXT}
    if not found:
        told = ", ".join(f"{count} {name}" for name, count in sorted(rejected.items())) or "it is empty"
        raise UserError(
            f"evaluation.input {list(config.evaluation.input)} has no row with a text and an intent ({told}): "
            "correct it, or the columns that [corpus] names"
        )
    length = F.least("num_tokens", F.lit(model.manifest["max_tokens"]))
    examples = rows.where("reason is null").withColumn("length", length)
    origin = {"dataset": ", ".join(map(storage.absolute, config.evaluation.input)), "fingerprint": ""}
    return Examples(_of_row(examples, corpus.slice, bool(asked.context_turns)), corpus.slice, origin, rejected)


def _of_row(rows: DataFrame, sliced: str, context: bool) -> DataFrame:
    return rows.select(*ROW, *(["slice"] if sliced else ()), *(CONTEXT_COLUMNS if context else ()))
