"""The pipeline run again: what is there for the same inputs stays untouched, what hangs on a change is made anew."""

import dataclasses
import hashlib
import logging
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from jobs import pipeline
from jobs.config import AppConfig, with_settings
from preprocessing.errors import UserError
from preprocessing.manifest import read_manifest
from training import registry
from training.artifact import read_model
from training.registry import RegistryConfig

pytestmark = [pytest.mark.spark, pytest.mark.tensorflow, pytest.mark.horovod]

Files = dict[str, tuple[int, str]]  # by path: when it was written, and its checksum


@pytest.fixture(scope="module")
def config(ran_pipeline: Any, tmp_path_factory: pytest.TempPathFactory) -> AppConfig:
    """Configuration of a finished pipeline that published its model."""
    return ran_pipeline(tmp_path_factory.mktemp("again"), {"dataset.files_per_split": 2})


def files_below(*directories: str) -> Files:
    files = [file for directory in directories for file in Path(directory).rglob("*") if file.is_file()]
    return {str(file): (file.stat().st_mtime_ns, hashlib.sha256(file.read_bytes()).hexdigest()) for file in files}


def outputs(config: AppConfig) -> Files:
    return files_below(config.dataset.path, config.training.path, config.evaluation.path, config.registry.path)


def elsewhere(config: AppConfig, path: Path, *sections: str) -> AppConfig:
    """The configuration with the outputs of some sections below `path`."""
    return with_settings(config, {f"{section}.path": str(path / section) for section in sections})


def test_the_run_is_published(config: AppConfig) -> None:
    version = registry.version_uri(config.registry.uri, 1)
    assert registry.current_version(config.registry.uri) == 1
    assert read_model(version).checksum == read_model(f"{config.training.path}/model").checksum


def test_a_second_run_writes_nothing(config: AppConfig, spark: SparkSession, caplog: pytest.LogCaptureFixture) -> None:
    before = outputs(config)
    with caplog.at_level(logging.INFO):
        metrics = pipeline.run(spark, config)
    said = [line.rpartition("/")[2] for line in caplog.messages if " -> " not in line]
    assert said == [
        "dataset is of the same corpus and settings: skipped",
        "run is already trained with these settings; nothing to do",
        f"report is of the same model and dataset: skipped, accuracy {metrics['accuracy']:.4f}",
        "intents",
    ]
    assert "already published as version 1" in caplog.messages[3]
    assert outputs(config) == before


def test_another_report_is_all_that_a_new_place_for_it_asks_for(
    config: AppConfig, spark: SparkSession, tmp_path: Path
) -> None:
    before = outputs(config)
    other = elsewhere(config, tmp_path, "evaluation")
    pipeline.run(spark, other)
    assert (tmp_path / "evaluation" / "report.html").exists()
    assert outputs(config) == before


def test_a_stricter_gate_refuses_and_makes_nothing_anew(config: AppConfig, spark: SparkSession, tmp_path: Path) -> None:
    before = outputs(config)
    strict = with_settings(elsewhere(config, tmp_path, "registry"), {"evaluation.minimum_accuracy": 1.0})
    with pytest.raises(UserError, match=r"^not published: accuracy 0\.\d+ over \d+ examples"):
        pipeline.run(spark, strict)
    assert outputs(config) == before and not files_below(str(tmp_path / "registry"))


def test_a_changed_corpus_is_followed_by_all_that_hangs_on_it(
    config: AppConfig,
    spark: SparkSession,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    request: pytest.FixtureRequest,
) -> None:
    """And by nothing else: the finished run of the old dataset is refused, not overwritten."""
    own = elsewhere(config, tmp_path, "dataset", "evaluation", "registry")
    shutil.copytree(config.dataset.path, own.dataset.path)
    runs = files_below(config.training.path)
    old = read_manifest(config.dataset.path).fingerprint
    more = Path(config.corpus.path[0]) / "more.json"
    request.addfinalizer(more.unlink)
    more.write_text('{"text": "parcel?", "intent": "order_status", "dialog_id": "new", "turn": 0, "speaker": "user"}')
    with caplog.at_level(logging.INFO), pytest.raises(UserError) as refused:
        pipeline.run(spark, own)
    assert f"{own.dataset.path} is made again, as these changed: the corpus' files" in caplog.text
    new = read_manifest(own.dataset.path).fingerprint
    assert new != old and f"begun with other settings: dataset.fingerprint was '{old}', is '{new}'" in str(
        refused.value
    )
    assert files_below(config.training.path) == runs
    datasets = files_below(own.dataset.path)
    with caplog.at_level(logging.INFO):
        pipeline.run(spark, elsewhere(own, tmp_path, "training"))
    assert f"preprocess: {(tmp_path / 'dataset').as_uri()} is of the same corpus and settings: skipped" in caplog.text
    assert files_below(own.dataset.path) == datasets
    assert re.search(r"published .*/training/model as version 1", caplog.text)
    assert read_model(f"{tmp_path}/training/model").manifest["fingerprint"] == new


def test_a_report_on_another_dataset_of_equal_examples_is_made_again(
    config: AppConfig, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Its languages, or what the corpus was, may differ."""
    own = elsewhere(config, tmp_path, "dataset")
    shutil.copytree(config.dataset.path, own.dataset.path)
    assert pipeline.read_same_report(own)
    manifest = tmp_path / "dataset" / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"rows_in": 2000', '"rows_in": 2001'))
    with caplog.at_level(logging.INFO):
        assert pipeline.read_same_report(own) is None
    assert caplog.messages[-1].endswith("/report is made again, as these changed: dataset")


def test_a_report_about_the_test_split_is_not_taken_for_that_of_a_table(config: AppConfig) -> None:
    assert pipeline.read_same_report(config)
    of_a_table = with_settings(config, {"evaluation.input": [f"{config.dataset.path}/test"]})
    assert pipeline.read_same_report(of_a_table) is None


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"evaluation.path": ""}, "evaluation.path is empty: say where the report goes"),
        ({"training.path": ""}, "training.path is empty: say where the run goes"),
        ({"registry.version": "1"}, "registry.version = '1' names a published model, and pipeline makes a new one"),
    ],
)
def test_what_would_fail_after_hours_is_refused_first(
    config: AppConfig, spark: SparkSession, tmp_path: Path, settings: dict[str, Any], said: str
) -> None:
    fresh = with_settings(elsewhere(config, tmp_path, "dataset"), settings)
    with pytest.raises(UserError, match=said):
        pipeline.run(spark, fresh)
    assert not any(tmp_path.iterdir())


def test_the_plan_names_publishing_where_there_is_a_registry(config: AppConfig) -> None:
    assert f"then publish {config.training.path}/model" in pipeline.plan(config)
    assert "publish" not in pipeline.plan(dataclasses.replace(config, registry=RegistryConfig()))
