"""What MLflow is told of a training, its evaluation and its publication: with MLflow itself and a store of files."""

import dataclasses
import json
import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run
from pyspark.sql import SparkSession

from jobs import evaluate, pipeline, publish, train
from jobs.config import AppConfig, TrackingConfig, load_config
from jobs.tracking import track_report
from preprocessing import storage
from preprocessing.errors import UserError
from preprocessing.manifest import read_manifest
from training.artifact import load_model, read_model
from training.checkpoint import read_history

pytestmark = [pytest.mark.spark, pytest.mark.tensorflow, pytest.mark.horovod]


@pytest.fixture(scope="module", autouse=True)
def files_allowed() -> Any:
    """MLflow keeps its store of files, which needs no server, for those who say so."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
        yield


@pytest.fixture(scope="module")
def config(ran_pipeline: Any, tmp_path_factory: pytest.TempPathFactory) -> AppConfig:
    """Configuration of a finished pipeline that was tracked."""
    base = tmp_path_factory.mktemp("tracking")
    return ran_pipeline(base, {
        "training.path": str(base / "2026-11-20" / "run"), "training.epochs": 2,
        "tracking.uri": (base / "mlruns").as_uri(), "tracking.experiment": "intents",
    })  # fmt: skip


def tracked(config: AppConfig) -> list[Run]:
    """All runs that MLflow knows of, finished or not."""
    client = MlflowClient(config.tracking.uri)
    experiment = client.get_experiment_by_name(config.tracking.experiment)
    return list(client.search_runs([experiment.experiment_id])) if experiment else []


def test_parameters_and_figures_are_those_of_the_run_and_its_report(config: AppConfig) -> None:
    (run,) = tracked(config)
    assert run.info.status == "FINISHED" and run.info.run_name == "2026-11-20/run"
    lineage = read_model(f"{storage.absolute(config.training.path)}/model").manifest
    settings = {f"{part}.{key}": str(lineage[part][key]) for part in ("model", "training") for key in lineage[part]}
    assert run.data.params == settings and settings["model.embedding_size"] == "16"
    metrics = json.loads((Path(config.evaluation.path) / "metrics.json").read_text())
    assert run.data.metrics["test_accuracy"] == metrics["accuracy"]
    assert run.data.metrics["test_macro_f1"] == metrics["macro_f1"]
    history = read_history(storage.absolute(config.training.path))
    for name in ("loss", "validation_accuracy"):
        told = MlflowClient(config.tracking.uri).get_metric_history(run.info.run_id, name)
        assert [(point.step, point.value) for point in told] == [(line["epoch"], line[name]) for line in history]


def test_tags_tell_the_lineage_and_the_published_version(config: AppConfig) -> None:
    (run,) = tracked(config)
    model = read_model(f"{storage.absolute(config.training.path)}/model")
    wanted = {
        "parley.model": model.uri, "parley.model_checksum": model.checksum, "parley.corpus": config.corpus.path[0],
        "parley.dataset": storage.absolute(config.dataset.path),
        "parley.report": storage.absolute(config.evaluation.path),
        "parley.fingerprint": read_manifest(storage.absolute(config.dataset.path)).fingerprint,
        "parley.trained_at": model.manifest["trained_at"], "parley.version.keras": model.manifest["versions"]["keras"],
        "parley.published_version": "1", "parley.registry": config.registry.uri,
    }  # fmt: skip
    assert {name: run.data.tags.get(name) for name in wanted} == wanted


def test_the_model_and_the_report_are_its_artifacts(config: AppConfig, tmp_path: Path) -> None:
    (run,) = tracked(config)
    client = MlflowClient(config.tracking.uri)
    model = Path(client.download_artifacts(run.info.run_id, "model", str(tmp_path)))
    texts = ["where is my parcel"]
    assert load_model(model.as_uri())(texts) == load_model(f"{storage.absolute(config.training.path)}/model")(texts)
    for name in ("report.html", "metrics.json"):
        copy = client.download_artifacts(run.info.run_id, f"report/{name}", str(tmp_path))
        assert Path(copy).read_bytes() == (Path(config.evaluation.path) / name).read_bytes()


def test_the_same_report_is_tracked_once(
    config: AppConfig, spark: SparkSession, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        pipeline.run(spark, config)
    assert "is tracked already" in caplog.text and len(tracked(config)) == 1


def test_reports_of_a_table_are_tracked_once_each(config: AppConfig, spark: SparkSession, tmp_path: Path) -> None:
    """They have no dataset, and so no fingerprint to be told apart by."""
    for name, rows in (("few", 20), ("more", 40)):
        spark.read.parquet(f"{config.dataset.path}/test").limit(rows).write.parquet(str(tmp_path / name))
    tracking = TrackingConfig(uri=(tmp_path / "mlruns").as_uri())
    for name in ("few", "more", "more"):
        parquet = dataclasses.replace(config.corpus, format="parquet", speaker="")
        table = {"input": (str(tmp_path / name),), "path": str(tmp_path / "report")}
        evaluation = dataclasses.replace(config.evaluation, **table)
        evaluate.run(spark, dataclasses.replace(config, corpus=parquet, evaluation=evaluation, tracking=tracking))
    runs = tracked(dataclasses.replace(config, tracking=tracking))
    assert sorted(run.data.metrics["test_examples"] for run in runs) == [20, 40]


def test_tracking_that_broke_off_is_done_by_the_same_command_again(config: AppConfig, tmp_path: Path) -> None:
    """The report's page is gone when it is to be sent; MLflow keeps a failed run of that."""
    other = dataclasses.replace(config, tracking=TrackingConfig(uri=(tmp_path / "mlruns").as_uri()))
    page = Path(config.evaluation.path) / "report.html"
    page.rename(tmp_path / "report.html")
    with pytest.raises(FileNotFoundError):
        track_report(other)
    (tmp_path / "report.html").rename(page)
    assert [run.info.status for run in tracked(other)] == ["FAILED"]
    track_report(other)
    assert sorted(run.info.status for run in tracked(other)) == ["FAILED", "FINISHED"]


