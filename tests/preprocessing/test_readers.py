"""Every format to the same rows; what cannot be read is named."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from preprocessing.config import CorpusConfig
from preprocessing.errors import UserError
from preprocessing.readers import read_turns
from preprocessing.schema import TURN

pytestmark = pytest.mark.spark

NAMES = {"text": "says", "intent": "의도", "dialog_id": "a.b", "turn": "no", "speaker": "who", "split": "part",
         "language": "lang"}  # fmt: skip
RECORDS = [
    {
        "says": "Where is\nit?",
        "의도": "track",
        "a.b": "d1",
        "no": 3,
        "who": "user",
        "part": "dev",
        "lang": "en",
        "x": 1,
    },
    {"says": "", "의도": None, "a.b": "d1", "no": None, "who": None, "part": None, "lang": None, "x": 2},
    {"says": '카드 "분실"', "의도": "lost", "a.b": "d2", "no": 1, "who": None, "part": None, "lang": "ko", "x": 3},
]
TURNS = [
    {"text": "Where is\nit?", "intent": "track", "dialog_id": "d1", "turn": 3, "speaker": "user", "split": "dev",
     "language": "en"},
    {"text": "", "dialog_id": "d1"},
    {"text": '카드 "분실"', "intent": "lost", "dialog_id": "d2", "turn": 1, "language": "ko"},
]  # fmt: skip
SCHEMA = "says string, `의도` string, `a.b` string, no long, who string, part string, lang string, x long"


def turns(spark: SparkSession, *paths: object, **corpus: Any) -> list[dict[str, Any]]:
    """The rows of a corpus, without the columns that are null."""
    frame = read_turns(spark, CorpusConfig(path=tuple(map(str, paths)), **corpus))
    assert frame.schema == TURN
    return [{name: value for name, value in row.asDict().items() if value is not None} for row in frame.collect()]


def refusal(spark: SparkSession, *paths: object, **corpus: Any) -> str:
    with pytest.raises(UserError) as error:
        turns(spark, *paths, **corpus)
    assert "\n" not in str(error.value)
    return str(error.value)


def written(file: Path, content: str) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    packed = gzip.compress(content.encode()) if file.suffix == ".gz" else content.encode()
    file.write_bytes(packed)
    return file


def lines(*records: dict) -> str:
    compact = (",", ":")  # as Spark 3.5 writes an object that is read as text; Spark 4 keeps what the file holds
    return "".join(json.dumps(record, ensure_ascii=False, separators=compact) + "\n" for record in records)


@pytest.mark.parametrize("name", ["a.json", "한글 a%20#.json.gz"])
def test_json_lines_are_read(spark: SparkSession, tmp_path: Path, name: str) -> None:
    assert turns(spark, written(tmp_path / name, lines(*RECORDS)), format="json", **NAMES) == TURNS


@pytest.mark.parametrize(("form", "separator"), [("csv", ","), ("tsv", "\t")])
def test_delimited_text_is_read_with_breaks_and_quotes_in_quotes(
    spark: SparkSession, tmp_path: Path, form: str, separator: str
) -> None:
    content = (
        "\ufeffsays,의도,a.b,no,who,part,lang,x\r\n"  # as Excel writes it
        '"Where is\nit?",track,d1,3,user,dev,en,1\r\n'
        '"",,d1,,,,,2\r\n'
        '"카드 ""분실""",lost,d2,1,,,ko,3\r\n'
    )
    file = written(tmp_path / f"a.{form}", content.replace(",", separator))
    assert turns(spark, file, format=form, **NAMES) == [TURNS[0], {"dialog_id": "d1"}, TURNS[2]]


@pytest.mark.parametrize("form", ["parquet", "orc"])
def test_columnar_files_are_read(spark: SparkSession, tmp_path: Path, form: str) -> None:
    spark.createDataFrame([tuple(record.values()) for record in RECORDS], SCHEMA).coalesce(1).write.format(form).save(
        f"{tmp_path}/a"
    )
    assert turns(spark, tmp_path / "a", format=form, **NAMES) == TURNS


