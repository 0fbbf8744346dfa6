"""The optimizer that a configuration asks for: one of Keras' own, by its name."""

from collections.abc import Iterable
from typing import Any

import keras
import tensorflow as tf

from preprocessing.errors import UserError, first_line
from training.config import TrainingConfig
from training.lag import Lag, missed_shares


def make_optimizer(config: TrainingConfig) -> keras.Optimizer:
    """The configured optimizer, its learning rate that of the schedule. Raises UserError where it lacks an option.

    For float16 it scales the loss, and leaves out a step whose gradients of all ranks are not finite at that scale.
    """
    kind = type(keras.optimizers.get(config.optimizer))
    if kind is keras.optimizers.Adam and not config.optimizer_options.get("amsgrad"):
        kind = Adam
    try:
        optimizer = kind(config.learning_rate, **config.optimizer_options)
    except (TypeError, ValueError) as error:
        reason = first_line(error)
        raise UserError(
            f"training.optimizer_options = {dict(config.optimizer_options)} is refused by keras.optimizers."
            f"{kind.__name__}: {reason}; its page at keras.io names the options that it has"
        ) from error
    if config.mixed_precision != "float16":
        return optimizer
    # Keras' own beginning, 2**15, is for the mean of a batch; the loss of a step is the sum
    scale = 2.0 ** (15 - (config.batch_size - 1).bit_length())
    return keras.optimizers.LossScaleOptimizer(optimizer, scale)


def lets_rows_wait(optimizer: keras.Optimizer) -> bool:
    """Whether a row of an embedding whose word a step does not have may miss that step, and catch up later."""
    clipped = optimizer.clipnorm, optimizer.clipvalue, optimizer.global_clipnorm
    if type(optimizer) is not Adam or any(clipped) or optimizer.weight_decay:
        return False
    return missed_shares(optimizer.beta_1, optimizer.beta_2) is not None


def catch_up(optimizer: keras.Optimizer) -> None:
    """Makes every weight what it is by now, before anybody but a step of training reads it."""
    for lag in getattr(optimizer, "lags", {}).values():
        if int(lag.clock):
            lag.catch_up()


class Adam(keras.optimizers.Adam):  # type: ignore[misc]
    """Keras' Adam, its state and its formula (Kingma and Ba 2015, end of section 2), in one pass over the weights.

    Keras' ten passes take longer than all the rest of a step where the embedding is large; TensorFlow's kernel one.
    Of weights that were told to lag (lag.py) it takes gradients by rows, too.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.lags: dict[int, Lag] = {}  # by the place of the weight

    def let_lag(self, places: Iterable[int]) -> dict[int, Lag]:
        """From now on the rows of these of its weights may wait for their words: what keeps account of that."""
        for place in sorted(set(places)):
            moments = self._momentums[place].value, self._velocities[place].value
            self.lags[place] = Lag(self, self._trainable_variables[place].value, moments)
        return self.lags

    def update_step(
        self, gradient: tf.Tensor | tf.IndexedSlices, variable: tf.Variable, learning_rate: tf.Tensor
    ) -> None:
        """One step of one weight."""
        index, kind = self._get_variable_index(variable), variable.dtype
        momentum, velocity = self._momentums[index].value, self._velocities[index].value
        steps, rate = tf.cast(self.iterations + 1, kind), tf.cast(learning_rate, kind)
        powers = [tf.pow(tf.cast(beta, kind), steps) for beta in (self.beta_1, self.beta_2)]
        if isinstance(gradient, tf.IndexedSlices):
            self.lags[index].update(gradient, rate * tf.sqrt(1 - powers[1]) / (1 - powers[0]))
            return
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle, m=momentum.handle, v=velocity.handle, beta1_power=powers[0], beta2_power=powers[1],
            lr=rate, beta1=self.beta_1, beta2=self.beta_2, epsilon=self.epsilon, grad=tf.cast(gradient, kind),
        )  # fmt: skip
