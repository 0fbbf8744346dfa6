"""The model that a configuration asks for, of the zoo or of the user's own, and the word vectors in it."""

import importlib
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import keras
import numpy as np

from preprocessing.errors import UserError
from training.config import ModelConfig
from training.zoo import ZOO

Builder = Callable[[ModelConfig, int, int], keras.Model]


def find_builder(architecture: str) -> Builder:
    """The function that builds `architecture`: one of the zoo, or `package.module:function`. Raises UserError."""
    if architecture in ZOO:
        return ZOO[architecture]
    module, _, function = architecture.partition(":")
    try:
        builder = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError) as error:
        raise UserError(f"model.architecture = '{architecture}' cannot be imported: {error}") from error
    if not callable(builder) or len(inspect.signature(builder).parameters) != 3:
        raise UserError(
            f"model.architecture = '{architecture}' must be a function of (config, vocabulary_size, num_labels) "
            "that returns a Keras model"
        )
    return builder


@contextmanager
def computing_in(mixed_precision: str) -> Iterator[None]:
    """Within, layers are made to compute in that value of `training.mixed_precision`, their weights being float32."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float32" if mixed_precision == "none" else f"mixed_{mixed_precision}")
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def build_model(
    config: ModelConfig, vocabulary_size: int, num_labels: int, vectors: np.ndarray | None = None,
    mixed_precision: str = "none",
) -> keras.Model:  # fmt: skip
    """The configured model with fresh weights, but for the word vectors [V, E]; in these, NaN is a word without.

    Raises UserError where it is no model of ids [B, T] that gives [B, num_labels].
    """
    builder = find_builder(config.architecture)
    with computing_in(mixed_precision):
        model = taking_any_width(builder(config, vocabulary_size, num_labels), config.architecture)
    if model.output_shape != (None, num_labels):
        raise UserError(
            f"model.architecture = '{config.architecture}' gives outputs of shape {model.output_shape}, "
            f"not (None, {num_labels}): it must end in one probability for each intent"
        )
    if vectors is not None:
        set_word_vectors(model, config, vectors)
    return model


def taking_any_width(model: object, architecture: str) -> keras.Model:
    """The user's model for batches of any width T: one of a fixed width gets them padded with zeros, or cut, to that.

    Raises UserError where it is no functional or sequential model with one input of ids.
    """
    inputs = getattr(model, "inputs", None)  # which others than functional and sequential ones lack
    if not isinstance(model, keras.Model) or not inputs or len(inputs) > 1:
        raise UserError(
            f"model.architecture = '{architecture}' returns {type(model).__name__}: it must be a functional or "
            "sequential Keras model that begins with one keras.Input, of word ids"
        )
    if len(inputs[0].shape) != 2:
        raise UserError(
            f"model.architecture = '{architecture}' takes inputs of shape {inputs[0].shape}, not (None, None): it must "
            "begin with keras.Input((None,), dtype='int32'), the ids of the words"
        )
    width = inputs[0].shape[1]
    if width is None:
        return model
    ids = keras.Input((None,), dtype="int32", name="ids")
    padding = keras.ops.repeat(keras.ops.zeros_like(ids[:, :1]), width, axis=1)
    return keras.Model(ids, model(keras.ops.concatenate([ids, padding], axis=1)[:, :width]), name=model.name)


def set_word_vectors(model: keras.Model, config: ModelConfig, vectors: np.ndarray) -> None:
    """Puts the vectors into the model's embedding. Raises UserError where it has none of their shape."""
    embeddings = [layer for layer in model._flatten_layers() if isinstance(layer, keras.layers.Embedding)]
    fitting = [layer for layer in embeddings if tuple(layer.embeddings.shape) == vectors.shape]
    if not fitting:
        found = [tuple(layer.embeddings.shape) for layer in embeddings] or "none"
        raise UserError(
            f"model.word_vectors are of shape {vectors.shape}, the embeddings of model.architecture = "
            f"'{config.architecture}' {found}: give it a keras.layers.Embedding of that shape"
        )
    embedding = fitting[0]
    embedding.set_weights([np.where(np.isnan(vectors), embedding.get_weights()[0], vectors)])
    embedding.trainable = not config.word_vectors_frozen