def test_a_table_is_read(spark: SparkSession) -> None:
    spark.createDataFrame([tuple(record.values()) for record in RECORDS], SCHEMA).createTempView("dialogs")
    try:
        assert turns(spark, "dialogs", format="table", **NAMES) == TURNS
    finally:
        spark.catalog.dropTempView("dialogs")


def test_plain_text_has_utterances_only(spark: SparkSession, tmp_path: Path) -> None:
    file = written(tmp_path / "a.txt", "Where is it?\r\n\n카드\n")
    assert turns(spark, file, format="text") == [{"text": "Where is it?"}, {"text": ""}, {"text": "카드"}]


def test_paths_may_be_many_and_globs(spark: SparkSession, tmp_path: Path) -> None:
    for name in ("a/1.json", "a/2.json", "b/3.json"):
        written(tmp_path / name, lines({"text": name, "intent": "x"}))
    found = turns(spark, tmp_path / "a/*.json", tmp_path / "b")
    assert sorted(row["text"] for row in found) == ["a/1.json", "a/2.json", "b/3.json"]


def test_options_reach_the_reader(spark: SparkSession, tmp_path: Path) -> None:
    file = written(tmp_path / "a.csv", "hi|greet\n")
    options = {"sep": "|", "header": "false"}
    found = turns(spark, file, format="csv", options=options, text="_c0", intent="_c1")
    assert found == [{"text": "hi", "intent": "greet"}]


def test_json_that_is_broken_is_kept_as_it_stood(spark: SparkSession, tmp_path: Path) -> None:
    content = lines({"text": "hi", "intent": "greet"}) + '{"text": "half\nnonsense\n'
    found = turns(spark, written(tmp_path / "a.json", content))
    assert found[0] == {"text": "hi", "intent": "greet"}
    assert [row["malformed"] for row in found[1:]] == ['{"text": "half', "nonsense"]


@pytest.mark.parametrize("indent", [None, 2])
def test_json_files_of_one_array_are_read(spark: SparkSession, tmp_path: Path, indent: int | None) -> None:
    for name, records in (("a", RECORDS[:2]), ("b.json.gz", RECORDS[2:]), ("c.json", [])):
        written(tmp_path / "in" / name, json.dumps(records, ensure_ascii=False, indent=indent))
    found = turns(spark, tmp_path / "in", format="json", options={"multiLine": "true"}, **NAMES)
    assert sorted(found, key=str) == sorted(TURNS, key=str)


def test_a_json_file_of_one_array_that_is_broken_is_malformed(spark: SparkSession, tmp_path: Path) -> None:
    written(tmp_path / "a.json", '[{"text": "hi",\n "intent": "greet"}]')
    written(tmp_path / "b.json", '[{"text": "hi",\n "intent": "gre')
    found = turns(spark, tmp_path, options={"multiLine": "true"})
    assert [row.get("malformed") for row in found if row.get("text") is None] == ['[{"text": "hi",\n "intent": "gre']
    assert {"text": "hi", "intent": "greet"} in found


def test_json_lines_of_several_objects_are_refused(spark: SparkSession, tmp_path: Path) -> None:
    content = lines(*[{"text": "hi}{", "intent": "greet"}] * 18) + '{"text": "}{\n'
    two = '{"text": "a", "intent": "x"} {"text": "b", "intent": "y"}\n'
    assert len(turns(spark, written(tmp_path / "a.json", content))) == 19
    file = written(tmp_path / "a.json", content + two * 2)
    assert refusal(spark, file) == (
        f"2 of the first 21 lines of ['file://{file}'] hold several JSON objects: "
        "write each object on a line of its own (jq -c . does it)"
    )


