"""Embeddings of which a step of training reads and changes only the rows of its own words (lag.py).

Keras' layer is left as it is; within a step its call is the one of this module. B examples, T tokens, V words, E
numbers in a row.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from training.lag import Lag

MANY = 3  # rows of an embedding for each word of a step, repeated ones counted: with fewer, a pass over all is as fast

Layers = dict[keras.layers.Embedding, int]  # with the place of each one's weight among the model's trainable ones


class Read(NamedTuple):
    """What a call of a layer read."""

    words: tf.Tensor  # [U + padding]
    rows: tf.Tensor  # [U + padding, E]


def read_by_words(model: keras.Model, words: float) -> Layers:
    """The embeddings of so many rows that it pays, which the model reads in training by calls of their layer alone.

    `words` is about how many a step has. Those read in a graph of their own, such as a loop's, do not count.
    """
    places = {id(variable): place for place, variable in enumerate(model.trainable_variables)}
    layers = {
        layer: places[id(layer.embeddings)] for layer in model._flatten_layers()
        if _is_plain(layer) and id(layer.embeddings) in places and layer.input_dim > MANY * words
    }  # fmt: skip
    here: set[int] = set()
    elsewhere: set[int] = set()

    def forward(ids: tf.Tensor) -> Any:
        outer = tf.compat.v1.get_default_graph()

        def called(layer: Any, inputs: Any) -> tf.Tensor:
            if tf.compat.v1.get_default_graph() is outer and isinstance(inputs, tf.Tensor):  # no ragged one
                here.add(layers[layer])
                return tf.one_hot(tf.cast(inputs, tf.int32), layer.output_dim)  # of that shape; nobody computes it
            elsewhere.add(layers[layer])
            return type(layer).call(layer, inputs)

        with _calls(layers, called):
            return model(ids, training=True)

    if not layers:
        return {}
    graph = tf.function(forward).get_concrete_function(tf.TensorSpec([None, None], tf.int32))
    taken = {id(tensor) for tensor in graph.captured_inputs}
    return {
        layer: place for layer, place in layers.items()
        if place in here - elsewhere and id(layer.embeddings.value.handle) not in taken
    }  # fmt: skip


def _is_plain(layer: Any) -> bool:
    """Whether it is Keras' own, trained, in float32, and nothing else reads or changes its weight."""
    return (
        type(layer) is keras.layers.Embedding and layer.trainable and layer.dtype_policy.name == "float32"
        and not (layer.embeddings_constraint or layer.embeddings_regularizer or layer.lora_enabled)
    )  # fmt: skip


@contextmanager
def rows_of_words(layers: Layers, lags: Mapping[int, Lag], tape: tf.GradientTape) -> Iterator[dict[int, list[Read]]]:
    """Within, calls of the layers read the rows of their words alone, of which the tape then has gradients.

    It gives what is read of each weight, by its place.
    """
    reads: dict[int, list[Read]] = {place: [] for place in layers.values()}

    def called(layer: Any, inputs: tf.Tensor) -> tf.Tensor:
        """Vectors [B, T, E] of words [B, T], of which negative ones count from the end, as Keras has it."""
        words = tf.cast(inputs, tf.int32)
        words = tf.where(words < 0, words + layer.input_dim, words)
        once, place = tf.unique(tf.reshape(words, [-1]))
        with tape.stop_recording():
            read = Read(*lags[layers[layer]].rows(once))
        tape.watch(read.rows)
        reads[layers[layer]].append(read)
        return tf.gather(read.rows, tf.reshape(place, tf.shape(words)))

    with _calls(layers, called):
        yield reads


@contextmanager
def _calls(layers: Layers, call: Callable[..., tf.Tensor]) -> Iterator[None]:
    for layer in layers:
        layer.call = partial(call, layer)
    try:
        yield
    finally:
        for layer in layers:
            del layer.call


def gradient_by_words(reads: list[Read], gradients: list[tf.Tensor | tf.IndexedSlices], rows: int) -> tf.IndexedSlices:
    """The gradient [V, E] of a weight with so many rows, by those of what was read of it."""
    values, words = [], []
    for read, gradient in zip(reads, gradients, strict=True):
        by_place = isinstance(gradient, tf.IndexedSlices)  # else zeros: what was read had no part in the loss
        values.append(gradient.values if by_place else gradient)
        words.append(tf.gather(read.words, gradient.indices) if by_place else read.words)
    return tf.IndexedSlices(tf.concat(values, 0), tf.concat(words, 0), tf.constant([rows, values[0].shape[1]]))
