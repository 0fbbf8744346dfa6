"""A standalone Spark of two nodes with two GPUs each, which do not exist: what Spark hands out, ranks must take."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pyspark
import pytest

pytestmark = pytest.mark.cluster

ROOT = Path(__file__).parents[2]
SPARK = Path(pyspark.__file__).parent
GPUS = {1: ["0", "1"], 2: ["2", "3"]}  # of each node


@dataclass
class Standalone:
    """A running cluster, and a directory with a dataset."""

    master: str
    directory: Path
    small: Callable[..., list[str]]

    @property
    def paths(self) -> list[str]:
        names = {"corpus": "corpus", "dataset": "dataset", "training": "run", "evaluation": "report"}
        return ["dataset.files_per_split=5", *(f"{key}.path={self.directory}/{name}" for key, name in names.items())]

    def run(self, job: str, *settings: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", f"jobs.{job}", "--config", str(ROOT / "conf" / "local.toml"),
             *self.small(*self.paths, *settings)],
            env={**os.environ, "SPARK_HOME": str(SPARK), **environment},
            capture_output=True, text=True, check=False, cwd=ROOT,
        )  # fmt: skip

    def train(self, processes: int, *settings: str, **environment: str) -> subprocess.CompletedProcess[str]:
        cluster = [
            f"spark.master={self.master}", "spark.executor.cores=1", "spark.executor.memory=512m",
            "spark.executor.resource.gpu.amount=1", "spark.task.resource.gpu.amount=1", "spark.task.maxFailures=1",
            f"spark.executor.extraJavaOptions={os.environ['SPARK_SUBMIT_OPTS']}",
        ]  # fmt: skip
        return self.run("train", *cluster, f"training.processes={processes}", *settings, **environment)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def start(daemon: str, directory: Path, *words: str, **environment: str) -> subprocess.Popen[bytes]:
    with (directory / f"{daemon}-{environment.get('NODE', '')}.log").open("wb") as log:
        return subprocess.Popen(
            [SPARK / "bin" / "spark-class", f"org.apache.spark.deploy.{daemon.lower()}.{daemon}", *words],
            env={**os.environ, "SPARK_HOME": str(SPARK), **environment}, stdout=log, stderr=log, cwd=directory,
        )  # fmt: skip


@pytest.fixture(scope="module")
def standalone(
    small: Callable[..., list[str]], prepare: Callable[..., None], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Standalone]:
    directory = tmp_path_factory.mktemp("standalone")
    port = free_port()
    cluster = Standalone(f"spark://127.0.0.1:{port}", directory, small)
    prepare("local.toml", *cluster.paths)
    daemons = [start("Master", directory, "--host", "127.0.0.1", "--port", str(port), "--webui-port", "0")]
    for node, gpus in GPUS.items():
        script = directory / f"gpus{node}.sh"
        script.write_text(f"#!/bin/sh\necho '{json.dumps({'name': 'gpu', 'addresses': gpus})}'\n")
        script.chmod(0o755)
        resources = f"-Dspark.worker.resource.gpu.amount=2 -Dspark.worker.resource.gpu.discoveryScript={script}"
        words = ["--host", "127.0.0.1", "--webui-port", "0", "--cores", "2", "--memory", "2g",
                 "--work-dir", str(directory / "work"), cluster.master]  # fmt: skip
        # a path of its own for each node's Python, for the tests that spoil one node
        own = {"NODE": str(node), "SPARK_WORKER_OPTS": resources, "PYTHONPATH": str(directory / f"node{node}")}
        daemons.append(start("Worker", directory, *words, **own))
    wait_for_workers(directory)
    yield cluster
    for daemon in daemons:
        daemon.terminate()
        daemon.wait()


def wait_for_workers(directory: Path) -> None:
    deadline = time.monotonic() + 60
    while (directory / "Master-.log").read_text().count("Registering worker") < len(GPUS):
        assert time.monotonic() < deadline, (directory / "Master-.log").read_text()
        time.sleep(0.2)


def test_every_rank_takes_the_gpu_that_spark_gave_it(standalone: Standalone, tmp_path: Path) -> None:
    (tmp_path / "probe.py").write_text(
        "import json, os\n"
        "from horovod.spark.task import get_available_devices\n"
        "from training.zoo import lstm\n"
        "def build(config, vocabulary_size, num_labels):\n"
        "    facts = {'given': get_available_devices(), 'taken': os.environ['CUDA_VISIBLE_DEVICES']}\n"
        f"    open(f\"{tmp_path}/rank-{{os.environ['HOROVOD_RANK']}}.json\", 'w').write(json.dumps(facts))\n"
        "    return lstm(config, vocabulary_size, num_labels)\n"
    )
    done = standalone.train(
        4, "model.architecture=probe:build", f"spark.executorEnv.PYTHONPATH={tmp_path}", PYTHONPATH=str(tmp_path)
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "preflight: 4 slots with 4 GPUs on" in done.stderr
    ranks = [json.loads((tmp_path / f"rank-{rank}.json").read_text()) for rank in range(4)]
    assert all(rank["given"] == [rank["taken"]] for rank in ranks), ranks
    assert sorted(rank["taken"] for rank in ranks) == ["0", "1", "2", "3"]


def refusal(standalone: Standalone, processes: int, *settings: str, **environment: str) -> tuple[int, str]:
    """Exit code and the one line of a training that is refused and leaves nothing behind."""
    before = sorted(standalone.directory.glob("*"))
    done = standalone.train(processes, f"training.path={standalone.directory}/refused", *settings, **environment)
    assert sorted(standalone.directory.glob("*")) == before
    said = [line for line in done.stderr.splitlines() if line.startswith("parley: ")]
    assert len(said) == 1 and "Traceback" not in done.stderr, done.stderr[-3000:]
    return done.returncode, said[0]


def test_too_few_gpus(standalone: Standalone) -> None:
    code, line = refusal(standalone, 5)
    assert code == 1
    assert "training.processes = 5, but after 50 s 4 executors of spark://" in line
    assert "offer 4 slots (spark.executor.instances not set" in line


def test_a_node_without_the_environment(standalone: Standalone, tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\n[ "$NODE" != 2 ] || exec /nowhere/python\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    code, line = refusal(standalone, 4, PYSPARK_PYTHON=str(python))
    assert code == 1
    assert "127.0.0.1: " in line and "give every node the same environment" in line


def test_a_node_with_another_version(standalone: Standalone) -> None:
    other = standalone.directory / "node2" / "keras-3.0.0.dist-info"
    other.mkdir(parents=True)
    try:
        (other / "METADATA").write_text("Metadata-Version: 2.1\nName: keras\nVersion: 3.0.0\n")
        code, line = refusal(standalone, 4)
    finally:
        (other / "METADATA").unlink()
        other.rmdir()
    assert code == 2
    assert " has keras 3.0.0 (here 3.15.1): give driver and executors the same environment" in line


@pytest.mark.parametrize("key", ["spark.dynamicAllocation.enabled", "spark.speculation"])
def test_settings_that_take_ranks_away(standalone: Standalone, key: str) -> None:
    code, line = refusal(standalone, 4, f"{key}=true")
    assert code == 2
    assert f"{key} is true: Spark would" in line and f"submit with --conf {key}=false" in line


def test_preflight_alone(standalone: Standalone) -> None:
    cluster = ["spark.master=" + standalone.master, "spark.executor.cores=1", "spark.executor.memory=512m"]
    done = standalone.run("preflight", *cluster, "training.processes=4")
    assert done.returncode == 0, done.stderr[-3000:]
    assert "preflight: 4 slots with 0 GPUs on" in done.stderr
