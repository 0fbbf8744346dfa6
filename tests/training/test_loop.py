"""When training ends."""

import pytest

from training.config import TrainingConfig

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
