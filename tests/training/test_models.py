"""What is taken for a model, and word vectors in the embedding, of the zoo's models and of the user's own."""

import sys
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from preprocessing.errors import UserError
from training.config import ModelConfig

pytestmark = pytest.mark.tensorflow

VECTORS = np.array([[np.nan, np.nan], [np.nan, np.nan], [1, 2], [3, 4]], np.float32)
CONFIG = ModelConfig(embedding_size=2, units=3, word_vectors="file:///vectors.txt")


def test_words_with_a_vector_begin_with_it_and_the_others_as_ever() -> None:
    import keras

    from training.models import build_model

    keras.utils.set_random_seed(1)
    plain = build_model(CONFIG, 4, 5).get_layer("embedding")
    keras.utils.set_random_seed(1)
    layer = build_model(CONFIG, 4, 5, VECTORS).get_layer("embedding")
    assert layer.trainable
    np.testing.assert_array_equal(layer.get_weights()[0][2:], VECTORS[2:])
    np.testing.assert_array_equal(layer.get_weights()[0][:2], plain.get_weights()[0][:2])


def test_frozen_vectors_are_no_variables_to_train() -> None:
    from training.models import build_model

    frozen = ModelConfig(embedding_size=2, units=3, word_vectors="file:///vectors.txt", word_vectors_frozen=True)
    names = [variable.path for variable in build_model(frozen, 4, 5, VECTORS).trainable_variables]
    assert names and not any("embedding" in name for name in names)


def test_vectors_that_fit_no_embedding_are_refused() -> None:
    from training.models import build_model

    with pytest.raises(UserError, match=r"of shape \(4, 2\), the embeddings of .*'lstm' \[\(9, 2\)\]: give it"):
        build_model(CONFIG, 9, 5, VECTORS)


def test_frozen_without_vectors_is_refused() -> None:
    with pytest.raises(UserError, match=r"model.word_vectors_frozen must be false, or model.word_vectors the URI"):
        ModelConfig(word_vectors_frozen=True)


def fixed(config: ModelConfig, vocabulary_size: int, num_labels: int) -> Any:
    """A user's own, for utterances of exactly four words."""
    import keras

    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((4,), dtype="int32"),
            layers.Embedding(vocabulary_size, config.embedding_size, name="embedding"),
            layers.Flatten(),
            layers.Dense(num_labels, activation="softmax", name="intent"),
        ],
        name="fixed",
    )


def subclassed(config: ModelConfig, vocabulary_size: int, num_labels: int) -> Any:
    import keras

    class Own(keras.Model):
        def call(self, ids: Any) -> Any:
            return ids

    return Own()


def with_two_inputs(config: ModelConfig, vocabulary_size: int, num_labels: int) -> Any:
    import keras

    inputs = [keras.Input((None,)), keras.Input((1,))]
    return keras.Model(inputs, keras.layers.Dense(num_labels)(inputs[1]))


def of_vectors(config: ModelConfig, vocabulary_size: int, num_labels: int) -> Any:
    import keras

    return keras.Sequential([keras.Input((None, 3)), keras.layers.GlobalAveragePooling1D()])


def own(function: Any, **options: Any) -> ModelConfig:
    return ModelConfig(f"{__name__}:{function.__name__}", embedding_size=2, **options)


@pytest.fixture
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """This module, by its name."""
    monkeypatch.setitem(sys.modules, __name__, SimpleNamespace(**globals()))


def test_a_model_of_a_fixed_width_is_given_that_width(importable: None) -> None:
    from training.models import build_model

    vectors = np.arange(18, dtype=np.float32).reshape(9, 2)
    model = build_model(own(fixed, word_vectors="file:///vectors.txt"), 9, 3, vectors)
    np.testing.assert_array_equal(model.get_layer("fixed").get_layer("embedding").get_weights()[0], vectors)
    whole = model(np.array([[5, 6, 0, 0], [2, 3, 4, 5]])).numpy()
    assert np.abs(whole[0] - whole[1]).max() > 0.1
    np.testing.assert_allclose(model(np.array([[5, 6]])).numpy(), whole[:1], rtol=1e-6)
    np.testing.assert_allclose(model(np.array([[2, 3, 4, 5, 6, 7]])).numpy(), whole[1:], rtol=1e-6)


@pytest.mark.parametrize(
    ("function", "wrong"),
    [
        (subclassed, r"returns Own: it must be a functional or sequential Keras model that begins with"),
        (with_two_inputs, r"returns Functional: it must be a functional or sequential .* one keras.Input, of word ids"),
        (of_vectors, r"takes inputs of shape \(None, None, 3\), not \(None, None\): it must begin with keras.Input"),
    ],
)
def test_what_is_no_model_of_ids_is_refused(importable: None, function: Any, wrong: str) -> None:
    from training.models import build_model

    with pytest.raises(UserError, match=wrong) as caught:
        build_model(own(function), 9, 3)
    assert "\n" not in str(caught.value)
