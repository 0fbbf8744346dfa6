"""The whole way of the data, as `make demo` goes it, on a small generated corpus."""

import dataclasses
import json
import logging
from pathlib import Path

import pytest
from pyspark.sql import SparkSession
from sklearn.metrics import accuracy_score, f1_score

from jobs import evaluate, generate, pipeline
from jobs.config import AppConfig, EvaluationConfig, load_config
from preprocessing.config import CorpusConfig, DatasetConfig, GeneratorConfig
from preprocessing.errors import UserError
from preprocessing.manifest import read_manifest
from training.artifact import load_model
from training.config import ModelConfig, TrainingConfig

pytestmark = [pytest.mark.spark, pytest.mark.tensorflow, pytest.mark.horovod]


@pytest.fixture(scope="module")
def config(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> AppConfig:
    """Configuration of a finished pipeline."""
    base = tmp_path_factory.mktemp("demo")
    corpus = CorpusConfig(
        path=(str(base / "corpus"),),
        dialog_id="dialog_id",
        turn="turn",
        speaker="speaker",
        language="language",
        slice="speaker",
    )
    config = AppConfig(
        corpus=corpus,
        dataset=DatasetConfig(path=str(base / "dataset"), out_of_scope="out_of_scope", files_per_split=2),
        model=ModelConfig(embedding_size=16, units=16),
        training=TrainingConfig(path=str(base / "run"), epochs=2, batch_size=64, learning_rate=0.01),
        evaluation=EvaluationConfig(path=str(base / "report")),
        generator=GeneratorConfig(rows=4_000),
    )
    generate.run(spark, config)
    pipeline.run(spark, config)
    return config


def metrics_of(config: AppConfig) -> dict:
    return json.loads((Path(config.evaluation.path) / "metrics.json").read_text())


def test_metrics_are_those_of_scikit_learn_on_the_predictions(config: AppConfig, spark: SparkSession) -> None:
    scored = spark.read.parquet(f"{config.evaluation.path}/predictions").toPandas()
    metrics = metrics_of(config)
    labels = sorted(set(scored.intent))
    assert metrics["examples"] == len(scored) == read_manifest(config.dataset.path).rows("test")
    assert metrics["accuracy"] == pytest.approx(accuracy_score(scored.intent, scored.predicted), abs=1e-9)
    macro = f1_score(scored.intent, scored.predicted, labels=labels, average="macro", zero_division=0)
    assert metrics["macro_f1"] == pytest.approx(macro, abs=1e-9)
    inside = scored[scored.intent != "out_of_scope"]
    assert metrics["in_scope_accuracy"] == pytest.approx((inside.intent == inside.predicted).mean(), abs=1e-9)
    assert sum(row["examples"] for row in metrics["calibration"]) == len(scored)
    assert sum(row["examples"] for row in metrics["slices"]["length"]) == len(scored)
    assert {row["value"] for row in metrics["slices"]["language"]} == {"en", "ko"}
    (slice_,) = metrics["slices"]["slice"]
    assert slice_ == {"value": "user", "examples": len(scored), "accuracy": pytest.approx(metrics["accuracy"])}
    assert metrics["slice_column"] == "speaker"


def test_the_right_intent_is_looked_for_among_the_first(config: AppConfig, spark: SparkSession) -> None:
    """What is predicted comes first, whether it is the most probable intent or not."""
    scored = spark.read.parquet(f"{config.evaluation.path}/predictions").toPandas()
    ranked = [list(dict.fromkeys([row.predicted, *row.intents])) for row in scored.itertuples()]
    found = metrics_of(config)["top_k_accuracy"]
    for rank in (1, 3, 5):
        right = [intent in first[:rank] for intent, first in zip(scored.intent, ranked, strict=True)]
        assert found[str(rank)] == pytest.approx(sum(right) / len(right), abs=1e-9)
    assert found["1"] == pytest.approx(metrics_of(config)["accuracy"]) and found["1"] < found["3"] < found["5"]


def test_the_time_for_one_utterance_is_taken_of_a_few_hundred(config: AppConfig) -> None:
    latency = metrics_of(config)["latency"]
    assert latency["texts"] == min(300, metrics_of(config)["examples"])
    assert 0 < latency["median_milliseconds"] <= latency["percentile_95_milliseconds"]


def test_predictions_are_what_the_model_says_of_the_raw_text(config: AppConfig, spark: SparkSession) -> None:
    rows = spark.read.parquet(f"{config.evaluation.path}/predictions").orderBy("text").limit(50).collect()
    said = load_model(f"{config.training.path}/model")([row.text for row in rows])
    assert [row.predicted for row in rows] == [
        "out_of_scope" if prediction.out_of_scope else prediction.intents[0] for prediction in said
    ]
    assert [row.probability for row in rows] == pytest.approx([p.probabilities[0] for p in said], abs=1e-5)


def test_the_report_is_a_page_with_the_accuracy(config: AppConfig) -> None:
    page = (Path(config.evaluation.path) / "report.html").read_text()
    assert page.lstrip().startswith("<!DOCTYPE html>")
    assert f"{100 * metrics_of(config)['accuracy']:.1f}" in page


def test_a_second_run_trains_nothing_again(
    config: AppConfig, spark: SparkSession, caplog: pytest.LogCaptureFixture
) -> None:
    before = metrics_of(config)
    with caplog.at_level(logging.INFO):
        pipeline.run(spark, config)
    assert "already trained with these settings" in caplog.text
    assert {**metrics_of(config), "latency": before["latency"]} == before


def test_no_model_to_evaluate_is_said_in_a_line(config: AppConfig, spark: SparkSession, tmp_path: Path) -> None:
    training = dataclasses.replace(config.training, path=str(tmp_path / "nothing"))
    report = EvaluationConfig(path=str(tmp_path / "report"))
    with pytest.raises(UserError, match=r"no model at file:.*nothing/model .*: run train, or correct training.path"):
        evaluate.run(spark, dataclasses.replace(config, training=training, evaluation=report))
    assert not (tmp_path / "report").exists()


def test_a_damaged_model_is_refused(config: AppConfig, tmp_path: Path) -> None:
    source = Path(config.training.path) / "model"
    copy = tmp_path / "model"
    for file in source.rglob("*"):
        if file.is_file():
            target = copy / file.relative_to(source)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(file.read_bytes())
    (copy / "labels.txt").write_text("another\n")
    with pytest.raises(UserError, match=r"labels.txt is damaged or missing"):
        load_model(copy.as_uri())


@pytest.mark.parametrize("file", sorted(Path(__file__).parents[2].glob("conf/*.toml")), ids=lambda file: file.stem)
def test_every_configuration_that_we_ship_resolves(file: Path) -> None:
    config = load_config(str(file))
    assert config.training.path or file.stem == "nightly"  # whose places the schedule gives
