"""Dropout drawn by example, through Keras' own layers."""

from collections import Counter
from typing import Any

import numpy as np
import pytest

pytestmark = pytest.mark.tensorflow

RATE, TOKENS, UNITS = 0.25, 7, 50


def dropped(layer: Any, inputs: np.ndarray, seeds: np.ndarray) -> np.ndarray:
    """What the layer makes of a batch in training."""
    import tensorflow as tf

    from training.dropout import drawn_by_example

    @tf.function(input_signature=[tf.TensorSpec([None, *inputs.shape[1:]]), tf.TensorSpec([None], tf.uint32)])
    def compute(inputs: Any, seeds: Any) -> Any:
        with drawn_by_example(seeds):
            outputs = layer(inputs, training=True)
        assert outputs.shape.as_list() == inputs.shape.as_list()
        return outputs

    return np.asarray(compute(inputs.astype(np.float32), seeds))


def test_a_share_of_the_numbers_is_dropped_in_no_order() -> None:
    import keras

    from training.dropout import draw_seeds

    rows = 2000
    found = dropped(keras.layers.Dropout(RATE), np.ones((rows, UNITS)), draw_seeds([1], rows)) == 0
    deviation = np.sqrt(RATE * (1 - RATE))
    assert abs(found.mean() - RATE) < 4 * deviation / np.sqrt(found.size)
    for axis in range(2):  # by row and by column as often as by chance
        means = found.mean(axis)
        assert np.abs(means - RATE).max() < 5 * deviation / np.sqrt(found.shape[axis])
    together = Counter(map(tuple, found[:, :4].tolist()))  # 16 patterns, those of independent draws
    for pattern, count in together.items():
        expected = np.prod([RATE if one else 1 - RATE for one in pattern])
        assert abs(count / rows - expected) < 5 * np.sqrt(expected / rows)
    assert len({row.tobytes() for row in found}) == rows


def test_the_others_are_larger_by_as_much_and_so_are_their_gradients() -> None:
    import keras
    import tensorflow as tf

    from training.dropout import drawn_by_example

    inputs = tf.constant(np.random.default_rng(1).normal(size=(4, UNITS)), tf.float32)
    with tf.GradientTape() as tape, drawn_by_example(tf.constant([3, 1, 4, 2], tf.uint32)):
        tape.watch(inputs)
        outputs = keras.layers.Dropout(RATE)(inputs, training=True)
    gradient = tape.gradient(outputs, inputs).numpy()
    np.testing.assert_allclose(sorted(set(gradient.ravel())), [0, 1 / (1 - RATE)], rtol=1e-6)
    np.testing.assert_allclose(outputs, inputs * gradient, rtol=1e-6)


@pytest.mark.parametrize("kind", ["Dropout", "SpatialDropout1D"])
def test_what_is_dropped_of_an_example_is_its_own(kind: str) -> None:
    import keras

    layer, inputs = getattr(keras.layers, kind)(RATE), np.ones((6, TOKENS, UNITS))
    seeds = np.array([5, 9, 2, 7, 7, 8], np.uint32)
    whole = dropped(layer, inputs, seeds)
    np.testing.assert_array_equal(whole[::2], dropped(layer, inputs[::2], seeds[::2]))
    np.testing.assert_array_equal(whole[3], whole[4])
    assert (whole[0] != whole[1]).any()
    same_at_all_tokens = (whole == whole[:, :1]).all()
    assert same_at_all_tokens == (kind == "SpatialDropout1D")


def test_layers_drop_other_things() -> None:
    import keras

    inputs, seeds = np.ones((3, UNITS)), np.arange(3, dtype=np.uint32)
    twice = keras.Sequential([keras.layers.Dropout(RATE), keras.layers.Dropout(RATE)])
    assert 0.3 < (dropped(twice, inputs, seeds) == 0).mean() < 0.6  # 0.44 by chance; RATE, were they the same


def test_examples_whose_tokens_became_rows_keep_what_is_theirs() -> None:
    import keras

    layers = keras.layers
    model = keras.Sequential(
        [layers.Lambda(lambda x: keras.ops.reshape(x, (-1, UNITS))), layers.Dropout(RATE),
         layers.Lambda(lambda x: keras.ops.reshape(x, (-1, TOKENS, UNITS)))]
    )  # fmt: skip
    inputs, seeds = np.ones((4, TOKENS, UNITS)), np.array([1, 2, 3, 4], np.uint32)
    whole = dropped(model, inputs, seeds)
    np.testing.assert_array_equal(whole[2:], dropped(model, inputs[2:], seeds[2:]))
    np.testing.assert_array_equal(whole, dropped(layers.Dropout(RATE), inputs, seeds))


def test_outside_a_step_it_is_keras_own() -> None:
    import keras
    from keras.src import backend

    from training.dropout import drawn_by_example

    own = backend.random.dropout
    with pytest.raises(ValueError, match="in the middle"), drawn_by_example(keras.ops.arange(2)):
        assert backend.random.dropout is not own
        raise ValueError("in the middle")
    assert backend.random.dropout is own
