"""How gradients of all ranks come together: weights in one vector, of an embedding only the rows of a step's words.

The gradient of an embedding of 20,000 words and 128 numbers is 10 MB, which travel longer than a step computes; the
rows of the words in 256 utterances are less than 1 MB. An exchange costs a millisecond or two besides, however little
travels, so two ranks hand each other all there is in one.
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
    gather: Callable[[tf.Tensor, str], tf.Tensor]  # (rows [N, ...], name) -> those of all ranks, rank by rank
    number: int  # of ranks


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


ALONE = Ranks(lambda tensors, name="step": tensors, lambda rows, name: rows, 1)


def together(processes: int) -> Ranks:
    """What so many processes of Horovod's do."""
    return Ranks(_add, _gather, processes) if processes > 1 else ALONE


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
    rows = [_rows_of(gradient) for gradient, apart in zip(gradients, by_rows, strict=True) if apart]
    exchange = _in_one if ranks.number == 2 and rows else _in_several
    (*whole, sums), rows = exchange([*whole, sums], rows, ranks)
    whole_ones, travelled = iter(whole), iter(rows)
    return [
        _with_rows(next(travelled), variable.shape[0], sums[2]) if apart else next(whole_ones) / sums[2]
        for variable, apart in zip(variables, by_rows, strict=True)
    ], sums


def _rows_of(gradient: tf.IndexedSlices) -> tf.Tensor:
    """One row [1 + E] for each of a rank's words, the word in front of it."""
    words, place = tf.unique(tf.cast(gradient.indices, tf.int32))
    rows = tf.math.unsorted_segment_sum(gradient.values, place, tf.size(words))
    return tf.concat([tf.bitcast(words, tf.float32)[:, tf.newaxis], rows], 1)


def _with_rows(rows: tf.Tensor, size: int, examples: tf.Tensor) -> tf.Tensor:
    """The whole gradient [size, E] of such rows of all ranks."""
    return tf.math.unsorted_segment_sum(rows[:, 1:] / examples, tf.bitcast(rows[:, 0], tf.int32), size)


def _in_several(whole: Tensors, rows: Tensors, ranks: Ranks) -> tuple[Tensors, Tensors]:
    """`whole` summed over all ranks, and the `rows` of all ranks, each embedding's by an exchange of its own."""
    return ranks.add(whole), [ranks.gather(own, f"rows.{number}") for number, own in enumerate(rows)]


def _in_one(whole: Tensors, rows: Tensors, ranks: Ranks) -> tuple[Tensors, Tensors]:
    """The same by one exchange, in which each rank gets all that the others have: of two, no more than a sum takes."""
    counts = tf.bitcast(tf.stack([tf.shape(own)[0] for own in rows]), tf.float32)
    own = tf.concat([tf.reshape(part, [-1]) for part in (counts, *whole, *rows)], 0)
    rest, received = ranks.gather(own, "step"), []
    for _ in range(ranks.number):
        counts = tf.bitcast(rest[: len(rows)], tf.int32)
        sizes = [int(np.prod(part.shape)) for part in whole]
        sizes += [counts[number] * part.shape[1] for number, part in enumerate(rows)]
        _, *parts, rest = tf.split(rest, [len(rows), *sizes, -1])
        received.append([tf.reshape(part, [-1, *like.shape[1:]]) if like.shape.rank else part[0]
                         for part, like in zip(parts, [*whole, *rows], strict=True)])  # fmt: skip
    columns = list(zip(*received, strict=True))
    return [tf.add_n(parts) for parts in columns[: len(whole)]], [
        tf.concat(parts, 0) for parts in columns[len(whole) :]
    ]
