"""A model that starts from an earlier one: what is carried over, exactly, and what is refused."""

import dataclasses
import logging
from pathlib import Path

import numpy as np
import pytest
from pyspark.sql import SparkSession

from preprocessing import storage
from preprocessing.errors import UserError
from preprocessing.manifest import read_manifest
from preprocessing.vocabulary import SPECIAL, read_lines
from training.artifact import VERSION, model_checksum
from training.checkpoint import read_checkpoint
from training.config import ModelConfig, TrainingConfig
from training.launch import train
from training.registry import RegistryConfig, add_version, make_current
from training.warm_start import Start, check_start

OLD_WORDS = [*SPECIAL, "money", "back", "parcel", "where", "my"]
OLD_LABELS = ["delivery", "greeting", "refund"]
TEXTS = [["where", "my", "parcel"], ["money", "back"], ["hi"], ["my"]]  # "hi" is known only to the new model, as a word

OWN = """
import keras

def build(config, vocabulary_size, num_labels):
    layers = keras.layers
    ids = keras.Input((None,), dtype="int32")
    words = layers.Embedding(vocabulary_size, 5)(ids)
    share = layers.GlobalAveragePooling1D()(layers.Embedding(vocabulary_size, num_labels)(ids))  # of both kinds
    hidden = layers.BatchNormalization()(layers.GlobalAveragePooling1D()(words))
    return keras.Model(ids, layers.Softmax()(layers.Dense(num_labels)(hidden) + share))
"""


def ids_of(words: list[str]) -> np.ndarray:
    rows = [[words.index(word) if word in words else 1 for word in text] for text in TEXTS]
    return np.array([row + [0] * (3 - len(row)) for row in rows], np.int32)


def written(config: ModelConfig, uri: Path) -> np.ndarray:
    """The probabilities of the model that is written to `uri`, no weight of which is as it began."""
    import keras

    from training.export import write_model
    from training.models import build_model

    keras.utils.set_random_seed(1)
    model = build_model(config, len(OLD_WORDS), len(OLD_LABELS))
    model.set_weights([np.random.default_rng(2).uniform(0.1, 1, w.shape) for w in model.get_weights()])
    lineage = {"model": dataclasses.asdict(config), "out_of_scope": ""}
    write_model(model, OLD_WORDS, OLD_LABELS, "words", 3, lineage, uri.as_uri())
    return model(ids_of(OLD_WORDS)).numpy()


