"""What tests share: one local SparkSession for the whole run."""

import os
import sys
from collections.abc import Iterator

import pytest
from pyspark.sql import SparkSession

# Java processes of tests live for seconds: without the optimising compiler they take 40 % less of the processor.
os.environ["SPARK_SUBMIT_OPTS"] = "-XX:TieredStopAtLevel=1"


@pytest.fixture(scope="session")
def spark() -> Iterator[SparkSession]:
    """One local session with two slots; every test must leave it as found."""
    from jobs.cli import make_session
    from jobs.config import AppConfig, SparkConfig

    os.environ["PYSPARK_PYTHON"] = sys.executable
    session = make_session(
        AppConfig(spark=SparkConfig({"spark.master": "local[2]", "spark.sql.shuffle.partitions": "2"}))
    )
    yield session
    session.stop()
