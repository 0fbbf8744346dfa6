"""What a model says of a column of texts, for every job that asks one: evaluate, publish, score."""

from collections.abc import Sequence
from functools import partial

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import ArrayType, BooleanType, FloatType, StringType, StructField, StructType

from preprocessing.context import CONTEXT_COLUMNS
from preprocessing.errors import UserError
from preprocessing.fields import column_at, path_to
from preprocessing.hadoop import hadoop_configuration
from training.artifact import Model
from training.preflight import threads_of_a_task
from training.scoring import replace_text

TEXT, SAID, MASKED = "_parley_text", "_parley_said", "_parley_masked"  # columns that nobody has
PREDICTION = StructType([
    StructField("intents", ArrayType(StringType())), StructField("probabilities", ArrayType(FloatType())),
    StructField("out_of_scope", BooleanType()),
])  # fmt: skip


def predict(frame: DataFrame, model: Model, text: str, kept: Sequence[str]) -> DataFrame:
    """Columns `kept`, and PREDICTION as column SAID: the most probable intent first, null where the text is blank.

    A model that reads context asks for the columns `context` and `speakers`, too.
    The text among the kept columns is masked where that of the model's dataset was.
    """
    spark, masked = frame.sparkSession, model.masked
    said = column(frame, text)
    asked = {TEXT: F.when(has_text(said), said), **turns_before(frame, model.context_turns)}
    add = partial(
        replace_text, asked=list(asked), name=SAID, masked=MASKED if masked else "",
        tokenizer=model.manifest["tokenizer"], uri=model.uri, checksum=model.checksum,
        threads=threads_of_a_task(spark.sparkContext), hadoop=hadoop_configuration(spark),
    )  # fmt: skip
    rows = frame.select(*[F.col(f"`{name}`") for name in kept], *[value.alias(name) for name, value in asked.items()])
    added = [StructField(SAID, PREDICTION), *([StructField(MASKED, StringType())] if masked else [])]
    predicted = rows.mapInArrow(add, StructType([*rows.schema.fields[: len(kept)], *added]))
    return with_text(predicted, text, F.col(MASKED)).drop(MASKED) if masked else predicted


def decided(model: Model) -> Column:
    """The intent that counts, of a column SAID: the most probable one, or the model's word for none of them."""
    top = F.col(f"{SAID}.intents")[0]
    return F.when(F.col(f"{SAID}.out_of_scope"), F.lit(model.out_of_scope)).otherwise(top)


def turns_before(frame: DataFrame, count: int) -> dict[str, Column]:
    """The last `count` entries of the columns `context` and `speakers`, for a model that reads them; {} for others."""
    if not count:
        return {}
    if not {*CONTEXT_COLUMNS} <= {*frame.columns}:
        raise UserError(
            f"the model reads {count} turns before each text, and these rows have none: "
            f"use a dataset that was made with dataset.context_turns = {count}"
        )
    full = [F.concat(F.array_repeat(F.lit(""), count), F.coalesce(name, F.array())) for name in CONTEXT_COLUMNS]
    return {f"_parley_{name}": F.slice(turns, -count, count) for name, turns in zip(CONTEXT_COLUMNS, full, strict=True)}


def with_text(frame: DataFrame, name: str, text: Column) -> DataFrame:
    """The frame with `text` in the place of its text, the column or the field at a path of this name, if it has it."""
    names = {found.lower(): found for found in frame.columns}  # Spark, too, takes one for the other
    if name.lower() in names:
        return frame.withColumn(names[name.lower()], text)
    top, _, path = name.partition(".")
    if top.lower() not in names:
        return frame
    record = names[top.lower()]
    if not isinstance(frame.schema[record].dataType, StructType):
        raise UserError(f"scoring.keep names '{record}', which cannot be masked with the text in it: keep others")
    return frame.withColumn(record, F.col(f"`{record}`").withField(path, text))


def has_text(text: Column) -> Column:
    """Whether there is anything to predict from; false for null."""
    return F.coalesce(F.trim(text) != "", F.lit(False))


def column(frame: DataFrame, name: str) -> Column:
    """The column of that very name, dots and all, or else the field at that path; or what Spark makes of the name."""
    path = path_to(name, frame.schema)
    return column_at(path) if path else F.col(name)
