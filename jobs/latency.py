"""How long a model takes for one text alone, where Spark would ask it: in a Python worker, with a task's threads."""

import functools

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.prediction import turns_before
from preprocessing.hadoop import hadoop_configuration
from training.artifact import Model
from training.preflight import threads_of_a_task
from training.scoring import seconds_of_each


def latencies(rows: DataFrame, model: Model) -> list[float]:
    """Seconds for the `text` of each of a few rows, with its turns before it, asked one after another in one worker."""
    context = rows.sparkSession.sparkContext
    inputs = rows.select("text", *turns_before(rows, model.context_turns).values()).collect()
    ask = functools.partial(
        seconds_of_each, uri=model.uri, checksum=model.checksum, hadoop=hadoop_configuration(rows.sparkSession),
        threads=threads_of_a_task(context),
    )  # fmt: skip
    return list(context.parallelize([[list(row) for row in inputs]], 1).map(ask).first())


def sample(rows: DataFrame, most: int) -> DataFrame:
    """At most so many of the rows, drawn by their text: the same ones each time."""
    return rows.orderBy(F.xxhash64("text"), "text").limit(most)
