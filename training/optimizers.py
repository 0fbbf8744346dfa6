"""The optimizer that a configuration asks for: one of Keras' own, by its name."""

import keras
import tensorflow as tf

from preprocessing.errors import UserError, first_line
from training.config import TrainingConfig


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


class Adam(keras.optimizers.Adam):  # type: ignore[misc]
    """Keras' Adam, its state and its formula (Kingma and Ba 2015, end of section 2), in one pass over the weights.

    Keras' ten passes take longer than all the rest of a step where the embedding is large; TensorFlow's kernel one.
    """

    def update_step(self, gradient: tf.Tensor, variable: tf.Variable, learning_rate: tf.Tensor) -> None:
        """One step of one weight."""
        index, kind = self._get_variable_index(variable), variable.dtype
        steps = tf.cast(self.iterations + 1, kind)
        powers = [tf.pow(tf.cast(beta, kind), steps) for beta in (self.beta_1, self.beta_2)]
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle, m=self._momentums[index].value.handle, v=self._velocities[index].value.handle,
            beta1_power=powers[0], beta2_power=powers[1], lr=tf.cast(learning_rate, kind), beta1=self.beta_1,
            beta2=self.beta_2, epsilon=self.epsilon, grad=tf.cast(gradient, kind),
        )  # fmt: skip
