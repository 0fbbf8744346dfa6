"""Dropout and noise drawn by example, through Keras' own layers."""

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


def seeds_of(series: int, rows: int) -> np.ndarray:
    return np.random.default_rng(series).integers(0, 1 << 32, rows, np.uint32)


def test_a_share_of_the_numbers_is_dropped_in_no_order() -> None:
    import keras

    rows = 2000
    found = dropped(keras.layers.Dropout(RATE), np.ones((rows, UNITS)), seeds_of(1, rows)) == 0
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


NOISE = ["GaussianNoise", "GaussianDropout", "AlphaDropout"]


@pytest.mark.parametrize("kind", ["Dropout", "SpatialDropout1D", *NOISE])
def test_what_is_drawn_for_an_example_is_its_own(kind: str) -> None:
    import keras

    layer, inputs = getattr(keras.layers, kind)(RATE), np.ones((6, TOKENS, UNITS))
    seeds = np.array([5, 9, 2, 7, 7, 8], np.uint32)
    whole = dropped(layer, inputs, seeds)
    np.testing.assert_allclose(whole[::2], dropped(layer, inputs[::2], seeds[::2]), rtol=0, atol=1e-6)
    np.testing.assert_allclose(whole[3], whole[4], rtol=0, atol=1e-6)
    assert (whole[0] != whole[1]).any()
    same_at_all_tokens = (whole == whole[:, :1]).all()
    assert same_at_all_tokens == (kind == "SpatialDropout1D")


@pytest.mark.parametrize(("kind", "options"), [("norm", (0.5, 2.0)), ("uniform", (-1.0, 3.0))])
def test_noise_has_the_distribution_that_was_asked_for(kind: str, options: tuple[float, float]) -> None:
    import keras
    from scipy import stats

    class Noise(keras.layers.Layer):
        def call(self, inputs: Any, training: bool = False) -> Any:
            drawn = keras.random.normal if kind == "norm" else keras.random.uniform
            return drawn(keras.ops.shape(inputs), *options)

    rows = 2000
    found = dropped(Noise(), np.zeros((rows, UNITS)), seeds_of(2, rows))
    lowest, scale = options if kind == "norm" else (options[0], options[1] - options[0])
    expected = getattr(stats, kind)(lowest, scale)
    for part in (found.ravel(), found[0], found[:, 0]):  # all, of one example, in one place
        assert stats.kstest(part, expected.cdf).pvalue > 0.001
    assert abs(stats.pearsonr(found[:, 0], found[:, 1]).statistic) < 0.1
    assert abs(stats.pearsonr(found[:-1].ravel(), found[1:].ravel()).statistic) < 0.02


def test_in_a_loop_each_round_drops_something_else() -> None:
    """Keras' own way, by rank: what a model's own loop drops in a round would else be the same in all rounds."""
    import keras
    import tensorflow as tf

    class Rounds(keras.layers.Layer):
        def build(self, shape: Any) -> None:
            self.dropout = keras.layers.Dropout(RATE)

        def call(self, inputs: Any, training: bool = False) -> Any:
            def add(number: Any, rounds: Any) -> tuple[Any, Any]:
                return number + 1, rounds.write(number, self.dropout(inputs, training=training))

            rounds = tf.TensorArray(tf.float32, 2, element_shape=[None, UNITS])
            one, other = tf.unstack(tf.while_loop(lambda number, _: number < 2, add, (0, rounds))[1].stack())
            return one - other

    assert (dropped(Rounds(), np.ones((3, UNITS)), np.arange(3, dtype=np.uint32)) != 0).any()


def test_a_function_of_the_models_own_serves_the_graphs_of_all_steps() -> None:
    import keras
    import tensorflow as tf

    class Compiled(keras.layers.Layer):
        def build(self, shape: Any) -> None:
            self.dropout = keras.layers.Dropout(RATE)

        @tf.function  # type: ignore[untyped-decorator]
        def call(self, inputs: Any, training: bool = False) -> Any:
            return self.dropout(inputs, training=training)

    layer, inputs, seeds = Compiled(), np.ones((3, UNITS)), np.arange(3, dtype=np.uint32)
    for _ in range(2):  # each of a graph of its own
        assert 0.1 < (dropped(layer, inputs, seeds) == 0).mean() < 0.4


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

    names = ("dropout", "normal", "uniform")
    own = [getattr(backend.random, name) for name in names]
    with pytest.raises(ValueError, match="in the middle"), drawn_by_example(keras.ops.arange(2)):
        assert all(getattr(backend.random, name) is not one for name, one in zip(names, own, strict=True))
        raise ValueError("in the middle")
    assert [getattr(backend.random, name) for name in names] == own
