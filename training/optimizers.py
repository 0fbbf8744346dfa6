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


def takes_rows(optimizer: keras.Optimizer) -> bool:
    """Whether the gradient of an embedding may come as the rows of a step's words, each of which comes once."""
    clipped = optimizer.clipnorm, optimizer.clipvalue, optimizer.global_clipnorm
    return type(optimizer) is Adam and not any(clipped) and not tf.config.get_visible_devices("GPU")


class Adam(keras.optimizers.Adam):  # type: ignore[misc]
    """Keras' Adam, its state and its formula (Kingma and Ba 2015, end of section 2), in one pass over the weights.

    Keras' ten passes take longer than all the rest of a step where the embedding is large; TensorFlow's kernel one.
    What comes by rows goes another way, below.
    """

    def update_step(
        self, gradient: tf.Tensor | tf.IndexedSlices, variable: tf.Variable, learning_rate: tf.Tensor
    ) -> None:
        """One step of one weight."""
        index, kind = self._get_variable_index(variable), variable.dtype
        momentum, velocity = self._momentums[index].value, self._velocities[index].value
        steps, rate = tf.cast(self.iterations + 1, kind), tf.cast(learning_rate, kind)
        powers = [tf.pow(tf.cast(beta, kind), steps) for beta in (self.beta_1, self.beta_2)]
        if isinstance(gradient, tf.IndexedSlices):
            rate *= tf.sqrt(1 - powers[1]) / (1 - powers[0])
            _update_by_rows(variable, momentum, velocity, gradient, rate, self.beta_1, self.beta_2, self.epsilon)
            return
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle, m=momentum.handle, v=velocity.handle, beta1_power=powers[0], beta2_power=powers[1],
            lr=rate, beta1=self.beta_1, beta2=self.beta_2, epsilon=self.epsilon, grad=tf.cast(gradient, kind),
        )  # fmt: skip


@tf.function(jit_compile=True)  # type: ignore[untyped-decorator]
def _update_by_rows(
    weight: tf.Variable, momentum: tf.Variable, velocity: tf.Variable, gradient: tf.IndexedSlices, rate: tf.Tensor,
    beta_1: float, beta_2: float, epsilon: float,
) -> None:  # fmt: skip
    """The same for an embedding, whose whole gradient is never made; a third faster so, as memory is what it waits for.

    XLA does each of the three lines in one pass, in place unless somebody holds what was read of the variable; all in
    one pass its code is slower.
    """
    words = gradient.indices[:, tf.newaxis]
    momentum.assign(tf.tensor_scatter_nd_add(momentum * beta_1, words, gradient.values * (1 - beta_1)))
    velocity.assign(tf.tensor_scatter_nd_add(velocity * beta_2, words, tf.square(gradient.values) * (1 - beta_2)))
    weight.assign_sub(rate * momentum / (tf.sqrt(velocity) + epsilon))
