"""The zoo: each a plain function that returns an ordinary Keras model. B examples, T tokens, V words, L labels."""

import importlib
import inspect
from collections.abc import Callable

import keras

from preprocessing.errors import UserError
from training.config import ModelConfig

Builder = Callable[[ModelConfig, int, int], keras.Model]


def lstm(config: ModelConfig, vocabulary_size: int, num_labels: int) -> keras.Model:
    """ids int32 [B, T] -> probabilities float32 [B, L]. Id 0 is padding and is masked out."""
    ids = keras.Input((None,), dtype="int32", name="ids")
    words = keras.layers.Embedding(vocabulary_size, config.embedding_size, mask_zero=True, name="embedding")(ids)
    hidden = keras.layers.SpatialDropout1D(config.dropout)(words)
    for layer in range(config.layers):
        last = layer == config.layers - 1
        hidden = keras.layers.LSTM(config.units, return_sequences=not last, name=f"lstm_{layer + 1}")(hidden)
    hidden = keras.layers.Dropout(config.dropout)(hidden)
    # float32 whatever the policy: probabilities of hundreds of intents do not fit into 16 bits
    probabilities = keras.layers.Dense(num_labels, activation="softmax", dtype="float32", name="intent")(hidden)
    return keras.Model(ids, probabilities, name="lstm")


MODELS: dict[str, Builder] = {"lstm": lstm}


def find_builder(architecture: str) -> Builder:
    """The function that builds `architecture`: one of the zoo, or `package.module:function`. Raises UserError."""
    if architecture in MODELS:
        return MODELS[architecture]
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


def build_model(config: ModelConfig, vocabulary_size: int, num_labels: int) -> keras.Model:
    """The configured model with fresh weights. Raises UserError where it does not give [B, num_labels]."""
    model = find_builder(config.architecture)(config, vocabulary_size, num_labels)
    if model.output_shape != (None, num_labels):
        raise UserError(
            f"model.architecture = '{config.architecture}' gives outputs of shape {model.output_shape}, "
            f"not (None, {num_labels}): it must end in one probability for each intent"
        )
    return model
