"""What the driver refuses before it takes a single executor."""

import dataclasses
import json
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from preprocessing import storage
from preprocessing.errors import UserError
from preprocessing.manifest import read_manifest
from training.config import ModelConfig, TrainingConfig
from training.launch import check_files, train, warn_of_small_batch

pytestmark = pytest.mark.spark

MODEL, TRAINING = ModelConfig(), TrainingConfig(processes=2)


def refusal(spark: SparkSession, dataset: str, run: Path, **changes: object) -> str:
    with pytest.raises(UserError) as caught:
        train(spark, dataset, MODEL, dataclasses.replace(TRAINING, path=str(run), **changes))
    assert "\n" not in str(caught.value)
    assert not list(run.parent.glob("run*")), "something was written"
    return str(caught.value)


@pytest.mark.parametrize(("processes", "warned"), [(6, True), (5, False)])
def test_more_processes_than_files_are_said(
    dataset: str, caplog: pytest.LogCaptureFixture, processes: int, warned: bool
) -> None:
    check_files(read_manifest(dataset), processes)
    assert ("training.processes = 6, but the training split has 5 files" in caplog.text) is warned


def test_more_processes_than_slots(spark: SparkSession, dataset: str, tmp_path: Path) -> None:
    message = refusal(spark, dataset, tmp_path / "run", processes=3)
    assert "training.processes = 3, but local[2] runs 2 tasks at once: lower it" in message


def test_no_dataset(spark: SparkSession, tmp_path: Path) -> None:
    message = refusal(spark, str(tmp_path / "nowhere"), tmp_path / "run")
    assert f"no dataset at file://{tmp_path}/nowhere (it has no manifest.json): run preprocess" in message


def test_a_dataset_of_another_version(spark: SparkSession, tmp_path: Path) -> None:
    storage.write_json(f"{tmp_path}/data/manifest.json", {"kind": "dataset", "version": 99})
    message = refusal(spark, str(tmp_path / "data"), tmp_path / "run")
    assert "holds a dataset of version 99, not a dataset of version 1: run preprocess again" in message


def test_an_architecture_that_is_not_there(spark: SparkSession, dataset: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"model.architecture must be one of lstm.*found 'lstmm'"):
        ModelConfig(architecture="lstmm")
    with pytest.raises(UserError, match=r"'nowhere.at:all' cannot be imported: No module named 'nowhere'"):
        train(spark, dataset, ModelConfig("nowhere.at:all"), dataclasses.replace(TRAINING, path=str(tmp_path / "run")))


@pytest.mark.parametrize(("batch_size", "processes", "warned"), [(63, 2, True), (64, 2, False), (8, 1, False)])
def test_a_batch_that_is_too_small_for_so_many_processes_is_said(
    caplog: pytest.LogCaptureFixture, batch_size: int, processes: int, warned: bool
) -> None:
    warn_of_small_batch(TrainingConfig(batch_size=batch_size, processes=processes))
    assert ("training.batch_size = 63 leaves each of 2 processes 31.5 examples a step" in caplog.text) is warned


def test_an_option_that_the_optimizer_lacks(spark: SparkSession, dataset: str, tmp_path: Path) -> None:
    message = refusal(spark, dataset, tmp_path / "run", optimizer="sgd", optimizer_options={"beta_1": 0.9})
    assert message.startswith("training.optimizer_options = {'beta_1': 0.9} is refused by keras.optimizers.SGD: ")


def test_a_run_with_other_settings_is_not_mixed_up(spark: SparkSession, dataset: str, tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    before = '[dataset]\nfingerprint = "x"\n[model]\nunits = 64\n[training]\nmixed_precision = "float16"\n'
    (run / "config.toml").write_text(before)
    differing = r"model.units was 64, is 128.*training.mixed_precision was 'float16', is 'none'.*choose another"
    with pytest.raises(UserError, match=f"begun with other settings: .*{differing}") as refused:
        train(spark, dataset, MODEL, dataclasses.replace(TRAINING, path=str(run)))
    assert "model.ngrams" not in str(refused.value)  # a run older than a key has its default
    assert [file.name for file in tmp_path.rglob("*")] == ["run", "config.toml"]


def test_a_run_that_another_process_is_writing(spark: SparkSession, dataset: str, tmp_path: Path) -> None:
    holder = {"host": "elsewhere", "pid": 7, "id": "x", "renewed": 4e9}
    (tmp_path / "run.lease").write_text(json.dumps(holder))
    with pytest.raises(UserError, match=r"run is being written by process 7 on elsewhere: wait for it"):
        train(spark, dataset, MODEL, dataclasses.replace(TRAINING, path=str(tmp_path / "run")))
