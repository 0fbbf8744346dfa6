"""Delimited text in many files, and quotes that nobody closed."""

import gzip
import logging
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from jobs.config import ScoringConfig
from jobs.score import read_table
from preprocessing.config import CorpusConfig, DatasetConfig
from preprocessing.errors import UserError
from preprocessing.pipeline import build_dataset
from preprocessing.readers import read_turns

pytestmark = pytest.mark.spark


def files(directory: Path, **contents: str) -> Path:
    """The directory with a file for each content."""
    for name, content in contents.items():
        (directory / f"{name}.csv").write_bytes(content.encode())
    return directory


def rows(spark: SparkSession, path: Path, form: str = "csv", **corpus: Any) -> list[tuple]:
    """Text, intent and malformed record of each row, sorted."""
    found = read_turns(spark, CorpusConfig(path=(str(path),), format=form, **corpus))
    return sorted(map(tuple, found.select("text", "intent", "malformed").collect()), key=str)


def refusal(spark: SparkSession, path: Path, **corpus: Any) -> str:
    with pytest.raises(UserError) as error:
        rows(spark, path, **corpus)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_several_files_of_the_same_columns(spark: SparkSession, tmp_path: Path) -> None:
    files(
        tmp_path,
        a="text,intent\nhi,greet\n",
        b="text,intent\r\nyo,greet\r\n",
        c="\ufeff# May\ntext,intent\nbye,leave\n",
    )
    found = rows(spark, tmp_path / "*.csv", options={"comment": "#"})
    assert found == [("bye", "leave", None), ("hi", "greet", None), ("yo", "greet", None)]


