"""table -> table: a model's predictions of every row's text.

In the PySpark shell, for any DataFrame:

    from jobs.score import score
    score(spark.table("chat.yesterday"), "hdfs:///parley/registry/intents/versions/3", text="utterance")
"""

import difflib
import json
import logging
import sys
import time
import uuid
from collections.abc import Sequence
from typing import Any

from py4j.protocol import Py4JJavaError
from pyspark.errors import AnalysisException, PySparkException
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import ArrayType, StringType

from jobs.cli import run_job
from jobs.config import AppConfig, ScoringConfig
from jobs.prediction import SAID, column, decided, has_text, predict, with_text
from preprocessing import storage
from preprocessing.config import CorpusConfig
from preprocessing.context import CONTEXT_COLUMNS, is_lost, table_with_context
from preprocessing.corpora import PUBLISHED
from preprocessing.errors import UserError, first_line
from preprocessing.fields import MALFORMED
from preprocessing.hadoop import hadoop_configuration
from preprocessing.readers import READERS
from preprocessing.transforms import NO_TURN
from training.artifact import Model, check_model, read_model
from training.registry import resolve, version_of

log = logging.getLogger(__name__)

ADDED = ("intent", "probability", "top3", "out_of_scope", "model_version")
DIALOG = ("dialog_id", "turn", "speaker")
TOP = "array<struct<intent: string, probability: float>>"


def plan(config: AppConfig) -> str:
    """What the job would read and write."""
    return (
        f"score {config.scoring.format} from {', '.join(config.scoring.input)} with {describe_model(config)}, "
        f"write {', '.join(config.scoring.keep) or 'all columns'} and {', '.join(ADDED)} to {config.scoring.output}"
    )


def describe_model(config: AppConfig) -> str:
    """The model that a job would use, without a look at the store."""
    version = config.registry.version
    return f"version {version} of {config.registry.uri}" if version else f"{config.training.path}/model"


def score(
    frame: DataFrame, model: str, text: str = "text", keep: Sequence[str] = (), dialog: Sequence[str] = DIALOG
) -> DataFrame:
    """The columns `keep` (default: all) of every row, and the columns ADDED; null where there is no text.

    `model` is the URI of a run's model or of a version in a registry; `text` a column, or a dotted path into one;
    `dialog` the columns of dialog, turn and speaker, which a model with context looks at; a row of a dialog that has
    no number or time there is read alone.
    """
    require_text(frame, text)
    require_columns(frame, keep, "keep")
    kept, asked = keep or frame.columns, read_model(model)
    if asked.context_turns:
        frame = table_with_context(frame, asked.context_turns, column(frame, text), *dialog)
    return with_predictions(frame, asked, text, kept)


def with_predictions(frame: DataFrame, model: Model, text: str, kept: Sequence[str]) -> DataFrame:
    """The columns `kept` and ADDED; the context that the model reads stands in the frame."""
    if clash := sorted({name.lower() for name in kept} & set(ADDED)):
        raise UserError(
            f"the table has columns that scoring adds: {', '.join(clash)}; "
            "name the columns to keep without these, with scoring.keep"
        )
    if model.masked:
        refuse_unmasked_turns(frame, kept)
    intents, probabilities = F.col(f"{SAID}.intents"), F.col(f"{SAID}.probabilities")
    added = {
        "intent": decided(model),
        "probability": probabilities[0],
        "top3": F.slice(F.arrays_zip(intents, probabilities), 1, 3).cast(TOP),
        "out_of_scope": F.col(f"{SAID}.out_of_scope"),
        "model_version": F.lit(version_of(model.uri)),
    }
    return predict(frame, model, text, kept).withColumns(added).drop(SAID)


def refuse_unmasked_turns(frame: DataFrame, kept: Sequence[str]) -> None:
    """Raises UserError where a column that is kept holds the turns before each text, which nothing masks."""
    for name in kept:
        kind = frame.select(f"`{name}`").schema[0].dataType
        if name.lower() == CONTEXT_COLUMNS[0] and isinstance(kind, ArrayType):
            raise UserError(
                f"scoring.keep has '{name}', the turns before each text as they were said, and the model's texts are "
                "masked: keep others, with scoring.keep"
            )


def require_columns(frame: DataFrame, names: Sequence[str], key: str) -> None:
    """Raises UserError, naming the nearest column, where the table lacks one."""
    for name in names:
        try:
            frame.select(column(frame, name))
        except AnalysisException:
            near = difflib.get_close_matches(name, frame.columns, 1)
            hint = f"did you mean '{near[0]}'?" if near else f"set scoring.{key} to one of them"
            raise UserError(
                f"scoring.{key} names '{name}': the table has no such column; it has {', '.join(frame.columns)}: {hint}"
            ) from None


def require_text(frame: DataFrame, name: str) -> None:
    """Raises UserError unless the table has this column, and it holds strings."""
    require_columns(frame, [name], "text")
    kind = frame.select(column(frame, name)).schema[0].dataType
    if not isinstance(kind, StringType):
        raise UserError(f"scoring.text names '{name}': it must hold strings, found {kind.simpleString()}")


