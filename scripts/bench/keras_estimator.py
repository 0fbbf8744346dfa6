"""Examples/s of Horovod's KerasEstimator with the default model, second epoch, or in one line why it does not run."""

import argparse
import math
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import keras
from corpus import BATCH, CORES, EPOCHS
from horovod.spark.common.store import Store
from horovod.spark.keras import KerasEstimator

from jobs.cli import make_session
from jobs.config import AppConfig, SparkConfig
from preprocessing.errors import first_line
from preprocessing.manifest import read_manifest
from training.config import ModelConfig
from training.models import build_model


class Clock(keras.callbacks.Callback):
    """The seconds of each epoch, among the metrics that `fit` returns."""

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self.began = time.monotonic()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if logs is not None:
            logs["seconds"] = time.monotonic() - self.began


def estimate(dataset: Path, processes: int, store: str) -> float:
    """Examples/s of all processes together."""
    manifest = read_manifest(dataset.as_uri())
    estimator = KerasEstimator(
        num_proc=processes,
        store=Store.create(store),
        model=build_model(ModelConfig(), manifest.vocabulary_size, manifest.num_labels),
        optimizer=keras.optimizers.Adam(1e-3),
        loss="sparse_categorical_crossentropy",
        feature_cols=["input_ids"],
        label_cols=["label_id"],
        batch_size=BATCH // processes,
        epochs=EPOCHS,
        callbacks=[Clock()],
        verbose=0,
    )
    config = AppConfig(spark=SparkConfig({"spark.master": f"local[{CORES}]"}))
    with make_session(config) as spark:
        examples = spark.read.parquet(f"{dataset}/train").select("input_ids", "label_id")
        fitted = estimator.fit(examples)
    steps = math.ceil(manifest.rows("train") / BATCH)
    return steps * BATCH / min(map(float, fitted.getHistory()["seconds"][1:]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("processes", type=int)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="parley-bench-") as store:
        try:
            print(estimate(options.dataset, options.processes, store))
        except Exception as error:  # whatever its versions lead to is this way's result
            sys.exit(f"{type(error).__name__}: {first_line(error)}")


if __name__ == "__main__":
    main()
