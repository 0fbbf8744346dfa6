"""scripts/shell.sh at a real terminal: what it says, and what Ctrl-C leaves behind."""

import contextlib
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pexpect
import psutil
import pytest

from preprocessing import storage
from training.checkpoint import latest_epoch

pytestmark = [pytest.mark.spark, pytest.mark.tensorflow, pytest.mark.horovod]

ROOT = Path(__file__).parents[2]
PROMPT = "\r\n>>> "
EPOCHS = 40  # seconds of work: enough to be interrupted
ENVIRONMENT = {**os.environ, "PYSPARK_PYTHON": sys.executable, "TERM": "dumb"}


class Shell:
    """A shell at its prompt, on a corpus of its own."""

    def __init__(self, base: Path) -> None:
        self.run, self.local, self.temporary = (base / name for name in ("run", "local", "temporary"))
        self.temporary.mkdir()
        settings = [
            *[f"{section}.path={base}/{name}" for section, name in [("corpus", "corpus"), ("dataset", "dataset"),
              ("training", "run"), ("evaluation", "report")]],
            "generator.rows=3000", "dataset.files_per_split=2", "model.units=16", "model.embedding_size=16",
            f"training.epochs={EPOCHS}", "training.batch_size=64", "spark.sql.shuffle.partitions=3",
            "spark.master=local[2]", f"spark.local.dir={self.local}",
        ]  # fmt: skip
        words = [word for setting in settings for word in ("--set", setting)]
        self.terminal = pexpect.spawn(
            str(ROOT / "scripts" / "shell.sh"), words, cwd=str(base), encoding="utf-8", timeout=120,
            dimensions=(50, 200), env={**ENVIRONMENT, "TMPDIR": str(self.temporary)},
        )  # fmt: skip
        self.terminal.expect(PROMPT)
        self.greeting = self.terminal.before

    def say(self, line: str) -> str:
        """What the shell answers."""
        self.terminal.sendline(line)
        self.terminal.expect(PROMPT)
        return self.terminal.before.removeprefix(line).strip()

    def interrupt(self, line: str, reached: str | Callable[[], bool]) -> tuple[str, float]:
        """What the shell says when Ctrl-C is pressed once `line` has `reached` so far, and after how many seconds."""
        self.terminal.sendline(line)
        if isinstance(reached, str):
            self.terminal.expect(reached)
        else:
            deadline = time.monotonic() + 120
            while not reached():
                assert time.monotonic() < deadline, "never got there"
                time.sleep(0.05)
        time.sleep(0.3)  # nobody is faster
        pressed = time.monotonic()
        self.terminal.sendintr()
        self.terminal.expect(PROMPT)
        return self.terminal.before, time.monotonic() - pressed

    def ranks(self) -> list[psutil.Process]:
        """Training processes below the shell."""
        found = []
        for process in psutil.Process(self.terminal.pid).children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                found += [process] if "horovod.spark.task.gloo_exec_fn" in process.cmdline() else []
        return found

    def ports(self) -> int:
        """Ports that the driver listens at."""
        connections = psutil.Process(self.terminal.pid).net_connections("inet")
        return sum(connection.status == psutil.CONN_LISTEN for connection in connections)


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    shell = Shell(tmp_path_factory.mktemp("shell"))
    shell.say("generate.run(spark, config)")
    assert "fingerprint" in shell.say("preprocess.run(spark, config)")
    yield shell
    shell.terminal.sendline("exit()")
    shell.terminal.expect(pexpect.EOF)
    shell.terminal.close()
    assert shell.terminal.exitstatus == 0
    assert not list(shell.local.rglob("parley-*")), "of ranks that were ended with the session"


def refusal(*words: str, **environment: str) -> str:
    done = subprocess.run(
        [ROOT / "scripts" / "shell.sh", *words],
        env=ENVIRONMENT | environment, capture_output=True, text=True, check=False, timeout=30,
    )  # fmt: skip
    assert done.returncode == 2 and done.stdout == ""
    return done.stderr


