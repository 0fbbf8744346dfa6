"""What unrolled layers do alike around each round: a token that is padding leaves the state as it is."""

import tensorflow as tf


def kept(new: tf.Tensor, old: tf.Tensor | None, keep: tf.Tensor | None) -> tf.Tensor:
    """The new state [B, H] where keep [B, 1] is 1, else the old one; an `old` of None is zero, a `keep` of None 1."""
    if keep is None:
        return new
    here = new * keep  # exact, as is the sum below, and faster than a choice by a column of masks
    return here if old is None else here + old * (1 - keep)


def parted(gradient: tf.Tensor | None, keep: tf.Tensor | None) -> tuple[tf.Tensor | None, tf.Tensor | None]:
    """What of a gradient [B, H] goes through a round, and what past it; None is zero."""
    if gradient is None or keep is None:
        return gradient, None
    here = gradient * keep
    return here, gradient - here


def total(one: tf.Tensor | None, other: tf.Tensor | None) -> tf.Tensor | None:
    """Both gradients together; None is zero."""
    if one is None or other is None:
        return other if one is None else one
    return one + other


def by_recurrent(hidden_before: list[tf.Tensor | None], by_scores: tf.Tensor, recurrent: tf.Tensor) -> tf.Tensor:
    """The gradient by the recurrent weights [H, G * H], from those by what these made of the state in each round.

    Both are in the order of the tokens: the states [B, H] before their rounds, and by_scores [T * B, G * H]. The first
    round, that of the first or of the last token, has no state before it.
    """
    states = [state for state in hidden_before if state is not None]
    if not states:
        return tf.zeros_like(recurrent)
    examples = tf.shape(states[0])[0]
    rows = by_scores[examples:] if hidden_before[0] is None else by_scores[:-examples]  # neither is a copy
    return tf.matmul(tf.concat(states, 0), rows, transpose_a=True)
