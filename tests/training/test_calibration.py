"""What is fitted on validation: the temperature that data was drawn with, the threshold with the most right answers."""

import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.calibration import (
    THRESHOLDS,
    Calibration,
    choose_threshold,
    fit_temperature,
    scaled,
    threshold_counts,
)


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


def right_answers(probabilities: np.ndarray, labels: np.ndarray, out_of_scope: int, threshold: float) -> int:
    """How many the model has right that answers `out_of_scope` below the threshold."""
    answers = np.where(probabilities.max(1) < threshold, out_of_scope, probabilities.argmax(1))
    return int((answers == labels).sum())


@settings(max_examples=30, deadline=None)
@given(temperature=st.floats(0.3, 3), outside=st.floats(0, 0.5), parts=st.integers(1, 4), seed=st.integers(0, 99))
def test_the_threshold_is_the_lowest_with_the_most_right_answers(
    temperature: float, outside: float, parts: int, seed: int
) -> None:
    """Also where the examples lie on several ranks, one of them without any, and probabilities on the thresholds."""
    probabilities, labels = drawn(temperature, 300)
    probabilities = probabilities.round(2)
    labels = np.where(np.random.default_rng(seed).random(300) < outside, 4, labels)
    cuts = [slice(start, None, parts) for start in range(parts)] + [slice(0, 0)]
    found = choose_threshold(sum(threshold_counts(probabilities[cut], labels[cut], 4) for cut in cuts))
    right = [right_answers(probabilities, labels, 4, threshold) for threshold in THRESHOLDS]
    assert found == THRESHOLDS[int(np.argmax(right))]


def test_without_examples_out_of_scope_there_is_no_threshold() -> None:
    probabilities, labels = drawn(1.0, 300)
    assert choose_threshold(threshold_counts(probabilities, labels % 4, 4)) == 0
    assert choose_threshold(threshold_counts(probabilities[:0], labels[:0], 4)) == 0


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
    powers = plain ** (1 / 2.5)
    scaled_by_hand = powers / powers.sum(1, keepdims=True)
    labels = ["zero", "one", "two"]
    found = Classifier(model, TextEncoder("words", [*SPECIAL, *"abcdefg"], 2), labels, Calibration(2.5)).answer(ids)
    order = np.argsort(-plain, axis=1)
    expected = np.take_along_axis(scaled_by_hand, order, 1)
    np.testing.assert_allclose(found["probabilities"], expected, atol=1e-6)
    np.testing.assert_allclose(scaled(plain, 2.5), scaled_by_hand, atol=1e-6)
    assert found["intents"].numpy().tolist() == [[labels[n].encode() for n in row] for row in order]
