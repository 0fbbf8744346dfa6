"""dataset -> run."""

import sys
from typing import Any

from pyspark.sql import SparkSession

from jobs import preflight
from jobs.cli import run_job
from jobs.config import AppConfig
from jobs.tracking import connect
from training.launch import train


def plan(config: AppConfig) -> str:
    """What the job would read and write."""
    training = config.training
    start = f", starting from {training.start_from}," if training.start_from else ""
    return (
        f"{preflight.plan(config)}; "
        f"then train {config.model.architecture}{start} on {config.dataset.path} with {training.processes} processes "
        f"for {training.epochs} epochs, write the run to {training.path}"
    )


def run(spark: SparkSession, config: AppConfig) -> dict[str, Any]:
    """A dataset to a trained model."""
    connect(config.tracking)  # evaluate tells it what was trained: if it cannot, that is known before
    return train(spark, config.dataset.path, config.model, config.training, config.registry)


if __name__ == "__main__":
    sys.exit(run_job(run, plan))
