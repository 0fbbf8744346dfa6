"""dataset -> run."""

import sys
from typing import Any

from pyspark.sql import SparkSession

from jobs import preflight
from jobs.cli import run_job
from jobs.config import AppConfig
from training.launch import train


def plan(config: AppConfig) -> str:
    """What the job would read and write."""
    return (
        f"{preflight.plan(config)}; "
        f"then train {config.model.architecture} on {config.dataset.path} with {config.training.processes} processes "
        f"for {config.training.epochs} epochs, write the run to {config.training.path}"
    )


def run(spark: SparkSession, config: AppConfig) -> dict[str, Any]:
    """A dataset to a trained model."""
    return train(spark, config.dataset.path, config.model, config.training)


if __name__ == "__main__":
    sys.exit(run_job(run, plan))
