"""Readers: any corpus to the TURN contract, every value a string, unparsed records kept as `malformed`."""

import logging
from collections.abc import Callable, Sequence
from functools import reduce

from py4j.protocol import Py4JJavaError
from pyspark.errors import AnalysisException, PySparkException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import StringType, StructField, StructType

from preprocessing import corpora, storage
from preprocessing.config import CorpusConfig
from preprocessing.delimited import read_delimited
from preprocessing.errors import UserError, first_line
from preprocessing.fields import MALFORMED, Path, is_table, path_to, role_columns, strings_at, type_at, wanted
from preprocessing.schema import TURN, conform, decoded

log = logging.getLogger(__name__)

PEEK_ROWS = 1_000  # records looked at for the names of their fields, before all of them are
BETWEEN = r"\}\s*\{"  # two objects, or what is in a text
JOINED = 0.05  # share of those records from which on such lines are the way the corpus is written, not a slip


def read_turns(spark: SparkSession, corpus: CorpusConfig) -> DataFrame:
    """The corpus as TURN rows. Raises UserError where a path or a column is missing."""
    if not corpus.path:
        raise UserError("corpus.path is empty: name the corpus in the configuration or with --set corpus.path=URI")
    if "encoding" in corpus.options:
        _allow_encodings(spark)
    try:
        if corpus.format in corpora.PUBLISHED:
            return decoded(conform(corpora.PUBLISHED[corpus.format](spark, _paths(corpus)), TURN))
        records = READERS[corpus.format](spark, corpus)
        return decoded(conform(records.select(*role_columns(corpus, records)), TURN))
    except (PySparkException, Py4JJavaError) as error:  # what Spark finds out when it looks for the columns
        raise UserError(
            f"corpus.path {list(corpus.path)} cannot be read as {corpus.format}: {_reason(error)}"
        ) from None


def _reason(error: PySparkException | Py4JJavaError) -> str:
    """The first line of what went wrong, from the innermost cause."""
    if isinstance(error, PySparkException):
        return first_line(error)
    cause = error.java_exception
    while cause.getCause() is not None:
        cause = cause.getCause()
    return str(cause.toString().splitlines()[0])


def has_own_splits(corpus: CorpusConfig) -> bool:
    """Whether the corpus itself says which turn belongs to which split."""
    return bool(corpus.split) or corpus.format in corpora.WITH_SPLITS


def _paths(corpus: CorpusConfig) -> list[str]:
    return [storage.absolute(path) for path in corpus.path]


def _json(spark: SparkSession, corpus: CorpusConfig) -> DataFrame:
    """JSON lines with the configured fields, as strings; a first look at the records tells where these are."""
    paths, names = _paths(corpus), list(wanted(corpus).values())
    options = {**corpus.options, "columnNameOfCorruptRecord": MALFORMED}
    recoded = "encoding" in options and options.get("multiLine", "false").lower() != "true"
    lines = _lines(spark, corpus)
    if recoded:  # already done to the lines; Spark's own reader asks for a lineSep and trips over a byte-order mark
        options = {name: value for name, value in options.items() if name not in ("encoding", "lineSep")}
    reader = spark.read.options(**options)
    if options.get("multiLine", "false").lower() != "true":
        _refuse_joined(lines, paths)
    found = reader.json(lines.limit(PEEK_ROWS).rdd.map(lambda row: row.value)).schema
    if not _strings_in(found, names):  # rare fields may come later
        every = reader.json(lines.rdd.map(lambda row: row.value)) if recoded else reader.json(paths)
        found = every.schema
    places = _strings_in(found, names)
    if not places:
        return every.drop(MALFORMED)  # what there is instead, for the message
    schema = StructType([*strings_at(places), StructField(MALFORMED, StringType())])
    if recoded:
        return lines.where("value != ''").select(F.from_json("value", schema, options).alias("r")).select("r.*")
    return reader.schema(schema).json(paths)


