"""A real Hadoop for the tests of this folder, started and stopped by our own script, and jobs submitted to it."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SMALL = [
    "generator.rows=2000", "dataset.files_per_split=2", "model.units=8", "model.embedding_size=8",
    "training.epochs=1", "training.batch_size=64",
]  # fmt: skip
PREPARE = """
import sys
from jobs import generate, preprocess
from jobs.cli import make_session
from jobs.config import load_config
config = load_config(sys.argv[1], sys.argv[2:])
with make_session(config) as spark:
    generate.run(spark, config)
    preprocess.run(spark, config)
"""

JAVA = os.environ["SPARK_SUBMIT_OPTS"]  # what tests/conftest.py gives to all other Java processes

Submit = Callable[..., subprocess.CompletedProcess[str]]


def options(*settings: str) -> list[str]:
    """Words of a command that make everything small, then those of the settings."""
    return [word for setting in (*SMALL, *settings) for word in ("--set", setting)]


@pytest.fixture(scope="session")
def small() -> Callable[..., list[str]]:
    """small("training.epochs=2") gives the words of a command for a job that takes seconds."""
    return options


@pytest.fixture(scope="session")
def prepare() -> Callable[..., None]:
    """prepare(config, *settings, **environment) generates a corpus and makes its dataset, on Spark in one process."""

    def run(config: str, *settings: str, **environment: str) -> None:
        command = [sys.executable, "-c", PREPARE, str(ROOT / "conf" / config), *SMALL, *settings]
        subprocess.run(command, env={**os.environ, **environment}, check=True, capture_output=True, cwd=ROOT)

    return run


@pytest.fixture(scope="session")
def submit(hadoop: dict[str, str]) -> Submit:
    """submit(job, *settings, **environment) runs scripts/submit.sh on the cluster, standard output and error apart."""

    def run(job: str, *settings: str, **environment: str) -> subprocess.CompletedProcess[str]:
        command = [ROOT / "scripts" / "submit.sh", job, "--config", ROOT / "conf" / "yarn.toml", *options(*settings)]
        environment = {**hadoop, **environment}
        processes = ["executor", "driver"] if environment.get("PARLEY_DEPLOY_MODE") == "cluster" else ["executor"]
        quick = [f"--conf spark.{process}.extraJavaOptions={JAVA}" for process in processes]
        environment["SPARK_OPTIONS"] = " ".join([*quick, environment.get("SPARK_OPTIONS", "")])
        return subprocess.run(command, env=environment, cwd="/", capture_output=True, text=True, check=False)

    return run


@pytest.fixture(scope="session")
def hadoop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Environment of a command that talks to a running cluster, apart from the user's own one."""
    directory = tmp_path_factory.mktemp("cluster")
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))  # each has a Hadoop of its own
    base = str(29000 + 100 * worker)
    environment = {**os.environ, "PARLEY_CLUSTER": str(directory / "state"), "PARLEY_CLUSTER_PORT_BASE": base}
    started = subprocess.run(
        [ROOT / "scripts" / "cluster.sh", "start"], env=environment, stdout=subprocess.PIPE, text=True, check=True
    )
    name, _, value = started.stdout.strip().removeprefix("export ").partition("=")
    yield {**environment, name: value}
    subprocess.run([ROOT / "scripts" / "cluster.sh", "stop", "--wipe"], env=environment, check=True)
