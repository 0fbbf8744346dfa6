"""corpus -> dataset."""

import sys

from pyspark.sql import SparkSession

from jobs.cli import run_job
from jobs.config import AppConfig
from jobs.profile_page import write_page
from preprocessing.manifest import DatasetManifest
from preprocessing.pipeline import build_dataset


def plan(config: AppConfig) -> str:
    """What the job would read and write."""
    return (
        f"read {config.corpus.format} from {', '.join(config.corpus.path)}, write the dataset to {config.dataset.path}"
    )


def run(spark: SparkSession, config: AppConfig) -> DatasetManifest:
    """Raw dialogs to a training dataset."""
    return build_dataset(spark, config.corpus, config.dataset, write_page)


if __name__ == "__main__":
    sys.exit(run_job(run, plan))
