"""The generated corpora of the benchmarks, and Parley's jobs on them."""

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[2]
HOME = ROOT / "data" / "bench"
CORES = 2
BATCH, EPOCHS, SEED = 256, 4, 1  # of every training; the fastest epoch but the first counts, as machines are shared
# CLINC150's training utterances by their number of tokens, from 1; those of more than 24 are with these
LENGTHS = [42, 136, 290, 705, 1194, 1710, 2049, 2004, 1745, 1418, 1087, 811, 590, 365, 265, 196, 148, 85, 53, 37, 27,
           13, 13, 17]  # fmt: skip
WORDS, INTENTS = 20_000, 150


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


def utterances(rows: int) -> Path:
    """So many utterances as long as CLINC150's, made unless they are there: words as frequent as in language (Zipf)."""
    corpus = HOME / f"utterances-{rows}"
    if not corpus.exists():
        draw = np.random.default_rng(SEED)
        lengths = draw.choice(len(LENGTHS), rows, p=np.array(LENGTHS) / sum(LENGTHS)) + 1
        share = 1 / np.arange(1, WORDS + 1)
        words = iter(draw.choice(WORDS, lengths.sum(), p=share / share.sum()).tolist())
        HOME.mkdir(parents=True, exist_ok=True)
        with corpus.with_suffix(".tmp").open("w") as file:
            for number, length in enumerate(lengths.tolist()):
                text = " ".join(_spelt(next(words)) for _ in range(length))
                turn = {"text": text, "intent": f"intent {draw.integers(INTENTS)}", "dialog_id": str(number), "turn": 0}
                file.write(json.dumps(turn | {"speaker": "user", "language": "en"}) + "\n")
        corpus.with_suffix(".tmp").rename(corpus)
    return corpus


def _spelt(word: int) -> str:
    """A word of four letters."""
    return "".join(chr(ord("a") + word // 26**place % 26) for place in range(4))
