"""How much of the text the vocabulary knows: tokens, and different tokens (types), of each split."""

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import LongType, StringType, StructField, StructType

from preprocessing.schema import SPLITS

MEASURES = ("types", "known_types", "tokens", "known_tokens")
COVERED = StructType([StructField("split", StringType()), *[StructField(name, LongType()) for name in MEASURES]])


def measure_coverage(counts: DataFrame, words: Sequence[str]) -> dict[str, dict[str, Any]]:
    """By split: the MEASURES, and the shares known. `counts` has each word once, with its count in each split."""
    summed = (
        counts.coalesce(1)  # a row a word: a Python worker takes longer to start than to count them
        .mapInArrow(partial(count_known, words=words), COVERED)
        .groupBy("split")
        .agg(*[F.sum(name).alias(name) for name in MEASURES])
        .collect()
    )
    found = {row.split: row.asDict() for row in summed}
    return {split: _with_shares({name: found[split][name] for name in MEASURES}) for split in SPLITS if split in found}


def _with_shares(counts: dict[str, Any]) -> dict[str, Any]:
    return {
        **counts,
        **{
            f"known_{unit}_fraction": round(counts[f"known_{unit}"] / max(counts[unit], 1), 6)
            for unit in ("types", "tokens")
        },
    }


def count_known(batches: Iterable[pa.RecordBatch], words: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """Of each batch of words: a row a split with the MEASURES."""
    vocabulary = pa.array(words, pa.string())
    for batch in batches:
        known = pc.is_in(batch.column("word"), value_set=vocabulary)
        rows = []
        for split in SPLITS:
            counts = batch.column(split)
            counts_known = counts.filter(known)
            measures = (pc.sum(pc.greater(counts, 0)), pc.sum(pc.greater(counts_known, 0)), pc.sum(counts),
                        pc.sum(counts_known))  # fmt: skip
            rows.append(
                {"split": split, **{name: value.as_py() or 0 for name, value in zip(MEASURES, measures, strict=True)}}
            )
        yield pa.RecordBatch.from_pylist(
            rows, pa.schema([("split", pa.string()), *[(name, pa.int64()) for name in MEASURES]])
        )
