"""A standalone Spark of two machines: one is lost as a whole, on the other one the JVM of the executor stands still."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pyspark
import pytest

from tests.training.faulty import assert_no_process_is_left, faulty
from training.checkpoint import read_history

pytestmark = [pytest.mark.spark, pytest.mark.tensorflow, pytest.mark.horovod]

ROOT = Path(__file__).parents[2]
SPARK = Path(pyspark.__file__).parent

# The lost machine comes back when the second attempt is under way, as if its network had been gone.
ON_TWO_MACHINES = """
import dataclasses, json, logging, os, signal, sys
from pathlib import Path
from jobs.cli import configure_logging, make_session
from jobs.config import AppConfig, SparkConfig
from tests.training.faulty import MODEL, TRAINING
import training.guard, training.interrupt, training.restarts
from training.launch import train
training.guard.GRACE_SECONDS, training.guard.SILENT_SECONDS = 2, 10
training.interrupt.END_SECONDS, training.restarts.RETURN_SECONDS = 4, 2
dataset, run, architecture, conf = sys.argv[1:]

class ComeBack(logging.Handler):
    def emit(self, record):
        if record.getMessage().startswith("epoch 1 done"):
            for pid in (Path(run).parent / "lost-machine").read_text().split():
                os.kill(int(pid), signal.SIGCONT)

configure_logging()
logging.getLogger().addHandler(ComeBack())
with make_session(AppConfig(spark=SparkConfig(json.loads(conf)))) as spark:
    model = dataclasses.replace(MODEL, architecture=architecture)
    train(spark, dataset, model, dataclasses.replace(TRAINING, epochs=2, path=run))
"""
# what conf/spark/train.conf has, for less patience
SHORT = {
    "spark.executor.heartbeatInterval": "1s", "spark.storage.blockManagerHeartbeatTimeoutMs": "10s",
    "spark.network.timeoutInterval": "1s",
}  # fmt: skip


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Of all processes."""
    return {
        **os.environ, "SPARK_HOME": str(SPARK), "SPARK_DAEMON_MEMORY": "256m", "PYSPARK_PYTHON": sys.executable,
        "SPARK_DAEMON_JAVA_OPTS": os.environ["SPARK_SUBMIT_OPTS"], "PYTHONPATH": f"{ROOT}:{tmp_path}",
    }  # fmt: skip


@pytest.fixture
def master(tmp_path: Path, environment: dict[str, str]) -> Iterator[str]:
    """The address of a running cluster of two machines with a core each."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    address, log = f"spark://127.0.0.1:{port}", tmp_path / "cluster.log"
    ours = ["--host", "127.0.0.1", "--webui-port", "0"]
    machine = [*ours, "--cores", "1", "--memory", "1g", "--work-dir", str(tmp_path / "work"), address]
    with log.open("wb") as output:
        daemons = [
            subprocess.Popen(
                [SPARK / "bin" / "spark-class", f"org.apache.spark.deploy.{kind}", *words],
                env=environment, stdout=output, stderr=output, cwd=tmp_path,
            )
            for kind, words in (
                ("master.Master", [*ours, "--port", str(port)]), ("worker.Worker", machine), ("worker.Worker", machine),
            )
        ]  # fmt: skip
    deadline = time.monotonic() + 60
    while log.read_text().count("Registering worker") < 2:
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.2)
    yield address
    for daemon in daemons:
        daemon.send_signal(signal.SIGCONT)
        daemon.terminate()
        daemon.wait()


def test_training_goes_on_without_a_lost_machine_which_spoils_nothing_when_it_comes_back(
    dataset: str, tmp_path: Path, master: str, environment: dict[str, str]
) -> None:
    model, run = faulty(tmp_path, "0-lose_the_machine-5-once", "0-freeze_the_jvm-20-once"), tmp_path / "run"
    conf = {
        **SHORT, "spark.master": master, "spark.executor.memory": "512m", "spark.task.maxFailures": "1",
        "spark.executor.extraJavaOptions": os.environ["SPARK_SUBMIT_OPTS"],
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", ON_TWO_MACHINES, dataset, str(run), model.architecture, json.dumps(conf)],
        env=environment, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-5000:]
    assert not list(tmp_path.glob("fault-*")), "not every fault struck"
    lost = r"rank 0 on \S+ \(process \d+\) gives no sign of life: it stands still; last seen: "
    assert re.search(rf"ending all ranks: {lost}", done.stderr), done.stderr[-5000:]
    assert re.search(rf"restart 1 of 5, with 1 of 2 processes from .*: {lost}", done.stderr), done.stderr[-5000:]
    assert re.search(r"restart 2 of 5, with [12] of 2 processes from .*heartbeat", done.stderr), done.stderr[-5000:]
    assert [row["epoch"] for row in read_history(run.as_uri())] == [1, 2]
    assert_no_process_is_left(tmp_path)
    _, *started = [int(pid) for pid in (tmp_path / "lost-machine").read_text().split()]
    deadline = time.monotonic() + 20
    while left := [p for p in psutil.process_iter() if p.pid in started and p.status() != psutil.STATUS_ZOMBIE]:
        assert time.monotonic() < deadline, left
        time.sleep(0.2)
    assert {path.name for path in run.iterdir()} == {
        "checkpoints", "config.toml", "history.csv", "manifest.json", "model", "tensorboard"
    }  # fmt: skip
