"""A model evaluated on any labelled table: what is read of it, what is left out, what the model cannot know."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from jobs import evaluate
from jobs.config import AppConfig, EvaluationConfig
from preprocessing.config import CorpusConfig
from preprocessing.errors import UserError
from training.config import TrainingConfig

pytestmark = [pytest.mark.spark, pytest.mark.tensorflow]

CORPUS = CorpusConfig(path=("nowhere",), text="said", intent="meant", dialog_id="d", turn="n", slice="shop")
ROWS = [
    {"said": "hello", "meant": "greeting", "shop": "a"},
    {"said": "Hello bye", "meant": "parting", "shop": "b"},  # a tie, which the first label wins
    {"said": "bye", "meant": " parting ", "shop": "b"},
    {"said": "what", "meant": "other", "shop": "b"},
    {"said": "bye bye", "meant": "<b>new</b>", "shop": None},
    {"said": " ", "meant": "greeting"},
    {"said": None, "meant": "greeting"},
    {"said": "hello", "meant": None},
    {"said": "🙂", "meant": "greeting", "shop": "a"},
    {"said": "bye " * 500, "meant": "parting", "shop": "a"},
]


def written(tmp_path: Path, rows: list[dict[str, Any]]) -> tuple[str]:
    lines = [json.dumps({"d": f"d{number}", "n": 0, **row}) for number, row in enumerate(rows)]
    (tmp_path / "table.json").write_text("\n".join([*lines, '{"said": "half']))
    return (str(tmp_path / "table.json"),)


@pytest.fixture
def config(tmp_path: Path, make_model: Any) -> AppConfig:
    make_model("run", {"hello": "greeting", "bye": "parting"})
    evaluation = EvaluationConfig(path=str(tmp_path / "report"), input=written(tmp_path, ROWS))
    return AppConfig(corpus=CORPUS, training=TrainingConfig(path=str(tmp_path / "run")), evaluation=evaluation)


def test_every_row_is_an_example_or_counted_with_its_reason(
    spark: SparkSession, config: AppConfig, caplog: pytest.LogCaptureFixture
) -> None:
    metrics = evaluate.run(spark, config)
    scored = {row.text: row for row in spark.read.parquet(f"{config.evaluation.path}/predictions").collect()}
    assert metrics["examples"] == len(scored) == 7
    assert metrics["rejected"] == {"no text": 2, "no intent": 1, "malformed record": 1}
    right = {text: row.predicted == row.intent for text, row in scored.items()}
    assert right == {
        "hello": True, "Hello bye": False, "bye": True, "what": True, "bye bye": False, "🙂": False, "bye " * 500: True,
    }  # fmt: skip
    assert metrics["accuracy"] == pytest.approx(4 / 7)
    assert metrics["slices"]["slice"] == [
        {"value": None, "examples": 1, "accuracy": 0.0},
        {"value": "a", "examples": 3, "accuracy": pytest.approx(2 / 3)},
        {"value": "b", "examples": 3, "accuracy": pytest.approx(2 / 3)},
    ]
    assert scored["bye " * 500].length == 12  # the model's max_tokens
    assert "1 examples are of 1 intents that the model does not know, and count as wrong: <b>new</b>" in caplog.text
    page = (Path(config.evaluation.path) / "report.html").read_text()
    assert "1 intents that the model does not know, such as “&lt;b&gt;new&lt;/b&gt;”" in page
    assert "4 rows of the table are no examples and are left out: malformed record 1, no intent 1, no text 2." in page


def test_a_table_without_examples_is_refused_with_the_reasons(
    spark: SparkSession, config: AppConfig, tmp_path: Path
) -> None:
    written(tmp_path, [{"said": "hello", "meant": "", "shop": "a"}, {"said": "", "meant": "greeting"}])
    with pytest.raises(UserError, match=r"no row with a text and an intent \(1 malformed record, 1 no intent, 1 no te"):
        evaluate.run(spark, config)
    assert not Path(config.evaluation.path).exists()


def test_a_table_without_the_text_column_is_named(spark: SparkSession, config: AppConfig) -> None:
    other = dataclasses.replace(config, corpus=dataclasses.replace(CORPUS, text="saying"))
    with pytest.raises(UserError, match=r"saying.*said"):
        evaluate.run(spark, other)
