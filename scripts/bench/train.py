"""make bench-train: examples/s of `train` beside plain Keras, the bare step, PyTorch and KerasEstimator.

Each way trains the same model on the same examples in processes of its own; the fastest epoch but the first counts.
The utterances are as long as CLINC150's, of 20,000 words.
`fit` pads every utterance to max_tokens, as a Keras user does. The bare step has Parley's batches and step, but no
Spark, no Horovod and no reports; with two processes each takes its half of every batch and nothing is exchanged.
PyTorch runs in .venv-torch, which is made on first use (6 GB).
"""

import argparse
import csv
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from corpus import BATCH, CORES, EPOCHS, HOME, ROOT, SEED, job, utterances
from memory import Memory

BENCH = Path(__file__).parent
TORCH = ROOT / ".venv-torch"


class DoesNotRun(Exception):
    """Why a way gives no figure, in one line."""


class Way(NamedTuple):
    """One row of the table; of the ways of one name the one with one process comes first."""

    name: str
    label: str
    processes: int
    examples_per_second: Callable[[], float]
    batches: str = "bucketed"  # or padded to max_tokens, or packed: no padding at all


def make_dataset(rows: int, dataset: Path) -> dict[str, Any]:
    """The manifest of the dataset of so many utterances, which is made unless it is there."""
    if not dataset.exists():
        job("preprocess", rows, {
            "corpus.path": utterances(rows), "dataset.path": dataset, "dataset.min_count": 1,
            "dataset.max_tokens": 24, "dataset.out_of_scope": "",
        })  # fmt: skip
    return json.loads((dataset / "manifest.json").read_text())


def trained(rows: int, dataset: Path, processes: int) -> float:
    """Examples/s of jobs.train."""
    with tempfile.TemporaryDirectory(prefix="parley-bench-") as run:
        job("train", rows, {
            "dataset.path": dataset, "training.path": f"{run}/run", "training.processes": processes,
            "training.epochs": EPOCHS, "training.seed": SEED, "training.batch_size": BATCH,
            "spark.task.cpus": CORES // processes,
        })  # fmt: skip
        with open(f"{run}/run/history.csv") as history:
            return max(float(epoch["examples_per_second"]) for epoch in list(csv.DictReader(history))[1:])


def in_process(measure: str, dataset: Path, processes: int) -> float:
    """The most of what the processes of in_process.py say, summed: of the same epoch, as Parley's processes have it."""
    command = [sys.executable, BENCH / "in_process.py", measure, dataset]
    ranks = [
        subprocess.Popen([*command, str(rank), str(processes)], stdout=subprocess.PIPE, text=True, cwd=ROOT)
        for rank in range(processes)
    ]
    return max(map(sum, zip(*(json.loads(rank.communicate()[0]) for rank in ranks), strict=True)))


def said(command: Sequence[str | Path]) -> float:
    """The number in the last line of a command's output. Raises DoesNotRun, with its last complaint, where it fails."""
    try:
        done = subprocess.run(
            command, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True
        )
    except OSError as error:
        raise DoesNotRun(f"{error.strerror}: {error.filename}") from None
    if done.returncode:
        raise DoesNotRun((done.stderr.strip() or f"exit status {done.returncode}").splitlines()[-1])
    return float(done.stdout.splitlines()[-1])


def make_torch() -> None:
    """Makes .venv-torch unless it is there; where that fails, pip says why and PyTorch's rows that it is not there."""
    wanted, made_of = (BENCH / "pytorch.txt").read_text(), TORCH / ".ready"
    if made_of.exists() and made_of.read_text() == wanted:
        return
    subprocess.run([sys.executable, "-m", "venv", "--clear", TORCH], check=True)
    command = [TORCH / "bin" / "pip", "install", "--disable-pip-version-check", "-r", BENCH / "pytorch.txt"]
    if subprocess.run(command, stdout=sys.stderr).returncode == 0:
        made_of.write_text(wanted)


