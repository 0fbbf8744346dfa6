"""nothing -> corpus: the dialogs of an invented online shop, to try things on."""

import logging
import sys
import uuid

from pyspark.sql import SparkSession

from jobs.cli import run_job
from jobs.config import AppConfig
from preprocessing import storage
from preprocessing.errors import UserError
from preprocessing.hadoop import hadoop_configuration
from preprocessing.shop import shop_dialogs

log = logging.getLogger(__name__)


def plan(config: AppConfig) -> str:
    """What the job would write."""
    return f"write {config.generator.rows} generated turns to {', '.join(config.corpus.path)}"


def run(spark: SparkSession, config: AppConfig) -> str:
    """Writes the generated corpus as JSON lines, and returns its URI."""
    if len(config.corpus.path) != 1 or config.corpus.format != "json":
        raise UserError(
            f"corpus.path = {list(config.corpus.path)} with corpus.format = '{config.corpus.format}': "
            "generate writes json to one path; set both"
        )
    storage.use_hadoop_configuration(hadoop_configuration(spark))
    target, generator = storage.absolute(config.corpus.path[0]), config.generator
    with storage.lease(target):
        temporary = f"{target}.tmp-{uuid.uuid4().hex[:8]}"
        lines = shop_dialogs(spark, generator.rows, generator.seed, generator.broken_fraction)
        lines.write.option("compression", "gzip").text(temporary)
        storage.replace_directory(temporary, target)
    log.info("generated %d turns in %s", generator.rows, target)
    return target


if __name__ == "__main__":
    sys.exit(run_job(run, plan))
