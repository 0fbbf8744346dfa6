"""The generated corpora of the benchmarks, and Parley's jobs on them."""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parents[2]
HOME = ROOT / "data" / "bench"
CORES = 2
BATCH, EPOCHS, SEED = 256, 2, 1  # of every training


def job(name: str, rows: int, settings: Mapping[str, object]) -> str:
    """What `jobs.NAME` said, on the corpus of so many turns and this machine's CORES."""
    values = {
        "corpus.path": HOME / f"corpus-{rows}", "generator.rows": rows, "spark.master": f"local[{CORES}]", **settings,
    }  # fmt: skip
    options = [word for key, value in values.items() for word in ("--set", f"{key}={value}")]
    command = [sys.executable, "-m", f"jobs.{name}", "--config", "conf/local.toml", *options]
    return subprocess.run(command, check=True, cwd=ROOT, stderr=subprocess.PIPE, text=True).stderr


def generate(rows: int) -> Path:
    """The corpus of so many turns, made unless it is there."""
    corpus = HOME / f"corpus-{rows}"
    HOME.mkdir(parents=True, exist_ok=True)
    if not corpus.exists():
        job("generate", rows, {})
    return corpus
