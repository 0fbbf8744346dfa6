"""corpus -> dataset -> run -> report, in one session."""

import logging
import sys
from typing import Any

from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from jobs import evaluate, preprocess, train
from jobs.cli import run_job
from jobs.config import AppConfig
from preprocessing import storage

log = logging.getLogger(__name__)

SAMPLES = 5
MIN_TOKENS = 3  # "yes" tells little


def plan(config: AppConfig) -> str:
    """What the job would read and write."""
    return "; then ".join(stage.plan(config) for stage in (preprocess, train, evaluate))


def run(spark: SparkSession, config: AppConfig) -> dict[str, Any]:
    """Raw dialogs to an evaluated model; ends with a few sentences of the test split as the model took them."""
    preprocess.run(spark, config)
    train.run(spark, config)
    metrics = evaluate.run(spark, config)
    scored = spark.read.parquet(f"{storage.absolute(config.evaluation.path)}/predictions")
    texts = scored.where(F.col("length") >= MIN_TOKENS).dropDuplicates(["text"])
    for row in texts.orderBy(F.xxhash64("text"), "text").limit(SAMPLES).collect():
        right = "right" if row.intent == row.predicted else f"but it was {row.intent}"
        log.info("'%s' -> %s (%.0f %%), %s", row.text, row.predicted, 100 * row.probability, right)
    return metrics


if __name__ == "__main__":
    sys.exit(run_job(run, plan))