def _refuse_joined(lines: DataFrame, paths: Sequence[str]) -> None:
    """Raises UserError where many of the first lines hold several objects, of which Spark reads the first one only."""
    line = F.col("value")
    broken = F.json_array_length(F.concat(F.lit("["), line, F.lit("]"))).isNull()  # yet it begins with an object:
    joined = F.rlike(line, F.lit(BETWEEN)) & broken & F.json_object_keys(line).isNotNull()
    counts = lines.limit(PEEK_ROWS).select(F.count("*"), F.count(F.when(joined, 1))).first()
    if counts is None or not counts[1]:
        return
    found = f"{counts[1]} of the first {counts[0]} lines of {list(paths)} hold several JSON objects"
    if counts[1] > counts[0] * JOINED:
        raise UserError(f"{found}: write each object on a line of its own (jq -c . does it)")
    log.warning("%s, of which only the first is read", found)


def _strings_in(record: StructType, names: Sequence[str]) -> list[Path]:
    """Where the named fields are; empty where one is missing, or holds many records."""
    places = [path for name in names if (path := path_to(name, record)) and not is_table(type_at(path, record))]
    return places if len(places) == len(names) else []


def _separated(separator: str) -> Callable[[SparkSession, CorpusConfig], DataFrame]:
    """Reader of delimited text with a header line; RFC 4180 quoting, line breaks inside quotes included."""

    def read(spark: SparkSession, corpus: CorpusConfig) -> DataFrame:
        options = {"header": "true", "sep": separator, "escape": '"', "multiLine": "true", **corpus.options}
        return read_delimited(spark, _paths(corpus), options, wanted(corpus).values())

    return read


def _plain(spark: SparkSession, corpus: CorpusConfig) -> DataFrame:
    """One utterance a line, in the column that corpus.text names."""
    lines = _lines(spark, corpus)
    lines.head(1)  # nothing else would notice a codec or encoding that is missing before the job is under way
    return lines.withColumnRenamed("value", corpus.text)


def _lines(spark: SparkSession, corpus: CorpusConfig) -> DataFrame:
    """The lines of text files, one a row in the column `value`, in any encoding: Spark's reader only splits bytes."""
    encoding = corpus.options.get("encoding")
    if not encoding:
        return spark.read.options(**corpus.options).text(_paths(corpus))
    if encoding.upper() in ("UTF-16", "UTF-32"):
        raise UserError(
            f"corpus.options.encoding = {encoding} does not say where a line ends in {corpus.format}: "
            f"write {encoding}LE (as Windows does) or {encoding}BE"
        )
    lines = spark.read.options(**{"lineSep": "\n", **corpus.options}).text(_paths(corpus))
    text = F.decode(F.col("value").cast("binary"), encoding)
    return lines.select(F.regexp_replace(text, "^\ufeff|\r$", "").alias("value"))


def _tables(spark: SparkSession, corpus: CorpusConfig) -> DataFrame:
    """The rows of all tables; where one is not there, and no metastore either, Spark's message says so."""
    try:
        return reduce(DataFrame.unionByName, map(spark.table, corpus.path))
    except AnalysisException as error:
        if spark.conf.get("spark.sql.catalogImplementation", "in-memory") == "hive":
            raise
        where = "where Hive's tables are wanted, hive-site.xml must be in SPARK_CONF_DIR or HADOOP_CONF_DIR"
        raise AnalysisException(f"{first_line(error)} The session has no Hive metastore: {where}") from None


def _allow_encodings(spark: SparkSession) -> None:
    """Makes Spark 4 read all of Java's encodings, not seven, and bytes that do not decode as U+FFFD, not as an end."""
    spark.conf.set("spark.sql.legacy.javaCharsets", "true")
    spark.conf.set("spark.sql.legacy.codingErrorAction", "true")


READERS: dict[str, Callable[[SparkSession, CorpusConfig], DataFrame]] = {
    "json": _json,
    "csv": _separated(","),
    "tsv": _separated("\t"),
    "parquet": lambda spark, corpus: spark.read.options(**corpus.options).parquet(*_paths(corpus)),
    "orc": lambda spark, corpus: spark.read.options(**corpus.options).orc(_paths(corpus)),
    "text": _plain,
    "table": _tables,
}
