"""Keras' LSTM layers on a CPU, with the same weights and, to rounding, the same results, in three quarters of the time.

Keras makes a loop whose gradient TensorFlow finds by keeping each tensor of each round; here a step of training has the
rounds one behind the other, and their gradient by hand (Hochreiter and Schmidhuber 1997, with forget gates: Gers et al.
2000). What does not depend on the round before, two thirds of the arithmetic, is done for all rounds at once, and
the first round has no state to multiply. A GPU has cuDNN's kernel instead.

B examples, T tokens, E inputs and H units; gates are in Keras' order: input, forget, candidate, output.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

import keras
import tensorflow as tf

LONGEST = 32  # tokens: longer rows of rounds take too long to make


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


def longest_unrolled(model: keras.Model) -> int:
    """How many tokens at most `unrolled` makes a difference for."""
    return LONGEST if _plain_layers(model) else 0


@contextmanager
def unrolled(model: keras.Model) -> Iterator[None]:
    """Within, calls of the model with a known, small T compute its LSTM layers as this module does."""
    layers = _plain_layers(model)
    for layer in layers:
        made: list[Any] = []  # the zeros that the layer begins with where nobody gives it a state
        layer.get_initial_state = partial(_zeros, layer, made)
        layer.inner_loop = partial(_inner_loop, layer, made)
    try:
        yield
    finally:
        for layer in layers:
            del layer.get_initial_state, layer.inner_loop


def _plain_layers(model: keras.Model) -> list[Any]:
    """The LSTM layers with Keras' ordinary settings, if there is no GPU."""
    if tf.config.get_visible_devices("GPU"):
        return []
    return [layer for layer in model._flatten_layers() if type(layer) is keras.layers.LSTM and _is_plain(layer)]


def _is_plain(layer: Any) -> bool:
    activations = layer.activation, layer.recurrent_activation
    special = (
        layer.stateful, layer.return_state, layer.zero_output_for_mask and not layer.return_sequences, layer.dropout,
        layer.recurrent_dropout, layer.compute_dtype != "float32",
        activations != (keras.activations.tanh, keras.activations.sigmoid),
    )  # fmt: skip
    return not any(special)


def _zeros(layer: Any, made: list[Any], batch_size: Any) -> list[Any]:
    made[:] = type(layer).get_initial_state(layer, batch_size)
    return list(made)


def _inner_loop(
    layer: Any, made: list[Any], sequences: tf.Tensor, initial_state: Any, mask: Any, training: bool = False
) -> tuple[tf.Tensor, tf.Tensor, list[tf.Tensor]]:
    """In the place of the layer's own: last output [B, H], outputs [B, T, H] or [B, 1, H], and states."""
    tokens = sequences.shape[1]
    begins_with_zeros = len(made) == 2 and all(a is b for a, b in zip(made, initial_state, strict=True))
    by_token = mask is None or mask.shape.rank == 2
    if not begins_with_zeros or not by_token or tokens is None or tokens > LONGEST:
        return type(layer).inner_loop(layer, sequences, initial_state, mask=mask, training=training)
    hidden = _states(layer, sequences, mask)
    outputs = tf.stack(hidden, 1) if layer.return_sequences else hidden[-1][:, tf.newaxis]
    if mask is not None and layer.zero_output_for_mask:
        kept = tf.reverse(mask, [1]) if layer.go_backwards else mask  # in the order of the rounds, as the outputs
        outputs *= tf.cast(tf.cast(kept, tf.bool), tf.float32)[..., tf.newaxis]
    return hidden[-1], outputs, list(initial_state)  # nobody asks these layers for their states


