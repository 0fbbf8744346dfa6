"""Dropout and noise that are drawn for each example by itself, so that N processes draw what one would.

Keras draws for the batch that it is given, here a rank's part of it. Within a step of training the functions behind its
layers' draws are these: a number is a hash of the example's seed, of the layer and of the place in what is drawn.
The hash is "PCG" of Jarzynski and Olano 2020 (Hash Functions for GPU Rendering), nested, as they nest it.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import count
from typing import Any

import tensorflow as tf
from keras.src import backend


@contextmanager
def drawn_by_example(seeds: tf.Tensor) -> Iterator[None]:
    """Within, what Keras drops of a batch or adds to it depends on the examples' seeds [B] and on nothing else."""
    draws: dict[str, Callable[..., tf.Tensor]] = {
        "dropout": _dropout, "normal": partial(_noise, _normal), "uniform": partial(_noise, _uniform),
    }  # fmt: skip
    own, shares = {name: getattr(backend.random, name) for name in draws}, partial(_shares, seeds, count())
    for name, draw in draws.items():
        setattr(backend.random, name, partial(draw, own[name], shares))
    try:
        yield
    finally:
        for name, draw in own.items():
            setattr(backend.random, name, draw)


def _shares(seeds: tf.Tensor, calls: Iterator[int], shape: Any) -> tf.Tensor | None:
    """Numbers float32 from 0 up to below 1, of this shape [B, ...]; None where Keras is to draw itself.

    That is for what is no batch, as weights, and in a graph of its own within the step: a loop, whose rounds would all
    have the same numbers, or a tf.function of the model, which would keep the seeds of the first step's graph.
    """
    if not len(shape) or isinstance(shape[0], int):
        return None
    if not tf.executing_eagerly() and seeds.graph is not tf.compat.v1.get_default_graph():
        return None
    size, examples = tf.reduce_prod(shape), tf.shape(seeds)[0]
    each = -(-size // examples)  # numbers for an example: rows are one by one its own, or, of reshaped ones, in a row
    rows = tf.expand_dims(_hashed(seeds + tf.constant(next(calls), tf.uint32)), 1)
    bits = _shifted(_hashed(rows + tf.cast(tf.range(each), tf.uint32)), 8)  # 24, which float32 holds exactly
    # no longer uint32, which a GPU neither compares nor, maybe, cuts: all of it would travel to the CPU and back
    shares = tf.cast(tf.cast(bits, tf.int32), tf.float32) * 2.0**-24
    return tf.reshape(tf.reshape(shares, [-1])[:size], shape)


def _dropout(
    own: Any, shares: Any, inputs: tf.Tensor, rate: float, noise_shape: Any = None, seed: Any = None
) -> tf.Tensor:
    """The inputs [B, ...], a share `rate` of them zero and the others larger by as much."""
    shape = [
        tf.shape(inputs)[axis] if size is None else size
        for axis, size in enumerate(inputs.shape if noise_shape is None else noise_shape)
    ]
    drawn = shares(shape) if 0 < rate < 1 else None
    if drawn is None:
        return own(inputs, rate, noise_shape, seed)
    outputs = inputs * tf.where(drawn >= rate, tf.constant(1 / (1 - rate), inputs.dtype), tf.zeros([], inputs.dtype))
    outputs.set_shape(inputs.shape)
    return outputs


def _noise(draw: Any, own: Any, shares: Any, shape: Any, *options: Any, dtype: Any = None, **named: Any) -> tf.Tensor:
    """Numbers of this shape, which `draw` makes of `shares` with the options that Keras' own function has."""
    drawn = shares(shape)
    if drawn is None:
        return own(shape, *options, dtype=dtype, **named)
    named.pop("seed", None)
    return tf.cast(draw(drawn, partial(shares, shape), *options, **named), dtype or backend.floatx())


def _uniform(drawn: tf.Tensor, more: Any, minval: float = 0.0, maxval: float = 1.0) -> tf.Tensor:
    """From minval up to below maxval."""
    return minval + (maxval - minval) * drawn


def _normal(drawn: tf.Tensor, more: Any, mean: float = 0.0, stddev: float = 1.0) -> tf.Tensor:
    """Normally distributed (Box and Muller 1958)."""
    return mean + stddev * tf.sqrt(-2 * tf.math.log(1 - drawn)) * tf.cos(2 * math.pi * more())


def _hashed(numbers: tf.Tensor) -> tf.Tensor:
    """A hash of each uint32, another one for another number."""
    state = numbers * tf.constant(747796405, tf.uint32) + tf.constant(2891336453, tf.uint32)
    mixed = tf.bitwise.bitwise_xor(_shifted(state, _shifted(state, 28) + tf.constant(4, tf.uint32)), state)
    word = mixed * tf.constant(277803737, tf.uint32)
    return tf.bitwise.bitwise_xor(_shifted(word, 22), word)


def _shifted(numbers: tf.Tensor, bits: Any) -> tf.Tensor:
    return tf.bitwise.right_shift(numbers, tf.cast(bits, tf.uint32))
