"""What a cluster does to a job, done to it: each time one clear line; the same command works once the cause is gone."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.cluster

ROOT = Path(__file__).parents[2]
SMALL = [
    "generator.rows=2000", "dataset.files_per_split=2", "model.units=8", "model.embedding_size=8",
    "training.epochs=1", "training.batch_size=64",
]  # fmt: skip
PATHS = [f"{name}.path=hdfs:///parley/faults/{name}" for name in ("corpus", "dataset", "training", "evaluation")]


def submit(hadoop: dict[str, str], job: str, *settings: str, **environment: str) -> tuple[int, str]:
    """Exit code, and the lines that are ours."""
    words = [word for setting in [*SMALL, *PATHS, *settings] for word in ("--set", setting)]
    done = subprocess.run(
        [ROOT / "scripts" / "submit.sh", job, "--config", str(ROOT / "conf" / "yarn.toml"), *words],
        env={**hadoop, **environment}, cwd="/",
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
    )  # fmt: skip
    return done.returncode, "\n".join(line for line in done.stdout.splitlines() if line.startswith("parley: "))


@pytest.fixture(scope="module")
def dataset(hadoop: dict[str, str]) -> None:
    """A dataset on HDFS, which local jobs wrote."""
    for job in ("generate", "preprocess"):
        words = [word for setting in [*SMALL, *PATHS] for word in ("--set", setting)]
        command = [sys.executable, "-m", f"jobs.{job}", "--config", "conf/yarn.toml", *words]
        subprocess.run(command, env=hadoop, check=True, cwd=ROOT, capture_output=True)


@pytest.mark.parametrize("mode", ["client", "cluster"])
def test_a_queue_that_is_not_there(hadoop: dict[str, str], mode: str) -> None:
    code, line = submit(hadoop, "preflight", SPARK_OPTIONS="--queue nope", PARLEY_DEPLOY_MODE=mode)
    assert code == 1
    assert re.search(r"^parley: .*submitted by user \w+ to unknown queue: nope: name a queue that there is, .*$", line)


def test_an_archive_that_is_not_there(hadoop: dict[str, str]) -> None:
    code, line = submit(hadoop, "preflight", PARLEY_ENVIRONMENT="hdfs:///nowhere/environment.tar.gz")
    assert code == 1
    assert re.search(r"^parley: .*File does not exist: hdfs://127.0.0.1:\d+/nowhere.*: correct the path.*$", line)


def test_a_user_who_may_not_write(hadoop: dict[str, str]) -> None:
    staging = "--conf spark.yarn.stagingDir=hdfs:///tmp"
    code, line = submit(hadoop, "preflight", HADOOP_USER_NAME="mallory", SPARK_OPTIONS=staging)
    assert code == 1
    assert "parley: " in line and "cannot use hdfs:///parley/faults/dataset.preflight-" in line
    assert "Permission denied: user=mallory, access=WRITE, inode=" in line and "may this user do it?" in line


def test_one_node_without_the_environment(hadoop: dict[str, str], tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text(
        f'#!/bin/sh\ncase "$PWD" in */nodemanager2/*) exec /nowhere/python;; esac\nexec {sys.executable} "$@"\n'
    )
    python.chmod(0o755)
    code, line = submit(hadoop, "preflight", PYSPARK_PYTHON=str(python))
    assert code == 1
    assert re.search(r"^parley: \w+: .*: give every node the same environment \(scripts/pack_environment.sh\)", line)


def test_a_container_that_yarn_kills_for_its_memory(hadoop: dict[str, str], dataset: None, tmp_path: Path) -> None:
    hungry = tmp_path / "hungry"
    hungry.touch()
    (tmp_path / "eater.py").write_text(
        "import os, time\n"
        "import numpy\n"
        "from training.models import lstm\n"
        "def build(config, vocabulary_size, num_labels):\n"
        f"    if os.path.exists({str(hungry)!r}):\n"
        "        eaten = numpy.ones(2 * 2**30, numpy.uint8)\n"
        "        time.sleep(60)\n"
        "    return lstm(config, vocabulary_size, num_labels)\n"
    )
    options = f"--py-files {tmp_path}/eater.py --conf spark.executor.memoryOverhead=1g"
    code, line = submit(hadoop, "train", "model.architecture=eater:build", SPARK_OPTIONS=options)
    assert code == 1
    assert "Container killed by YARN for exceeding physical memory limits" in line
    assert "give more memory: spark.executor.memoryOverhead" in line
    hungry.unlink()
    assert submit(hadoop, "train", "model.architecture=eater:build", SPARK_OPTIONS=options) == (0, "")


def test_a_name_node_that_is_down(hadoop: dict[str, str]) -> None:
    cluster = [ROOT / "scripts" / "cluster.sh"]
    status = subprocess.run([*cluster, "status"], env=hadoop, capture_output=True, text=True, check=True).stdout
    process = re.search(r"namenode +up +pid (\d+)", status)
    assert process, status
    subprocess.run(["kill", "-9", process[1]], check=True)
    code, line = submit(hadoop, "preflight", PARLEY_DEPLOY_MODE="cluster")
    subprocess.run([*cluster, "start"], env=hadoop, check=True, capture_output=True)
    assert code == 1
    assert re.search(r"^parley: .*Connection refused.*: is the cluster up, and is HADOOP_CONF_DIR", line)
    assert submit(hadoop, "preflight") == (0, "")
