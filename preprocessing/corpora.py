"""Readers for public corpora as their publishers lay them out, gzipped or not; `conf/` has a file for each.

`scripts/download_corpus.sh` fetches them; `docs/corpora.md` names sources, licences and sizes.
"""

import functools
import logging
from collections.abc import Callable
from urllib.parse import unquote

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import ArrayType, StringType, StructField, StructType

from preprocessing import storage
from preprocessing.errors import UserError

log = logging.getLogger(__name__)

_PAIRS = ArrayType(ArrayType(StringType()))
_CLINC150 = StructType([
    StructField(name, _PAIRS) for name in ("train", "val", "test", "oos_train", "oos_val", "oos_test")
])  # fmt: skip

_CLINC150_VERSIONS = ("data_full", "data_imbalanced", "data_oos_plus", "data_small")  # of the same utterances

_FRAMES = ArrayType(StructType([
    StructField("service", StringType()),
    StructField("state", StructType([StructField("active_intent", StringType())])),
]))  # fmt: skip
_SGD_NESTED = StructType([
    StructField("dialogue_id", StringType()),
    StructField("turns", ArrayType(StructType([
        StructField("speaker", StringType()),
        StructField("utterance", StringType()),
        StructField("frames", _FRAMES),
    ]))),
])  # fmt: skip
_SGD_FLAT = StructType([
    StructField(name, StringType())
    for name in ("split", "dialogue_id", "turn_index", "speaker", "utterance", "active_intent")
])  # fmt: skip

# 3i4K numbers its classes; names as in the paper (arXiv:1811.04231)
_3I4K = ("fragment", "statement", "question", "command", "rhetorical question", "rhetorical command",
         "intonation-dependent utterance")  # fmt: skip


def clinc150(spark: SparkSession, paths: list[str]) -> DataFrame:
    """CLINC150 (`data_full.json`): one JSON object of lists of [utterance, intent], one list a split."""
    table = spark.read.schema(_CLINC150).option("multiLine", True).json(paths)
    versions = [name for name in _names(table) if name.split(".")[0] in _CLINC150_VERSIONS]
    if len(versions) > 1:
        raise UserError(
            f"corpus.path {paths} has {len(versions)} versions of CLINC150, {', '.join(versions)}, which share their "
            f"utterances: name one of them, as {versions[0]}"
        )
    lists = [F.struct(F.lit(name).alias("name"), F.col(name).alias("pairs")) for name in _CLINC150.names]
    pairs = table.select(F.explode(F.array(*lists)).alias("list")).select(
        "list.name", F.explode("list.pairs").alias("pair")
    )
    return pairs.select(
        F.regexp_replace("name", "^oos_", "").alias("split"),
        F.col("pair")[0].alias("text"),
        F.col("pair")[1].alias("intent"),
        F.lit("en").alias("language"),
    )


def threei4k(spark: SparkSession, paths: list[str]) -> DataFrame:
    """3i4K (`fci_train_val.txt`, `fci_test.txt`): label, tab, utterance; the file's name tells the split."""
    line = F.split(F.regexp_replace("value", "\r$", ""), "\t", 2)
    intent = F.array(*[F.lit(name) for name in _3I4K])
    lines = spark.read.text(paths)
    parts = [name for name in _names(lines) if name.startswith(("fci_train_val.", "fci_test."))]
    whole = [name for name in _names(lines) if name.startswith("fci.")]
    if parts and whole:
        log.warning("%s is left out: it holds the rows of %s again", ", ".join(whole), " and ".join(parts))
        lines = lines.where(~F.col("_metadata.file_name").isin(*whole))
    return lines.select(
        F.when(F.input_file_name().contains("_test"), "test").otherwise("train").alias("split"),
        F.get(line, F.lit(1)).alias("text"),
        F.get(intent, F.expr("try_cast(split(value, '\t')[0] as int)")).alias("intent"),
        F.lit("ko").alias("language"),
    )


def _names(frame: DataFrame) -> list[str]:
    """The names, sorted, of the files that a frame reads, without their directories."""
    return sorted(unquote(file.rsplit("/", 1)[-1]) for file in frame.inputFiles())


def sgd(spark: SparkSession, paths: list[str]) -> DataFrame:
    """Schema-Guided Dialogue, as published (`dialogues_NNN.json`) or flattened to one turn a line (`*.jsonl`).

    The intent is the one in force at the turn. A dialogue is named by split and id, as ids return in each split; the
    split itself is left to us: dev and test were made for services that train does not have.
    """
    files = [file for path in paths for file in storage.matching(path) if not file.endswith("schema.json")]
    flat = [file for file in files if file.removesuffix(".gz").endswith(".jsonl")]
    nested = [file for file in files if file not in flat]
    if not files:
        raise UserError(
            f"corpus.path {paths} matches no file: correct it, or fetch the corpus with scripts/download_corpus.sh"
        )
    frames = [read(spark, found) for read, found in ((_sgd_nested, nested), (_sgd_flat, flat)) if found]
    return functools.reduce(DataFrame.unionByName, frames)


def _sgd_flat(spark: SparkSession, paths: list[str]) -> DataFrame:
    return spark.read.schema(_SGD_FLAT).json(paths).select(
        F.concat_ws("/", "split", "dialogue_id").alias("dialog_id"),
        F.col("turn_index").alias("turn"),
        "speaker",
        F.lit("en").alias("language"),
        F.col("utterance").alias("text"),
        F.col("active_intent").alias("intent"),
    )  # fmt: skip


def _service_and_intent(frame: Column) -> Column:
    return F.concat_ws("/", frame["service"], frame["state"]["active_intent"])


def _sgd_nested(spark: SparkSession, paths: list[str]) -> DataFrame:
    """Where a turn has two frames, the one whose intent changed at that turn names it; if both did, not NONE."""
    directory = F.element_at(F.split(F.input_file_name(), "/"), -2)
    dialogs = spark.read.schema(_SGD_NESTED).option("multiLine", True).json(paths)
    turns = dialogs.select(
        F.concat_ws("/", directory, "dialogue_id").alias("dialog_id"),
        "turns",
        F.posexplode("turns").alias("turn", "now"),
    )
    earlier = F.filter(F.slice("turns", F.lit(1), F.col("turn")), lambda turn: turn["speaker"] == "USER")
    before = F.transform(F.coalesce(F.try_element_at(earlier, F.lit(-1))["frames"], F.array()), _service_and_intent)
    frames = F.filter("now.frames", lambda frame: frame["state"]["active_intent"].isNotNull())
    changed = F.filter(frames, lambda frame: ~F.array_contains(before, _service_and_intent(frame)))
    named = F.filter(changed, lambda frame: frame["state"]["active_intent"] != "NONE")
    first = F.coalesce(*[F.get(candidates, F.lit(0)) for candidates in (named, changed, frames)])
    return turns.select(
        "dialog_id",
        "turn",
        F.col("now.speaker").alias("speaker"),
        F.lit("en").alias("language"),
        F.col("now.utterance").alias("text"),
        first["state"]["active_intent"].alias("intent"),
    )


PUBLISHED: dict[str, Callable[[SparkSession, list[str]], DataFrame]] = {
    "clinc150": clinc150,
    "3i4k": threei4k,
    "sgd": sgd,
}
WITH_SPLITS = ("clinc150", "3i4k")  # what their readers return has a split
WITH_DIALOGS = ("sgd",)  # and what these return, dialogs and turns
