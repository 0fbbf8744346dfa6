"""The jobs on YARN, everything on HDFS, in both deploy modes."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = pytest.mark.cluster

ROOT = Path(__file__).parents[2]
Submit = Callable[..., subprocess.CompletedProcess[str]]


def read(hadoop: dict[str, str], uri: str) -> str:
    """A file of HDFS, through hdfs-native in a process that has only the client's configuration."""
    program = "import sys; from preprocessing import storage; sys.stdout.write(storage.read_text(sys.argv[1]))"
    done = subprocess.run([sys.executable, "-c", program, uri], env=hadoop, capture_output=True, text=True, check=True)
    return done.stdout


@pytest.fixture
def packed(hadoop: dict[str, str]) -> str:
    """URI of this environment as an archive, which is packed once."""
    pack = [ROOT / "scripts" / "pack_environment.sh", "hdfs:///tmp/environments"]
    first, again = (subprocess.run(pack, env=hadoop, capture_output=True, text=True, check=True) for _ in range(2))
    assert again.stdout == first.stdout and "is there already" in again.stderr
    return first.stdout.strip()


def test_the_whole_way_runs_on_yarn(hadoop: dict[str, str], submit: Submit, packed: str, tmp_path: Path) -> None:
    """Driver and ranks of the training have the packed environment: a module that both import sees to that."""
    (tmp_path / "packed.py").write_text(
        "import sys\n"
        "from training.zoo import lstm as build\n"
        "assert sys.executable.endswith('/environment/bin/python'), sys.executable\n"
    )
    train = {"PARLEY_ENVIRONMENT": packed, "SPARK_OPTIONS": f"--py-files {tmp_path}/packed.py"}
    steps: list[tuple[str, str, list[str], dict[str, str]]] = [
        ("cluster", "generate", [], {}), ("client", "preprocess", [], {}),
        ("cluster", "train", ["model.architecture=packed:build"], train),
        ("client", "evaluate", [], {}), ("client", "publish", [], {}),
        ("cluster", "score", ["registry.version=current"], {}),
    ]  # fmt: skip
    for mode, job, settings, environment in steps:
        done = submit(job, *settings, PARLEY_DEPLOY_MODE=mode, **environment)
        assert done.returncode == 0, f"{job} in {mode} mode: {done.stderr[-3000:]}"
    metrics = json.loads(read(hadoop, "hdfs:///parley/shop/report/metrics.json"))
    manifest = json.loads(read(hadoop, "hdfs:///parley/shop/dataset/manifest.json"))
    assert metrics["examples"] == sum(sum(file["rows_per_bucket"]) for file in manifest["splits"]["test"])
    assert json.loads(read(hadoop, "hdfs:///parley/shop/run/model/manifest.json"))["kind"] == "model"
    scored = json.loads(read(hadoop, "hdfs:///parley/shop/scores/manifest.json"))
    assert scored["rows"] == metrics["examples"] and scored["model_version"] == "1"


@pytest.mark.parametrize("mode", ["client", "cluster"])
def test_the_exit_code_of_the_command_is_the_jobs(submit: Submit, mode: str) -> None:
    done = submit("train", "dataset.path=hdfs:///nowhere", PARLEY_DEPLOY_MODE=mode)
    assert done.returncode == 2
    # in client mode spark-submit passes its Python's standard error on as standard output
    said = done.stdout if mode == "client" else done.stderr
    assert "parley: no dataset at hdfs:///nowhere (it has no manifest.json): run preprocess" in said


def test_a_mistyped_key_is_said_before_a_session_starts(submit: Submit) -> None:
    done = submit("train", "training.epoch=3", PARLEY_DEPLOY_MODE="cluster")
    assert done.returncode == 2
    assert "parley: unknown key training.epoch: did you mean 'epochs'?" in done.stderr


def test_who_ends_the_command_ends_the_application(hadoop: dict[str, str]) -> None:
    command = [ROOT / "scripts" / "submit.sh", "generate", "--config", str(ROOT / "conf" / "yarn.toml"),
               "--set", "corpus.path=hdfs:///parley/endless", "--set", "generator.rows=1000000000"]  # fmt: skip
    environment = {**hadoop, "PARLEY_DEPLOY_MODE": "cluster"}
    job = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True, cwd="/")
    assert job.stderr
    running = next(line for line in job.stderr if "state: RUNNING" in line)
    job.terminate()
    said = running + job.stderr.read()
    assert job.wait() != 0
    assert "Killing application application_" in said, said[-3000:]
    assert said.splitlines()[-1].startswith("parley: ended by SIGTERM")
