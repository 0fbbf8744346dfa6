"""A preprocessing job that is killed midway: the old dataset stands, and the same command makes the new one."""

import glob
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.spark

ROOT = Path(__file__).parents[2]


def write_corpus(path: Path, dialogs: int) -> None:
    rows = ({"text": f"{word} number {n}", "intent": word} for n in range(dialogs) for word in ("pay", "call"))
    path.write_text("\n".join(json.dumps(row) for row in rows))


def start(base: Path) -> subprocess.Popen:
    """The job as a command, in a group of processes of its own."""
    words = [f"corpus.path={base}/corpus.json", f"dataset.path={base}/dataset", "spark.master=local[2]",
             "spark.sql.shuffle.partitions=2", "dataset.files_per_split=2"]  # fmt: skip
    command = [sys.executable, "-m", "jobs.preprocess", *[word for setting in words for word in ("--set", setting)]]
    return subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL, start_new_session=True)


def read(dataset: Path) -> dict[str, bytes]:
    return {str(file): file.read_bytes() for file in dataset.rglob("*") if file.is_file()}


def test_a_killed_job_leaves_the_old_dataset_and_nothing_to_clean(tmp_path: Path) -> None:
    write_corpus(tmp_path / "corpus.json", 100)
    assert start(tmp_path).wait() == 0
    before = read(tmp_path / "dataset")
    rows = json.loads(before[f"{tmp_path}/dataset/manifest.json"])["rows_in"]

    write_corpus(tmp_path / "corpus.json", 200)
    job = start(tmp_path)
    while not glob.glob("dataset.tmp-*/*/*", root_dir=tmp_path):  # it writes; pathlib's glob fails where files vanish
        assert job.poll() is None, "the job ended before it wrote anything"
        time.sleep(0.01)
    os.killpg(job.pid, signal.SIGKILL)
    assert job.wait() == -signal.SIGKILL
    assert read(tmp_path / "dataset") == before and list(tmp_path.glob("dataset.tmp-*"))

    assert start(tmp_path).wait() == 0
    assert json.loads((tmp_path / "dataset" / "manifest.json").read_text())["rows_in"] == 2 * rows == 400
    assert sorted(path.name for path in tmp_path.iterdir()) == ["corpus.json", "dataset"]
