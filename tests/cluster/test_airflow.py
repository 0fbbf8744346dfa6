"""A real Airflow runs conf/airflow/nightly.py: every job through scripts/submit.sh and spark-submit, on local Spark."""

import contextlib
import email
import email.policy
import json
import os
import shutil
import signal
import socketserver
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tomli_w

pytestmark = pytest.mark.cluster

ROOT = Path(__file__).parents[2]
AIRFLOW = ROOT / "scripts" / "airflow.sh"
NIGHTLY = ROOT / "conf" / "nightly.toml"
DAY = "2026-11-01"


class Mailbox(socketserver.StreamRequestHandler):
    """As much of a mail server as takes a message and keeps it in `server.messages`."""

    def handle(self) -> None:
        self.wfile.write(b"220 ready\r\n")
        for line in self.rfile:
            if line.upper().startswith(b"DATA"):
                self.wfile.write(b"354 go on\r\n")
                self.server.messages.append(b"".join(iter(self.rfile.readline, b".\r\n")).decode())
            self.wfile.write(b"250 ok\r\n")
            if line.upper().startswith(b"QUIT"):
                return


@pytest.fixture(scope="module")
def mailbox() -> Iterator[socketserver.TCPServer]:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Mailbox) as server:
        server.messages = []
        threading.Thread(target=server.serve_forever).start()
        yield server
        server.shutdown()


@pytest.fixture(scope="module")
def airflow(tmp_path_factory: pytest.TempPathFactory, mailbox: socketserver.TCPServer) -> dict[str, str]:
    """Environment of an Airflow command: an empty database, our variables, our mail server; Spark on this machine."""
    home = tmp_path_factory.mktemp("airflow")
    extra = {"disable_ssl": True, "disable_tls": True, "from_email": "airflow@example.com"}
    mail = {"conn_type": "smtp", "host": "127.0.0.1", "port": mailbox.server_address[1], "extra": extra}
    environment = {
        **os.environ,
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DEFAULT_TASK_RETRY_DELAY": "1",
        "AIRFLOW_CONN_SMTP_DEFAULT": json.dumps(mail),
        "AIRFLOW_VAR_PARLEY_ALERT": "team@example.com",
        "AIRFLOW_VAR_PARLEY_DATA": str(home / "data"),
        "AIRFLOW_VAR_PARLEY_CONFIG": str(home / "nightly.toml"),
        "HADOOP_CONF_DIR": str(home),
        "SPARK_OPTIONS": "--master local[2]",  # of two masters spark-submit takes the last
    }
    subprocess.run([AIRFLOW, "db", "migrate"], env=environment, check=True, capture_output=True)
    return environment


@pytest.fixture(scope="module")
def data(airflow: dict[str, str]) -> Path:
    """The directory of all data, with a small corpus of the day, which also are the day's dialogs."""
    path = Path(airflow["AIRFLOW_VAR_PARLEY_DATA"])
    generate = [
        sys.executable, "-m", "jobs.generate", "--config", NIGHTLY,
        "--set", "generator.rows=3000", "--set", f"corpus.path={path}/corpus/{DAY}",
    ]  # fmt: skip
    subprocess.run(generate, check=True, capture_output=True)
    shutil.copytree(path / "corpus" / DAY, path / "dialogs" / DAY)
    return path


def configure(airflow: dict[str, str], minimum_accuracy: float, seed: int = 1) -> None:
    """Writes conf/nightly.toml with a tiny model in place of the real one."""
    config = tomllib.loads(NIGHTLY.read_text())
    config["dataset"]["files_per_split"] = 2
    config["model"].update(units=16, embedding_size=16)
    config["training"].update(epochs=1, batch_size=64, seed=seed)
    config["evaluation"]["minimum_accuracy"] = minimum_accuracy
    config["registry"]["path"] = f"{airflow['AIRFLOW_VAR_PARLEY_DATA']}/registry"
    Path(airflow["AIRFLOW_VAR_PARLEY_CONFIG"]).write_text(tomli_w.dumps(config))