def test_a_json_line_of_several_objects_is_warned_of(
    spark: SparkSession, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    content = lines(*[{"text": "hi", "intent": "greet"}] * 20) + '{"text": "a", "intent": "x"}{"text": "b"}\n'
    file = written(tmp_path / "a.json", content)
    assert turns(spark, file)[-1] == {"text": "a", "intent": "x"}
    assert caplog.messages == [
        f"1 of the first 21 lines of ['file://{file}'] hold several JSON objects, of which only the first is read"
    ]


def test_csv_of_too_many_or_too_few_values_is_kept_as_it_stood(spark: SparkSession, tmp_path: Path) -> None:
    file = written(tmp_path / "a.csv", "text,intent\nhi,greet\nhi, there,greet\nbye\n")
    assert [row.get("malformed") for row in turns(spark, file, format="csv")] == [None, "hi, there,greet", "bye"]


def test_values_of_other_json_types_are_read_as_text_and_a_turn_that_is_no_number_is_null(
    spark: SparkSession, tmp_path: Path
) -> None:
    content = lines({"text": 7, "intent": True, "no": "third"}, {"text": ["a"], "intent": {"b": 1}, "no": "3"})
    assert turns(spark, written(tmp_path / "a.json", content), turn="no") == [
        {"text": "7", "intent": "true"}, {"text": '["a"]', "intent": '{"b":1}', "turn": 3}
    ]  # fmt: skip


def test_a_field_that_only_late_records_have_is_found(spark: SparkSession, tmp_path: Path) -> None:
    content = lines(*[{"text": "hi", "intent": "greet"}] * 1000, {"text": "yo", "intent": "greet", "who": "user"})
    found = turns(spark, written(tmp_path / "a.json", content), speaker="who")
    assert found[-1] == {"text": "yo", "intent": "greet", "speaker": "user"}


@pytest.mark.parametrize(
    ("form", "content"), [("json", '{"utterance": "a", "intent": "b", "n": 1}'), ("csv", "intent,n,utterance\nb,1,a")]
)
@pytest.mark.parametrize(
    ("role", "name", "hint"),
    [
        ("text", "uterance", "did you mean 'utterance'?"),
        ("dialog_id", "zzz", "set corpus.dialog_id to one of them"),
    ],
)
def test_a_missing_column_is_named_with_what_there_is(
    spark: SparkSession, tmp_path: Path, form: str, content: str, role: str, name: str, hint: str
) -> None:
    file = written(tmp_path / f"a.{form}", content)
    message = refusal(spark, file, format=form, **{"text": "utterance", role: name})
    found, end = message.removeprefix(f"corpus.{role} = '{name}': the corpus has no such column; it has ").split(": ")
    assert (sorted(found.split(", ")), end) == (["intent", "n", "utterance"], hint)


@pytest.mark.parametrize("form", ["json", "csv"])
def test_an_empty_file_holds_no_rows(spark: SparkSession, tmp_path: Path, form: str) -> None:
    file = written(tmp_path / "a", "")
    assert refusal(spark, file, format=form) == (
        f"corpus.path ['{file}'] holds no rows with columns: check the path and corpus.format = '{form}'"
    )


@pytest.mark.parametrize("form", ["json", "csv", "parquet", "orc", "text", "table", "clinc150", "3i4k"])
def test_a_path_that_is_not_there_is_named(spark: SparkSession, tmp_path: Path, form: str) -> None:
    path = "no_such_table" if form == "table" else f"{tmp_path}/absent"
    assert refusal(spark, path, format=form).startswith(f"corpus.path ['{path}'] cannot be read as {form}: ")


def test_no_path_at_all_is_named(spark: SparkSession) -> None:
    assert refusal(spark).startswith("corpus.path is empty: ")


def test_a_file_of_another_format_is_said_in_a_line(spark: SparkSession, tmp_path: Path) -> None:
    (tmp_path / "corpus.parquet").write_text("this is no Parquet file")
    with pytest.raises(UserError, match=r"corpus.parquet'\] cannot be read as parquet: .*not a Parquet file") as caught:
        read_turns(spark, CorpusConfig(path=(str(tmp_path / "corpus.parquet"),), format="parquet"))
    assert "\n" not in str(caught.value)
