"""How gradients of all ranks come together: weights in one vector, of an embedding only the rows of a step's words.

The gradient of an embedding of 20,000 words and 128 numbers is 10 MB, which travel longer than a step computes; the
rows of the words in 256 utterances are less than 1 MB.
"""

from collections.abc import Sequence

import keras
import tensorflow as tf

from training.ranks import Ranks

Gradients = list[tf.Tensor | tf.IndexedSlices]


def mean_gradients(
    gradients: Gradients,
    variables: Sequence[keras.Variable],
    sums: tf.Tensor,
    ranks: Ranks,
    words: float,
) -> tuple[Gradients, tf.Tensor]:
    """Gradients of the loss of all ranks' examples, sums[2] of them, divided by these; and the sum of all `sums`.

    `words` is how many rows of an embedding a step uses, about: where it has no more, its gradient travels whole.
    Of the others a word comes once for each rank that has it. The rows of one word are still to be added up, before an
    optimizer squares them: else what it computes would depend on how the batch is cut into ranks.
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
    rows = [part for gradient, apart in zip(gradients, by_rows, strict=True) if apart for part in _rows_of(gradient)]
    whole = [*whole, sums]
    (*whole, sums), rows = ranks.combine(whole, rows) if ranks.combine else (ranks.add(whole), rows)
    whole_ones, travelled = iter(whole), iter(rows)
    return [
        _by_words(next(travelled), next(travelled), variable.shape, sums[2]) if apart else next(whole_ones) / sums[2]
        for variable, apart in zip(variables, by_rows, strict=True)
    ], sums


def _rows_of(gradient: tf.IndexedSlices) -> tuple[tf.Tensor, tf.Tensor]:
    """A rank's words [U], each once, as float32 that only travel; and their rows [U, E]."""
    words, place = tf.unique(tf.cast(gradient.indices, tf.int32))
    return tf.bitcast(words, tf.float32), tf.math.unsorted_segment_sum(gradient.values, place, tf.size(words))


def _by_words(words: tf.Tensor, rows: tf.Tensor, shape: tf.TensorShape, examples: tf.Tensor) -> tf.IndexedSlices:
    """The gradient of this shape, of such words and rows of all ranks."""
    return tf.IndexedSlices(rows / examples, tf.bitcast(words, tf.int32), tf.constant(shape.as_list()))
