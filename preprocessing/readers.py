"""Readers: any corpus to the TURN contract, every value a string, unparsed records kept as `malformed`."""

import difflib
from collections.abc import Callable, Sequence

from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import StringType, StructField, StructType

from preprocessing import corpora, storage
from preprocessing.config import CorpusConfig
from preprocessing.errors import UserError
from preprocessing.schema import TURN, conform

MALFORMED = "_malformed"
PEEK_ROWS = 1_000  # records looked at for the names of their fields, before all of them are

# section `corpus`, keys that name a column -> the column of TURN
ROLES = ("text", "intent", "dialog_id", "turn", "speaker", "split", "language")


def read_turns(spark: SparkSession, corpus: CorpusConfig) -> DataFrame:
    """The corpus as TURN rows. Raises UserError where a path or a column is missing."""
    if not corpus.path:
        raise UserError("corpus.path is empty: name the corpus in the configuration or with --set corpus.path=URI")
    try:
        if corpus.format in corpora.PUBLISHED:
            return conform(corpora.PUBLISHED[corpus.format](spark, _paths(corpus)), TURN)
        records = READERS[corpus.format](spark, corpus)
        return conform(records.select(*_roles(corpus, records)), TURN)
    except (PySparkException, Py4JJavaError) as error:  # what Spark finds out when it looks for the columns
        raise UserError(
            f"corpus.path {list(corpus.path)} cannot be read as {corpus.format}: {_reason(error)}"
        ) from None


def _reason(error: PySparkException | Py4JJavaError) -> str:
    """The first line of what went wrong, from the innermost cause."""
    if isinstance(error, PySparkException):
        return str(error).strip().splitlines()[0]
    cause = error.java_exception
    while cause.getCause() is not None:
        cause = cause.getCause()
    return str(cause.toString().splitlines()[0])


def has_own_splits(corpus: CorpusConfig) -> bool:
    """Whether the corpus itself says which turn belongs to which split."""
    return bool(corpus.split) or corpus.format in corpora.WITH_SPLITS


def _paths(corpus: CorpusConfig) -> list[str]:
    return [storage.absolute(path) for path in corpus.path]


def _roles(corpus: CorpusConfig, records: DataFrame) -> list[Column]:
    """One column for each role that the configuration names; and the malformed record, where the format has one."""
    named = {role: getattr(corpus, role) for role in ROLES if getattr(corpus, role)}
    if corpus.format == "text" and "intent" not in records.columns:
        named.pop("intent", None)  # plain text has utterances only
    for role, name in named.items():
        if name not in records.columns:
            raise _missing(corpus, role, name, [column for column in records.columns if column != MALFORMED])
    malformed = [F.col(MALFORMED).alias("malformed")] if MALFORMED in records.columns else []
    return [F.col(f"`{name}`").alias(role) for role, name in named.items()] + malformed


def _missing(corpus: CorpusConfig, role: str, name: str, found: Sequence[str]) -> UserError:
    if not found:
        return UserError(
            f"corpus.path {list(corpus.path)} holds no rows with columns: "
            f"check the path and corpus.format = '{corpus.format}'"
        )
    near = difflib.get_close_matches(name, found, 1) or difflib.get_close_matches(role, found, 1)
    hint = f"did you mean '{near[0]}'?" if near else f"set corpus.{role} to one of them"
    return UserError(f"corpus.{role} = '{name}': the corpus has no such column; it has {', '.join(found)}: {hint}")


def _strings(names: Sequence[str]) -> StructType:
    return StructType([StructField(name, StringType()) for name in [*names, MALFORMED]])


def _json(spark: SparkSession, corpus: CorpusConfig) -> DataFrame:
    """JSON lines with the configured fields, as strings; a first look at the records tells whether they exist."""
    paths = _paths(corpus)
    wanted = [name for role in ROLES if (name := getattr(corpus, role))]
    reader = spark.read.options(**corpus.options)
    first = spark.read.text(paths).limit(PEEK_ROWS).rdd.map(lambda row: row.value)
    found = [name for name in reader.json(first).columns if name != "_corrupt_record"]
    if not set(wanted) <= set(found):  # rare fields may come later
        found = [name for name in reader.json(paths).columns if name != "_corrupt_record"]
    present = [name for name in wanted if name in found]
    records = reader.schema(_strings(present)).option("columnNameOfCorruptRecord", MALFORMED).json(paths)
    # what is not asked for still has to be known, to say what there is when something is missing
    return (
        records
        if len(present) == len(wanted)
        else records.select("*", *[F.lit(None).alias(n) for n in found if n not in present])
    )


def _separated(separator: str) -> Callable[[SparkSession, CorpusConfig], DataFrame]:
    """Reader of delimited text with a header line; RFC 4180 quoting, line breaks inside quotes included."""

    def read(spark: SparkSession, corpus: CorpusConfig) -> DataFrame:
        options = {"header": "true", "sep": separator, "escape": '"', "multiLine": "true", **corpus.options}
        reader = spark.read.options(**options)
        names = reader.csv(_paths(corpus)).columns
        return reader.schema(_strings(names)).option("columnNameOfCorruptRecord", MALFORMED).csv(_paths(corpus))

    return read


def _plain(spark: SparkSession, corpus: CorpusConfig) -> DataFrame:
    """One utterance a line, in the column that corpus.text names."""
    return spark.read.options(**corpus.options).text(_paths(corpus)).withColumnRenamed("value", corpus.text)


READERS: dict[str, Callable[[SparkSession, CorpusConfig], DataFrame]] = {
    "json": _json,
    "csv": _separated(","),
    "tsv": _separated("\t"),
    "parquet": lambda spark, corpus: spark.read.options(**corpus.options).parquet(*_paths(corpus)),
    "orc": lambda spark, corpus: spark.read.options(**corpus.options).orc(_paths(corpus)),
    "text": _plain,
    "table": lambda spark, corpus: spark.table(corpus.path[0]),
}
