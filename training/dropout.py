"""Dropout that is drawn for each example by itself, so that N processes drop what one would.

Keras draws for the batch that it is given, here a rank's part of it. Within a step of training the function behind all
of its dropout is this one: a number is a hash of the example's seed, of the layer and of the place in what is dropped.
The hash is "PCG" of Jarzynski and Olano 2020 (Hash Functions for GPU Rendering), nested, as they nest it.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import count
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf
from keras.src import backend

Seeds = npt.NDArray[np.uint32]


def draw_seeds(of_step: Sequence[int], examples: int) -> Seeds:
    """A seed [B] for each example of the global batch of a step, of which each rank takes those of its own examples."""
    return np.random.default_rng(of_step).integers(0, 1 << 32, examples, np.uint32)


@contextmanager
def drawn_by_example(seeds: tf.Tensor) -> Iterator[None]:
    """Within, what Keras drops of a batch depends on the examples' seeds [B] and on nothing else."""
    own = backend.random.dropout
    backend.random.dropout = partial(_dropout, own, seeds, count())
    try:
        yield
    finally:
        backend.random.dropout = own


def _dropout(
    own: Any, seeds: tf.Tensor, calls: Iterator[int], inputs: tf.Tensor, rate: float, noise_shape: Any = None,
    seed: Any = None,
) -> tf.Tensor:  # fmt: skip
    """The inputs [B, ...], a share `rate` of them zero and the others larger by as much."""
    shape = [
        tf.shape(inputs)[axis] if size is None else size
        for axis, size in enumerate(inputs.shape if noise_shape is None else noise_shape)
    ]
    if not 0 < rate < 1 or isinstance(shape[0], int):  # of weights, or of all examples alike
        return own(inputs, rate, noise_shape, seed)
    size, examples = tf.reduce_prod(shape), tf.shape(seeds)[0]
    each = -(-size // examples)  # numbers for an example: rows are one by one its own, or, of reshaped ones, in a row
    rows = _hashed(seeds + tf.constant(next(calls), tf.uint32))[:, tf.newaxis]
    numbers = tf.reshape(_hashed(rows + tf.cast(tf.range(each), tf.uint32)), [-1])[:size]
    kept = tf.reshape(numbers, shape) >= tf.constant(int(rate * (1 << 32)), tf.uint32)
    outputs = inputs * tf.where(kept, tf.constant(1 / (1 - rate), inputs.dtype), tf.zeros([], inputs.dtype))
    outputs.set_shape(inputs.shape)
    return outputs


def _hashed(numbers: tf.Tensor) -> tf.Tensor:
    """A hash of each uint32, another one for another number."""

    def shifted(values: tf.Tensor, bits: Any) -> tf.Tensor:
        return tf.bitwise.right_shift(values, tf.cast(bits, tf.uint32))

    state = numbers * tf.constant(747796405, tf.uint32) + tf.constant(2891336453, tf.uint32)
    mixed = tf.bitwise.bitwise_xor(shifted(state, shifted(state, 28) + tf.constant(4, tf.uint32)), state)
    word = mixed * tf.constant(277803737, tf.uint32)
    return tf.bitwise.bitwise_xor(shifted(word, 22), word)
