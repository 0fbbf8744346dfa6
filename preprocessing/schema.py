"""The contracts: what every reader returns (TURN), and what training may rely on (EXAMPLE)."""

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import ArrayType, IntegerType, LongType, StringType, StructField, StructType

from preprocessing.turns import turn_number

SPLITS = ("train", "validation", "test")
SPLIT_NAMES = {"train": "train", "training": "train", "validation": "validation", "val": "validation",
               "valid": "validation", "dev": "validation", "test": "test"}  # fmt: skip

# Whose turns carry the intents; a turn of anybody else's (agent, system, bot) without an intent is context only.
USER_SPEAKERS = ("user", "customer", "client", "human", "caller")

SEVERAL = " ␞ "  # between the intents of a turn that has several; "symbol for record separator", in no label of its own
REPLACEMENT = "\ufffd"  # what bytes become that do not decode

TURN = StructType([
    StructField("dialog_id", StringType()),
    StructField("turn", LongType()),          # its number in the dialog, or its time in microseconds since 1970
    StructField("speaker", StringType()),
    StructField("language", StringType()),
    StructField("slice", StringType()),       # what else the user wants figures by
    StructField("split", StringType()),       # as the corpus names it; null where it has none
    StructField("text", StringType()),
    StructField("intent", StringType()),      # several that differ stand between SEVERAL
    StructField("date", StringType()),        # as it stood: splits.moment reads it
    StructField("malformed", StringType()),   # the record as it stood, where it could not be parsed
])  # fmt: skip

EXAMPLE = StructType([
    StructField("dialog_id", StringType()),
    StructField("turn", LongType()),
    StructField("language", StringType()),
    StructField("slice", StringType()),
    StructField("text", StringType()),
    StructField("intent", StringType()),
    StructField("label_id", IntegerType()),                 # line of the intent in labels.txt, from 0
    StructField("input_ids", ArrayType(IntegerType())),     # exactly max_tokens ids, PAD on the right
    StructField("length", IntegerType()),                   # tokens before the padding, at least 1
])  # fmt: skip


def conform(frame: DataFrame, contract: StructType) -> DataFrame:
    """Exactly the contract's columns, in its order and types; absent ones, and values of another type, are null.

    What the contract has as a long may be a time.
    """
    kinds = dict(frame.dtypes)

    def typed(column: StructField) -> Column:
        if column.name not in frame.columns:
            return F.lit(None).cast(column.dataType)
        if column.dataType == LongType() and kinds[column.name] not in ("bigint", "int"):
            return turn_number(column.name)
        return F.expr(f"try_cast(`{column.name}` as {column.dataType.simpleString()})")

    return frame.select(*[typed(column).alias(column.name) for column in contract])


def decoded(frame: DataFrame) -> DataFrame:
    """The same with U+FFFD for bytes that are no UTF-8: Spark's strings may hold any, Python's and Arrow's not."""
    valid = getattr(F, "make_valid_utf8", lambda column: F.decode(column.cast("binary"), "UTF-8"))  # Spark 3.5: decode
    strings = [field.name for field in frame.schema if field.dataType == StringType()]
    return frame.withColumns({name: valid(F.col(name)) for name in strings})
