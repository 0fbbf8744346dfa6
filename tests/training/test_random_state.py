"""What layers draw by themselves."""

import numpy as np
import pytest

pytestmark = pytest.mark.tensorflow

SEEDS = [1, 0, 0]


def test_layers_of_one_shape_drop_different_numbers_and_a_resumed_epoch_the_same_ones() -> None:
    import keras

    from training.random_state import count_draws, reseed

    ids = keras.Input((50,))
    layers = [keras.layers.Dropout(0.5)(ids) for _ in range(2)]
    model = keras.Model(ids, layers)

    def drawn() -> list[np.ndarray]:
        return [np.asarray(output) for output in model(np.ones((4, 50), np.float32), training=True)]

    reseed(model, SEEDS)
    first, second = drawn(), drawn()
    assert not np.array_equal(first[0], first[1])
    assert not np.array_equal(first[0], second[0])
    assert count_draws(model, SEEDS) == [2, 2]
    third = drawn()

    reseed(model, SEEDS, [2, 2])
    np.testing.assert_array_equal(drawn(), third)
    reseed(model, [1, 1, 0])
    assert not np.array_equal(drawn(), first)
