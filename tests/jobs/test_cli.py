"""The command as a user types it: what it prints, where, and with which exit code."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from jobs.config import AppConfig, load_config

ROOT = Path(__file__).parents[2]
WITHOUT_JAVA = {"JAVA_HOME": "/nowhere", "PATH": "/nowhere"}


def parley(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "jobs.preprocess", *arguments],
        cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True, timeout=120,
    )  # fmt: skip


def test_a_dry_run_prints_what_would_be_read_back_and_starts_no_java(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text('[corpus]\npath = "말.json"\noptions = { header = true }\n[spark]\nmaster = "x"\n')
    arguments = ["--config", f"{tmp_path}/a.toml", "--set", "dataset.path=s3://b/c d", "--set", "dataset.max_tokens=9"]
    done = parley(*arguments, "--dry-run", **WITHOUT_JAVA)
    assert (done.returncode, done.stderr) == (0, "")
    (tmp_path / "printed.toml").write_text(done.stdout)
    config = load_config(f"{tmp_path}/printed.toml")
    assert config == load_config(arguments[1], arguments[3::2])
    assert config != AppConfig()
    assert done.stdout.splitlines()[-1] == "# plan: read json from 말.json, write the dataset to s3://b/c d"


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--set", "dataset.zzz=1"], "parley: unknown key dataset.zzz: known are path, tokenizer, max_tokens"),
        (["--set", "training.epoch\ns=1"], "parley: unknown key training.epoch s: did you mean 'epochs'?"),
        (["--config", "/nowhere.toml"], "parley: --config /nowhere.toml cannot be read: No such file or directory"),
        (["--dry-run", "--set", "training.epochs=0"], "parley: training.epochs must be at least 1, found 0"),
    ],
)
def test_a_mistake_of_the_caller_is_one_line_and_exit_2(arguments: list[str], line: str) -> None:
    done = parley(*arguments, **WITHOUT_JAVA)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert done.stderr.startswith(line)


def test_an_option_is_not_guessed_from_its_beginning() -> None:
    done = parley("--dry", **WITHOUT_JAVA)
    assert (done.returncode, done.stdout) == (2, "")
    assert "unrecognized arguments: --dry" in done.stderr


def test_a_failure_is_a_traceback_a_line_with_its_cause_and_exit_1() -> None:
    done = parley("--set", "corpus.path=a", "--set", "dataset.path=b", **WITHOUT_JAVA)
    assert (done.returncode, done.stdout, "Traceback (most recent call last)" in done.stderr) == (1, "", True)
    assert done.stderr.splitlines()[-1].startswith("parley: failed: ")


@pytest.mark.spark
def test_a_mistake_that_only_spark_can_see_is_one_line_too(tmp_path: Path) -> None:
    done = parley("--set", f"corpus.path={tmp_path}/a.json", "--set", f"dataset.path={tmp_path}/data")
    assert (done.returncode, done.stdout) == (2, "")
    ours = [line for line in done.stderr.splitlines() if line.startswith("parley: ")]
    assert [line.partition(" cannot be read")[0] for line in ours] == [f"parley: corpus.path ['{tmp_path}/a.json']"]
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.spark
def test_a_local_session_has_sparks_classes_from_the_archive_of_the_setup(spark: SparkSession) -> None:
    java = spark.sparkContext._jvm.java.lang.ProcessHandle.current().pid()
    assert f"{sys.prefix}/spark.jsa" in Path(f"/proc/{java}/maps").read_text(), "remove .venv/.ready, then: make setup"
