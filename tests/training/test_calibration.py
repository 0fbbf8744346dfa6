"""Temperatures: the one that data was drawn with is found, by one rank or by several."""

import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.calibration import fit_temperature


def drawn(temperature: float, examples: int = 4000) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities [N, 5] of a model that should divide its scores by `temperature`, and labels drawn accordingly."""
    random = np.random.default_rng(7)
    scores = random.normal(0, 2, (examples, 5))
    right = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
    labels = (random.random((examples, 1)) > right.cumsum(1)).sum(1)
    said = np.exp(scores * temperature)
    return (said / said.sum(1, keepdims=True)).astype(np.float32), labels


@settings(max_examples=10, deadline=None)
@given(temperature=st.floats(0.5, 4))
def test_the_temperature_of_the_data_is_found(temperature: float) -> None:
    found = fit_temperature(*drawn(temperature))
    assert abs(found / temperature - 1) < 0.1


def test_ranks_that_add_up_find_what_one_process_does_also_where_one_has_no_examples() -> None:
    probabilities, labels = drawn(2.0, 500)
    parts = [slice(0, 180), slice(180, 500), slice(500, 500)]
    barrier, sums, found = threading.Barrier(len(parts)), [np.zeros(2)] * len(parts), [0.0] * len(parts)

    def run(rank: int) -> None:
        def add(own: np.ndarray) -> np.ndarray:
            sums[rank] = own
            barrier.wait()
            total = np.sum(sums, axis=0)
            barrier.wait()
            return total

        found[rank] = fit_temperature(probabilities[parts[rank]], labels[parts[rank]], add)

    threads = [threading.Thread(target=run, args=(rank,)) for rank in range(len(parts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found[0] == found[1] == found[2]
    assert abs(found[0] - fit_temperature(probabilities, labels)) < 1e-6


@pytest.mark.tensorflow
def test_the_published_probabilities_are_those_at_the_temperature() -> None:
    import keras

    from preprocessing.vocabulary import SPECIAL
    from training.export import Classifier
    from training.layers import TextEncoder

    keras.utils.set_random_seed(1)
    layers = [keras.layers.Embedding(9, 4), keras.layers.GlobalAveragePooling1D(), keras.layers.Dense(3, "softmax")]
    model = keras.Sequential([keras.Input((None,), dtype="int32"), *layers])
    model.layers[0].set_weights([np.random.default_rng(1).normal(0, 3, (9, 4))])
    ids = np.array([[2, 3], [4, 5], [6, 0]], np.int32)
    plain = model(ids).numpy()
    scaled = plain ** (1 / 2.5)
    labels = ["zero", "one", "two"]
    found = Classifier(model, TextEncoder("words", [*SPECIAL, *"abcdefg"], 2), labels, 2.5).answer(ids)
    order = np.argsort(-plain, axis=1)
    expected = np.take_along_axis(scaled / scaled.sum(1, keepdims=True), order, 1)
    np.testing.assert_allclose(found["probabilities"], expected, atol=1e-6)
    assert found["intents"].numpy().tolist() == [[labels[n].encode() for n in row] for row in order]