@pytest.mark.tensorflow
@pytest.mark.parametrize("architecture", ["bigru_attention", "cnn", "tests_own_start:build"])
def test_old_words_and_intents_mean_what_they_did(
    architecture: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from training.models import build_model
    from training.warm_start import carry_over

    (tmp_path / "tests_own_start.py").write_text(OWN)
    monkeypatch.syspath_prepend(str(tmp_path))
    config = ModelConfig(architecture, embedding_size=4, units=3)
    old = written(config, tmp_path / "model")
    words = [*SPECIAL, "hi", "my", "where", "parcel", "back", "money"]
    for labels in (["refund", "delivery", "greeting"], ["cancel", "refund", "thanks", "delivery", "greeting"]):
        model = build_model(config, len(words), len(labels))
        fresh = model.get_weights()
        carry_over(model, config, (tmp_path / "model").as_uri(), words, labels)
        new = model(ids_of(words)).numpy()[:, [labels.index(label) for label in OLD_LABELS]]
        known = [0, 1, 3]
        np.testing.assert_allclose(new[known] / new[known].sum(1, keepdims=True), old[known], atol=1e-6)
        changed = [array for array, before in zip(model.get_weights(), fresh, strict=True) if len(array) == len(words)]
        untouched = [before for before in fresh if len(before) == len(words)]
        for array, before in zip(changed, untouched, strict=True):
            np.testing.assert_array_equal(array[words.index("hi")], before[words.index("hi")])


@pytest.mark.tensorflow
def test_another_network_of_the_same_name_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from training.models import build_model
    from training.warm_start import carry_over

    module = tmp_path / "tests_changing_model.py"
    module.write_text(OWN)
    monkeypatch.syspath_prepend(str(tmp_path))
    config = ModelConfig("tests_changing_model:build")
    written(config, tmp_path / "model")
    import tests_changing_model

    def other(config: ModelConfig, vocabulary_size: int, num_labels: int) -> object:
        return build_model(ModelConfig(units=3), vocabulary_size, num_labels)

    monkeypatch.setattr(tests_changing_model, "build", other)
    with pytest.raises(UserError, match=r"is not what model.architecture = 'tests_changing_model:build' builds now"):
        carry_over(build_model(config, 9, 4), config, (tmp_path / "model").as_uri(), OLD_WORDS, OLD_LABELS)


@pytest.mark.spark
@pytest.mark.tensorflow
@pytest.mark.horovod
def test_a_run_starts_from_the_version_that_is_current_when_it_begins(
    spark: SparkSession, dataset: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model = ModelConfig("fasttext", embedding_size=4)
    registry = RegistryConfig(path=str(tmp_path / "registry"))
    still = TrainingConfig(
        processes=2, epochs=1, batch_size=64, optimizer="sgd", learning_rate=1e-12, start_from="current"
    )
    first, second = (
        dataclasses.replace(still, path=str(tmp_path / name), seed=seed) for name, seed in (("a", 1), ("b", 2))
    )
    with caplog.at_level(logging.INFO, "training"):
        train(spark, dataset, model, first, registry)
        assert f"nothing is published in {registry.uri} yet: training starts with fresh weights" in caplog.text
        version = add_version(registry.uri, f"{first.path}/model", {"checksum": model_checksum(f"{first.path}/model")})
        make_current(registry.uri, version)
        train(spark, dataset, model, second, registry)
        words = len(read_lines(f"{dataset}/vocabulary.txt"))
        assert f"versions/1: {words} of {words} words and 3 of 3 intents carried over" in caplog.text
        one, other = (read_checkpoint(storage.absolute(run.path)).weights for run in (first, second))
        for before, after in zip(one, other, strict=True):
            np.testing.assert_allclose(after, before, rtol=0, atol=1e-6)
        for run in (first, second):  # each began with what was current then
            train(spark, dataset, model, run, registry)
        assert caplog.text.count("is already trained with these settings") == 2
    with pytest.raises(UserError, match=r"training.start_from was '[0-9a-f]{64}', is ''"):
        train(spark, dataset, model, dataclasses.replace(second, start_from=""), registry)


@pytest.mark.spark
def test_n_grams_are_carried_over_with_words_that_keep_their_ids(
    dataset: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    old, model = tmp_path / "old", ModelConfig(ngrams=3)
    facts = {"kind": "model", "version": VERSION, "tokenizer": "words", "model": dataclasses.asdict(model)}
    storage.write_json(f"{old}/manifest.json", facts)
    *words, last, newest = read_lines(f"{dataset}/vocabulary.txt")
    for name, lines in (("labels", read_lines(f"{dataset}/labels.txt")), ("vocabulary", [*words, last])):
        (old / f"{name}.txt").write_text("".join(f"{line}\n" for line in lines))
    with caplog.at_level(logging.INFO, "training"):
        check_start(Start(str(old)), dataset, read_manifest(dataset), model)
    assert f"{len(words) + 1} of {len(words) + 2} words and 3 of 3 intents carried over" in caplog.text
    (old / "vocabulary.txt").write_text("".join(f"{word}\n" for word in [*words, newest, last]))
    with pytest.raises(UserError, match=rf"know its words by their ids.*preprocess with dataset.vocabulary = '{old}'"):
        check_start(Start(str(old)), dataset, read_manifest(dataset), model)


@pytest.mark.spark
@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"units": 64}, r"has units 64, not 128: make them equal"),
        ({"architecture": "cnn", "layers": 2}, r"has architecture 'cnn', not 'lstm', layers 2, not 1: make"),
    ],
)
def test_a_model_of_other_sizes_is_refused(
    spark: SparkSession, dataset: str, tmp_path: Path, changes: dict[str, object], reason: str
) -> None:
    source = {**dataclasses.asdict(ModelConfig()), **changes}
    facts = {"kind": "model", "version": VERSION, "tokenizer": "words", "model": source}
    storage.write_json(f"{tmp_path}/old/manifest.json", facts)
    training = TrainingConfig(path=str(tmp_path / "run"), start_from=str(tmp_path / "old"))
    with pytest.raises(UserError, match=reason):
        train(spark, dataset, ModelConfig(), training)
    with pytest.raises(UserError, match=r"no model at file://.*/new"):
        train(spark, dataset, ModelConfig(), dataclasses.replace(training, start_from=str(tmp_path / "new")))
