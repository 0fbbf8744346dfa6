"""The jobs as commands, everything on S3 or Azure Blob Storage: both Spark's side and Python's, and no secret leaks."""

import contextlib
import gzip
import io
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytestmark = pytest.mark.cluster

ROOT = Path(__file__).parents[3]
NARROW = ["spark.master=local[2]", "spark.sql.shuffle.partitions=2", "spark.default.parallelism=2"]
Job = Callable[..., subprocess.CompletedProcess[str]]
PREDICT = """
import sys
from training.artifact import load_model
print(load_model(sys.argv[1])(["where is my parcel"])[0].intents[0])
"""


class Watch:
    """The command lines of all processes of this machine that ran meanwhile."""

    def __enter__(self) -> "Watch":
        self.seen: set[str] = set()
        self.done = threading.Event()
        self.thread = threading.Thread(target=self._look)
        self.thread.start()
        return self

    def _look(self) -> None:
        while not self.done.wait(0.2):
            for process in filter(str.isdigit, os.listdir("/proc")):
                with contextlib.suppress(OSError):  # it has ended
                    self.seen.add(Path("/proc", process, "cmdline").read_text(errors="replace"))

    def __exit__(self, *error: object) -> None:
        self.done.set()
        self.thread.join()


@pytest.fixture(scope="module")
def run(server: Any, small: Callable[..., list[str]]) -> Job:
    """run(job, *settings, **environment): as a user does it with conf/s3.toml or conf/azure.toml and credentials."""
    fetch = [ROOT / "scripts" / "fetch_connectors.sh", server.kind]
    jars = subprocess.run(fetch, stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
    names = {"corpus": "corpus", "dataset": "dataset", "training": "run", "evaluation": "report"}
    paths = [f"{section}.path={server.base}/shop/{name}" for section, name in names.items()]
    hadoop = [f"spark.hadoop.{name}={value}" for name, value in server.settings.items()]

    def run(job: str, *settings: str, **environment: str) -> subprocess.CompletedProcess[str]:
        words = small(*NARROW, *paths, *hadoop, f"spark.jars={jars}", *settings)
        return subprocess.run(
            [sys.executable, "-m", f"jobs.{job}", "--config", f"conf/{server.kind}.toml", *words],
            cwd=ROOT, env={**os.environ, **server.environment, **environment}, capture_output=True, text=True,
            check=False, timeout=500,
        )  # fmt: skip

    return run


@pytest.fixture(scope="module")
def ran(run: Job, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """All jobs; what they printed, what the event logs and the command lines held."""
    events = tmp_path_factory.mktemp("events")
    logging = ["spark.eventLog.enabled=true", "spark.eventLog.compress=false", f"spark.eventLog.dir={events.as_uri()}"]
    said = []
    with Watch() as watch:
        for job in ("generate", "pipeline"):
            done = run(job, *logging)
            assert done.returncode == 0, f"{job}: {done.stderr[-4000:]}"
            said += [done.stdout, done.stderr]
    files = [file for file in events.rglob("*") if file.is_file()]
    assert len(files) >= 2
    return {"said": said, "commands": watch.seen, "events": [file.read_bytes() for file in files]}


def test_the_whole_way_runs_on_the_store(server: Any, ran: dict[str, Any]) -> None:
    objects = server.objects()
    metrics, manifest, model = (
        json.loads(objects[f"shop/{name}.json"])
        for name in ("report/metrics", "dataset/manifest", "run/model/manifest")
    )
    assert metrics["examples"] == sum(sum(file["rows_per_bucket"]) for file in manifest["splits"]["test"]) > 20
    assert model["dataset"] == f"{server.base}/shop/dataset"
    left = [name for name in objects if ".tmp-" in name or ".old-" in name or ".lease" in name or ".replacing" in name]
    assert left == []


def test_the_same_command_again_leaves_all_as_it_is(server: Any, run: Job, ran: dict[str, Any]) -> None:
    before = server.objects()
    done = run("pipeline")
    assert done.returncode == 0, done.stderr[-3000:]
    for skipped in ("dataset is of the same corpus", "run is already trained", "report is of the same model"):
        assert skipped in done.stderr
    assert server.objects() == before


def test_settings_are_compared_on_the_store(server: Any, run: Job, ran: dict[str, Any]) -> None:
    grid = ["compare.grid={model.units = [4, 8]}", "compare.seeds=1", "training.epochs=1", "training.processes=1"]
    done = run("compare", f"compare.path={server.base}/shop/compare", *grid)
    assert done.returncode == 0, done.stderr[-3000:]
    objects = server.objects()
    found = json.loads(objects["shop/compare/comparison.json"])
    assert {row["values"]["model.units"] for row in found["settings"]} == {4, 8} and found["failed"] == []
    assert f'path = "{found["winner"]["run"]}"' in objects["shop/compare/winner.toml"].decode()
    assert found["winner"]["run"].startswith(f"{server.base}/shop/compare/trials/")


def test_a_model_begins_with_word_vectors_from_the_store(server: Any, run: Job, ran: dict[str, Any]) -> None:
    words = server.objects()["shop/dataset/vocabulary.txt"].decode().splitlines()
    rows = {number: np.arange(8) + number for number in range(2, 40)}  # 0 and 1 are padding and unknown
    lines = [f"{words[number]} {' '.join(map(str, row))}" for number, row in rows.items()]
    server.put("vectors/wiki.vec.gz", gzip.compress("\n".join([f"{len(rows)} 8", *lines, ""]).encode()))
    where = f"{server.base}/vectors/*.vec.gz"
    done = run(
        "train", f"training.path={server.base}/shop/begun", f"model.word_vectors={where}", "training.processes=1"
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert f"vectors for 38 of {len(words)} words ({3800 / len(words):.1f} %) from {where}\n" in done.stderr
    objects = server.objects()
    found = np.load(io.BytesIO(objects["shop/begun/word_vectors.npy"]))
    assert {number: row.tolist() for number, row in enumerate(found) if not np.isnan(row).any()} == {
        number: row.tolist() for number, row in rows.items()
    }
    assert "shop/begun/model/manifest.json" in objects


def test_a_model_is_loaded_from_the_store(server: Any, ran: dict[str, Any]) -> None:
    if server.kind == "s3":
        environment = {**server.environment, "AWS_ENDPOINT_URL": server.settings["fs.s3a.endpoint"]}
    else:
        address = f"http://{server.settings['fs.azure.abfs.endpoint']}/devstoreaccount1"
        account = f"AccountName=devstoreaccount1;AccountKey={server.secret};BlobEndpoint={address}"
        environment = {"AZURE_STORAGE_CONNECTION_STRING": account}
    command = [sys.executable, "-c", PREDICT, f"{server.base}/shop/run/model"]
    environment = {**os.environ, **environment}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() in server.objects()["shop/dataset/labels.txt"].decode().splitlines()


def test_the_secret_is_nowhere(server: Any, ran: dict[str, Any]) -> None:
    assert any("gloo_exec_fn" in command for command in ran["commands"]), "no rank was seen"
    assert any("SparkSubmit" in command for command in ran["commands"]), "no driver was seen"
    assert any(b"SparkListenerEnvironmentUpdate" in events for events in ran["events"])
    secret = server.secret.encode()
    for place, contents in {
        "store": server.objects().values(), "event log": ran["events"],
        "output": [text.encode() for text in ran["said"]], "command line": [text.encode() for text in ran["commands"]],
    }.items():  # fmt: skip
        assert not any(secret in content for content in contents), f"the secret is in the {place}"


def assert_one_line(done: subprocess.CompletedProcess[str], said: str) -> None:
    """The job ended with one line and no traceback."""
    assert done.returncode in (1, 2), done.stderr
    *_, line = done.stderr.splitlines()
    assert line.startswith("parley: ") and said in line and "Traceback" not in done.stderr, done.stderr[-3000:]


def test_faults_end_in_a_line_and_need_no_cleaning(server: Any, run: Job) -> None:
    target = f"corpus.path={server.base}/faulty"
    secret = {name: value for name, value in server.environment.items() if value == server.secret}
    wrong = {name: value[::-1].lstrip("=") + "=" * value.count("=") for name, value in secret.items()}
    refused = run("generate", target, **wrong)
    assert_one_line(refused, "cannot use ")
    assert not any(value in refused.stderr for value in wrong.values())
    server.stop()
    assert_one_line(run("generate", target), "cannot use ")
    server.start()
    done = run("generate", target)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "faulty/_SUCCESS" in server.objects()


@pytest.mark.parametrize(("job", "said"), [("generate", "cannot use "), ("preprocess", "nowhere")])
def test_a_bucket_that_is_not_there_is_named(server: Any, run: Job, job: str, said: str) -> None:
    assert_one_line(run(job, f"corpus.path={server.base.replace('parley', 'nowhere')}/corpus"), said)
