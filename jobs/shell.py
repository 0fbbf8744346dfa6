"""The PySpark shell of scripts/shell.sh: its configuration checked before Spark starts, and its greeting.

`python -m jobs.shell` checks the arguments and prints, one word a line, the settings that `pyspark` gets.
"""

import argparse
import logging
import sys
import traceback
from collections.abc import Sequence
from types import TracebackType

from pyspark.sql import SparkSession

from jobs.cli import DEFAULTS, LOCAL, configure_logging
from jobs.config import AppConfig, load_config
from preprocessing.errors import UserError

BANNER = """
parley: `spark`, `sc`, `config`; the jobs generate, preprocess, train, evaluate, score, publish; load_config
  look   spark.read.parquet(f"{config.dataset.path}/train").groupBy("intent").count().show()
  train  train.run(spark, config)   # Ctrl-C stops it, not the session; the same line goes on from the checkpoint
  score  score.score(spark.createDataFrame([("where is my parcel",)], ["text"]), f"{config.training.path}/model").show()
  other settings: config = load_config("conf/local.toml", ["training.epochs=1"]); all of this is told in docs/shell.md
"""


def configure(arguments: Sequence[str]) -> AppConfig:
    """The configuration that the shell's arguments ask for. Raises UserError."""
    parser = argparse.ArgumentParser(prog="shell.sh", description="A PySpark shell with the jobs.", allow_abbrev=False)
    parser.add_argument("--config", metavar="FILE", help="configuration in TOML; see conf/")
    parser.add_argument("--set", metavar="SECTION.KEY=VALUE", action="append", default=[], help="overrides one key")
    options = parser.parse_args(arguments)
    return load_config(options.config, options.set)


def settings(config: AppConfig, local: bool) -> dict[str, str]:
    """Spark's settings, the same that a job gets."""
    catalog = {"spark.sql.catalogImplementation": "in-memory"}  # else pyspark leaves a Hive metastore where it starts
    return {**DEFAULTS, **(LOCAL | catalog if local else {}), **config.spark.conf}


def begin(spark: SparkSession, arguments: Sequence[str]) -> AppConfig:
    """Greets, and returns the configuration."""
    configure_logging()
    logging.captureWarnings(True)
    spark.sparkContext.setLogLevel("ERROR")
    sys.excepthook = show
    sys.stdout.write(BANNER)
    return configure(arguments)


def show(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Prints an exception: in one line where there is nothing to find in the traceback."""
    if issubclass(kind, (UserError, KeyboardInterrupt)) and str(error):
        sys.stderr.write(f"parley: {error}\n")
    else:
        traceback.print_exception(kind, error, trace)


if __name__ == "__main__":
    try:
        wanted = settings(configure(sys.argv[2:]), sys.argv[1] == "local")
    except UserError as error:
        sys.stderr.write(f"parley: {' '.join(str(error).split())}\n")
        sys.exit(2)
    sys.stdout.writelines(f"--conf\n{key}={value}\n" for key, value in wanted.items() if value)