def kill_submission(given_up: threading.Event, *words: str) -> None:
    """Kills the JVM of the spark-submit that has these arguments, once, before it has begun to work."""
    wanted = {"org.apache.spark.deploy.SparkSubmit", *words}
    while not given_up.wait(0.05):
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it has ended
                command = set((process / "cmdline").read_bytes().decode(errors="replace").split("\0"))
                if wanted <= command and "org.apache.spark.launcher.Main" not in command:
                    return os.kill(int(process.name), signal.SIGKILL)


def run(airflow: dict[str, str], day: str = DAY) -> tuple[int, str]:
    """Exit code and log of one run of the whole DAG."""
    command = [AIRFLOW, "dags", "test", "parley_nightly", day]
    done = subprocess.run(
        command, env=airflow, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    return done.returncode, done.stdout


def starts(log: str, job: str) -> int:
    """How often a job was started."""
    return log.count(f"submit.sh' '{job}'")


def pointer(data: Path) -> dict[str, Any]:
    return json.loads((data / "registry" / "intents" / "current.json").read_text())


def files(path: Path) -> dict[str, int]:
    """The time of change of every file."""
    return {str(file): file.stat().st_mtime_ns for file in path.rglob("*") if file.is_file()}


def test_the_dag_is_imported_without_a_warning(airflow: dict[str, str]) -> None:
    strict = {**airflow, "PYTHONWARNINGS": "error::DeprecationWarning,error::FutureWarning"}
    subprocess.run([AIRFLOW, "dags", "reserialize"], env=strict, check=True, capture_output=True)
    errors, dags = (
        subprocess.run([AIRFLOW, "dags", command], env=airflow, check=True, capture_output=True, text=True).stdout
        for command in ("list-import-errors", "list")
    )
    assert errors.strip().endswith("No data found")  # behind its log
    assert "parley_nightly" in dags


def test_a_night_ends_with_a_published_model_and_predictions_though_training_was_killed_once(
    airflow: dict[str, str], data: Path
) -> None:
    configure(airflow, minimum_accuracy=0.0)
    given_up = threading.Event()
    words = (str(ROOT / "jobs" / "train.py"), f"training.path={data}/days/{DAY}/run")
    killer = threading.Thread(target=kill_submission, args=(given_up, *words))
    killer.start()
    code, log = run(airflow)
    given_up.set()
    killer.join()
    assert code == 0, log[-5000:]
    jobs = ("preprocess", "train", "evaluate", "publish", "score")
    assert [starts(log, job) for job in jobs] == [1, 2, 1, 1, 1]
    day = data / "days" / DAY
    assert [json.loads((day / name / "manifest.json").read_text())["kind"] for name in ("run", "report")] == [
        "run",
        "report",
    ]
    assert (day / "dataset" / "manifest.json").exists()
    assert pointer(data)["version"] == 1
    assert json.loads((day / "scores" / "manifest.json").read_text())["model_version"] == "1"


def test_the_same_day_again_trains_and_publishes_nothing_new(airflow: dict[str, str], data: Path) -> None:
    before = files(data / "registry"), files(data / "days" / DAY / "run")
    code, log = run(airflow)
    assert code == 0, log[-5000:]
    assert "is already trained with these settings; nothing to do" in log
    assert (files(data / "registry"), files(data / "days" / DAY / "run")) == before


def test_a_refused_model_fails_the_night_at_once_with_a_mail_and_leaves_the_registry(
    airflow: dict[str, str], data: Path, mailbox: socketserver.TCPServer
) -> None:
    configure(airflow, minimum_accuracy=1.0, seed=2)
    other = "2026-11-02"
    for directory in ("corpus", "dialogs"):
        shutil.copytree(data / directory / DAY, data / directory / other)
    before = files(data / "registry")
    assert mailbox.messages == []  # of the nights that went well, one of them with a retry
    code, log = run(airflow, other)
    assert code == 1
    assert [starts(log, job) for job in ("evaluate", "publish", "score")] == [1, 1, 0]
    assert files(data / "registry") == before
    [message] = mailbox.messages
    mail = email.message_from_string(message, policy=email.policy.default)
    assert (mail["To"], mail["Subject"]) == ("team@example.com", f"Parley: publish of {other} failed")
    assert "parley: not published: accuracy 0." in mail.get_body(("html",)).get_content()
