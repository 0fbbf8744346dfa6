"""How gradients of all ranks come together: weights in one vector, of an embedding only the rows of a step's words.

The gradient of an embedding of 20,000 words and 128 numbers is 10 MB, which travel longer than a step computes; the
rows of the words in 256 utterances are less than 1 MB.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

Tensors = list[tf.Tensor]


class Ranks(NamedTuple):
    """What all ranks do together; a name, the same on all of them, tells one exchange from another."""

    add: Callable[..., Tensors]  # (tensors, name="step") -> their sums over all ranks
    gather: Callable[[tf.Tensor, str], tf.Tensor]  # (rows [N, E], name) -> those of all ranks, rank by rank


def _add(tensors: Tensors, name: str = "step") -> Tensors:
    """Sums over all ranks, travelling as one vector: a step costs one exchange, whatever the number of weights."""
    import horovod.tensorflow as hvd

    flat = tf.concat([tf.reshape(tensor, [-1]) for tensor in tensors], 0)
    total = hvd.allreduce(flat, op=hvd.Sum, name=name, ignore_name_scope=True)
    parts = tf.split(total, [int(np.prod(tensor.shape)) for tensor in tensors])
    return [tf.reshape(part, tensor.shape) for part, tensor in zip(parts, tensors, strict=True)]


def _gather(rows: tf.Tensor, name: str) -> tf.Tensor:
    import horovod.tensorflow as hvd

    return hvd.allgather(rows, name=name, ignore_name_scope=True)


ALONE = Ranks(lambda tensors, name="step": tensors, lambda rows, name: rows)
TOGETHER = Ranks(_add, _gather)


def mean_gradients(
    gradients: Sequence[tf.Tensor | tf.IndexedSlices],
    variables: Sequence[keras.Variable],
    sums: tf.Tensor,
    ranks: Ranks,
    words: float,
) -> tuple[Tensors, tf.Tensor]:
    """Gradients of the loss of all ranks' examples, sums[2] of them, divided by these; and the sum of all `sums`.

    `words` is how many rows of an embedding a step uses, about: where it has no more, its gradient travels whole.
    All are dense in the end: Keras' Adam would square the gradients of a word that comes twice one by one, and what it
    computes would depend on how the batch is cut into ranks.
    """
    by_rows = [
        isinstance(gradient, tf.IndexedSlices) and words < variable.shape[0]
        for gradient, variable in zip(gradients, variables, strict=True)
    ]
    whole = [
        tf.reshape(tf.convert_to_tensor(gradient), variable.shape)  # that of a Dense over words has no known shape
        for gradient, variable, rows in zip(gradients, variables, by_rows, strict=True)
        if not rows
    ]
    *whole, sums = ranks.add([*whole, sums])
    means = iter([gradient / sums[2] for gradient in whole])
    return [
        _mean_rows(gradient, variable.shape[0], sums[2], ranks, f"rows.{number}") if rows else next(means)
        for number, (gradient, variable, rows) in enumerate(zip(gradients, variables, by_rows, strict=True))
    ], sums


def _mean_rows(gradient: tf.IndexedSlices, size: int, examples: tf.Tensor, ranks: Ranks, name: str) -> tf.Tensor:
    """The whole gradient [size, E]; of each rank one row for each of its words travels, the word in front of it."""
    words, place = tf.unique(tf.cast(gradient.indices, tf.int32))
    rows = tf.math.unsorted_segment_sum(gradient.values, place, tf.size(words))
    travelled = ranks.gather(tf.concat([tf.bitcast(words, tf.float32)[:, tf.newaxis], rows], 1), name)
    return tf.math.unsorted_segment_sum(travelled[:, 1:] / examples, tf.bitcast(travelled[:, 0], tf.int32), size)
