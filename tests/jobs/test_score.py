"""Whole tables through a model: what it says of each text, nothing lost, nothing half there."""

import dataclasses
import datetime
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import Row, SparkSession

from jobs import score
from jobs.config import AppConfig, ScoringConfig
from preprocessing.errors import UserError
from training import registry
from training.artifact import load_model, model_checksum
from training.config import TrainingConfig
from training.registry import RegistryConfig

pytestmark = [pytest.mark.spark, pytest.mark.tensorflow]

SAYS = {"refund": "refund", "money": "refund", "hello": "greeting", "parcel": "delivery"}
TEXTS = ["Refund my MONEY", "hello", "parcel, hello? PARCEL", "😀", "hello " * 3000, "환불"]


def rows_of(spark: SparkSession, config: AppConfig, part: str = "predictions") -> dict[Any, Row]:
    return {row.id: row for row in spark.read.parquet(f"{config.scoring.output}/{part}").collect()}


def config_of(tmp_path: Path, **scoring: Any) -> AppConfig:
    kept = {"input": (str(tmp_path / "table"),), "output": str(tmp_path / "scores"), **scoring}
    return AppConfig(training=TrainingConfig(path=str(tmp_path / "run")), scoring=ScoringConfig(**kept))


def write_json(tmp_path: Path, *records: Mapping[str, Any] | str) -> None:
    lines = [record if isinstance(record, str) else json.dumps(record, ensure_ascii=False) for record in records]
    (tmp_path / "table").write_text("\n".join(lines))


def test_every_row_has_what_the_model_says_of_its_text(spark: SparkSession, tmp_path: Path, make_model: Any) -> None:
    model = make_model("run", SAYS)
    table = spark.createDataFrame([(number, text) for number, text in enumerate(TEXTS)], "id int, text string")
    table.repartition(3).write.parquet(str(tmp_path / "table"))
    config = config_of(tmp_path)
    manifest = score.run(spark, config)
    rows = rows_of(spark, config)
    assert len(rows) == manifest["rows"] == len(TEXTS) and manifest["rejected"] == {}
    said = load_model(model)(TEXTS)
    for number, (text, prediction) in enumerate(zip(TEXTS, said, strict=True)):
        row = rows[number]
        assert (row.text, row.intent) == (text, prediction.intents[0])
        assert row.probability == pytest.approx(prediction.probabilities[0], abs=1e-6)
        assert [top.intent for top in row.top3] == prediction.intents[:3]
        assert [top.probability for top in row.top3] == pytest.approx(prediction.probabilities[:3], abs=1e-6)
        assert row.out_of_scope == (row.intent == "other")
        assert row.model_version == f"run:{model_checksum(model)[:12]}"
    assert [rows[number].intent for number in range(4)] == ["refund", "greeting", "delivery", "other"]
    written = json.loads((tmp_path / "scores" / "manifest.json").read_text())
    assert written == manifest and written["model_checksum"] == model_checksum(model)


def test_the_intent_of_an_answer_below_the_threshold_is_the_out_of_scope_one(
    spark: SparkSession, make_model: Any
) -> None:
    model = make_model("run", SAYS, out_of_scope_threshold=0.6)
    frame = spark.createDataFrame([("hello",), ("hello parcel hello refund",), ("hmm",), ("",)], "text string")
    rows = {row.text: row for row in score.score(frame, model).collect()}
    said = [(row.intent, row.out_of_scope, row.top3[0].intent if row.top3 else None) for row in rows.values()]
    assert said == [("greeting", False, "greeting"), ("other", True, "greeting"), ("other", True, "other"),
                    (None, None, None)]  # fmt: skip
    assert rows["hello parcel hello refund"].probability < 0.6 < rows["hello"].probability


def test_rows_without_text_and_broken_records_are_apart_with_their_reason(
    spark: SparkSession, tmp_path: Path, make_model: Any
) -> None:
    make_model("run", SAYS)
    write_json(
        tmp_path, {"id": 1, "say": {"text": "hello"}}, {"id": 2, "say": {"text": None}}, {"id": 3, "say": None},
        {"id": 4, "say": {"text": "  "}}, {"id": 5, "say": {"text": ""}}, '{"id": 6, "say"',
    )  # fmt: skip
    config = config_of(tmp_path, format="json", text="say.text", keep=("id",))
    manifest = score.run(spark, config)
    assert manifest["rows"] == 1 and manifest["rejected"] == {"no text": 4, "malformed record": 1}
    assert list(rows_of(spark, config)) == [1]
    rejected = rows_of(spark, config, "rejected")
    assert {number: row.rejected_reason for number, row in rejected.items()} == {
        **dict.fromkeys((2, 3, 4, 5), "no text"), None: "malformed record",
    }  # fmt: skip
    assert rejected[None].rejected_record == '{"id": 6, "say"'


def test_columns_of_every_type_come_through(spark: SparkSession, tmp_path: Path, make_model: Any) -> None:
    make_model("run", SAYS)
    query = (
        "SELECT 1 id, 'hello' text, decimal(1.25) a, timestamp'2026-11-20 12:00:00' b, date'2026-11-20' c, "
        "map('k', 1) d, array(struct(1 x, 'y' y)) e, binary('z') f, 1.5D g, timestamp_ntz'2026-11-20 12:00:00' h"
    )
    table = spark.sql(query)
    table.write.parquet(str(tmp_path / "table"))
    config = config_of(tmp_path)
    score.run(spark, config)
    found = spark.read.parquet(str(tmp_path / "scores" / "predictions"))
    assert found.select(*table.columns).collect() == table.collect()
    assert found.first().b == datetime.datetime(2026, 11, 20, 12)
    assert found.columns == [*table.columns, *score.ADDED]


