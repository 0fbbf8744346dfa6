"""corpus -> dataset -> run -> report -> registry, in one session; what is there for the same inputs is left alone."""

import json
import logging
import sys
from typing import Any

from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from jobs import evaluate, preprocess, publish, train
from jobs.cli import run_job
from jobs.config import AppConfig
from jobs.tracking import connect, track_report
from preprocessing import storage
from preprocessing.errors import UserError
from preprocessing.hadoop import hadoop_configuration
from preprocessing.manifest import manifest_checksum
from preprocessing.origin import changed, made_of
from preprocessing.versions import code_checksum
from training.artifact import read_model
from training.registry import model_of

log = logging.getLogger(__name__)

SAMPLES = 5
MIN_TOKENS = 3  # "yes" tells little


def plan(config: AppConfig) -> str:
    """What the job would read and write."""
    stages = (preprocess, train, evaluate, *((publish,) if config.registry.path else ()))
    steps = "; then ".join(stage.plan(config) for stage in stages)
    return f"leaving alone what is there for the same inputs: {steps}"


def run(spark: SparkSession, config: AppConfig) -> dict[str, Any]:
    """Raw dialogs to an evaluated and, with registry.path, published model; returns the report's metrics.

    Ends with a few sentences of the test split as the model took them.
    """
    require_places(config)
    connect(config.tracking)
    storage.use_hadoop_configuration(hadoop_configuration(spark))
    if not has_dataset(spark, config):
        preprocess.run(spark, config)
    train.run(spark, config)
    metrics = read_same_report(config)
    if metrics is None:
        metrics = evaluate.run(spark, config)
    else:
        track_report(config)  # in case that was what failed
    if config.registry.path:
        publish.run(spark, config)
    show_samples(spark, f"{storage.absolute(config.evaluation.path)}/predictions")
    return metrics


def require_places(config: AppConfig) -> None:
    """Raises UserError where a later stage would not know its place, before the first one begins."""
    sections = {"dataset": "dataset", "training": "run", "evaluation": "report"}
    for section, output in sections.items():
        if not getattr(config, section).path:
            raise UserError(f"{section}.path is empty: say where the {output} goes, with --set {section}.path=URI")
    if config.registry.version:
        raise UserError(
            f"registry.version = '{config.registry.version}' names a published model, and pipeline makes a new one: "
            "leave it empty, or run evaluate, publish or score alone"
        )


def has_dataset(spark: SparkSession, config: AppConfig) -> bool:
    """Whether dataset.path holds what the corpus and the configuration would give again."""
    uri = storage.absolute(config.dataset.path)
    differing = changed(uri, made_of(spark, config.corpus, config.dataset))
    if differing:
        log.info("preprocess: %s is made again, as these changed: %s", uri, ", ".join(differing))
    elif differing == []:
        log.info("preprocess: %s is of the same corpus and settings: skipped", uri)
    return differing == []


def read_same_report(config: AppConfig) -> dict[str, Any] | None:
    """The metrics of the report at evaluation.path, where it is about the run's model on the dataset as they are.

    None with evaluation.input: the rows of a table may change unseen.
    """
    if config.evaluation.input:
        return None
    report = storage.absolute(config.evaluation.path)
    now = {
        ("model", "model_checksum"): read_model(model_of(config.training.path)).checksum,
        ("dataset", "dataset_checksum"): manifest_checksum(storage.absolute(config.dataset.path)),
        ("code", "code"): code_checksum(),
    }
    try:
        before = json.loads(storage.read_text(f"{report}/manifest.json"))
    except FileNotFoundError:
        return None
    differing = [name for (name, key), value in now.items() if before.get(key) != value]
    if differing:
        log.info("evaluate: %s is made again, as these changed: %s", report, ", ".join(differing))
        return None
    metrics: dict[str, Any] = json.loads(storage.read_text(f"{report}/metrics.json"))
    log.info("evaluate: %s is of the same model and dataset: skipped, accuracy %.4f", report, metrics["accuracy"])
    return metrics


def show_samples(spark: SparkSession, predictions: str) -> None:
    """Logs what the model made of a few sentences."""
    scored = spark.read.parquet(predictions)
    texts = scored.where(F.col("length") >= MIN_TOKENS).dropDuplicates(["text"])
    for row in texts.orderBy(F.xxhash64("text"), "text").limit(SAMPLES).collect():
        right = "right" if row.intent == row.predicted else f"but it was {row.intent}"
        log.info("'%s' -> %s (%.0f %%), %s", row.text, row.predicted, 100 * row.probability, right)


if __name__ == "__main__":
    sys.exit(run_job(run, plan))
