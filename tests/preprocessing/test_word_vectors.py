"""Word vectors as their publishers write them, for the words of a vocabulary."""

import gzip
import logging
from pathlib import Path

import numpy as np
import pytest
from pyspark.sql import SparkSession

from preprocessing.errors import UserError
from preprocessing.word_vectors import Vectors, read_vectors

pytestmark = pytest.mark.spark

WORDS = ["<pad>", "<unknown>", "card", "카드", ".", "paris", "<number>"]
GLOVE = "card 1 2 3\n카드 4 5 6\n. . . 0 0 0\n. 7 8 9\nat ann@mail.com 0 0 0\ncard 0 0 0\n"


def rows_of(vectors: Vectors) -> dict[str, list[float]]:
    """The words that have a vector."""
    known = ~np.isnan(vectors.matrix).any(axis=1)
    return {word: vectors.matrix[row].tolist() for row, word in enumerate(WORDS) if known[row]}


@pytest.mark.parametrize("header", ["", "6 3\n"])
@pytest.mark.parametrize("end", ["\n", " \n", "\r\n"])
def test_the_words_of_the_vocabulary_are_found(spark: SparkSession, tmp_path: Path, header: str, end: str) -> None:
    (tmp_path / "vectors.txt").write_bytes((header + GLOVE).replace("\n", end).encode())
    vectors = read_vectors(spark, str(tmp_path / "vectors.txt"), WORDS, 3)
    assert rows_of(vectors) == {"card": [1, 2, 3], "카드": [4, 5, 6], ".": [7, 8, 9]}
    assert (vectors.matrix.dtype, vectors.matrix.shape) == (np.float32, (7, 3))
    assert (vectors.found, vectors.skipped) == (3, 2)  # words with a space are words of no vocabulary


def test_gzip_globs_and_broken_lines(spark: SparkSession, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "a.vec.gz").write_bytes(gzip.compress(b"3 2\ncard 1 2\nparis 1\n. 3 x\n\xff\xfe 1 2\n"))
    (tmp_path / "b.vec.gz").write_bytes(gzip.compress("3 2\n. nan 1\n카드 5 6\ncard 7 8\n".encode()))
    with caplog.at_level(logging.INFO):
        vectors = read_vectors(spark, str(tmp_path / "*.vec.gz"), WORDS, 2)
    assert rows_of(vectors) == {"card": [1, 2], "카드": [5, 6]} and vectors.skipped == 4
    assert "vectors for 2 of 7 words (28.6 %) from file:" in caplog.text
    assert "4 lines of another length or without numbers left out" in caplog.text


def test_of_several_spellings_the_vocabularys_own_is_taken_then_the_first(spark: SparkSession, tmp_path: Path) -> None:
    (tmp_path / "vectors.txt").write_text("Paris 1 1\nPARIS 2 2\nCard 3 3\ncard 4 4\ncard 5 5\n")
    assert rows_of(read_vectors(spark, str(tmp_path / "vectors.txt"), WORDS, 2)) == {"card": [4, 4], "paris": [1, 1]}


def test_the_first_line_wins_however_the_file_is_cut(spark: SparkSession, tmp_path: Path) -> None:
    lines = [f"w{number} 0 0" for number in range(2_000)]
    lines[700], lines[1500] = "card 1 1", "card 2 2"
    (tmp_path / "vectors.txt").write_text("\n".join(lines))
    before = spark.conf.get("spark.sql.files.maxPartitionBytes")
    spark.conf.set("spark.sql.files.maxPartitionBytes", "1024")
    try:
        assert spark.read.text(str(tmp_path / "vectors.txt")).rdd.getNumPartitions() > 10
        assert rows_of(read_vectors(spark, str(tmp_path / "vectors.txt"), WORDS, 2)) == {"card": [1, 1]}
    finally:
        spark.conf.set("spark.sql.files.maxPartitionBytes", before)


def test_another_dimension_and_what_is_no_vector_file_are_refused(spark: SparkSession, tmp_path: Path) -> None:
    (tmp_path / "vectors.txt").write_text(GLOVE)
    with pytest.raises(
        UserError, match=r"model.embedding_size = 128, but .*vectors.txt' have 3 dimensions: set it to 3"
    ):
        read_vectors(spark, str(tmp_path / "vectors.txt"), WORDS, 128)
    with pytest.raises(UserError, match=r"model.word_vectors = '.*nothing' cannot be read: .*PATH_NOT_FOUND"):
        read_vectors(spark, str(tmp_path / "nothing"), WORDS, 3)
    (tmp_path / "empty.txt").write_text("")
    with pytest.raises(UserError, match=r"empty.txt' holds no word vectors"):
        read_vectors(spark, str(tmp_path / "empty.txt"), WORDS, 3)
