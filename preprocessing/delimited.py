"""Delimited text: columns by their names, whatever their order in each file; what an unclosed quote swallowed, by line.

Every value is a string, every record that does not parse stands in MALFORMED.
"""

import logging
from collections.abc import Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import reduce
from urllib.parse import unquote

from pyspark.sql import DataFrame, DataFrameReader, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import StringType, StructField, StructType

from preprocessing.errors import UserError
from preprocessing.fields import MALFORMED

log = logging.getLogger(__name__)

HEADERS = 20  # different ones in a corpus; more of them are rows, of files that have no header
HEADER_BYTES = 1 << 16  # of a file, in which its header ends
AT_ONCE = 16  # files whose headers are read, as stores take longer to answer than to read
# Lines in a record that look like records themselves: so many are no text with line breaks. A text of a customer has
# as many commas in each of five lines as the table has less often than people forget to close a quote.
SWALLOWED = 5
ALIKE = 0.9  # share of the lines, as some of what is swallowed may be broken too


def read_delimited(
    spark: SparkSession, paths: list[str], options: Mapping[str, str], wanted: Collection[str]
) -> DataFrame:
    """All columns of all files. Raises UserError where a file lacks one of `wanted` that another has."""
    reader = spark.read.options(**options)
    found = reader.csv(paths)
    files = found.inputFiles()
    folders = [name for name in found.columns if files and all(f"/{name}=" in unquote(file) for file in files)]
    headers = _headers(spark, files, options)
    if len(headers) < 2:
        return _read(reader, paths, [name for name in found.columns if name not in folders], folders, options)
    if len(headers) > HEADERS:
        one, other, *_ = headers.items()
        raise UserError(
            f"the files have {len(headers)} different first lines, '{_cut(one[0])}' in {one[1][0]} and "
            f"'{_cut(other[0])}' in {other[1][0]} among them: where these are no headers, set the option header = false"
        )
    lines = {line: spark.sparkContext.parallelize([line], 1) for line in headers}
    columns = {line: reader.csv(lines[line]).columns for line in headers}  # type: ignore[arg-type]
    _refuse_lacking({headers[line][0]: names for line, names in columns.items()}, {*wanted} - {*folders})
    log.info("%d different headers in %d files: columns go by name", len(headers), len(files))
    frames = []
    for line, those in headers.items():
        here = F.col("_metadata.file_path").isin(*those, *[file.replace("file:///", "file:/", 1) for file in those])
        frames.append(_read(reader, paths, columns[line], folders, options).where(here))
    return reduce(lambda one, other: one.unionByName(other, allowMissingColumns=True), frames)


def _headers(spark: SparkSession, files: Iterable[str], options: Mapping[str, str]) -> dict[str, list[str]]:
    """First line -> the files that begin with it; none where there is nothing to compare."""
    files = sorted(files)
    if len(files) < 2 or options.get("header", "").lower() != "true":
        return {}
    jvm, hadoop = spark._jvm, spark.sparkContext._jsc.hadoopConfiguration()
    assert jvm is not None
    path_of, uri_of = jvm.org.apache.hadoop.fs.Path, jvm.java.net.URI
    bounded, decoding, lines_of = (
        jvm.org.apache.commons.io.input.BoundedInputStream, jvm.java.io.InputStreamReader, jvm.java.io.BufferedReader
    )  # fmt: skip
    packings = jvm.org.apache.hadoop.io.compress.CompressionCodecFactory(hadoop)
    encoding, comment = options.get("encoding") or options.get("charset") or "UTF-8", options.get("comment")

    def first_line(file: str) -> str:
        path = path_of(uri_of(file))
        stream, packing = path.getFileSystem(hadoop).open(path), packings.getCodec(path)
        content = bounded(packing.createInputStream(stream) if packing else stream, HEADER_BYTES)
        lines = lines_of(decoding(content, encoding))
        try:
            while (line := lines.readLine()) is not None:
                line = str(line).removeprefix("\ufeff").split(options.get("lineSep") or "\n")[0]
                if line.strip() and not (comment and line.startswith(comment)):
                    return line
            return ""
        finally:
            lines.close()

    found: dict[str, list[str]] = {}
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for file, line in zip(files, pool.map(first_line, files), strict=True):
            found.setdefault(line, []).append(file)
    found.pop("", None)  # empty files
    return found


def _refuse_lacking(columns: Mapping[str, list[str]], wanted: Collection[str]) -> None:
    """Raises UserError where a file lacks a column that another one has, and that is asked for; file -> columns."""
    for name in wanted:
        having = [file for file, names in columns.items() if name in names]
        for file, names in columns.items():
            if having and name not in names:
                raise UserError(
                    f"{file} has no column '{name}', as {having[0]} has; its header is '{_cut(', '.join(names))}': "
                    "give it one, or leave the file out"
                )


def _cut(line: str) -> str:
    return line if len(line) <= 200 else f"{line[:200]} ..."


def _read(
    reader: DataFrameReader, paths: list[str], names: list[str], folders: list[str], options: Mapping[str, str]
) -> DataFrame:
    """The files as if all had a header of `names`, with the columns that their folders are named after."""
    schema = StructType([StructField(name, StringType()) for name in [*names, *folders, MALFORMED]])
    frame = reader.schema(schema).option("columnNameOfCorruptRecord", MALFORMED).csv(paths)
    if options["multiLine"].lower() != "true" or len(names) < 2:
        return frame
    return _released(frame, names, options["sep"].replace("\\t", "\t"))


def _released(frame: DataFrame, names: list[str], separator: str) -> DataFrame:
    """The same, where an unclosed quote made one record of many each of its lines as a malformed one."""
    values = {name: F.col(f"`{name.replace('`', '``')}`") for name in names}
    record = F.coalesce(MALFORMED, F.concat_ws(separator, *[F.coalesce(value, F.lit("")) for value in values.values()]))
    lines = F.filter(F.split(record, "\r?\n"), lambda line: line != "")
    within = F.slice(lines, 2, F.greatest(F.size(lines) - 2, F.lit(0)))
    width = (len(names) - 1) * len(separator)
    alike = F.filter(within, lambda line: F.length(line) - F.length(F.replace(line, F.lit(separator))) == width)
    swallowed = (F.size(alike) >= SWALLOWED) & (F.size(alike) >= F.size(within) * ALIKE)
    broken = F.contains(F.concat_ws("", *values.values(), MALFORMED), F.lit("\n"))  # of others no line is counted
    each = frame.select("*", F.explode_outer(F.when(broken, F.when(swallowed, lines))).alias("_line"))
    whole = {name: F.when(F.col("_line").isNull(), value) for name, value in values.items()}
    return each.withColumns({**whole, MALFORMED: F.coalesce("_line", MALFORMED)}).drop("_line")
