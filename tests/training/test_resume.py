"""A rank that is killed while it writes a checkpoint: from what it left, and from less, the same weights come out."""

import dataclasses
import glob
import shutil
import signal
import time
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from preprocessing import storage
from tests.training.faulty import NGRAMS, assert_same_runs
from tests.training.test_train import MODEL, TRAINING, finish, job_for, start
from training.checkpoint import POINTER, Position, read_checkpoint, read_history, read_position
from training.launch import train
from training.worker import TrainJob

pytestmark = [pytest.mark.spark, pytest.mark.tensorflow, pytest.mark.horovod]

LARGE = dataclasses.replace(MODEL, units=512, dropout=0.2, **NGRAMS)  # 17 MB a checkpoint, which take their time
HALF = "checkpoints/*/state.npz.tmp-*"  # for glob.glob: pathlib's fails where an older checkpoint vanishes


def kill_while_it_writes(job: TrainJob, run: Path, file: Path) -> Position:
    """Kills the rank in the middle of a checkpoint within the second epoch; what is pointed to then."""
    for _ in range(10):
        process = start(job, file)
        while not (glob.glob(HALF, root_dir=run) and read_position(job.run).step and read_position(job.run).history):
            assert process.poll() is None, "the run ended before it could be killed"
            time.sleep(0.001)
        process.send_signal(signal.SIGKILL)
        process.wait()
        if glob.glob(HALF, root_dir=run):
            return read_position(job.run)
    raise AssertionError("each time the checkpoint was written before the rank was killed")


def test_a_run_killed_while_it_writes_a_checkpoint_goes_on_to_the_same_weights(
    spark: SparkSession, dataset: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    training = dataclasses.replace(TRAINING, processes=1, epochs=2)
    whole, killed, damaged = (tmp_path / name for name in ("whole", "killed", "damaged"))
    finish(job_for(dataset, whole, training, LARGE), tmp_path / "job")
    often = dataclasses.replace(training, checkpoint_minutes=1e-6)
    position = kill_while_it_writes(job_for(dataset, killed, often, LARGE), killed, tmp_path / "job")
    assert position.step and len(position.history) == 1, f"killed at {position}, which proves nothing"
    assert read_checkpoint(killed.as_uri()).position == position
    shutil.copytree(killed, damaged)

    job = job_for(dataset, killed, training, LARGE)
    finish(job, tmp_path / "job")
    assert_same_runs(whole, killed)

    newest = storage.read_text(f"{damaged.as_uri()}/checkpoints/{POINTER}").split('"name": "')[1].split('"')[0]
    with (damaged / "checkpoints" / newest / "state.npz").open("r+b") as file:
        file.seek(-1000, 2)
        file.write(b"damaged")
    train(spark, dataset, LARGE, dataclasses.replace(training, path=str(damaged)))
    assert f"{newest}/state.npz is damaged: training goes on from " in caplog.text
    assert_same_runs(whole, damaged)
    assert not list(damaged.rglob("*.tmp-*"))

    lines = (killed / "history.csv").read_text().splitlines(keepends=True)
    (killed / "history.csv").write_text("".join(lines[:-1]))  # as if killed before it was written
    finish(job, tmp_path / "job")
    assert len(read_history(killed.as_uri())) == 2


def test_temporary_files_of_a_killed_rank_are_where_spark_removes_them(dataset: str, tmp_path: Path) -> None:
    local, elsewhere = tmp_path / "local", tmp_path / "elsewhere"
    for directory in (local, elsewhere):
        directory.mkdir()
    job = job_for(dataset, tmp_path / "run", dataclasses.replace(TRAINING, trace_steps=10_000))
    process = start(job, tmp_path / "job", SPARK_LOCAL_DIRS=f"{local},/nowhere", TMPDIR=str(elsewhere))
    while not (found := [path.name for path in tmp_path.glob("*/parley-trace-*")]):
        assert process.poll() is None, "the run ended before it could be killed"
        time.sleep(0.01)
    process.kill()
    process.wait()
    assert (local / found[0]).is_dir() and not list(elsewhere.iterdir())
