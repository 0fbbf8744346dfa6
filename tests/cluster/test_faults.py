"""What a cluster does to a job, done to it: each time one clear line; the same command works once the cause is gone."""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = pytest.mark.cluster

ROOT = Path(__file__).parents[2]
PATHS = [f"{name}.path=hdfs:///parley/faults/{name}" for name in ("corpus", "dataset", "training", "evaluation")]
Failing = Callable[..., tuple[int, str]]


@pytest.fixture
def end(submit: Callable[..., subprocess.CompletedProcess[str]]) -> Failing:
    """end(job, *settings, **environment) gives a job's exit code, and the lines that are ours."""

    def run(job: str, *settings: str, **environment: str) -> tuple[int, str]:
        done = submit(job, *PATHS, *settings, **environment)
        lines = [*done.stdout.splitlines(), *done.stderr.splitlines()]
        return done.returncode, "\n".join(line for line in lines if line.startswith("parley: "))

    return run


@pytest.mark.parametrize("mode", ["client", "cluster"])
def test_a_queue_that_is_not_there(end: Failing, mode: str) -> None:
    code, line = end("preflight", SPARK_OPTIONS="--queue nope", PARLEY_DEPLOY_MODE=mode)
    assert code == 1
    assert re.search(r"^parley: .*submitted by user \w+ to unknown queue: nope: name a queue that there is, .*$", line)


def test_an_archive_that_is_not_there(end: Failing) -> None:
    code, line = end("preflight", PARLEY_ENVIRONMENT="hdfs:///nowhere/environment.tar.gz")
    assert code == 1
    assert re.search(r"^parley: .*File does not exist: hdfs://127.0.0.1:\d+/nowhere.*: correct the path.*$", line)


def test_a_user_who_may_not_write(end: Failing) -> None:
    staging = "--conf spark.yarn.stagingDir=hdfs:///tmp"
    code, line = end("preflight", HADOOP_USER_NAME="mallory", SPARK_OPTIONS=staging)
    assert code == 1
    assert "parley: " in line and "cannot use hdfs:///parley/faults/dataset.preflight-" in line
    assert "Permission denied: user=mallory, access=WRITE, inode=" in line and "may this user do it?" in line


def test_one_node_without_the_environment(end: Failing, tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text(
        f'#!/bin/sh\ncase "$PWD" in */nodemanager2/*) exec /nowhere/python;; esac\nexec {sys.executable} "$@"\n'
    )
    python.chmod(0o755)
    code, line = end("preflight", PYSPARK_PYTHON=str(python))
    assert code == 1
    assert re.search(r"^parley: \w+: .*: give every node the same environment \(scripts/pack_environment.sh\)", line)


def test_a_container_that_yarn_kills_for_its_memory(
    hadoop: dict[str, str], end: Failing, prepare: Callable[..., None], tmp_path: Path
) -> None:
    prepare("yarn.toml", *PATHS, **hadoop)
    hungry = tmp_path / "hungry"
    hungry.touch()
    (tmp_path / "eater.py").write_text(
        "import os, time\n"
        "import numpy\n"
        "from training.zoo import lstm\n"
        "def build(config, vocabulary_size, num_labels):\n"
        f"    if os.path.exists({str(hungry)!r}):\n"
        "        eaten = numpy.ones(2 * 2**30, numpy.uint8)\n"
        "        time.sleep(60)\n"
        "    return lstm(config, vocabulary_size, num_labels)\n"
    )
    options = f"--py-files {tmp_path}/eater.py --conf spark.executor.memoryOverhead=1g"
    code, line = end("train", "model.architecture=eater:build", "training.max_restarts=0", SPARK_OPTIONS=options)
    assert code == 1
    assert "Container killed by YARN for exceeding physical memory limits" in line
    assert "give more memory: spark.executor.memoryOverhead" in line
    hungry.unlink()
    assert end("train", "model.architecture=eater:build", SPARK_OPTIONS=options) == (0, "")


def test_a_name_node_that_is_down(hadoop: dict[str, str], end: Failing) -> None:
    cluster = [ROOT / "scripts" / "cluster.sh"]
    status = subprocess.run([*cluster, "status"], env=hadoop, capture_output=True, text=True, check=True).stdout
    process = re.search(r"namenode +up +pid (\d+)", status)
    assert process, status
    subprocess.run(["kill", "-9", process[1]], check=True)
    code, line = end("preflight", PARLEY_DEPLOY_MODE="cluster")
    subprocess.run([*cluster, "start"], env=hadoop, check=True, capture_output=True)
    assert code == 1
    assert re.search(r"^parley: .*Connection refused.*: is the cluster up, and is HADOOP_CONF_DIR", line)
    assert end("preflight") == (0, "")
