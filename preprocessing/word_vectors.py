"""Word vectors from a text file (GloVe, fastText, word2vec; gzip too) of any store, for the words of a vocabulary.

A line is a word and its numbers. The vocabulary holds folded words: of lines that fold to the same one, that which is
written so already comes first, then the first. Only these lines reach the driver.
"""

import gzip
import logging
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from preprocessing import storage
from preprocessing.errors import UserError, first_line
from preprocessing.files import MANIFEST
from preprocessing.text import fold

log = logging.getLogger(__name__)

FILE = "vectors.txt.gz"  # in the directory that jobs.word_vectors writes
HEADER = re.compile(r"[0-9]+ [0-9]+ *")  # word2vec and fastText begin with the numbers of words and of dimensions
PLACE = ("file", "start", "line")  # where a line stands: files by name, their parts, lines within one
FOUND = "word int, folded boolean, file string, start long, line long, vector binary, skipped long"


def write_vectors(uri: str, vectors: Mapping[str, Sequence[float]], size: int) -> None:
    """Writes FILE below `uri` in the format of word2vec, the words in their order."""
    lines = [f"{word} {' '.join(f'{number:.6g}' for number in vectors[word])}" for word in sorted(vectors)]
    content = "\n".join([f"{len(lines)} {size}", *lines, ""]).encode()
    storage.write_bytes(f"{uri}/{FILE}", gzip.compress(content, mtime=0))  # equal vectors are equal bytes


class Vectors(NamedTuple):
    """`matrix` float32 [vocabulary, dimensions], NaN where a word has no vector; words found; lines left out."""

    matrix: npt.NDArray[np.float32]
    found: int
    skipped: int


def read_vectors(spark: SparkSession, uri: str, words: Sequence[str], size: int) -> Vectors:
    """Vectors of `words` from the file, glob or output of jobs.word_vectors at `uri`.

    Raises UserError where it cannot be read, or its vectors have not `size` dimensions.
    """
    uri = storage.absolute(uri).rstrip("/")
    if storage.exists(f"{uri}/{MANIFEST}"):
        uri = f"{uri}/{FILE}"
    try:
        lines = spark.read.option("lineSep", "\n").text(uri)
        found = dimensions(uri, [row.value for row in lines.head(1)])
        if found != size:
            raise UserError(
                f"model.embedding_size = {size}, but the vectors of model.word_vectors = '{uri}' have {found} "
                f"dimensions: set it to {found}"
            )
        rows = first_of_each_word(lines, words, size).collect()
    except PySparkException as error:
        reason = first_line(error)
        raise UserError(f"model.word_vectors = '{uri}' cannot be read: {reason}") from None
    matrix = np.full((len(words), size), np.nan, np.float32)
    for row in rows:
        if row.word is not None:
            matrix[row.word] = np.frombuffer(row.vector, np.float32)
    vectors = Vectors(matrix, sum(row.word is not None for row in rows), sum(row.skipped for row in rows))
    log.info(
        "vectors for %d of %d words (%.1f %%) from %s%s", vectors.found, len(words), 100 * vectors.found / len(words),
        uri, f"; {vectors.skipped} lines of another length or without numbers left out" if vectors.skipped else "",
    )  # fmt: skip
    return vectors


def dimensions(uri: str, first_lines: Sequence[str]) -> int:
    """How many numbers stand behind each word, by the first line. Raises UserError where there is none."""
    fields = first_lines[0].split() if first_lines else []
    if len(fields) < 2:
        raise UserError(f"model.word_vectors = '{uri}' holds no word vectors: a line must be a word and its numbers")
    return int(fields[1]) if HEADER.fullmatch(first_lines[0].strip()) else len(fields) - 1


def first_of_each_word(lines: DataFrame, words: Sequence[str], size: int) -> DataFrame:
    """(word's id, vector, skipped) of the first line of each of `words`; and a row without a word for the others."""
    placed = lines.select(
        F.col("value").cast("binary").alias("value"),  # Spark lets bytes pass that are no UTF-8
        F.col("_metadata.file_path").alias("file"),
        F.col("_metadata.file_block_start").alias("start"),
        F.monotonically_increasing_id().alias("line"),
    )
    parsed = placed.mapInArrow(partial(parse, words=words, size=size), FOUND)
    first = F.min_by("vector", F.struct("folded", *PLACE)).alias("vector")
    return parsed.groupBy("word").agg(first, F.sum("skipped").alias("skipped"))


def parse(batches: Iterable[pa.RecordBatch], words: Sequence[str], size: int) -> Iterator[pa.RecordBatch]:
    """The lines of each batch whose word is one of `words`, as FOUND; in its last row how many were left out."""
    known = pa.array(words, pa.string())
    for batch in batches:
        lines = pc.utf8_rtrim(readable(batch.column("value")), " \r\t")
        whole = pc.equal(pc.count_substring(lines, " "), size).fill_null(False)
        header = pc.match_substring_regex(lines, f"^{HEADER.pattern}$").fill_null(False) if size > 1 else None
        skipped = len(batch) - pc.sum(pc.or_(whole, header) if header else whole).as_py() if len(batch) else 0
        batch, lines = batch.filter(whole), lines.filter(whole)
        written = pc.replace_substring_regex(lines, " .*", "")
        folded = fold(written)
        ids = pc.index_in(folded, value_set=known)
        rows = np.flatnonzero(ids.is_valid().to_numpy(zero_copy_only=False))
        vectors = [vector_of(line) for line in lines.take(rows).to_pylist()]
        chosen = [(row, vector) for row, vector in zip(rows.tolist(), vectors, strict=True) if vector is not None]
        skipped += len(vectors) - len(chosen)
        # a null at the end: the row of the lines that were left out
        places = pa.array([*[row for row, _ in chosen], None], pa.int64())
        columns = {
            "word": ids.take(places),
            "folded": pc.not_equal(written, folded).take(places),
            **{name: batch.column(name).take(places) for name in PLACE},
            "vector": pa.array([*[vector for _, vector in chosen], None], pa.binary()),
            "skipped": pa.array([*[0] * len(chosen), skipped], pa.int64()),
        }
        yield pa.RecordBatch.from_arrays(list(columns.values()), names=list(columns))


def readable(lines: pa.BinaryArray) -> pa.StringArray:
    """Lines that are no UTF-8 as null."""
    try:
        return lines.cast(pa.string())
    except pa.ArrowInvalid:
        return pa.array([decoded(line) for line in lines.to_pylist()], pa.string())


def decoded(line: bytes) -> str | None:
    """The text of UTF-8 bytes; None of others."""
    try:
        return line.decode()
    except UnicodeDecodeError:
        return None


def vector_of(line: str) -> bytes | None:
    """The numbers of a line as the bytes of a float32 array; None where one of them is no finite number."""
    try:
        vector = np.array(line.split(" ")[1:], np.float32)
    except ValueError:
        return None
    return vector.tobytes() if np.isfinite(vector).all() else None
