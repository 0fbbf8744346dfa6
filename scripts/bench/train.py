"""make bench-train: examples/s of `train` beside plain Keras `fit` and beside the bare step, same model, same examples.

Each way trains two epochs of the same dataset in processes of its own; the second epoch counts. `fit` pads every
utterance to max_tokens, as a Keras user does. The bare step has Parley's batches and step, but no Spark, no Horovod and
no reports; with two processes each takes its half of every batch and nothing is exchanged.
"""

import argparse
import csv
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from corpus import CORES, HOME, ROOT, generate, job
from memory import Memory

BATCH, EPOCHS, SEED = 256, 2, 1


def dataset_of(rows: int) -> Path:
    """The dataset of the corpus of so many turns, made unless it is there."""
    generate(rows)
    dataset = HOME / f"train-{rows}"
    if not dataset.exists():
        job("preprocess", rows, {"dataset.path": dataset, "dataset.min_count": 1})
    return dataset


def trained(rows: int, processes: int) -> float:
    """Examples/s of jobs.train in its second epoch."""
    with tempfile.TemporaryDirectory(prefix="parley-bench-") as run:
        job("train", rows, {
            "dataset.path": dataset_of(rows), "training.path": f"{run}/run", "training.processes": processes,
            "training.epochs": EPOCHS, "training.seed": SEED, "training.batch_size": BATCH,
            "spark.task.cpus": CORES // processes,
        })  # fmt: skip
        with open(f"{run}/run/history.csv") as history:
            return float(list(csv.DictReader(history))[-1]["examples_per_second"])


def alone(way: str, rows: int, processes: int) -> float:
    """Examples/s of a way below, all processes together."""
    command = [sys.executable, __file__, "--rows", str(rows), "--way", way]
    ranks = [
        subprocess.Popen([*command, "--rank", f"{rank}/{processes}"], stdout=subprocess.PIPE, text=True, cwd=ROOT)
        for rank in range(processes)
    ]
    return sum(float(rank.communicate()[0]) for rank in ranks)


def take_threads(processes: int) -> None:
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(CORES // processes)


def blocks_of(rows: int, rank: int, processes: int) -> tuple[Any, list[Any]]:
    from preprocessing.manifest import read_manifest
    from training.data import load

    dataset = dataset_of(rows).as_uri()
    manifest = read_manifest(dataset)
    with tempfile.TemporaryDirectory() as directory:
        return manifest, load(dataset, manifest, "train", rank, processes, Path(directory))


def fit(rows: int, rank: int, processes: int) -> float:
    import numpy as np

    from training.config import ModelConfig
    from training.models import build_model

    manifest, blocks = blocks_of(rows, rank, processes)
    width = manifest.max_tokens
    ids = np.concatenate([np.pad(block.ids, ((0, 0), (0, width - block.ids.shape[1]))) for block in blocks])
    labels = np.concatenate([block.labels for block in blocks])
    model = build_model(ModelConfig(), manifest.vocabulary_size, manifest.num_labels)
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    for _ in range(EPOCHS):
        began = time.monotonic()
        model.fit(ids, labels, batch_size=BATCH, verbose=0)
        seconds = time.monotonic() - began
    return len(labels) / seconds


def bare(rows: int, rank: int, processes: int) -> float:
    from training.config import ModelConfig, TrainingConfig
    from training.exchange import ALONE
    from training.models import build_model
    from training.optimizers import make_optimizer
    from training.schedule import RankSchedule, epoch_steps, words_of_a_step
    from training.step import make_train_step

    manifest, blocks = blocks_of(rows, rank, processes)
    files = manifest.splits["train"]
    model = build_model(ModelConfig(), manifest.vocabulary_size, manifest.num_labels)
    words = words_of_a_step(files, manifest.buckets, BATCH)
    step = make_train_step(model, make_optimizer(TrainingConfig()), ALONE, words=words)
    schedule = RankSchedule(files, rank, processes, SEED)
    for epoch in range(EPOCHS):
        order, own = epoch_steps(files, BATCH, SEED, epoch), schedule.epoch_rows(epoch)
        began, examples = time.monotonic(), 0
        for place in order:
            chosen = schedule.rows_of(place, own)
            block = blocks[place.bucket]
            step(block.ids[chosen], block.labels[chosen]).numpy()
            examples += len(chosen)
        seconds = time.monotonic() - began
    return examples / seconds


def peak() -> float:
    """GFLOP/s of a large matrix multiplication on all cores."""
    take_threads(1)
    import tensorflow as tf

    matrix = tf.random.normal((2048, 2048))
    rounds = []
    for _ in range(5):
        began = time.monotonic()
        tf.matmul(matrix, matrix).numpy()
        rounds.append(2 * 2048**3 / (time.monotonic() - began) / 1e9)
    return max(rounds)


def flops(manifest: dict[str, Any], padded_to: int = 0) -> float:
    """Multiplications and additions of one example, forward and back, in the LSTM's and the last layer's matrices."""
    counts = [0] * len(manifest["buckets"])
    for file in manifest["splits"]["train"]:
        counts = [one + other for one, other in zip(counts, file["rows_per_bucket"], strict=True)]
    width = padded_to or sum(n * b for n, b in zip(counts, manifest["buckets"], strict=True)) / sum(counts)
    return 3 * 2 * (width * (128 + 128) * 4 * 128 + 128 * manifest["num_labels"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=200_000, help="turns to generate; about half are examples")
    parser.add_argument("--way", choices=["fit", "bare", "peak"])
    parser.add_argument("--rank", default="0/1")
    options = parser.parse_args()
    if options.way == "peak":
        print(peak())
        return
    if options.way:
        rank, processes = map(int, options.rank.split("/"))
        take_threads(processes)
        print({"fit": fit, "bare": bare}[options.way](options.rows, rank, processes))
        return
    manifest = json.loads((dataset_of(options.rows) / "manifest.json").read_text())
    limit = alone("peak", options.rows, 1) * 1e9
    ways = {
        "Keras fit, one process, padded": lambda: alone("fit", options.rows, 1),
        "bare step, one process": lambda: alone("bare", options.rows, 1),
        "bare step, two processes that exchange nothing": lambda: alone("bare", options.rows, 2),
        "Parley, one process": lambda: trained(options.rows, 1),
        "Parley, two processes": lambda: trained(options.rows, 2),
    }
    first = 0.0
    print(
        "| by | examples/s | beside fit | share of the matrix peak | Java MB | Python MB |\n|---|---|---|---|---|---|"
    )
    for name, way in ways.items():
        memory = Memory()
        memory.start()
        rate = way()
        memory.done.set()
        first = first or rate
        used = rate * flops(manifest, manifest["max_tokens"] if "padded" in name else 0) / limit
        held = " | ".join(f"{memory.most[kind]:,}" for kind in ("java", "python"))
        print(f"| {name} | {rate:,.0f} | {rate / first:.2f} | {used:.0%} | {held} |", flush=True)


if __name__ == "__main__":
    main()
