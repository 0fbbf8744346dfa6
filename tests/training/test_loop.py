"""When training ends, how fast it learns, what of a model changes besides weights."""

import numpy as np
import pytest

from training.config import ModelConfig, TrainingConfig

pytestmark = pytest.mark.tensorflow


@pytest.mark.parametrize(
    ("accuracies", "patience", "over"),
    [
        ([], 1, False),
        ([0.5, 0.4, 0.3], 0, False),
        ([0.5, 0.5], 1, True),  # equal is not better
        ([0.5, 0.4], 2, False),
        ([0.5, 0.4, 0.6, 0.6], 2, False),
        ([0.6, 0.4, 0.5, 0.3], 3, True),
        ([0.1, 0.2, 0.3, 0.4, 0.5], 1, True),  # all epochs are done
    ],
)
def test_training_ends_when_all_is_done_or_gets_no_better(accuracies: list[float], patience: int, over: bool) -> None:
    from training.loop import is_over

    assert is_over(accuracies, TrainingConfig(epochs=5, early_stopping_epochs=patience)) is over


def test_a_loss_that_is_no_number_names_the_step() -> None:
    from training.loop import Diverged, require_finite

    require_finite(3.0, 1, "step 1 of 9")
    with pytest.raises(Diverged, match=r"became nan in epoch 3, step 2 of 9: begin another run"):
        require_finite(float("nan"), 3, "step 2 of 9")
    with pytest.raises(Diverged, match=r"became inf in epoch 1, validation: begin"):
        require_finite(float("inf"), 1, "validation")


@pytest.mark.parametrize(
    ("settings", "rates"),  # of the steps of three epochs of two steps each
    [
        ({}, [1, 1, 1, 1, 1, 1]),
        ({"warmup_epochs": 1}, [0.5, 1, 1, 1, 1, 1]),
        ({"warmup_epochs": 0.25}, [1, 1, 1, 1, 1, 1]),
        ({"warmup_epochs": 2}, [0.25, 0.5, 0.75, 1, 1, 1]),
        ({"decay": "cosine"}, [1, 0.933, 0.75, 0.5, 0.25, 0.067]),
        ({"decay": "cosine", "warmup_epochs": 1}, [0.5, 1, 1, 0.854, 0.5, 0.146]),
    ],
    ids=str,
)
def test_the_learning_rate_rises_to_what_is_configured_and_falls(
    settings: dict[str, object], rates: list[float]
) -> None:
    from training.loop import learning_rate

    config = TrainingConfig(learning_rate=1.0, epochs=3, **settings)
    assert [learning_rate(config, step / 2, 1 / 2) for step in range(6)] == pytest.approx(rates, abs=1e-3)


def test_frozen_vectors_are_no_state_and_moving_averages_are() -> None:
    from training.loop import has_state
    from training.models import build_model

    frozen = ModelConfig(embedding_size=2, units=3, word_vectors="file:///vectors.txt", word_vectors_frozen=True)
    assert not has_state(build_model(frozen, 4, 5, np.zeros((4, 2), np.float32)))
    assert has_state(build_model(ModelConfig("cnn", embedding_size=2, units=3), 4, 5))
