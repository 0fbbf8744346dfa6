"""What happens to processes on a cluster, done to those of a real training: it goes on to the same weights."""

import dataclasses
import os
import random
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from pyspark.sql import SparkSession

import training.guard
from preprocessing.manifest import read_manifest
from tests.training.faulty import MODEL, TRAINING, assert_no_process_is_left, assert_same_runs, faulty
from training.attempt import TrainingFailed
from training.checkpoint import read_checkpoint, read_history, read_position
from training.launch import train
from training.schedule import epoch_steps

pytestmark = [pytest.mark.spark, pytest.mark.tensorflow, pytest.mark.horovod]


def test_five_faults_in_one_run_change_nothing(
    spark: SparkSession, dataset: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    faults = ("1-kill", "1-freeze", "1-sleep_for_ever", "1-throw", "0-fill_the_disk")
    monkeypatch.syspath_prepend(str(tmp_path))
    model = faulty(tmp_path, *(f"{fault}-5-once" for fault in faults))
    runs = [tmp_path / name for name in ("struck", "spared")]
    train(spark, dataset, model, dataclasses.replace(TRAINING, path=str(runs[0])))
    assert not list(tmp_path.glob("fault-*")), "not every fault struck"
    assert_no_process_is_left(tmp_path)
    said = [record.getMessage() for record in caplog.records if record.getMessage().startswith("restart ")]
    where = r"epoch \d, step \d+ of \d+"
    expected = [
        rf"rank 1 on \S+ \(process \d+\) was killed, exit code 137; last seen: ({where}|before any step)",
        r"rank 1 on \S+ \(process \d+\) gives no sign of life: it stands still; last seen: ",
        rf"rank 1 on \S+, {where}: Stalled: this took longer than \d+ s",
        rf"rank 1 on \S+, {where}: UnknownError: ArithmeticError: this rank cannot count$",
        rf"rank 0 on \S+, {where}: StoreError: .*OSError: \[Errno 27\] File too large",
    ]
    for number, (line, words) in enumerate(zip(said, expected, strict=True), 1):
        assert re.match(
            rf"restart {number} of 5, with 2 of 2 processes from (the beginning|step \d+ of epoch \d): {words}", line
        ), line
    assert "in sleep_for_ever" in caplog.text, "the rank's own traceback is missing"

    train(spark, dataset, model, dataclasses.replace(TRAINING, path=str(runs[1]), checkpoint_minutes=0))
    assert_same_runs(*runs)
    assert {path.name for path in runs[0].iterdir()} == {path.name for path in runs[1].iterdir()}


def test_a_rank_that_sleeps_at_the_first_step_of_a_length_is_missed_as_soon(
    spark: SparkSession, dataset: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    steps = epoch_steps(read_manifest(dataset).splits["train"], TRAINING.batch_size, TRAINING.seed, 0)
    number = next(number for number, step in enumerate(steps, 1) if step.bucket != steps[0].bucket)
    monkeypatch.syspath_prepend(str(tmp_path))
    model = faulty(tmp_path, f"1-sleep_for_ever-{number}-once")
    train(spark, dataset, model, dataclasses.replace(TRAINING, path=str(tmp_path / "run"), epochs=1, stall_seconds=3))
    (seconds,) = re.findall(
        rf"rank 1 on .*, epoch 1, step {number} of .*: Stalled: this took longer than (\d+) s", caplog.text
    )
    assert 3 < int(seconds) < 200, "ten minutes, as long as what has nothing to be compared with"


def test_no_step_is_lost_with_another_rank_or_to_a_rank_that_is_told_to_end(
    spark: SparkSession, dataset: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    model = faulty(tmp_path, "1-kill-4-once", "0-terminate-4-once", "1-terminate-4-once")
    caplog.set_level("INFO")
    config = dataclasses.replace(TRAINING, checkpoint_minutes=0)
    runs = [tmp_path / name for name in ("struck", "spared")]
    train(spark, dataset, model, dataclasses.replace(config, path=str(runs[0])))
    lines = [record.getMessage() for record in caplog.records]
    assert [line[:12] for line in lines if " done: " in line] == [f"epoch {number} done" for number in (1, 2, 3)]
    assert any(
        re.match(r"ranks: 2 on \S+; no GPU; cuDNN LSTM: no \(no GPU\); gradients by shared memory$", line)
        for line in lines
    )
    said = [line for line in lines if line.startswith("restart ")]
    expected = [
        r"step 3 of epoch 1: rank 1 on \S+ \(process \d+\) was killed, exit code 137; last seen: ",
        r"step 7 of epoch 1: rank 0 on \S+, epoch 1, step 7 of \d+: Terminated: told to end by SIGTERM; step 7 of ",
        r"step 1[01] of epoch 1: rank 1 on \S+, epoch 1, step 1[12] of \d+: Terminated: told to end by SIGTERM$",
    ]
    for number, (line, words) in enumerate(zip(said, expected, strict=True), 1):
        assert re.match(rf"restart {number} of 5, with 2 of 2 processes from {words}", line), line
    train(spark, dataset, model, dataclasses.replace(config, path=str(runs[1])))
    assert_same_runs(*runs)
    assert_no_process_is_left(tmp_path)


def test_the_only_process_stands_still_and_then_fails_each_time(
    spark: SparkSession, dataset: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(training.guard, "SILENT_SECONDS", 5.0)
    model = faulty(tmp_path, "0-freeze-5-once", "0-throw-5-always")
    config = dataclasses.replace(TRAINING, path=str(tmp_path / "run"), processes=1, checkpoint_minutes=0)
    words = r"ArithmeticError: this rank cannot count; given up: 2 restarts from the beginning made no progress\n"
    with pytest.raises(TrainingFailed, match=words):
        train(spark, dataset, model, config)
    assert "restart 1 of 5, with 1 of 1 processes from the beginning: rank 0 on " in caplog.text
    last = r"(epoch 1, step \d of|before any step)"  # of a fast machine's steps no sign was written yet
    assert re.search(f"gives no sign of life: it stands still; last seen: {last}", caplog.text)
    assert_no_process_is_left(tmp_path)
    assert not (tmp_path / "run" / "progress.json").exists() and not (tmp_path / "run.lease").exists()


def test_it_gives_up_after_so_many_restarts_however_far_it_came(
    spark: SparkSession, dataset: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    model = faulty(tmp_path, "0-throw-5-once", "0-throw-20-once")  # by then a checkpoint of its own is written
    config = dataclasses.replace(TRAINING, path=str(tmp_path / "run"), processes=1, max_restarts=1)
    words = r"ArithmeticError: this rank cannot count; given up: training.max_restarts = 1\n"
    with pytest.raises(TrainingFailed, match=words):
        train(spark, dataset, model, config)
    assert read_position(config.path).step > 5
    assert_no_process_is_left(tmp_path)


ON_TWO_EXECUTORS = """
import dataclasses, sys
from jobs.cli import configure_logging, make_session
from jobs.config import AppConfig, SparkConfig
from tests.training.faulty import MODEL, TRAINING
import training.restarts
from training.launch import train
training.restarts.RETURN_SECONDS, training.restarts.MINIMUM_SECONDS = 2, 6
dataset, run, architecture, options, minimum = sys.argv[1:]
configure_logging()
conf = {"spark.master": "local-cluster[2,1,512]", "spark.executor.memory": "512m",
        "spark.executor.extraJavaOptions": f"@{options}"}
with make_session(AppConfig(spark=SparkConfig(conf))) as spark:
    model = dataclasses.replace(MODEL, architecture=architecture)
    train(spark, dataset, model, dataclasses.replace(TRAINING, path=run, min_processes=int(minimum)))
"""


def without_an_executor(dataset: str, directory: Path, minimum: int) -> subprocess.CompletedProcess[str]:
    """Two executors, of which one is lost for good, and a training that goes on with so many processes at least."""
    model = faulty(directory, "1-lose_the_executor-5-once")
    options = directory / "java-options"
    options.write_text("-XX:TieredStopAtLevel=1")
    words = [dataset, directory / "run", model.architecture, options, minimum]
    done = subprocess.run(
        [sys.executable, "-c", ON_TWO_EXECUTORS, *map(str, words)],
        env={**os.environ, "PYTHONPATH": f"{Path(__file__).parents[2]}:{directory}"}, capture_output=True, text=True,
        check=False, timeout=300,
    )  # fmt: skip
    assert_no_process_is_left(directory)
    return done


def test_training_goes_on_without_an_executor_to_the_same_weights(
    spark: SparkSession, dataset: str, tmp_path: Path
) -> None:
    done = without_an_executor(dataset, tmp_path, minimum=1)
    assert done.returncode == 0, done.stderr[-5000:]
    assert re.search(
        r"restart 1 of 5, with 1 of 2 processes from .*: rank 1 on .* is lost with its executor", done.stderr
    )
    assert [row["epoch"] for row in read_history((tmp_path / "run").as_uri())] == [1, 2, 3]
    spared = dataclasses.replace(TRAINING, path=(tmp_path / "spared").as_uri(), processes=1)
    train(spark, dataset, MODEL, spared)
    struck, whole = (read_checkpoint(run).weights for run in ((tmp_path / "run").as_uri(), spared.path))
    for one, other in zip(struck, whole, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=3e-5)  # 1e-5 for each epoch


def test_it_gives_up_without_so_many_processes_and_keeps_the_checkpoint(dataset: str, tmp_path: Path) -> None:
    done = without_an_executor(dataset, tmp_path, minimum=2)
    assert done.returncode == 1, done.stderr[-5000:]
    assert re.search(
        r"rank 1 on .* is lost with its executor.*; given up: after 6 s there are 1 slots "
        r"\(training.processes = 2, training.min_processes = 2\)",
        done.stderr,
    ), done.stderr[-5000:]
    assert read_position((tmp_path / "run").as_uri()).step > 0
    assert not (tmp_path / "run.lease").exists()


@pytest.mark.cluster
def test_twenty_random_kills_change_nothing(
    spark: SparkSession, dataset: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Too long for every day: make test-faults."""
    monkeypatch.syspath_prepend(str(tmp_path))
    draw = random.Random(1)
    model = faulty(tmp_path, *(f"{draw.randrange(2)}-kill-{draw.randrange(4, 9)}-once" for _ in range(20)))
    runs, config = [tmp_path / name for name in ("struck", "spared")], dataclasses.replace(TRAINING, epochs=5)
    train(spark, dataset, model, dataclasses.replace(config, path=str(runs[0]), max_restarts=25))
    assert not list(tmp_path.glob("fault-*")), "not every kill struck"
    train(spark, dataset, model, dataclasses.replace(config, path=str(runs[1]), checkpoint_minutes=0))
    assert_same_runs(*runs)
    assert_no_process_is_left(tmp_path)