def ways_of(rows: int, dataset: Path) -> list[Way]:
    def pytorch(batches: str, processes: int) -> Callable[[], float]:
        return lambda: said([TORCH / "bin" / "python", BENCH / "pytorch_lstm.py", dataset, batches, str(processes)])

    return [
        Way("fit", "Keras `fit`, padded", 1, lambda: in_process("fit", dataset, 1), "padded"),
        Way("bare", "bare step", 1, lambda: in_process("bare", dataset, 1)),
        Way("bare", "bare step, nothing exchanged", 2, lambda: in_process("bare", dataset, 2)),
        Way("parley", "Parley", 1, lambda: trained(rows, dataset, 1)),
        Way("parley", "Parley", 2, lambda: trained(rows, dataset, 2)),
        Way("pytorch-padded", "PyTorch, padded", 1, pytorch("padded", 1), "padded"),
        Way("pytorch-packed", "PyTorch, packed sequences", 1, pytorch("packed", 1), "packed"),
        Way("pytorch-packed", "PyTorch, packed sequences, `TorchDistributor`", 2, pytorch("packed", 2), "packed"),
        Way("pytorch", "PyTorch, Parley's batches", 1, pytorch("bucketed", 1)),
        Way("pytorch", "PyTorch, Parley's batches, `TorchDistributor`", 2, pytorch("bucketed", 2)),
        Way(
            "keras-estimator", "Horovod's `KerasEstimator`", 2,
            lambda: said([sys.executable, BENCH / "keras_estimator.py", dataset, "2"]), "padded",
        ),
    ]  # fmt: skip


def flops(manifest: dict[str, Any], batches: str) -> float:
    """Multiplications and additions of one example, forward and back, in the LSTM's and the last layer's matrices."""
    counts = [0] * len(manifest["buckets"])
    for file in manifest["splits"]["train"]:
        counts = [one + other for one, other in zip(counts, file["rows_per_bucket"], strict=True)]
    bucketed = sum(n * b for n, b in zip(counts, manifest["buckets"], strict=True)) / sum(counts)
    width = manifest["max_tokens"] if batches == "padded" else bucketed
    return 3 * 2 * (width * (128 + 128) * 4 * 128 + 128 * manifest["num_labels"])


COLUMNS = [
    "by", "processes", "examples/s", "beside `fit`", "beside the bare step", "beside one process",
    "share of the matrix peak", "Java MB", "Python MB",
]  # fmt: skip


def row_of(way: Way, rates: dict[tuple[str, int], float], manifest: dict[str, Any], limit: float) -> list[str]:
    """The way's row of the table; `rates` by name and processes holds what was measured before, and then this too."""
    memory = Memory()
    memory.start()
    try:
        rate = way.examples_per_second()
    except DoesNotRun as reason:
        return [way.label, str(way.processes), f"does not run: {reason}".replace("|", "/"), *["–"] * 6]
    finally:
        memory.done.set()
    rates[way.name, way.processes] = rate
    others = [("fit", 1), ("bare", way.processes), (way.name, 1)]
    beside = [f"{rate / rates[other]:.2f}" if other in rates else "–" for other in others]
    used = "–" if way.batches == "packed" else f"{rate * flops(manifest, way.batches) / limit:.0%}"
    held = [f"{memory.most[kind]:,}" for kind in ("java", "python")]
    return [way.label, str(way.processes), f"{rate:,.0f}", *beside, used, *held]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=300_000, help="utterances, of which four fifths train")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="of these alone: fit bare parley pytorch ...")
    options = parser.parse_args()
    dataset = HOME / f"train-{options.rows}"
    ways = ways_of(options.rows, dataset)
    names = list(dict.fromkeys(way.name for way in ways))
    if unknown := set(options.only or []) - set(names):
        parser.error(f"--only: no way {' '.join(sorted(unknown))}: one of {' '.join(names)}")
    ways = [way for way in ways if not options.only or way.name in options.only]
    manifest = make_dataset(options.rows, dataset)
    if any(way.name.startswith("pytorch") for way in ways):
        make_torch()
    limit = in_process("peak", dataset, 1)
    rates: dict[tuple[str, int], float] = {}
    print(f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}")
    for way in ways:
        print(f"| {' | '.join(row_of(way, rates, manifest, limit))} |", flush=True)


if __name__ == "__main__":
    main()
