"""The zoo: each a plain function that returns an ordinary Keras model. B examples, T tokens, V words, L labels.

All take ids int32 [B, T], where id 0 is padding, and give probabilities float32 [B, L] that do not depend on how much
padding there is. Each decides by what its network says, and with `model.ngrams` by the runs of words besides.
"""

from collections.abc import Callable
from typing import Any

import keras

from training.config import ModelConfig
from training.ngrams import ngram_features

WIDTHS = (1, 2, 3)  # words, of the convolutions of `cnn`: utterances are short


def lstm(config: ModelConfig, vocabulary_size: int, num_labels: int) -> keras.Model:
    """The last state of LSTM layers."""
    ids, hidden = _words(config, vocabulary_size)
    hidden = _recurrent("lstm", keras.layers.LSTM, config, hidden)
    return _classifier("lstm", config, ids, hidden, num_labels)


def bilstm(config: ModelConfig, vocabulary_size: int, num_labels: int) -> keras.Model:
    """The last states of LSTM layers that read from both sides."""
    ids, hidden = _words(config, vocabulary_size)
    hidden = _recurrent("bilstm", _both_ways(keras.layers.LSTM), config, hidden)
    return _classifier("bilstm", config, ids, hidden, num_labels)


def bigru(config: ModelConfig, vocabulary_size: int, num_labels: int) -> keras.Model:
    """The last states of GRU layers that read from both sides."""
    ids, hidden = _words(config, vocabulary_size)
    hidden = _recurrent("bigru", _both_ways(keras.layers.GRU), config, hidden)
    return _classifier("bigru", config, ids, hidden, num_labels)


def bigru_attention(config: ModelConfig, vocabulary_size: int, num_labels: int) -> keras.Model:
    """All states of such GRU layers, weighted by an attention over the words (Yang et al. 2016, section 2.2)."""
    ids, hidden = _words(config, vocabulary_size)
    states = _recurrent("bigru", _both_ways(keras.layers.GRU), config, hidden, sequences=True)
    scores = keras.layers.Dense(1, use_bias=False, name="score")(
        keras.layers.Dense(config.units, activation="tanh", name="key")(states)
    )
    attention = keras.layers.Softmax(axis=1, name="attention")(scores, mask=keras.ops.expand_dims(_mask(ids), -1))
    return _classifier("bigru_attention", config, ids, keras.ops.sum(states * attention, axis=1), num_labels)


def cnn(config: ModelConfig, vocabulary_size: int, num_labels: int) -> keras.Model:
    """The strongest response of each convolution of 1, 2 and 3 words (Kim 2014, with 3 to 5), batch-normalised."""
    ids, hidden = _words(config, vocabulary_size)
    mask = _mask(ids)
    words = _without_padding(hidden, mask)
    responses = [
        keras.layers.Conv1D(config.units, width, padding="same", activation="relu", name=f"convolution_{width}")(words)
        for width in WIDTHS
    ]
    responses = _without_padding(keras.ops.concatenate(responses, axis=-1), mask)  # nothing is below relu's zero
    strongest = keras.layers.GlobalMaxPooling1D()(responses)
    # in place of 0.99, with which it takes several hundred steps until the moving statistics are those of the data
    hidden = keras.layers.BatchNormalization(momentum=0.95, name="normalization")(strongest)
    return _classifier("cnn", config, ids, hidden, num_labels)


def cnn_lstm(config: ModelConfig, vocabulary_size: int, num_labels: int) -> keras.Model:
    """LSTM layers over a convolution of three words."""
    ids, hidden = _words(config, vocabulary_size)
    mask = _mask(ids)
    words = _without_padding(hidden, mask)
    hidden = keras.layers.Conv1D(config.units, 3, padding="same", activation="relu", name="convolution")(words)
    hidden = _recurrent("lstm", keras.layers.LSTM, config, hidden, mask=mask)
    return _classifier("cnn_lstm", config, ids, hidden, num_labels)


def fasttext(config: ModelConfig, vocabulary_size: int, num_labels: int) -> keras.Model:
    """The mean of the words' vectors (Joulin et al. 2016)."""
    ids, hidden = _words(config, vocabulary_size)
    return _classifier("fasttext", config, ids, keras.layers.GlobalAveragePooling1D()(hidden), num_labels)


ZOO = {build.__name__: build for build in (lstm, bilstm, bigru, bigru_attention, cnn, cnn_lstm, fasttext)}


def _words(config: ModelConfig, vocabulary_size: int) -> tuple[Any, Any]:
    """ids [B, T], and their vectors [B, T, E], some dimensions of which are dropped in training."""
    ids = keras.Input((None,), dtype="int32", name="ids")
    words = keras.layers.Embedding(vocabulary_size, config.embedding_size, mask_zero=True, name="embedding")(ids)
    return ids, keras.layers.SpatialDropout1D(config.dropout)(words)


def _mask(ids: Any) -> Any:
    """Which of the ids are no padding, bool [B, T]."""
    return keras.ops.not_equal(ids, 0)


def _without_padding(hidden: Any, mask: Any) -> Any:
    """[B, T, H] with zeros where there is padding, whose vector is no zero of itself."""
    return hidden * keras.ops.cast(keras.ops.expand_dims(mask, -1), hidden.dtype)


def _both_ways(layer: Callable[..., Any]) -> Callable[..., Any]:
    return lambda units, name, **options: keras.layers.Bidirectional(layer(units, **options), name=name)


def _recurrent(
    name: str, layer: Callable[..., Any], config: ModelConfig, hidden: Any, sequences: bool = False, mask: Any = None
) -> Any:
    """The states [B, H] behind the last word, or with `sequences` behind each [B, T, H], of `config.layers` layers."""
    for number in range(1, config.layers + 1):
        whole = sequences or number < config.layers
        options = {"return_sequences": whole, "recurrent_dropout": config.recurrent_dropout}
        hidden = layer(config.units, name=f"{name}_{number}", **options)(hidden, mask=mask)
    return hidden


def _classifier(name: str, config: ModelConfig, ids: Any, hidden: Any, num_labels: int) -> keras.Model:
    if config.ngrams > 1:
        runs = ngram_features(ids, config.ngrams, config.ngram_buckets, config.ngram_size)
        hidden = keras.ops.concatenate([hidden, runs], axis=-1)
    hidden = keras.layers.Dropout(config.dropout)(hidden)
    # float32 whatever the policy: probabilities of hundreds of intents do not fit into 16 bits
    probabilities = keras.layers.Dense(num_labels, activation="softmax", dtype="float32", name="intent")(hidden)
    return keras.Model(ids, probabilities, name=name)
