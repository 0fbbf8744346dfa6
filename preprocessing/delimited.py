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
SWALLOWED = 6  # lines of a record that look like records: in so many, no text has just as many commas as the table
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
        (one, *_), (other, *_), *_ = headers.values()
        raise UserError(
            f"the files have {len(headers)} different first lines, {one} and {other} among them: "
            "give all the same header, or, where they have none, set the option header = false"
        )
    lines = {line: spark.sparkContext.parallelize([line], 1) for line in headers}
    alike: dict[tuple[str, ...], list[str]] = {}  # columns -> files
    for line, those in headers.items():
        alike.setdefault(tuple(reader.csv(lines[line]).columns), []).extend(those)  # type: ignore[arg-type]
    _refuse_lacking(alike, [name for name in wanted if name not in folders])
    if len(alike) > 1:
        log.info("%d different headers in %d files: columns go by name", len(alike), len(files))
    frames = []
    for names, those in alike.items():
        here = F.col("_metadata.file_path").isin(*those, *[file.replace("file:///", "file:/", 1) for file in those])
        frames.append(_read(reader, paths, list(names), folders, options).where(here))
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


def _refuse_lacking(alike: Mapping[tuple[str, ...], list[str]], wanted: Collection[str]) -> None:
    """Raises UserError where a file lacks a column that another one has, and that is asked for; columns -> files."""
    for name in wanted:
        having = [files[0] for names, files in alike.items() if name in names]
        for names, files in alike.items():
            if having and name not in names:
                raise UserError(
                    f"{files[0]} has no column '{name}', as {having[0]} has; its header is '{_cut(', '.join(names))}': "
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
    lines = F.array_remove(F.split(record, "[\r\n]+"), "")
    # regular expressions, as with a function of lines Spark would compile none of this step
    marked = F.replace(record, F.lit(separator), F.lit("\x1f"))
    alike = F.regexp_count(marked, F.lit(rf"(?dm)^(?:[^\x1f\n]*\x1f){{{len(names) - 1}}}[^\x1f\n]*$"))
    swallowed = (alike >= SWALLOWED) & (alike >= (F.size(lines) - 1) * ALIKE)
    broken = F.contains(F.concat_ws("", *values.values(), MALFORMED), F.lit("\n"))  # of others no line is counted
    each = frame.select("*", F.explode_outer(F.when(broken, F.when(swallowed, lines))).alias("_line"))
    whole = {name: F.when(F.col("_line").isNull(), value) for name, value in values.items()}
    return each.withColumns({**whole, MALFORMED: F.coalesce("_line", MALFORMED)}).drop("_line")
