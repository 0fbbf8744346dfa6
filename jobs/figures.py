"""What one trial of a comparison is worth: its model, raw text in, on validation and test, and what it costs."""

import functools
import json
import statistics
from collections.abc import Sequence
from typing import Any

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from jobs.latency import latencies
from jobs.prediction import decided, predict
from preprocessing import storage
from preprocessing.context import CONTEXT_COLUMNS
from preprocessing.manifest import DatasetManifest
from training.artifact import Model, check_model, read_model
from training.checkpoint import read_history

SPLITS = ("validation", "test")
TIMED = 200  # texts of the test split whose latency is taken
ROW = ("split", "file", "row", "intent")


def figures_of(spark: SparkSession, run: str, scores: str, dataset: str, manifest: DatasetManifest) -> dict[str, Any]:
    """The trial's figures; its predictions go to `scores`/rows. A model that has its figures keeps them."""
    model = read_model(f"{run}/model")
    if known := _known(scores, model):
        return known
    check_model(model.uri)
    texts = _texts(spark, dataset, manifest)
    training = model.manifest["training"]
    said = predict(texts.coalesce(training["processes"]), model, "text", ROW)  # a task for each: each loads the model
    right = F.coalesce(F.col("intent") == decided(model), F.lit(False))
    scored = said.select(*ROW, decided(model).alias("predicted"), right.alias("right"))
    scored.write.mode("overwrite").parquet(f"{scores}/rows")
    timed = texts.where("split = 'test'").orderBy("file", "row").limit(TIMED)
    history = read_history(run)
    seconds = sum(epoch["seconds"] for epoch in history)
    figures = {
        **_accuracies(spark.read.parquet(f"{scores}/rows")),
        "epochs": len(history),
        "examples_per_second": statistics.median(epoch["examples_per_second"] for epoch in history),
        "process_seconds": seconds * training["processes"],  # of training, without start and validation
        "megabytes": storage.size(f"{model.uri}/saved_model") / 1e6,
        "milliseconds": 1000 * statistics.median(latencies(timed, model)),
    }
    about = {"kind": "scores", "version": 1, "model": model.uri, "model_checksum": model.checksum, "figures": figures}
    storage.write_json(f"{scores}/manifest.json", about)
    return figures


def _known(scores: str, model: Model) -> dict[str, Any] | None:
    try:
        about = json.loads(storage.read_text(f"{scores}/manifest.json"))
    except FileNotFoundError:
        return None
    return dict(about["figures"]) if about["model_checksum"] == model.checksum else None


def _texts(spark: SparkSession, dataset: str, manifest: DatasetManifest) -> DataFrame:
    """Rows of both splits, each with its place in the dataset, which tells it from all others."""
    context = CONTEXT_COLUMNS if manifest.context_turns else ()
    place = (F.col("_metadata.file_name").alias("file"), F.col("_metadata.row_index").alias("row"))
    parts = [
        spark.read.parquet(*[f"{dataset}/{file.path}" for file in manifest.splits[split]])
        .select(F.lit(split).alias("split"), *place, "text", "intent", *context)
        for split in SPLITS
    ]  # fmt: skip
    return functools.reduce(DataFrame.union, parts)


def _accuracies(scored: DataFrame) -> dict[str, Any]:
    found = scored.groupBy("split").agg(F.avg(F.col("right").cast("int")).alias("accuracy"), F.count("*").alias("n"))
    return {
        name: value
        for row in found.collect()
        for name, value in ((f"{row.split}_accuracy", row.accuracy), (f"{row.split}_examples", row.n))
    }


def hits(spark: SparkSession, scores: Sequence[str]) -> DataFrame:
    """Each row of validation with the share of these trials that have it `right`."""
    rows = spark.read.parquet(*[f"{uri}/rows" for uri in scores]).where("split = 'validation'")
    return rows.groupBy("file", "row").agg(F.avg(F.col("right").cast("int")).alias("right"))


def discordant(spark: SparkSession, best: Sequence[str], other: Sequence[str]) -> tuple[int, int]:
    """How many rows of validation more of the trials `best`, and more of the trials `other`, have right."""
    both = hits(spark, best).join(hits(spark, other).withColumnRenamed("right", "other"), ["file", "row"])
    counts = both.agg(F.count_if(F.col("right") > F.col("other")), F.count_if(F.col("right") < F.col("other"))).first()
    assert counts is not None
    return counts[0], counts[1]
