"""Batch normalisation by the examples of all ranks, so that N processes compute what one would.

Keras' own way to that, `synchronized=True`, knows only tf.distribute. Here every keras.layers.BatchNormalization of a
model, the user's own too, gets its moments handed in while a training step is traced; the model itself stays Keras'.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import count
from typing import Any

import keras
import tensorflow as tf

from training.ranks import Tensors


@contextmanager
def global_moments(model: keras.Model, allreduce: Callable[..., Tensors], weights: tf.Tensor) -> Iterator[None]:
    """Within, mean and variance are those of the examples of all ranks; weights [B] say which examples count."""
    layers = [layer for layer in model._flatten_layers() if isinstance(layer, keras.layers.BatchNormalization)]
    counts = tf.reduce_max(weights)  # 0 on a rank without examples, as the one that it has is no example
    calls = count(1)
    for layer in layers:
        layer._moments = partial(_moments, layer, allreduce, counts, calls)
    try:
        yield
    finally:
        for layer in layers:
            del layer._moments


def _moments(
    layer: Any, allreduce: Callable[..., Tensors], counts: tf.Tensor, calls: Iterator[int],
    inputs: tf.Tensor, mask: tf.Tensor | None,
) -> tuple[tf.Tensor, tf.Tensor]:  # fmt: skip
    """Mean and variance [C] over all ranks of what the mask [B, T] leaves of the inputs [B, T, C]."""
    call = next(calls)
    share = tf.cast(counts, inputs.dtype)
    if mask is not None:
        share *= tf.cast(mask, inputs.dtype)[..., tf.newaxis]

    def total(values: tf.Tensor) -> tf.Tensor:
        return tf.reduce_sum(values * share, layer._reduction_axes)

    number, values = _summed([total(tf.ones_like(inputs)), total(inputs)], allreduce, f"mean.{call}")
    mean = values / number
    shape = [1] * len(inputs.shape)
    shape[layer.axis] = -1
    # A second exchange, as mean square less square mean would leave no variance of numbers far from 0 in float32; and
    # no gradient through the mean here, as it is zero.
    centred = inputs - tf.reshape(tf.stop_gradient(mean), shape)
    (squares,) = _summed([total(tf.square(centred))], allreduce, f"variance.{call}")
    return mean, squares / number


def _summed(tensors: Tensors, allreduce: Callable[..., Tensors], name: str) -> Tensors:
    """Sums over all ranks, through which gradients flow to all ranks.

    Horovod's gradient for its allreduce would take its name from the graph's, which ranks may trace differently.
    """

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def total(*own: tf.Tensor) -> tuple[Tensors, Callable[..., Tensors]]:
        return allreduce(list(own), name), lambda *gradients: allreduce(list(gradients), f"{name}.gradient")

    return list(total(*tensors))
