"""What every job does around its work: arguments, logging, the SparkSession, the exit code."""

import argparse
import logging
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import tomli_w
from pyspark import SparkConf, SparkContext
from pyspark.sql import SparkSession

from jobs.config import AppConfig, describe, load_config
from jobs.metastore import use_metastore
from jobs.result import leave_result
from preprocessing.errors import ClusterError, UserError
from preprocessing.hadoop import SPARK_DEFAULTS
from training.failures import explain, lost_executors

log = logging.getLogger("jobs")

Job = Callable[[SparkSession, AppConfig], Any]
Plan = Callable[[AppConfig], str]

DEFAULTS = {
    **SPARK_DEFAULTS,
    "spark.sql.session.timeZone": "UTC",
    "spark.ui.showConsoleProgress": "false",  # would draw over our own progress
    "spark.sql.execution.arrow.maxRecordsPerBatch": "10000",
    # Kept rows are compressed block by block as they go to disk; to encode each column before costs more than it saves.
    "spark.sql.inMemoryColumnarStorage.compressed": "false",
    "spark.rdd.compress": "true",
}
LOG4J = Path(__file__).parents[1] / "conf" / "log4j2.properties"
CLASSES = Path(sys.prefix) / "spark.jsa"  # Spark's classes, loaded and verified once, by scripts/setup.sh
# Of a small heap the parallel collector takes a tenth less of two cores' time than Java's default. Java's optimising
# compiler begins thirty times as late: on jobs of a minute its work takes longer than what it makes faster.
JAVA = [
    "-XX:+UseParallelGC",
    "-XX:Tier4InvocationThreshold=150000",
    "-XX:Tier4MinInvocationThreshold=18000",
    "-XX:Tier4CompileThreshold=450000",
    "-XX:Tier4BackEdgeThreshold=1200000",
    *([f"-Dlog4j2.configurationFile={LOG4J.as_uri()}"] if LOG4J.exists() else []),
    # where Java or a jar is no longer what it was, Java says so, which we do not show, and loads the classes itself
    *([f'"-XX:SharedArchiveFile={CLASSES}"', "-Xlog:cds=off", "-Xlog:cds+dynamic=off"] if CLASSES.exists() else []),
]
LOCAL = {
    "spark.master": "local[*]",
    "spark.driver.memory": "2g",
    "spark.sql.shuffle.partitions": "8",
    "spark.ui.enabled": "false",
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.driver.extraJavaOptions": " ".join(JAVA),
}


def run_job(job: Job, plan: Plan, arguments: Sequence[str] | None = None) -> int:
    """Runs a job as a command; returns 0 when done, 2 for the caller's mistake, 1 for a failure."""
    parser = argparse.ArgumentParser(description=job.__doc__, allow_abbrev=False)
    parser.add_argument("--config", metavar="FILE", help="configuration in TOML; see conf/")
    parser.add_argument("--set", metavar="SECTION.KEY=VALUE", action="append", default=[], help="overrides one key")
    parser.add_argument("--dry-run", action="store_true", help="print the configuration and the plan; start nothing")
    options = parser.parse_args(arguments)
    configure_logging()
    lost: list[str] = []  # executors
    try:
        config = load_config(options.config, options.set)
        if options.dry_run:
            sys.stdout.write(f"{tomli_w.dumps(describe(config))}\n# plan: {plan(config)}\n")
            return 0
        with make_session(config) as spark:
            try:
                job(spark, config)
            except Exception:
                lost = lost_executors(spark.sparkContext)
                raise
    except UserError as error:
        return _end(2, str(error))
    except ClusterError as error:
        return _end(1, str(error))
    except Exception as error:
        traceback.print_exc()
        return _end(1, f"failed: {explain(error, lost)}")
    return _end(0, "")


def _end(code: int, message: str) -> int:
    """Says in one line how a job ended, here and where submit.sh looks for it; returns `code`."""
    line = " ".join(message.split())
    if line:
        sys.stderr.write(f"parley: {line}\n")
    leave_result(code, line)
    return code


def configure_logging() -> None:
    """Our own lines on standard error, of others only warnings."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    for package in ("__main__", "jobs", "training", "preprocessing"):
        logging.getLogger(package).setLevel(logging.INFO)
    # pyspark repeats as JSON what the exception says
    logging.getLogger("SQLQueryContextLogger").setLevel(logging.CRITICAL)
    logging.getLogger("DataFrameQueryContextLogger").setLevel(logging.CRITICAL)


def make_session(config: AppConfig) -> SparkSession:
    """The SparkSession: spark-submit's settings first, then section `spark`, then our defaults."""
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    submitted = "PYSPARK_GATEWAY_PORT" in os.environ
    if submitted:
        SparkContext._ensure_initialized()  # only then does SparkConf see what was submitted
    conf = SparkConf()
    wanted = {**DEFAULTS, **({} if submitted else LOCAL), **config.spark.conf}
    for key, value in wanted.items():
        if not conf.contains(key):
            conf.set(key, value)
    if "table" in (config.corpus.format, config.scoring.format):
        use_metastore(conf)
    session = SparkSession.builder.config(conf=conf).appName("parley").getOrCreate()
    session.sparkContext.setLogLevel("ERROR")
    return session
