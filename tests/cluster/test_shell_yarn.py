"""scripts/shell.sh on YARN, the driver at a terminal here: a count, an epoch of training, Ctrl-C."""

from collections.abc import Callable
from pathlib import Path

import pexpect
import pytest

pytestmark = pytest.mark.cluster

ROOT = Path(__file__).parents[2]
PROMPT = "\r\n>>> "
SETTINGS = [
    *[f"{section}.path=hdfs:///parley/shell/{name}" for section, name in [("corpus", "corpus"), ("dataset", "dataset"),
      ("training", "run")]],
    "spark.sql.shuffle.partitions=3",
]  # fmt: skip


def test_the_shell_trains_on_yarn_and_survives_ctrl_c(
    hadoop: dict[str, str], small: Callable[..., list[str]], tmp_path: Path
) -> None:
    terminal = pexpect.spawn(
        str(ROOT / "scripts" / "shell.sh"), small(*SETTINGS), env={**hadoop, "PARLEY_MASTER": "yarn", "TERM": "dumb"},
        cwd=str(tmp_path), encoding="utf-8", timeout=180, dimensions=(50, 200),
    )  # fmt: skip

    def say(line: str) -> str:
        terminal.sendline(line)
        terminal.expect(PROMPT)
        return terminal.before.removeprefix(line).strip()

    terminal.expect(PROMPT)
    shown = "sc.master, sc.getConf().get('spark.submit.deployMode')"
    assert say(shown) == "('yarn', 'client')"
    assert say("spark.conf.get('spark.sql.shuffle.partitions'), spark.range(1000).count()") == "('3', 1000)"
    say("generate.run(spark, config)")
    assert "fingerprint" in say("preprocess.run(spark, config)")

    terminal.sendline("train.run(spark, config)")
    terminal.expect("starting")
    terminal.sendintr()
    terminal.expect("parley: interrupted: before the first epoch was done; the same command begins again")
    terminal.expect(PROMPT)
    assert say("spark.range(10).count()") == "10"
    assert "'kind': 'run'" in say("train.run(spark, config)")
    terminal.sendline("exit()")
    terminal.expect(pexpect.EOF)
    terminal.close()
    assert terminal.exitstatus == 0
