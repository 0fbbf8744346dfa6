"""How gradients of all ranks come together: weights in one vector, of an embedding only the rows of a step's words.

The gradient of an embedding of 20,000 words and 128 numbers is 10 MB, which travel longer than a step computes; the
rows of the words in 256 utterances are less than 1 MB.
"""

from collections.abc import Sequence

import keras
import tensorflow as tf

from training.ranks import Ranks

Gradients = list[tf.Tensor | tf.IndexedSlices]
PADDED = 512  # rows of words, to a multiple of so many: the code of an optimizer is compiled anew for each number


def mean_gradients(
    gradients: Gradients,
    variables: Sequence[keras.Variable],
    sums: tf.Tensor,
    ranks: Ranks,
    words: float,
) -> tuple[Gradients, tf.Tensor]:
    """Gradients of the loss of all ranks' examples, sums[2] of them, divided by these; and the sum of all `sums`.

    `words` is how many rows of an embedding a step uses, about: where it has no more, its gradient travels whole.
    Each word comes once in the end: Keras' Adam would square the gradients of one that comes twice one by one, and what
    it computes would depend on how the batch is cut into ranks.
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
    whole = [*whole, sums]
    (*whole, sums), rows = ranks.combine(whole, rows) if ranks.combine else (ranks.add(whole), rows)
    whole_ones, travelled = iter(whole), iter(rows)
    return [
        _of_words(next(travelled), variable.shape[0], sums[2]) if apart else next(whole_ones) / sums[2]
        for variable, apart in zip(variables, by_rows, strict=True)
    ], sums


def _rows_of(gradient: tf.IndexedSlices) -> tf.Tensor:
    """One row [1 + E] for each of a rank's words, the word in front of it."""
    words, place = tf.unique(tf.cast(gradient.indices, tf.int32))
    rows = tf.math.unsorted_segment_sum(gradient.values, place, tf.size(words))
    return tf.concat([tf.bitcast(words, tf.float32)[:, tf.newaxis], rows], 1)


def _of_words(rows: tf.Tensor, size: int, examples: tf.Tensor) -> tf.IndexedSlices:
    """The gradient [size, E] of such rows of all ranks; each word comes once, but for rows of zeros behind them."""
    words, place = tf.unique(tf.bitcast(rows[:, 0], tf.int32))
    number = tf.size(words)
    zeros = -number % PADDED
    values = tf.math.unsorted_segment_sum(rows[:, 1:], place, number + zeros) / examples
    return tf.IndexedSlices(values, tf.pad(words, [[0, zeros]]), tf.constant([size, rows.shape[1] - 1]))