def test_columns_in_another_order_or_more_of_them_go_by_name(
    spark: SparkSession, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    files(tmp_path, a="text,intent\nhi,greet\n", empty="", **{"b 한%20": "\nintent,text\nleave,bye\nleave,bye,x\n"})
    (tmp_path / "c.csv.gz").write_bytes(gzip.compress(b"id,intent,text\n7,greet,yo\n8,greet\n"))
    with caplog.at_level(logging.INFO):
        assert rows(spark, tmp_path) == [
            ("bye", "leave", "leave,bye,x"), ("bye", "leave", None), ("hi", "greet", None), ("yo", "greet", None),
            (None, "greet", "8,greet"),
        ]  # fmt: skip
    assert "3 different headers in 4 files: columns go by name" in caplog.messages


def test_columns_go_by_name_in_other_encodings_and_below_comments(spark: SparkSession, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes("# 월요일\n말,intent\n안녕,greet\n".encode("EUC-KR"))
    (tmp_path / "b.csv").write_bytes("# 화요일\nintent,말\nleave,잘 가\n".encode("EUC-KR"))
    options = {"encoding": "EUC-KR", "comment": "#"}
    assert rows(spark, tmp_path, text="말", options=options) == [("안녕", "greet", None), ("잘 가", "leave", None)]
    (tmp_path / "b.csv").write_bytes("# 화요일\n말,intent\n잘 가,leave\n".encode("EUC-KR"))
    assert rows(spark, tmp_path, text="말", options=options) == [("안녕", "greet", None), ("잘 가", "leave", None)]


def test_folders_that_name_a_column_have_it_in_all_files(spark: SparkSession, tmp_path: Path) -> None:
    for day in ("day=01", "day=02"):
        (tmp_path / day).mkdir()
    files(tmp_path / "day=01", a="text,intent\nhi,greet\n")
    files(tmp_path / "day=02", a="intent,text\nleave,bye\n")
    assert rows(spark, tmp_path, intent="day") == [("bye", "02", None), ("hi", "01", None)]
    files(tmp_path / "day=02", a='text,intent\n"hello,greet\n' + "hi,greet\n" * 8)  # no separator of the table's own
    found = rows(spark, tmp_path, intent="day")
    assert found == [("hi", "01", None), (None, "02", '"hello,greet'), *[(None, "02", "hi,greet")] * 8]


def test_a_file_without_a_column_that_others_have_is_named_before_anything_is_written(
    spark: SparkSession, tmp_path: Path
) -> None:
    (tmp_path / "in").mkdir()
    path = files(tmp_path / "in", a="text,intent\nhi,greet\n", b="text,label\nhi,greet\n")
    assert refusal(spark, path) == (
        f"file://{path}/b.csv has no column 'intent', as file://{path}/a.csv has; its header is 'text, label': "
        "give it one, or leave the file out"
    )
    with pytest.raises(UserError, match=r"b\.csv has no column 'intent'"):
        build_dataset(spark, CorpusConfig(path=(str(path),), format="csv"), DatasetConfig(path=f"{tmp_path}/out"))
    assert [file.name for file in tmp_path.iterdir()] == ["in"]


def test_files_without_headers_have_the_first_row_read_too(spark: SparkSession, tmp_path: Path) -> None:
    files(tmp_path, **{f"{number}": f"say {number},greet\n" for number in range(21)})
    read = rows(spark, tmp_path, text="_c0", intent="_c1", options={"header": "false"})
    assert read == sorted((f"say {number}", "greet", None) for number in range(21))


def test_very_many_headers_are_none(spark: SparkSession, tmp_path: Path) -> None:
    files(tmp_path, **{f"{number:02}": f"say {number},greet\n" for number in range(21)})
    assert refusal(spark, tmp_path) == (
        f"the files have 21 different first lines, file://{tmp_path}/00.csv and file://{tmp_path}/01.csv among them: "
        "give all the same header, or, where they have none, set the option header = false"
    )


def test_headers_that_differ_in_their_quotes_are_the_same(
    spark: SparkSession, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    files(tmp_path, a="text,intent\nhi,greet\n", b='"text","intent"\n"yo","greet"\n')
    with caplog.at_level(logging.INFO):
        assert rows(spark, tmp_path) == [("hi", "greet", None), ("yo", "greet", None)]
    assert not [message for message in caplog.messages if "different headers" in message]


def test_scoring_reads_by_name_too(spark: SparkSession, tmp_path: Path) -> None:
    files(tmp_path, a="text,n\nhi,1\n", b="n,day,text\n2,May,bye\n")
    table = read_table(spark, ScoringConfig(input=(str(tmp_path),), format="csv"))
    assert sorted(map(tuple, table.select("text", "n", "day").collect())) == [("bye", "2", "May"), ("hi", "1", None)]


LINES = ["say 0,greet", "one of them, broken too,greet", *[f"say {number},greet" for number in range(1, 12)]]


@pytest.mark.parametrize(
    ("header", "opened", "last"),
    [
        ("text,intent", '"hello,greet', ""),  # to the end of the file
        ("text,intent", '"hello,greet', '"bye, bye",leave'),  # to the next quote, which opens
        ("text,intent", '"hello,greet', 'of 12",leave'),  # or closes: a record as it should be, but for its lines
        ("intent,text", 'greet,"hello', ""),
        ("intent,text", 'greet,"hello', 'leave,"bye"'),
    ],
)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_what_an_unclosed_quote_swallows_is_malformed_line_by_line(
    spark: SparkSession, tmp_path: Path, header: str, opened: str, last: str, end: str
) -> None:
    swallowed = [opened, *LINES, *([last] if last else [])]
    content = end.join([header, "a,b", *swallowed, *(["c,d"] if last else []), ""])
    found = rows(spark, files(tmp_path, a=content))
    whole = [row for row in found if row[2] is None]
    assert sorted({*whole[0][:2]}) == ["a", "b"] and len(whole) == 1 + bool(last)
    broken = [row[2].replace('"', "") for row in found if row[2]]
    assert broken == sorted(line.replace('"', "") for line in swallowed)


def test_line_breaks_within_quotes_are_no_unclosed_ones(spark: SparkSession, tmp_path: Path) -> None:
    letter = "Dear,\nmy parcel, the blue,\nis late\n\nsince Monday, when\nI called\nKim, Lee\nand Park,\nHope, I\nBest"
    poem = "\n".join(["roses"] * 30)
    short = "a, b\nc, d\ne, f"
    content = f'text,intent\n"{letter}",late\n"{poem}",poem\n"{short}",list\n"x\n""y""\nz",q\n'
    expected = [(letter, "late", None), (poem, "poem", None), (short, "list", None), ('x\n"y"\nz', "q", None)]
    assert rows(spark, files(tmp_path, a=content)) == sorted(expected)


def test_a_file_of_one_column_keeps_its_long_texts(spark: SparkSession, tmp_path: Path) -> None:
    poem = "\n".join(["roses"] * 30)
    assert rows(spark, files(tmp_path, a=f'text\n"{poem}"\n'), intent="") == [(poem, None, None)]


def test_what_an_unclosed_quote_swallows_counts_against_the_limit(spark: SparkSession, tmp_path: Path) -> None:
    lines = [f"say {word} {number},{word}" for number in range(50) for word in ("lost", "track")]
    file = files(tmp_path, a="\n".join(["text,intent", *lines, '"hi,lost', *lines])) / "a.csv"
    corpus = CorpusConfig(path=(str(file),), format="csv")
    with pytest.raises(UserError, match=r"101 of 201 rows are rejected.*malformed record \(101\)"):
        build_dataset(spark, corpus, DatasetConfig(path=f"{tmp_path}/out", files_per_split=1))
