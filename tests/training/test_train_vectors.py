"""Runs that begin with word vectors: what becomes of the embedding, and which run is which."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from pyspark.sql import SparkSession

from preprocessing.errors import UserError
from preprocessing.vocabulary import read_lines
from training.checkpoint import read_checkpoint
from training.config import ModelConfig, TrainingConfig
from training.launch import train

pytestmark = [pytest.mark.spark, pytest.mark.tensorflow, pytest.mark.horovod]


def test_frozen_vectors_stay_and_other_vectors_are_another_run(
    spark: SparkSession, dataset: str, tmp_path: Path
) -> None:
    words = read_lines(f"{dataset}/vocabulary.txt")
    known = list(range(2, len(words), 2))
    lines = [f"{words[row]} {row} 0.5 -{row} 1e-3" for row in known]
    file = tmp_path / "vectors.txt"
    file.write_text("\n".join(lines))
    model = ModelConfig(embedding_size=4, units=4, word_vectors=str(file), word_vectors_frozen=True)
    training = TrainingConfig(path=str(tmp_path / "run"), processes=2, epochs=2, batch_size=16, learning_rate=0.01)
    train(spark, dataset, model, training)
    embedding, *others = read_checkpoint(f"file://{training.path}").weights
    expected = np.array([[row, 0.5, -row, 1e-3] for row in known], np.float32)
    np.testing.assert_array_equal(embedding[known], expected)
    assert embedding.shape == (len(words), 4) and np.isfinite(embedding).all() and len(others) == 5
    moved = file.rename(tmp_path / "moved.txt")
    train(spark, dataset, dataclasses.replace(model, word_vectors=str(moved)), training)  # nothing to do
    moved.write_text("\n".join(["; 1 1 1 1", *lines[1:]]))
    with pytest.raises(UserError, match=r"begun with other settings: model.word_vectors was '[0-9a-f]{64}', is"):
        train(spark, dataset, dataclasses.replace(model, word_vectors=str(moved)), training)
