"""Keras' LSTM and GRU layers on a CPU, with the same weights and, to rounding, the same results, in less time.

Keras makes a loop whose gradient TensorFlow finds by keeping each tensor of each round; here a step of training has the
rounds one behind the other, and their gradient by hand (lstm.py, gru.py). What does not depend on the round before, two
thirds of the arithmetic, is done for all rounds at once. A GPU has cuDNN's kernel instead.

B examples, T tokens, E inputs, H units, and G gates.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import keras
import tensorflow as tf

from preprocessing.vocabulary import PAD
from training import gru, lstm

LONGEST = 32  # tokens: longer rows of rounds take too long to make
KERNELS = {keras.layers.LSTM: lstm.states, keras.layers.GRU: gru.states}


def longest_unrolled(model: keras.Model) -> int:
    """How many tokens at most `unrolled` makes a difference for."""
    return LONGEST if _plain_layers(model) else 0


@contextmanager
def unrolled(model: keras.Model, full: tf.Tensor | None = None) -> Iterator[None]:
    """Within, calls of the model with a known, small T compute its LSTM and GRU layers as this module does.

    `full` are ids [B, T] without padding: masks of them, which change nothing, are left out.
    """
    layers = _plain_layers(model)
    for layer in layers:
        made: list[Any] = []  # the zeros that the layer begins with where nobody gives it a state
        layer.get_initial_state = partial(_zeros, layer, made)
        layer.inner_loop = partial(_inner_loop, layer, made, full)
    try:
        yield
    finally:
        for layer in layers:
            del layer.get_initial_state, layer.inner_loop


def _plain_layers(model: keras.Model) -> list[Any]:
    """The recurrent layers with Keras' ordinary settings, if there is no GPU."""
    if tf.config.get_visible_devices("GPU"):
        return []
    return [layer for layer in model._flatten_layers() if type(layer) in KERNELS and _is_plain(layer)]


def _is_plain(layer: Any) -> bool:
    activations = layer.activation, layer.recurrent_activation
    special = (
        layer.stateful, layer.return_state, layer.zero_output_for_mask and not layer.return_sequences, layer.dropout,
        layer.recurrent_dropout, layer.compute_dtype != "float32", not getattr(layer, "reset_after", True),
        activations != (keras.activations.tanh, keras.activations.sigmoid),
    )  # fmt: skip
    return not any(special)


def _zeros(layer: Any, made: list[Any], batch_size: Any) -> list[Any]:
    made[:] = type(layer).get_initial_state(layer, batch_size)
    return list(made)


def _inner_loop(
    layer: Any, made: list[Any], full: tf.Tensor | None, sequences: tf.Tensor, initial_state: Any, mask: Any,
    training: bool = False,
) -> tuple[tf.Tensor, tf.Tensor, list[tf.Tensor]]:  # fmt: skip
    """In the place of the layer's own: last output [B, H], outputs [B, T, H] or [B, 1, H], and states."""
    tokens = sequences.shape[1]
    begins_with_zeros = bool(made) and all(a is b for a, b in zip(made, initial_state, strict=True))
    by_token = mask is None or mask.shape.rank == 2
    if not begins_with_zeros or not by_token or tokens is None or tokens > LONGEST:
        return type(layer).inner_loop(layer, sequences, initial_state, mask=mask, training=training)
    if _tells_padding(mask, full):
        mask = None
    hidden = _states(layer, sequences, mask)
    outputs = tf.stack(hidden, 1) if layer.return_sequences else hidden[-1][:, tf.newaxis]
    if mask is not None and layer.zero_output_for_mask:
        kept = tf.reverse(mask, [1]) if layer.go_backwards else mask  # in the order of the rounds, as the outputs
        outputs *= tf.cast(tf.cast(kept, tf.bool), tf.float32)[..., tf.newaxis]
    return hidden[-1], outputs, list(initial_state)  # nobody asks these layers for their states


def _tells_padding(mask: tf.Tensor | None, ids: tf.Tensor | None) -> bool:
    """Whether the mask is that of these ids, as an Embedding makes it, and not of what a model makes of them."""
    if mask is None or ids is None or mask.op.type != "NotEqual":
        return False
    of, padding = mask.op.inputs
    return of is ids and bool(tf.get_static_value(padding) == PAD)


def _states(layer: Any, sequences: tf.Tensor, mask: Any) -> list[tf.Tensor]:
    """The hidden states [B, H] behind each round, or behind the last one where the layer gives no other."""
    tokens, masks = sequences.shape[1], None
    if mask is not None:
        kept = tf.cast(tf.cast(mask, tf.bool), tf.float32)  # to Keras a mask of word ids is one, too
        masks = tf.unstack(kept[..., tf.newaxis], axis=1)
    by_token = tf.reshape(tf.transpose(sequences, [1, 0, 2]), [-1, sequences.shape[2]])  # [T * B, E]
    scores = tf.matmul(by_token, tf.convert_to_tensor(layer.cell.kernel))  # [T * B, G * H]
    recurrent = tf.convert_to_tensor(layer.cell.recurrent_kernel)
    bias = tf.convert_to_tensor(layer.cell.bias) if layer.use_bias else None
    order = range(tokens)[::-1] if layer.go_backwards else range(tokens)
    hidden = KERNELS[type(layer)](scores, recurrent, bias, masks, order, layer.return_sequences)
    return list(hidden)
