"""Word vectors in the embedding, of the zoo's models and of the user's own."""

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
