"""The Parquet files of a dataset: the examples of each split, in one pass, and the rejected rows."""

from functools import partial

from pyspark.sql import DataFrame, Observation
from pyspark.sql import functions as F
from pyspark.sql.types import StructType

from preprocessing import encoding, storage, transforms, typos
from preprocessing.config import DatasetConfig
from preprocessing.context import CONTEXT, with_inputs
from preprocessing.schema import EXAMPLE, SPLITS, TURN, conform
from preprocessing.vocabulary import SPECIAL

ADDED = ("input_ids", "length", "label_id")
KEPT = [name for name in EXAMPLE.names if name not in ADDED]
REJECTED = ["reason", "dialog_id", "turn", "speaker", "split", "text", "intent", "date", "malformed"]


def rejected(turns: DataFrame) -> DataFrame:
    """The rows of REJECTED of those turns that are neither examples nor context."""
    return turns.where(F.col("reason").isNotNull() & (F.col("reason") != transforms.CONTEXT)).select(*REJECTED)


def write_tables(
    turns: DataFrame, words: list[str], labels: list[str], dialogs: bool, config: DatasetConfig, uri: str
) -> int:
    """Writes the examples of each split (EXAMPLE, CONTEXT) to `uri`/SPLIT, and the rejected rows to `uri`/rejected.

    Returns how many rejected rows it wrote. Without `dialogs` nothing tells equal examples apart but their number.
    """
    if config.typos:
        turns = turns.transform(typos.with_typos, config.typos, config.tokenizer)
    examples = turns.where("reason is null")
    if config.context_turns:
        examples = examples.transform(with_inputs, config.max_tokens)
    examples = examples.transform(encoded, words, labels, config)
    if not dialogs:
        examples = examples.transform(transforms.with_copy_numbers)
    written, left = f"{uri}/examples", Observation()
    examples.transform(transforms.spread, config.files_per_split).write.partitionBy("split").parquet(written)
    for split in SPLITS:
        storage.replace_directory(f"{written}/split={split}", f"{uri}/{split}")
    storage.remove(written)
    # counted on their way: the tasks that write are counted once each, whatever had to be done again before them
    rejected(turns).coalesce(1).observe(left, F.count(F.lit(1)).alias("rows")).write.parquet(f"{uri}/rejected")
    return int(left.get["rows"])


def encoded(examples: DataFrame, words: list[str], labels: list[str], config: DatasetConfig) -> DataFrame:
    """The split, EXAMPLE and, where the model reads context, CONTEXT of each example."""
    context = CONTEXT if config.context_turns else ()
    given = StructType([TURN["split"], *[EXAMPLE[name] for name in KEPT], *context])
    encode = partial(encoding.add_ids, words=words[len(SPECIAL) :], labels=labels, max_tokens=config.max_tokens)
    return (
        examples.select(*given.names, "tokens")
        .mapInArrow(encode, StructType([*given, *[EXAMPLE[name] for name in ADDED]]))
        .transform(conform, StructType([TURN["split"], *EXAMPLE, *context]))
    )
