"""What bench-train measures without Spark: Keras' `fit`, the bare step, and the machine's matrix multiplication."""

import argparse
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

from corpus import BATCH, CORES, EPOCHS, SEED


def take_threads(processes: int) -> None:
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(CORES // processes)
    tf.config.threading.set_inter_op_parallelism_threads(CORES // processes)


def blocks_of(dataset: Path, rank: int, processes: int) -> tuple[Any, list[Any]]:
    from preprocessing.manifest import read_manifest
    from training.data import load

    manifest = read_manifest(dataset.as_uri())
    with tempfile.TemporaryDirectory() as directory:
        return manifest, load(dataset.as_uri(), manifest, "train", rank, processes, Path(directory))


def fit(dataset: Path, rank: int, processes: int) -> list[float]:
    """Examples/s of a Keras user who pads every utterance to max_tokens, of each epoch but the first."""
    import numpy as np

    from training.config import ModelConfig
    from training.models import build_model

    manifest, blocks = blocks_of(dataset, rank, processes)
    width = manifest.max_tokens
    ids = np.concatenate([np.pad(block.ids, ((0, 0), (0, width - block.ids.shape[1]))) for block in blocks])
    labels = np.concatenate([block.labels for block in blocks])
    model = build_model(ModelConfig(), manifest.vocabulary_size, manifest.num_labels)
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    rates = []
    for _ in range(EPOCHS):
        began = time.monotonic()
        model.fit(ids, labels, batch_size=BATCH, verbose=0)
        rates.append(len(labels) / (time.monotonic() - began))
    return rates[1:]


def bare(dataset: Path, rank: int, processes: int) -> list[float]:
    """The same for this rank of Parley's batches and step, without Spark, Horovod, reports and an exchange."""
    from training.config import ModelConfig, TrainingConfig
    from training.models import build_model
    from training.optimizers import catch_up, make_optimizer
    from training.ranks import ALONE
    from training.schedule import RankSchedule, epoch_steps, unpadded_widths, words_of_a_step
    from training.step import make_train_step

    manifest, blocks = blocks_of(dataset, rank, processes)
    files = manifest.splits["train"]
    model = build_model(ModelConfig(), manifest.vocabulary_size, manifest.num_labels)
    words = words_of_a_step(files, manifest.buckets, BATCH)
    unpadded = unpadded_widths(manifest.buckets)
    config = TrainingConfig()
    optimizer = make_optimizer(config)
    step = make_train_step(model, optimizer, ALONE, words=words, unpadded=unpadded)
    schedule, rates = RankSchedule(files, rank, processes, SEED), []
    for epoch in range(EPOCHS):
        order, own = epoch_steps(files, BATCH, SEED, epoch), schedule.epoch_rows(epoch)
        began, examples = time.monotonic(), 0
        for place in order:
            chosen = schedule.rows_of(place, own)
            block = blocks[place.bucket]
            step(block.ids[chosen], block.labels[chosen], rate=config.learning_rate).numpy()
            examples += len(chosen)
        catch_up(optimizer)
        rates.append(examples / (time.monotonic() - began))
    return rates[1:]


def peak(dataset: Path, rank: int, processes: int) -> list[float]:
    """FLOP/s of a large matrix multiplication on all cores, a few times."""
    import tensorflow as tf

    matrix = tf.random.normal((2048, 2048))
    rounds = []
    for _ in range(5):
        began = time.monotonic()
        tf.matmul(matrix, matrix).numpy()
        rounds.append(2 * 2048**3 / (time.monotonic() - began))
    return rounds


MEASURES = {"fit": fit, "bare": bare, "peak": peak}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("measure", choices=list(MEASURES))
    parser.add_argument("dataset", type=Path)
    parser.add_argument("rank", type=int)
    parser.add_argument("processes", type=int)
    options = parser.parse_args()
    take_threads(options.processes)
    print(json.dumps(MEASURES[options.measure](options.dataset, options.rank, options.processes)))


if __name__ == "__main__":
    main()
