"""What reaches the driver: vocabulary, labels and counts, never rows, however many there are."""

import gzip
import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.spark

ROWS = 200_000
WRONG = 10_000  # rows more, whose intent is a text that no other row has, as where corpus.intent names the wrong column
LIMIT = 128 * 1024  # bytes of results that one Spark job may send; the corpus has two hundred times as many


def test_a_small_driver_is_enough(tmp_path: Path) -> None:
    """Spark itself ends a job whose results exceed `spark.driver.maxResultSize`, which takes a process of its own.

    Ten million rows take minutes: they were run by hand, see docs/performance.md.
    """
    settings = [
        "spark.master=local[2]", "spark.driver.memory=512m", f"spark.driver.maxResultSize={LIMIT}",
        "spark.ui.enabled=false", f"corpus.path={tmp_path}/corpus", "corpus.dialog_id=dialog_id", "corpus.turn=turn",
        "corpus.speaker=speaker", f"dataset.path={tmp_path}/dataset", "dataset.files_per_split=2",
        "dataset.vocabulary_size=1000", f"generator.rows={ROWS}", "dataset.max_rejected_fraction=0.06",
        "spark.eventLog.enabled=true", f"spark.eventLog.dir={tmp_path}",
        "spark.eventLog.compress=false", "spark.eventLog.rolling.enabled=false",
    ]  # fmt: skip
    overrides = [part for setting in settings for part in ("--set", setting)]
    for job in ("generate", "preprocess"):
        done = subprocess.run(
            [sys.executable, "-m", f"jobs.{job}", *overrides], cwd=Path(__file__).parents[2], capture_output=True,
            text=True, env=os.environ | {"PYSPARK_PYTHON": sys.executable},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-3000:]
        if job == "generate":
            write_wrong_rows(tmp_path / "corpus/wrong.json.gz")
    manifest = json.loads((tmp_path / "dataset/manifest.json").read_text())
    assert (manifest["rows_in"], manifest["rejected"]["not a label"]) == (ROWS + WRONG, WRONG)
    corpus = sum(len(gzip.decompress(file.read_bytes())) for file in (tmp_path / "corpus").glob("*.gz"))
    assert corpus > 200 * LIMIT
    largest, total = result_sizes(max(tmp_path.glob("local-*"), key=os.path.getmtime))
    assert largest < LIMIT and total < corpus / 10, f"largest {largest}, in all {total} of {corpus} bytes"


def write_wrong_rows(path: Path) -> None:
    """Turns with intents of 400 random letters."""
    draw = random.Random(1)
    rows = [{"text": "hello", "intent": draw.randbytes(200).hex(), "speaker": "user"} for _ in range(WRONG)]
    path.write_bytes(gzip.compress("\n".join(map(json.dumps, rows)).encode()))


def result_sizes(event_log: Path) -> tuple[int, int]:
    """Bytes of the largest result of a task, and of all."""
    events = [json.loads(line) for line in event_log.read_text().splitlines()]
    sizes = [event["Task Metrics"]["Result Size"] for event in events if event["Event"] == "SparkListenerTaskEnd"]
    return max(sizes), sum(sizes)