def test_mistakes_are_said_before_spark_starts() -> None:
    assert refusal("--set", "training.epoch=3") == "parley: unknown key training.epoch: did you mean 'epochs'?\n"
    assert refusal("--config", "no.toml") == "parley: --config no.toml cannot be read: No such file or directory\n"
    assert refusal("--sett", "x").endswith("error: unrecognized arguments: --sett x\n")
    assert refusal(PARLEY_MASTER="mesos") == "shell: PARLEY_MASTER=mesos: expected local or yarn\n"
    assert "HADOOP_CONF_DIR is not set" in refusal(PARLEY_MASTER="yarn", HADOOP_CONF_DIR="")


def test_session_and_configuration_are_there(shell: Shell) -> None:
    assert "score.score(" in shell.greeting and "docs/shell.md" in shell.greeting
    assert shell.say("sc.master, spark.conf.get('spark.sql.shuffle.partitions')") == "('local[2]', '3')"
    assert shell.say("config.training.epochs, [job.__name__ for job in (evaluate, publish, score)]") == (
        f"({EPOCHS}, ['jobs.evaluate', 'jobs.publish', 'jobs.score'])"
    )
    labels = "spark.read.parquet(f'{config.dataset.path}/train').select('intent').distinct().count() > 20"
    assert shell.say(labels) == "True"
    mistake = shell.say("train.run(spark, load_config(None, ['training.path=']))")
    assert mistake.splitlines() == [
        "parley: training.path is empty: say where the run goes, with --set training.path=URI"
    ]


def test_ctrl_c_ends_training_and_keeps_the_session(shell: Shell) -> None:
    def whole(said: str, seconds: float) -> None:
        assert "Traceback" not in said
        assert seconds < 20, said  # one or two, where nothing else runs
        assert not shell.ranks()
        assert not lease.exists()
        assert not list(shell.temporary.glob("parley-*"))
        assert not (shell.run / "ranks").exists() and not list(shell.run.rglob("*.tmp-*"))
        # the JVM itself may complain of a barrier task that was killed in between
        assert shell.say("spark.range(10).count()").splitlines()[-1] == "10"
        assert shell.say("spark.range(10, numPartitions=2).rdd.map(str).count()").splitlines()[-1] == "10"

    line, lease = "train.run(spark, config)", Path(f"{shell.run}.lease")
    ports = shell.ports()
    for reached in (
        lease.exists,  # preflight asks the executors
        "INFO training lstm",  # Horovod asks itself how it was built
        "starting",  # its Spark tasks find each other
        lambda: len(shell.ranks()) == 2,  # TensorFlow is being imported
    ):
        said, seconds = shell.interrupt(line, reached)
        assert "parley: interrupted: before the first epoch was done; the same command begins again" in said
        whole(said, seconds)

    said, seconds = shell.interrupt(line, lambda: latest_epoch(shell.run.as_uri()) > 0)
    done = latest_epoch(shell.run.as_uri())
    assert done < EPOCHS, "interrupted too late to prove anything"
    kept = rf"parley: interrupted: epoch {done} of {EPOCHS}( and \d+ steps are| is) kept and the same command goes on"
    assert re.search(kept, said), said
    assert "step" in said
    whole(said, seconds)
    assert shell.ports() == ports

    said = shell.say(line)
    assert f"epochs {done + 1} to {EPOCHS}" in said and "'kind': 'run'" in said
    history = storage.read_text(f"{shell.run}/history.csv").splitlines()
    assert len(history) == EPOCHS + 1


def test_a_table_is_scored(shell: Shell) -> None:
    frame = "spark.createDataFrame([('where is my parcel',)], ['text'])"
    said = shell.say(f"score.score({frame}, f'{{config.training.path}}/model').columns")
    assert said == "['text', 'intent', 'probability', 'top3', 'out_of_scope', 'model_version']"
    row = shell.say(f"score.score({frame}, f'{{config.training.path}}/model').first()")
    assert row.startswith("Row(text='where is my parcel', intent='")
