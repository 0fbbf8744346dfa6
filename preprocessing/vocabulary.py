"""The words that a model knows, and its labels: counted in Spark, kept as text files with one a line."""

from collections.abc import Sequence

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from preprocessing import storage

SPECIAL = ("<pad>", "<unknown>")  # ids 0 and 1


def most_frequent(counts: DataFrame, size: int, min_count: int) -> list[str]:
    """The `size` most frequent words of (word, count) rows, ties in the order of the words; without the special ones."""
    top = (
        counts.groupBy("word")
        .agg(F.sum("count").alias("count"))
        .where(F.col("count") >= min_count)
        .orderBy(F.desc("count"), "word")
        .limit(size)
    )
    return [row.word for row in top.collect()]


def write_lines(uri: str, lines: Sequence[str]) -> None:
    """Writes one entry a line; the number of the line, from 0, is its id."""
    storage.write_text(uri, "".join(f"{line}\n" for line in lines))


def read_lines(uri: str) -> list[str]:
    """The entries of a vocabulary or label file, in the order of their ids."""
    return storage.read_text(uri).removesuffix("\n").split("\n")