def _states(layer: Any, sequences: tf.Tensor, mask: Any) -> list[tf.Tensor]:
    """The hidden states [B, H] behind each round, or behind the last one where the layer gives no other."""
    tokens, masks = sequences.shape[1], None
    if mask is not None:
        kept = tf.cast(tf.cast(mask, tf.bool), tf.float32)  # to Keras a mask of word ids is one, too
        masks = tf.unstack(kept[..., tf.newaxis], axis=1)
    weights = [tf.convert_to_tensor(weight) for weight in (layer.cell.kernel, layer.cell.recurrent_kernel)]
    bias = tf.convert_to_tensor(layer.cell.bias) if layer.use_bias else tf.zeros(weights[0].shape[1])
    order = range(tokens)[::-1] if layer.go_backwards else range(tokens)
    behind = tokens if layer.return_sequences else 1  # rounds, from the last, whose states are given

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def compute(inputs: tf.Tensor, kernel: tf.Tensor, recurrent: tf.Tensor, bias: tf.Tensor) -> Any:
        by_token = tf.reshape(tf.transpose(inputs, [1, 0, 2]), [-1, inputs.shape[2]])  # [T * B, E]
        scores = tf.split(tf.nn.bias_add(tf.matmul(by_token, kernel), bias), tokens)
        hidden, rounds = _forward(scores, masks, recurrent, order)

        def gradient(*by_hidden: tf.Tensor) -> list[tf.Tensor]:
            by_scores = _backward(rounds, [None] * (tokens - behind) + list(by_hidden), recurrent)
            all_scores = tf.concat([by_scores[place] for place in order], 0)  # token by token
            by_inputs = tf.reshape(tf.matmul(all_scores, kernel, transpose_b=True), [tokens, -1, inputs.shape[2]])
            return [
                tf.transpose(by_inputs, [1, 0, 2]), tf.matmul(by_token, all_scores, transpose_a=True),
                _by_recurrent(rounds, by_scores, recurrent), tf.reduce_sum(all_scores, 0),
            ]  # fmt: skip

        return hidden[-behind:], gradient

    return list(compute(sequences, *weights, bias))


def _forward(
    scores: list[tf.Tensor], masks: list[tf.Tensor] | None, recurrent: tf.Tensor, order: range
) -> tuple[list[tf.Tensor], list[Round]]:
    """The hidden states [B, H] behind each round, and the rounds; scores [B, 4H] of each token without the state's."""
    hidden, cell, states, rounds = None, None, [], []
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
        hidden, cell = _kept(new_hidden, hidden, keep), _kept(new_cell, cell, keep)
        states.append(hidden)
    return states, rounds


def _kept(new: tf.Tensor, old: tf.Tensor | None, keep: tf.Tensor | None) -> tf.Tensor:
    """The new state where there is a token, else the old one."""
    if keep is None:
        return new
    here = new * keep  # exact, as is the sum below, and faster than a choice by a column of masks
    return here if old is None else here + old * (1 - keep)


def _backward(rounds: list[Round], given: Any, recurrent: tf.Tensor) -> list[tf.Tensor]:
    """Gradients [B, 4H] by the scores of each round; `given` are those by the hidden states behind the rounds."""
    by_hidden = by_cell = None
    by_scores: list[tf.Tensor] = []
    for one, behind in zip(reversed(rounds), reversed(given), strict=True):
        by_hidden = _sum(by_hidden, behind)
        hidden_here, hidden_past = _parted(by_hidden, one.keep)
        cell_here, cell_past = _parted(by_cell, one.keep)
        cell_here = _sum(cell_here, tf.raw_ops.TanhGrad(y=one.bent, dy=hidden_here * one.output))
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
            by_hidden = _sum(hidden_past, tf.matmul(by_scores[-1], recurrent, transpose_b=True))
            by_cell = _sum(cell_past, cell_here * one.forget)
    return by_scores[::-1]


def _by_recurrent(rounds: list[Round], by_scores: list[tf.Tensor], recurrent: tf.Tensor) -> tf.Tensor:
    """The gradient by the recurrent weights [H, 4H], from those by the scores of each round."""
    if len(rounds) == 1:
        return tf.zeros_like(recurrent)
    before = tf.concat([one.hidden_before for one in rounds[1:]], 0)
    return tf.matmul(before, tf.concat(by_scores[1:], 0), transpose_a=True)


def _parted(gradient: tf.Tensor | None, keep: tf.Tensor | None) -> tuple[tf.Tensor | None, tf.Tensor | None]:
    """What of a gradient goes through a round, and what past it; None is zero."""
    if gradient is None or keep is None:
        return gradient, None
    here = gradient * keep
    return here, gradient - here


def _sum(one: tf.Tensor | None, other: tf.Tensor | None) -> tf.Tensor | None:
    if one is None or other is None:
        return other if one is None else one
    return one + other
