"""Encodings and codecs: the same rows from files of any of them, and what bytes become that mean nothing."""

import bz2
import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from preprocessing.config import CorpusConfig
from preprocessing.errors import UserError
from preprocessing.readers import read_turns

pytestmark = pytest.mark.spark

CONTENT = {
    "json": '{"text": "카드 분실", "intent": "lost"}\r\n\r\n{"text": "배송\\t언제", "intent": "배송"}\r\n',
    "csv": 'text,intent\r\n카드 분실,lost\r\n"배송\t언제",배송\r\n',
    "tsv": 'text\tintent\r\n카드 분실\tlost\r\n"배송\t언제"\t배송\r\n',
    "text": "카드 분실\r\n배송\t언제\r\n",
}
ROWS = [("카드 분실", "lost", None), ("배송\t언제", "배송", None)]
BAD = b"\xb0\xa1\xff\xff"  # in EUC-KR one syllable, and two bytes that are nothing


@pytest.fixture(autouse=True)
def spark_as_found(spark: SparkSession) -> Iterator[None]:
    yield
    for key in ("javaCharsets", "codingErrorAction"):
        spark.conf.unset(f"spark.sql.legacy.{key}")


def rows(spark: SparkSession, path: object, form: str, **options: str) -> list[tuple]:
    found = read_turns(spark, CorpusConfig(path=(str(path),), format=form, options=options)).collect()
    return [(row.text, row.intent, row.malformed) for row in found]


def expected(form: str) -> list[tuple]:
    return [(text, None, None) for text, _, _ in ROWS] if form == "text" else ROWS


@pytest.mark.parametrize("form", CONTENT)
@pytest.mark.parametrize("encoding", ["UTF-8", "EUC-KR", "MS949", "UTF-16LE", "UTF-16BE"])
def test_other_encodings_are_read(spark: SparkSession, tmp_path: Path, form: str, encoding: str) -> None:
    mark = "\ufeff" if encoding.startswith("UTF") else ""  # as Windows writes it
    file = tmp_path / f"a.{form}"
    file.write_bytes((mark + CONTENT[form]).encode({"MS949": "cp949"}.get(encoding, encoding)))
    assert rows(spark, file, form, encoding=encoding) == expected(form)


@pytest.mark.parametrize("form", CONTENT)
@pytest.mark.parametrize("suffix", [".gz", ".bz2", ".deflate"])
def test_packed_files_are_read(spark: SparkSession, tmp_path: Path, form: str, suffix: str) -> None:
    pack = {".gz": gzip.compress, ".bz2": bz2.compress, ".deflate": zlib.compress}[suffix]
    (tmp_path / f"a.{form}{suffix}").write_bytes(pack(CONTENT[form].encode()))
    found = rows(spark, tmp_path / f"a.{form}{suffix}", form)
    assert [row for row in found if row[0]] == expected(form)


@pytest.mark.parametrize("form", ["csv", "tsv", "json"])
def test_packed_files_of_another_encoding_are_read(spark: SparkSession, tmp_path: Path, form: str) -> None:
    (tmp_path / "a.gz").write_bytes(gzip.compress(CONTENT[form].encode("euc-kr")))
    assert rows(spark, tmp_path / "a.gz", form, encoding="EUC-KR") == ROWS


@pytest.mark.parametrize("form", ["json", "text", "csv"])
def test_files_packed_with_hadoops_snappy_are_read(spark: SparkSession, tmp_path: Path, form: str) -> None:
    lines = spark.createDataFrame([(line,) for line in CONTENT[form].split("\r\n")], "value string")
    lines.coalesce(1).write.option("compression", "snappy").text(str(tmp_path / "a"))
    assert [row for row in rows(spark, tmp_path / "a", form) if row[0]] == expected(form)


@pytest.mark.parametrize(
    ("form", "codec"), [("parquet", "snappy"), ("parquet", "zstd"), ("orc", "zlib"), ("orc", "zstd")]
)
def test_packed_columnar_files_are_read(spark: SparkSession, tmp_path: Path, form: str, codec: str) -> None:
    frame = spark.createDataFrame([row[:2] for row in ROWS], "text string, intent string").coalesce(1)
    frame.write.option("compression", codec).format(form).save(str(tmp_path / "a"))
    assert rows(spark, tmp_path / "a", form) == ROWS


@pytest.mark.parametrize("form", ["json", "csv", "text"])
def test_a_codec_that_this_hadoop_lacks_is_named(spark: SparkSession, tmp_path: Path, form: str) -> None:
    file = tmp_path / f"a.{form}.zst"
    file.write_bytes(b"\x28\xb5\x2f\xfd\x04\x00")
    with pytest.raises(UserError, match=r"\.zst'\] cannot be read as .*zStandard.*not available") as error:
        rows(spark, file, form)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("form", ["json", "text"])
def test_an_encoding_that_does_not_say_where_lines_end_is_refused(
    spark: SparkSession, tmp_path: Path, form: str
) -> None:
    (tmp_path / "a").write_bytes(CONTENT[form].encode("utf-16"))
    with pytest.raises(UserError, match=f"encoding = UTF-16 does not say where a line ends in {form}: write UTF-16LE"):
        rows(spark, tmp_path / "a", form, encoding="UTF-16")


def test_an_encoding_that_is_none_is_refused(spark: SparkSession, tmp_path: Path) -> None:
    for form in ("json", "csv", "text"):
        (tmp_path / "a").write_text(CONTENT[form])
        with pytest.raises(UserError, match=r"cannot be read as .*EUC-XX"):
            rows(spark, tmp_path / "a", form, encoding="EUC-XX")


@pytest.mark.parametrize("form", ["csv", "tsv", "text", "json"])
@pytest.mark.parametrize("encoding", ["", "EUC-KR"])
def test_bytes_that_do_not_decode_become_the_replacement_character(
    spark: SparkSession, tmp_path: Path, form: str, encoding: str
) -> None:
    good = CONTENT[form].encode(encoding or "utf-8")
    word = "카드".encode(encoding or "utf-8")
    assert good.count(word) == 1
    (tmp_path / "a").write_bytes(good.replace(word, BAD))
    found = rows(spark, tmp_path / "a", form, **({"encoding": encoding} if encoding else {}))
    first = found[0][2] if form == "json" and not encoding else found[0][0]  # Spark's JSON reader rejects such a line
    syllable = "가" if encoding else "\ufffd\ufffd"
    assert f"{syllable}\ufffd\ufffd 분실" in first
    assert found[-1] == expected(form)[-1]


@pytest.mark.parametrize("form", ["parquet", "orc"])
def test_strings_of_columnar_files_may_hold_any_bytes(spark: SparkSession, tmp_path: Path, form: str) -> None:
    spark.sql("select cast(X'6162FF' as string) text, 'lost' intent").write.format(form).save(str(tmp_path / "a"))
    assert rows(spark, tmp_path / "a", form) == [("ab\ufffd", "lost", None)]
