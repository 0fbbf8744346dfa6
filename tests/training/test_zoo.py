"""What every architecture of the zoo must be: indifferent to padding, trainable, an ordinary Keras model."""

from pathlib import Path

import numpy as np
import pytest

from training.config import ARCHITECTURES, ModelConfig

pytestmark = pytest.mark.tensorflow

IDS = np.array([[2, 3, 4, 5, 6], [6, 0, 0, 0, 0], [3, 3, 2, 0, 0]], np.int32)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize(("layers", "ngrams"), [(1, 1), (2, 1), (1, 4)])
def test_padding_changes_nothing(architecture: str, layers: int, ngrams: int) -> None:
    import keras

    from training.models import build_model

    keras.utils.set_random_seed(1)
    model = build_model(ModelConfig(architecture, embedding_size=4, units=3, layers=layers, ngrams=ngrams), 7, 5)
    model.set_weights([3 * weights for weights in model.get_weights()])  # so that words matter
    narrow, wide = model(IDS), model(np.pad(IDS, ((0, 0), (0, 9))))
    np.testing.assert_allclose(narrow, wide, atol=1e-5)
    np.testing.assert_allclose(np.sum(narrow, axis=1), 1, atol=1e-5)
    alone = [model(row[None, : max(np.count_nonzero(row), 2)]) for row in IDS]  # Keras warns of a softmax over one word
    np.testing.assert_allclose(narrow, np.concatenate(alone), atol=1e-5)
    assert np.ptp(narrow, axis=0).max() > 0.01


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_padding_changes_nothing_in_a_step(architecture: str) -> None:
    import keras

    from training.models import build_model
    from training.ranks import ALONE
    from training.step import make_train_step

    weights = []
    for ids in (IDS, np.pad(IDS, ((0, 0), (0, 9)))):
        keras.utils.set_random_seed(1)
        model = build_model(ModelConfig(architecture, embedding_size=4, units=3, dropout=0.0, ngrams=3), 7, 3)
        make_train_step(model, keras.optimizers.SGD(0.1), ALONE)(ids, np.arange(3, dtype=np.int32))
        weights.append(model.get_weights())
    for narrow, wide in zip(*weights, strict=True):
        np.testing.assert_allclose(narrow, wide, atol=1e-6)


@pytest.mark.parametrize("ngrams", [1, 3])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_each_learns_and_is_loaded_without_our_code(architecture: str, ngrams: int, tmp_path: Path) -> None:
    import keras

    from training.models import build_model
    from training.ranks import ALONE
    from training.step import make_train_step

    keras.utils.set_random_seed(1)
    model = build_model(ModelConfig(architecture, embedding_size=8, units=8, dropout=0.1, ngrams=ngrams), 7, 3)
    step = make_train_step(model, keras.optimizers.Adam(0.05), ALONE)
    losses = [float(step(IDS, np.arange(3, dtype=np.int32))[0]) for _ in range(40)]
    assert losses[-1] < losses[0] / 3
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(loaded(IDS), model(IDS), atol=1e-6)


def test_the_names_are_those_that_can_be_configured() -> None:
    from training.zoo import ZOO

    assert tuple(ZOO) == ARCHITECTURES