def test_the_function_for_the_shell_keeps_rows_without_text(spark: SparkSession, make_model: Any) -> None:
    model = make_model("run", SAYS)
    frame = spark.createDataFrame([("a", "hello"), ("b", None), ("c", "")], "id string, `what.said` string")
    rows = {row.id: row for row in score.score(frame, model, text="what.said", keep=["id"]).collect()}
    assert rows["a"].asDict() | {"probability": 0, "top3": []} == {
        "id": "a", "intent": "greeting", "probability": 0, "top3": [], "out_of_scope": False,
        "model_version": f"run:{model_checksum(model)[:12]}",
    }  # fmt: skip
    for name in ("b", "c"):
        nothing = [rows[name][column] for column in ("intent", "probability", "top3", "out_of_scope")]
        assert nothing == [None] * 4


def test_a_version_signs_its_predictions_and_current_follows_the_pointer(
    spark: SparkSession, tmp_path: Path, make_model: Any
) -> None:
    home = RegistryConfig(path=str(tmp_path / "registry"), version="current")
    for run, intent in (("one", "greeting"), ("two", "farewell")):
        model = make_model(run, {"hello": intent})
        registry.make_current(home.uri, registry.add_version(home.uri, model, {"checksum": model_checksum(model)}))
    write_json(tmp_path, {"id": 1, "text": "hello"})
    config = dataclasses.replace(config_of(tmp_path, format="json"), registry=home)
    for version, expected in (("current", ("farewell", "2")), ("1", ("greeting", "1"))):
        config = dataclasses.replace(config, registry=dataclasses.replace(home, version=version))
        score.run(spark, config)  # to the same place
        row = rows_of(spark, config)[1]
        assert (row.intent, row.model_version) == expected
    assert sorted(path.name for path in (tmp_path / "scores").iterdir()) == ["manifest.json", "predictions", "rejected"]


@pytest.mark.parametrize(
    ("scoring", "message"),
    [
        ({"input": ()}, "scoring.input is empty: name the table, with --set scoring.input=URI"),
        ({"output": ""}, "scoring.output is empty: name the table, with --set scoring.output=URI"),
        (
            {"text": "txet"},
            "scoring.text names 'txet': the table has no such column; it has id, intent, text: did you mean 'text'?",
        ),
        (
            {"text": "id.said"},
            "scoring.text names 'id.said': the table has no such column; it has id, intent, text: "
            "set scoring.text to one of them",
        ),
        ({"text": "id"}, "scoring.text names 'id': it must hold strings, found bigint"),
        (
            {"keep": ("id", "texts")},
            "scoring.keep names 'texts': the table has no such column; it has id, intent, text: did you mean 'text'?",
        ),
        (
            {},
            "the table has columns that scoring adds: intent; name the columns to keep without these, "
            "with scoring.keep",
        ),
    ],
)
def test_a_mistake_is_said_in_a_line_and_nothing_is_written(
    spark: SparkSession, tmp_path: Path, make_model: Any, scoring: dict[str, Any], message: str
) -> None:
    make_model("run", SAYS)
    write_json(tmp_path, {"id": 1, "text": "hello", "intent": "greeting"})
    with pytest.raises(UserError) as error:
        score.run(spark, config_of(tmp_path, **{"format": "json", **scoring}))
    assert str(error.value) == message
    assert not (tmp_path / "scores").exists()


def test_a_table_that_is_not_there_or_not_of_its_format_is_named(
    spark: SparkSession, tmp_path: Path, make_model: Any
) -> None:
    make_model("run", SAYS)
    with pytest.raises(UserError, match=r"scoring.input .*table.* cannot be read as json: .*PATH_NOT_FOUND"):
        score.run(spark, config_of(tmp_path, format="json"))
    write_json(tmp_path, {"id": 1})
    with pytest.raises(UserError, match=r"scoring.input .*table.* cannot be read as parquet: "):
        score.run(spark, config_of(tmp_path))


def test_what_is_no_output_of_this_job_is_not_replaced(spark: SparkSession, tmp_path: Path, make_model: Any) -> None:
    make_model("run", SAYS)
    (tmp_path / "mine").mkdir()
    write_json(tmp_path / "mine", {"id": 1, "text": "hello"})
    source = tmp_path / "mine" / "table"
    for output, message in ((tmp_path / "mine", "lies in scoring.output"), (tmp_path / "run", "something else")):
        with pytest.raises(UserError, match=message):
            score.run(spark, config_of(tmp_path, input=(str(source),), output=str(output), format="json"))
    assert source.exists() and (tmp_path / "run" / "model").exists()


def test_a_damaged_model_scores_nothing(spark: SparkSession, tmp_path: Path, make_model: Any) -> None:
    make_model("run", SAYS)
    write_json(tmp_path, {"id": 1, "text": "hello"})
    config = config_of(tmp_path, format="json")
    score.run(spark, config)
    before = rows_of(spark, config)
    (tmp_path / "run" / "model" / "vocabulary.txt").write_text("others")
    with pytest.raises(UserError, match=r"vocabulary.txt is damaged or missing"):
        score.run(spark, config)
    assert rows_of(spark, config) == before
