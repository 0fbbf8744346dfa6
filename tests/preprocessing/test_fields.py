"""Nested fields by dotted path, lists of intents, and what is said of fields that are not there."""

import json
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from preprocessing.config import CorpusConfig
from preprocessing.errors import UserError
from preprocessing.readers import read_turns

pytestmark = pytest.mark.spark

SCHEMA = "payload struct<message: struct<text: string, n: int>, labels: array<string>>, meta struct<id: string>"
RECORDS: list[dict[str, Any]] = [
    {"payload": {"message": {"text": "hi", "n": 1}, "labels": ["greet"]}, "meta": {"id": "d1"}},
    {"payload": {"message": {"text": "bye", "n": None}, "labels": ["lost", " bye ", "lost", ""]}, "meta": {"id": "d1"}},
    {"payload": {"message": None, "labels": []}, "meta": None},
    {"payload": None, "meta": {"id": "d2"}},
]
NESTED = {
    "text": "payload.message.text",
    "turn": "payload.message.n",
    "intent": "payload.labels",
    "dialog_id": "meta.id",
}
TURNS = [
    {"text": "hi", "turn": 1, "intent": "greet", "dialog_id": "d1"},
    {"text": "bye", "intent": "lost ␞ bye", "dialog_id": "d1"},
    {"intent": ""},
    {"dialog_id": "d2"},
]


def turns(spark: SparkSession, path: object, form: str, **fields: str) -> list[dict[str, Any]]:
    """The rows of a corpus, without the columns that are null."""
    rows = read_turns(spark, CorpusConfig(path=(str(path),), format=form, **fields)).collect()
    return [{name: value for name, value in row.asDict().items() if value is not None} for row in rows]


def json_file(directory: Path, *records: dict[str, Any]) -> Path:
    """The records as JSON lines."""
    file = directory / "a.json"
    file.write_text("".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records))
    return file


def refusal(spark: SparkSession, path: object, form: str, **fields: str) -> str:
    with pytest.raises(UserError) as error:
        turns(spark, path, form, **fields)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_nested_fields_of_json_have_dotted_paths(spark: SparkSession, tmp_path: Path) -> None:
    assert turns(spark, json_file(tmp_path, *RECORDS), "json", **NESTED) == TURNS


@pytest.mark.parametrize("form", ["parquet", "orc", "table"])
def test_nested_fields_of_typed_records_have_dotted_paths(spark: SparkSession, tmp_path: Path, form: str) -> None:
    frame = spark.createDataFrame(RECORDS, SCHEMA).coalesce(1)
    if form == "table":
        spark.sql("create database shop")
        frame.write.saveAsTable("shop.dialogs", "parquet", path=str(tmp_path / "dialogs"))
    else:
        frame.write.format(form).save(str(tmp_path / "dialogs"))
    try:
        assert turns(spark, "shop.dialogs" if form == "table" else tmp_path / "dialogs", form, **NESTED) == TURNS
    finally:
        spark.sql("drop database if exists shop cascade")


def test_a_field_whose_own_name_holds_dots_is_found_first(spark: SparkSession, tmp_path: Path) -> None:
    below = {"text": "below", "in.ner": {"x.y": "i`1"}}
    file = json_file(tmp_path, {"pay.load": below, "pay.load.text": "own", "pay": {"load.text": "other"}})
    assert turns(spark, file, "json", text="pay.load.text", intent="pay.load.in.ner.x.y") == [
        {"text": "own", "intent": "i`1"}
    ]
    file = json_file(tmp_path, {"pay": {"load.text": "other"}, "pay.load": {"text": "below"}})
    assert turns(spark, file, "json", text="pay.load.text", intent="") == [{"text": "below"}]


def test_a_record_that_is_no_record_where_the_others_are_is_malformed(spark: SparkSession, tmp_path: Path) -> None:
    records = [*[RECORDS[0]] * 1000, {"payload": "hi", "meta": {"id": "d1"}}]
    found = turns(spark, json_file(tmp_path, *records), "json", **NESTED)
    assert found[-1].pop("malformed") == json.dumps(records[-1])
    assert found[-1] == {"dialog_id": "d1"}


def test_a_nested_field_that_only_late_records_have_is_found(spark: SparkSession, tmp_path: Path) -> None:
    records = [*[{"text": "hi", "meta": {"a": 1}}] * 1000, {"text": "yo", "meta": {"intent": "greet"}}]
    assert turns(spark, json_file(tmp_path, *records), "json", intent="meta.intent")[-1] == {
        "text": "yo", "intent": "greet"
    }  # fmt: skip


def test_a_missing_nested_field_is_named_with_what_there_is(spark: SparkSession, tmp_path: Path) -> None:
    file = json_file(tmp_path, RECORDS[0])
    assert refusal(spark, file, "json", **{**NESTED, "text": "payload.mesage.text"}) == (
        "corpus.text = 'payload.mesage.text': the corpus has no such column; it has meta.id, payload.labels, "
        "payload.message.n, payload.message.text: did you mean 'payload.message.text'?"
    )


@pytest.mark.parametrize("form", ["json", "parquet"])
@pytest.mark.parametrize("name", ["talk.turns.text", "talk.turns"])
def test_a_list_of_records_is_refused(spark: SparkSession, tmp_path: Path, form: str, name: str) -> None:
    file = json_file(tmp_path, {"talk": {"turns": [{"text": "hi", "intent": "a"}]}, "intent": "a"})
    if form == "parquet":
        spark.read.json(str(file)).write.parquet(str(tmp_path / "parquet"))
    assert refusal(spark, tmp_path / "parquet" if form == "parquet" else file, form, text=name) == (
        f"corpus.text = '{name}': 'talk.turns' is a list of records, and a row must be one turn: "
        "write one row for each of them (in Spark: explode), then preprocess that"
    )


def test_intents_of_json_may_be_lists_in_some_records_and_names_in_others(spark: SparkSession, tmp_path: Path) -> None:
    intents = ["greet", ["greet"], ["greet", "bye"], ["greet", "greet"], [], None, "[greet", ["a", None, 7]]
    file = json_file(tmp_path, *[{"text": "hi", "intent": intent} for intent in intents])
    assert [row.get("intent") for row in turns(spark, file, "json")] == [
        "greet", "greet", "greet ␞ bye", "greet", "", None, "[greet", "a ␞ 7"
    ]  # fmt: skip
