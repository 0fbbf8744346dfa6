"""configuration -> what would make its jobs fail on this cluster, found within a minute; writes nothing."""

import sys

from pyspark.sql import SparkSession

from jobs.cli import run_job
from jobs.config import AppConfig
from preprocessing import storage
from preprocessing.hadoop import hadoop_configuration
from training.preflight import check_driver, check_executors


def plan(config: AppConfig) -> str:
    """What the job would look at."""
    return (
        f"ask {config.training.processes} executors for their versions, GPUs and network, "
        f"and write and rename beside {', '.join(outputs(config)) or 'no directory, as none is configured'}"
    )


def outputs(config: AppConfig) -> list[str]:
    """The directories that the configured jobs would write."""
    sections = (config.dataset, config.training, config.evaluation, config.registry, config.compare)
    return [storage.absolute(section.path) for section in sections if section.path]


def run(spark: SparkSession, config: AppConfig) -> str:
    """The network interface that ranks would use; raises UserError or ClusterError."""
    hadoop = hadoop_configuration(spark)
    storage.use_hadoop_configuration(hadoop)
    check_driver(spark.sparkContext, [], outputs(config))
    return check_executors(spark.sparkContext, config.training.processes, [], outputs(config), hadoop)


if __name__ == "__main__":
    sys.exit(run_job(run, plan))
