"""An LSTM's rounds and their gradient by hand (Hochreiter and Schmidhuber 1997, with forget gates: Gers et al. 2000).

B examples, T tokens, H units; gates are in Keras' order: input, forget, candidate, output.
"""

from typing import Any, NamedTuple

import tensorflow as tf

from training.rounds import by_recurrent, kept, parted, total


class Round(NamedTuple):
    """What the gradient of one round needs; each [B, H]."""

    input: tf.Tensor
    forget: tf.Tensor
    candidate: tf.Tensor
    output: tf.Tensor
    bent: tf.Tensor  # tanh of the cell
    cell_before: tf.Tensor | None  # None is zero: nothing was before
    hidden_before: tf.Tensor | None
    keep: tf.Tensor | None  # [B, 1]: 1 where there is a token, 0 where the state stays; None: 1 everywhere


def states(
    scores: tf.Tensor, recurrent: tf.Tensor, bias: tf.Tensor | None, masks: list[tf.Tensor] | None, order: range,
    sequences: bool,
) -> list[tf.Tensor]:  # fmt: skip
    """The hidden states [B, H] behind each round, or without `sequences` behind the last.

    scores [T * B, 4H] are the inputs' share, token by token; masks [B, 1] are each token's, `order` the rounds'.
    """
    rest = 0 if sequences else len(order) - 1  # rounds whose states nobody asks for
    if bias is not None:
        scores = tf.nn.bias_add(scores, bias)

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def compute(scores: tf.Tensor, recurrent: tf.Tensor) -> Any:
        hidden, rounds = _forward(tf.split(scores, len(order)), masks, recurrent, order)

        def gradient(*by_hidden: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            by_scores = _backward(rounds, [None] * rest + list(by_hidden), recurrent)
            # an order, forwards or backwards, is its own inverse
            by_token = tf.concat([by_scores[place] for place in order], 0)
            before = [rounds[place].hidden_before for place in order]
            return by_token, by_recurrent(before, by_token, recurrent)

        return hidden[rest:], gradient

    return list(compute(scores, recurrent))


def _forward(
    scores: list[tf.Tensor], masks: list[tf.Tensor] | None, recurrent: tf.Tensor, order: range
) -> tuple[list[tf.Tensor], list[Round]]:
    """The hidden states [B, H] behind each round, and the rounds; scores [B, 4H] of each token without the state's."""
    hidden, cell, behind, rounds = None, None, [], []
    for token in order:
        score = scores[token] if hidden is None else scores[token] + tf.matmul(hidden, recurrent)
        inwards, forget, candidate, output = tf.split(score, 4, axis=1)
        inwards, forget, output = (tf.sigmoid(gate) for gate in (inwards, forget, output))
        candidate = tf.tanh(candidate)
        new_cell = inwards * candidate if cell is None else forget * cell + inwards * candidate
        bent = tf.tanh(new_cell)
        new_hidden = output * bent
        keep = masks[token] if masks else None
        rounds.append(Round(inwards, forget, candidate, output, bent, cell, hidden, keep))
        hidden, cell = kept(new_hidden, hidden, keep), kept(new_cell, cell, keep)
        behind.append(hidden)
    return behind, rounds


def _backward(rounds: list[Round], given: list[tf.Tensor | None], recurrent: tf.Tensor) -> list[tf.Tensor]:
    """Gradients [B, 4H] by the scores of each round; `given` are those by the hidden states behind the rounds."""
    by_hidden = by_cell = None
    by_scores: list[tf.Tensor] = []
    for one, behind in zip(reversed(rounds), reversed(given), strict=True):
        by_hidden = total(by_hidden, behind)
        hidden_here, hidden_past = parted(by_hidden, one.keep)
        cell_here, cell_past = parted(by_cell, one.keep)
        cell_here = total(cell_here, tf.raw_ops.TanhGrad(y=one.bent, dy=hidden_here * one.output))
        by_forget = tf.zeros_like(cell_here)
        if one.cell_before is not None:
            by_forget = tf.raw_ops.SigmoidGrad(y=one.forget, dy=cell_here * one.cell_before)
        by_gates = [
            tf.raw_ops.SigmoidGrad(y=one.input, dy=cell_here * one.candidate), by_forget,
            tf.raw_ops.TanhGrad(y=one.candidate, dy=cell_here * one.input),
            tf.raw_ops.SigmoidGrad(y=one.output, dy=hidden_here * one.bent),
        ]  # fmt: skip
        by_scores.append(tf.concat(by_gates, 1))
        if one.cell_before is not None:
            by_hidden = total(hidden_past, tf.matmul(by_scores[-1], recurrent, transpose_b=True))
            by_cell = total(cell_past, cell_here * one.forget)
    return by_scores[::-1]
