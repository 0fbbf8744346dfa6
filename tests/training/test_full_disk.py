"""Disks that are really full, under a training: it says so, keeps what it has, and goes on once there is room."""

import dataclasses
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from tests.training.faulty import TRAINING, assert_no_process_is_left, assert_same_runs, faulty
from training.launch import train

pytestmark = [pytest.mark.spark, pytest.mark.tensorflow, pytest.mark.horovod]

# Two small disks, which are there for this command alone and gone with it: one for the run, one for Spark's own files.
# Each is full when its turn comes, and is emptied once the driver has said so.
ON_SMALL_DISKS = """
import dataclasses, importlib, logging, shutil, sys
from pathlib import Path
from jobs.cli import configure_logging, make_session
from jobs.config import AppConfig, SparkConfig
from tests.training.faulty import MODEL, TRAINING
from training.checkpoint import read_position
from training.launch import train

dataset, directory, architecture = sys.argv[1:]
run, local = Path(directory) / "full" / "run", Path(directory) / "local"

class MakeRoom(logging.Handler):
    def emit(self, record):
        line = record.getMessage()
        if line.startswith("restart 1 "):
            (local / "ballast").unlink()
        if line.startswith("not restarted yet"):
            print("kept:", read_position(run.as_uri()), *sorted(path.name for path in run.rglob("*.tmp-*")), flush=True)
            (run.parent / "ballast").unlink(missing_ok=True)

configure_logging()
logging.getLogger().addHandler(MakeRoom())
with make_session(AppConfig(spark=SparkConfig({"spark.master": "local[2]", "spark.local.dir": str(local)}))) as spark:
    importlib.import_module(architecture.removesuffix(":build")).fill("local")
    model = dataclasses.replace(MODEL, architecture=architecture)
    train(spark, dataset, model, dataclasses.replace(TRAINING, epochs=2, processes=1, path=str(run)))
shutil.copytree(run, Path(directory) / "struck")
"""


def test_full_disks_change_nothing_once_there_is_room(
    spark: SparkSession, dataset: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    model = faulty(tmp_path, "0-keep_the_disk_full-5-once")
    disks = [tmp_path / name for name in ("full", "local")]
    for disk in disks:
        disk.mkdir()
    mount = " && ".join(f"mount -t tmpfs -o size=8m none '{disk}'" for disk in disks)
    own_mounts = ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--map-root-user"]), "sh", "-c"]
    done = subprocess.run(
        [*own_mounts, f'{mount} && exec "$@"', "sh", sys.executable, "-c", ON_SMALL_DISKS, dataset, str(tmp_path),
         model.architecture],
        env={**os.environ, "PYTHONPATH": f"{Path(__file__).parents[2]}:{tmp_path}"},
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-5000:]
    assert not list(tmp_path.glob("fault-*")), "the fault did not strike"
    assert_no_process_is_left(tmp_path)
    where = r"epoch \d, step \d+ of \d+"
    assert re.search(
        rf"restart 1 of 5, with 1 of 1 processes from the beginning: rank 0 on \S+, starting, reading \S+: StoreError: "
        rf"\S+ cannot copy \S+ to its own disk: no space left in {disks[1]}/\S+: make room there",
        done.stderr,
    ), done.stderr[-5000:]
    full = rf"rank 0 on \S+, {where}: StoreError: \S+ cannot use \S+: OSError: \[Errno 28\] No space left on device"
    waiting = rf"not restarted yet, as \S+ cannot use \S+/room: OSError: .* make room there.*: {full}"
    assert re.search(waiting, done.stderr), done.stderr[-5000:]
    again = rf"restart 2 of 5, with 1 of 1 processes from step \d+ of epoch 1: {full}"
    assert re.search(again, done.stderr), done.stderr[-5000:]
    assert re.search(r"^kept: step \d+ of epoch 1$", done.stdout, re.MULTILINE), "lost, or half a file is left"

    spared = tmp_path / "spared"
    config = dataclasses.replace(TRAINING, path=str(spared), epochs=2, processes=1, checkpoint_minutes=0)
    train(spark, dataset, model, config)
    assert_same_runs(tmp_path / "struck", spared)
    assert {path.name for path in (tmp_path / "struck").iterdir()} == {path.name for path in spared.iterdir()}
