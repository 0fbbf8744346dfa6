"""A GRU's rounds and their gradient by hand (Cho et al. 2014, the reset gate behind the weights as in cuDNN and Keras).

B examples, T tokens, H units; gates are in Keras' order: update, reset, candidate.
"""

from typing import Any, NamedTuple

import tensorflow as tf

from training.rounds import by_recurrent, kept, parted, total


class Round(NamedTuple):
    """What the gradient of one round needs; each [B, H]."""

    update: tf.Tensor
    reset: tf.Tensor
    candidate: tf.Tensor
    recalled: tf.Tensor  # what the candidate takes from the state, before the reset gate
    hidden_before: tf.Tensor | None  # None is zero: nothing was before
    keep: tf.Tensor | None  # [B, 1]: 1 where there is a token, 0 where the state stays; None: 1 everywhere


def states(
    scores: tf.Tensor, recurrent: tf.Tensor, bias: tf.Tensor | None, masks: list[tf.Tensor] | None, order: range,
    sequences: bool,
) -> list[tf.Tensor]:  # fmt: skip
    """The hidden states [B, H] behind each round, or without `sequences` behind the last.

    scores [T * B, 3H] are the inputs' share, token by token; masks [B, 1] are each token's, `order` the rounds'.
    The bias [2, 3H] is of the inputs and of the state.
    """
    rest = 0 if sequences else len(order) - 1  # rounds whose states nobody asks for
    by_inputs, by_state = tf.unstack(tf.zeros([2, recurrent.shape[1]]) if bias is None else bias)
    scores = tf.nn.bias_add(scores, by_inputs)

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def compute(scores: tf.Tensor, recurrent: tf.Tensor, by_state: tf.Tensor) -> Any:
        hidden, rounds = _forward(tf.split(scores, len(order)), masks, recurrent, by_state, order)

        def gradient(*by_hidden: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
            by_scores, by_recalled = _backward(rounds, [None] * rest + list(by_hidden), recurrent)
            # an order, forwards or backwards, is its own inverse
            by_token, recalled = (tf.concat([part[place] for place in order], 0) for part in (by_scores, by_recalled))
            before = [rounds[place].hidden_before for place in order]
            by_bias = tf.reduce_sum(tf.add_n(by_recalled), 0)
            return by_token, by_recurrent(before, recalled, recurrent), by_bias

        return hidden[rest:], gradient

    return list(compute(scores, recurrent, by_state))


def _forward(
    scores: list[tf.Tensor], masks: list[tf.Tensor] | None, recurrent: tf.Tensor, bias: tf.Tensor, order: range
) -> tuple[list[tf.Tensor], list[Round]]:
    """The hidden states [B, H] behind each round, and the rounds; scores [B, 3H] of each token without the state's."""
    hidden, behind, rounds = None, [], []
    for token in order:
        inputs = tf.split(scores[token], 3, axis=1)
        state = tf.zeros_like(scores[token]) if hidden is None else tf.matmul(hidden, recurrent)
        *gates, recalled = tf.split(tf.nn.bias_add(state, bias), 3, axis=1)
        update, reset = (tf.sigmoid(one + other) for one, other in zip(inputs, gates, strict=False))
        candidate = tf.tanh(inputs[2] + reset * recalled)
        new = (1 - update) * candidate
        keep = masks[token] if masks else None
        rounds.append(Round(update, reset, candidate, recalled, hidden, keep))
        hidden = kept(new if hidden is None else update * hidden + new, hidden, keep)
        behind.append(hidden)
    return behind, rounds


def _backward(
    rounds: list[Round], given: list[tf.Tensor | None], recurrent: tf.Tensor
) -> tuple[list[tf.Tensor], list[tf.Tensor]]:
    """Gradients [B, 3H] by the scores of each round, and by what the state adds to them.

    `given` are those by the hidden states behind the rounds.
    """
    by_hidden = None
    by_scores: list[tf.Tensor] = []
    by_recalled: list[tf.Tensor] = []
    for one, behind in zip(reversed(rounds), reversed(given), strict=True):
        here, past = parted(total(by_hidden, behind), one.keep)
        change = -one.candidate if one.hidden_before is None else one.hidden_before - one.candidate
        by_update = tf.raw_ops.SigmoidGrad(y=one.update, dy=here * change)
        by_candidate = tf.raw_ops.TanhGrad(y=one.candidate, dy=here * (1 - one.update))
        by_reset = tf.raw_ops.SigmoidGrad(y=one.reset, dy=by_candidate * one.recalled)
        by_scores.append(tf.concat([by_update, by_reset, by_candidate], 1))
        by_recalled.append(tf.concat([by_update, by_reset, by_candidate * one.reset], 1))
        if one.hidden_before is not None:
            through = here * one.update + tf.matmul(by_recalled[-1], recurrent, transpose_b=True)
            by_hidden = total(past, through)
    return by_scores[::-1], by_recalled[::-1]
