"""Weights that become no numbers in a step whose loss is one: no checkpoint has them, and what is kept is named."""

from pathlib import Path

import numpy as np
import pytest
from pyspark.sql import SparkSession

from training.attempt import TrainingFailed
from training.checkpoint import read_checkpoint, read_position
from training.config import ModelConfig, TrainingConfig
from training.launch import train

pytestmark = [pytest.mark.spark, pytest.mark.tensorflow, pytest.mark.horovod]

# A user's architecture, whose gradient is no number from its process' fifth step on: its loss is one until the sixth.
POISONED = """
import math, time
import keras, tensorflow as tf
from training.zoo import lstm

steps = 0

def factor():
    global steps
    steps += 1
    if steps < 5:
        return 1.0
    time.sleep(0.5)  # until the checkpoint of the step before is written, so that there is one of this step
    return math.nan

@tf.custom_gradient
def poisoned(x):
    return tf.identity(x), lambda gradient: gradient * tf.py_function(factor, [], tf.float32)

class Poisoned(keras.layers.Layer):
    def call(self, inputs, training=False):
        return poisoned(inputs) if training else inputs

def build(config, vocabulary_size, num_labels):
    model = lstm(config, vocabulary_size, num_labels)
    return keras.Model(model.input, Poisoned()(model.output))
"""


def test_weights_that_are_no_numbers_are_never_kept(
    spark: SparkSession, dataset: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, run = f"poisoned_{tmp_path.name}", (tmp_path / "run").as_uri()
    (tmp_path / f"{module}.py").write_text(POISONED)
    monkeypatch.syspath_prepend(str(tmp_path))
    model = ModelConfig(architecture=f"{module}:build", embedding_size=8, units=8)
    training = TrainingConfig(path=str(tmp_path / "run"), batch_size=7, processes=1, checkpoint_minutes=1e-6)
    for command in ("first", "again"):  # which begins from what is kept, not from what is spoilt
        with pytest.raises(TrainingFailed) as failed:
            train(spark, dataset, model, training)
        step = read_position(run).step
        assert 0 < step <= (4 if command == "first" else 8)
        words = str(failed.value)
        assert "Diverged: the " in words and words.endswith(f"_epochs; step {step} of epoch 1 is kept"), words
        assert {path.name for path in (tmp_path / "run").iterdir()} == {"checkpoints", "config.toml", "errors"}
        kept = read_checkpoint(run)
        assert all(np.isfinite(array).all() for array in (*kept.weights, *kept.optimizer))