def read_table(spark: SparkSession, scoring: ScoringConfig) -> DataFrame:
    """The table as it is; records that cannot be parsed in the column MALFORMED. Raises UserError where it cannot."""
    corpus = CorpusConfig(path=scoring.input, format=scoring.format, text=scoring.text, intent="")
    paths = [storage.absolute(path) for path in scoring.input]
    try:
        if scoring.format in PUBLISHED:
            return PUBLISHED[scoring.format](spark, paths)
        if scoring.format == "json":  # the corpus' reader keeps only the columns that it knows
            return spark.read.option("columnNameOfCorruptRecord", MALFORMED).json(paths)
        return READERS[scoring.format](spark, corpus)
    except (PySparkException, Py4JJavaError) as error:
        reason = first_line(error)
        raise UserError(f"scoring.input {list(scoring.input)} cannot be read as {scoring.format}: {reason}") from None


def run(spark: SparkSession, config: AppConfig) -> dict[str, Any]:
    """A table of texts to a table of intents."""
    scoring = config.scoring
    for key in ("input", "output"):
        if not getattr(scoring, key):
            raise UserError(f"scoring.{key} is empty: name the table, with --set scoring.{key}=URI")
    storage.use_hadoop_configuration(hadoop_configuration(spark))
    output = storage.absolute(scoring.output).rstrip("/")
    _require_replaceable(output, scoring)
    model = check_model(resolve(config.training.path, config.registry))
    with storage.lease(output):
        began = time.monotonic()
        temporary = f"{output}.tmp-{uuid.uuid4().hex[:8]}"
        table = read_table(spark, scoring)
        require_text(table, scoring.text)
        lost = F.lit(False)
        if model.context_turns:
            roles = [getattr(config.corpus, role) or role for role in DIALOG]
            lost = is_lost(table, *roles[:2])
            table = table_with_context(table, model.context_turns, column(table, scoring.text), *roles)
        scored, rejected = _both(table, scoring, model, lost)
        scored.write.parquet(f"{temporary}/predictions")
        rejected.write.parquet(f"{temporary}/rejected")
        reasons = spark.read.parquet(f"{temporary}/rejected").groupBy("rejected_reason").count().collect()
        manifest: dict[str, Any] = {
            "kind": "predictions", "version": 1, "model": model.uri, "model_checksum": model.checksum,
            "model_version": version_of(model.uri), "input": list(scoring.input), "format": scoring.format,
            "rows": spark.read.parquet(f"{temporary}/predictions").count(),
            "rejected": {row.rejected_reason: row["count"] for row in reasons},
        }  # fmt: skip
        storage.write_json(f"{temporary}/manifest.json", manifest)
        storage.replace_directory(temporary, output)
    seconds = time.monotonic() - began
    log.info(
        "scored %d rows with model %s, rejected %d%s; %s/predictions (%.0f s, %.0f rows/s)", manifest["rows"],
        manifest["model_version"], sum(manifest["rejected"].values()),
        "".join(f", {reason} {count}" for reason, count in sorted(manifest["rejected"].items())), output, seconds,
        manifest["rows"] / seconds,
    )  # fmt: skip
    return manifest


def _both(table: DataFrame, scoring: ScoringConfig, model: Model, lost: Column) -> tuple[DataFrame, DataFrame]:
    """The rows with predictions, and, with the reason, those without text, unparsed, or `lost` in their dialog."""
    unwanted = {MALFORMED, *(CONTEXT_COLUMNS if model.context_turns else ())}
    kept = list(scoring.keep) or [name for name in table.columns if name not in unwanted]
    require_columns(table, kept, "keep")
    malformed = F.col(MALFORMED) if MALFORMED in table.columns else F.lit(None).cast("string")
    reason = F.when(malformed.isNotNull(), "malformed record").when(~has_text(column(table, scoring.text)), "no text")
    reason = reason.when(lost, NO_TURN)
    named = [F.col(f"`{name}`") for name in kept]
    rejected = table.select(*named, malformed.alias("rejected_record"), reason.alias("rejected_reason"))
    if model.masked:  # who knows how a broken record spells what it holds
        length = F.concat(F.lit("a record of "), F.length("rejected_record").cast("string"), F.lit(" characters"))
        rejected = with_text(rejected, scoring.text, F.lit(None).cast("string")).withColumn("rejected_record", length)
    return (
        with_predictions(table.where(reason.isNull()), model, scoring.text, kept),
        rejected.where("rejected_reason is not null"),
    )


def _require_replaceable(output: str, scoring: ScoringConfig) -> None:
    """Raises UserError where writing the output would destroy the input, or something that is no output of this job."""
    if scoring.format != "table" and any(
        f"{storage.absolute(path)}/".startswith(f"{output}/") for path in scoring.input
    ):
        raise UserError(f"scoring.input lies in scoring.output {output}, which is replaced: choose another output")
    if not storage.files_below(output):
        return
    try:
        kind = json.loads(storage.read_text(f"{output}/manifest.json")).get("kind")
    except (FileNotFoundError, ValueError):
        kind = None
    if kind != "predictions":
        raise UserError(f"scoring.output {output} holds something else than predictions: choose another output")


if __name__ == "__main__":
    sys.exit(run_job(run, plan))
