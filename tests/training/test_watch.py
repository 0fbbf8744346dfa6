"""A single process whose store hangs while it starts: it ends by itself, and says what it waited for."""

import dataclasses
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import cloudpickle
import pytest

from tests.training.test_train import TRAINING, job_for

pytestmark = [pytest.mark.spark, pytest.mark.tensorflow, pytest.mark.horovod]

IN_A_HURRY = """
import pickle, sys
import horovod.tensorflow, petastorm  # which take their time
import training.watch
training.watch.PATIENT_SECONDS = 10
from training.worker import train_worker
train_worker(pickle.load(open(sys.argv[1], "rb")))
"""


class Hanging(SimpleHTTPRequestHandler):
    """Serves a directory, and never answers where a file is asked for whose name begins so."""

    def __init__(self, name: str, over: threading.Event, *args: object, directory: str) -> None:
        self.name, self.over = name, over
        super().__init__(*args, directory=directory)  # type: ignore[arg-type]

    def send_head(self):
        if self.path.startswith(f"/{self.name}"):
            self.over.wait()
        return super().send_head()


@pytest.fixture
def store(dataset: str, request: pytest.FixtureRequest) -> Iterator[str]:
    """URL of the dataset, where the files hang whose path begins with the parameter."""
    over = threading.Event()
    handler = partial(Hanging, request.param, over, directory=dataset.removeprefix("file://"))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    over.set()
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize(
    ("store", "doing"),
    [("manifest.json", "starting"), ("validation/", "starting, reading validation/")],
    indirect=["store"],
)
def test_a_store_that_hangs_while_a_rank_starts_ends_it(store: str, doing: str, dataset: str, tmp_path: Path) -> None:
    job = job_for(dataset, tmp_path / "run", dataclasses.replace(TRAINING, stall_seconds=5))
    (tmp_path / "job").write_bytes(cloudpickle.dumps(dataclasses.replace(job, dataset=store)))
    done = subprocess.run(
        [sys.executable, "-c", IN_A_HURRY, str(tmp_path / "job")],
        env={**os.environ, "no_proxy": "127.0.0.1", "TMPDIR": str(tmp_path)},
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 1, done.stderr[-5000:]
    said = json.loads((tmp_path / "run" / "errors" / "rank-0.json").read_text())
    assert said["doing"].startswith(doing) and said["kind"] == "cause", said
    assert said["error"].startswith("Stalled: this took longer than 10 s")
