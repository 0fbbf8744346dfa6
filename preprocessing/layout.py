"""What the written Parquet files hold: rows by file and length, unknown words, and a fingerprint of the content."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pyspark.sql import Row, SparkSession
from pyspark.sql import functions as F

from preprocessing.manifest import DataFile
from preprocessing.schema import SPLITS
from preprocessing.storage import sha256
from preprocessing.turns import hashed_turn
from preprocessing.vocabulary import UNKNOWN

# Widths that examples are padded to. Closer together than this, the batches that are not full cost more than the
# padding that they save; but for a length that MANY examples have. For each width training makes a graph of its step,
# which takes as long as the padding of so many examples in five epochs (docs/performance.md).
BUCKETS = (4, 6, 8, 10, 12, 16, 20, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512)
CLOSE = 32  # tokens: beyond, one more is a small part of the work
MANY = 20_000
LOW = (1 << 32) - 1  # the lower half of 64 bits


@dataclass(frozen=True)
class SplitDescription:
    """One split as it was written."""

    lengths: dict[str, Counter[int]]  # by file: rows by tokens
    tokens: int
    unknown: int  # tokens outside the vocabulary
    checksum: int  # sum of the rows' hashes: their order and their files do not matter

    def by_length(self) -> Counter[int]:
        """Rows by tokens, over all files."""
        return sum(self.lengths.values(), Counter())


def buckets_for(max_tokens: int, rows: Mapping[int, int]) -> tuple[int, ...]:
    """Widths up to and including `max_tokens`, for training on so many rows by their number of tokens."""
    frequent = [length for length, count in rows.items() if count >= MANY and 0 < length <= CLOSE]
    return (*sorted(width for width in {*BUCKETS, *frequent} if width < max_tokens), max_tokens)


def describe_splits(spark: SparkSession, uri: str) -> dict[str, SplitDescription]:
    """Reads back the splits of the dataset below `uri`: one row for each file and length reaches the driver."""
    unknown = F.size("input_ids") - F.size(F.array_remove("input_ids", UNKNOWN))
    row = F.xxhash64("dialog_id", *hashed_turn(), "text", "intent", "input_ids")
    # the halves of the hashes are summed apart: whole they would overflow, and decimal numbers take three times as long
    halves = F.sum(F.shiftright(row, 32)).alias("high"), F.sum(row.bitwiseAND(LOW)).alias("low")
    counted = (
        spark.read.parquet(*[f"{uri}/{split}" for split in SPLITS])
        .groupBy(F.input_file_name().alias("file"), "length")
        .agg(F.count("*").alias("rows"), F.sum(unknown).alias("unknown"), *halves)
        .collect()
    )
    return {split: _described([row for row in counted if row.file.split("/")[-2] == split]) for split in SPLITS}


def _described(counted: Sequence[Row]) -> SplitDescription:
    lengths: dict[str, Counter[int]] = {}
    for row in counted:
        lengths.setdefault("/".join(row.file.split("/")[-2:]), Counter())[row.length] += row.rows
    return SplitDescription(
        dict(sorted(lengths.items())),
        tokens=sum(row.length * row.rows for row in counted),
        unknown=sum(row.unknown for row in counted),
        checksum=sum((row.high << 32) + row.low for row in counted),
    )


def files_of(description: SplitDescription, buckets: Sequence[int]) -> tuple[DataFile, ...]:
    """The split's files for the manifest, sorted by path."""

    def rows_per_bucket(lengths: Counter[int]) -> tuple[int, ...]:
        lower = (0, *buckets[:-1])
        return tuple(
            sum(rows for length, rows in lengths.items() if low < length <= high)
            for low, high in zip(lower, buckets, strict=True)
        )

    return tuple(DataFile(path, rows_per_bucket(lengths)) for path, lengths in description.lengths.items())


def fingerprint(splits: Mapping[str, SplitDescription], words: Sequence[str], labels: Sequence[str]) -> str:
    """A short name for the content: equal examples, words and labels have the same one, on any day and cluster."""
    parts = [f"{split} {description.checksum}" for split, description in sorted(splits.items())]
    return sha256("\n".join([*parts, *words, *labels]).encode())[:16]
