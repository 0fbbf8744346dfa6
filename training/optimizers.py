"""The optimizer that a configuration asks for: one of Keras' own, by its name."""

import keras

from preprocessing.errors import UserError
from training.config import TrainingConfig


def make_optimizer(config: TrainingConfig) -> keras.Optimizer:
    """The configured optimizer, its learning rate that of the schedule. Raises UserError where it lacks an option."""
    kind = type(keras.optimizers.get(config.optimizer))
    try:
        return kind(config.learning_rate, **config.optimizer_options)
    except (TypeError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UserError(
            f"training.optimizer_options = {dict(config.optimizer_options)} is refused by keras.optimizers."
            f"{kind.__name__}: {reason}; its page at keras.io names the options that it has"
        ) from error