def test_a_version_that_nobody_tracked_is_named(
    config: AppConfig, spark: SparkSession, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    publish.run(spark, dataclasses.replace(config, tracking=TrackingConfig(uri=(tmp_path / "mlruns").as_uri())))
    assert "version 1 is not tracked in" in caplog.text


def test_a_store_that_mlflow_cannot_use_is_refused_before_training(
    config: AppConfig, spark: SparkSession, tmp_path: Path
) -> None:
    nowhere = dataclasses.replace(
        config, tracking=TrackingConfig(uri="gopher://mlflow"),
        training=dataclasses.replace(config.training, path=str(tmp_path / "run")),
    )  # fmt: skip
    with pytest.raises(UserError, match=r"tracking.uri = 'gopher://mlflow' cannot be used: .*gopher.*: correct it"):
        train.run(spark, nowhere)
    assert not any(tmp_path.iterdir())


def test_without_mlflow_the_key_is_refused_and_all_else_is_as_before(tmp_path: Path) -> None:
    """In an interpreter where mlflow cannot be imported, as where it was not installed."""
    words = [
        "jobs.evaluate",
        "--set",
        f"tracking.uri={tmp_path.as_uri()}",
        "--set",
        f"evaluation.path={tmp_path}/report",
    ]
    hidden = "import runpy, sys; sys.modules['mlflow'] = None; sys.argv = sys.argv[1:]; runpy.run_module(sys.argv[0], run_name='__main__')"  # noqa: E501
    found = subprocess.run([sys.executable, "-c", hidden, *words], capture_output=True, text=True, check=False)
    assert found.returncode == 2
    assert "asks for MLflow, which is not installed: pip install mlflow-skinny" in found.stderr.splitlines()[-1]
    without = subprocess.run(
        [sys.executable, "-c", hidden, "jobs.evaluate"], capture_output=True, text=True, check=False
    )
    assert without.returncode == 2 and without.stderr.splitlines()[-1].startswith("parley: evaluation.path is empty")


def test_nothing_imports_mlflow_where_tracking_is_off() -> None:
    code = "import sys, jobs.pipeline as p, jobs.tracking as t, jobs.config as c; t.connect(c.TrackingConfig()); "
    subprocess.run([sys.executable, "-c", f"{code}sys.exit('mlflow' in sys.modules)"], check=True)


@pytest.mark.parametrize("uri", ["https://me:secret@mlflow.example", "https://token@mlflow.example/api"])
def test_a_password_in_the_uri_is_refused_and_not_repeated(uri: str) -> None:
    with pytest.raises(UserError, match=r"tracking\.uri has a user's name in it") as refused:
        load_config(None, [f"tracking.uri={uri}"])
    assert "secret" not in str(refused.value) and "token@" not in str(refused.value)
    assert load_config(None, ["tracking.uri=https://mlflow.example/a@b"]).tracking.uri
