"""Runs of words that have vectors of their own, as in fastText: each falls into a bucket by its hash.

B examples, T tokens, N words of the longest run, S numbers in a vector.
"""

from typing import Any

import keras

FACTOR, PRIME = 1_000_003, 2**31 - 1  # their product, and so every number on the way, is far below 2**63


def ngram_features(ids: Any, longest: int, buckets: int, size: int) -> Any:
    """What the n-grams of ids [B, T] say, [B, (N - 1) S]: for each n of 2 to N the sum of their vectors.

    The sum is divided by the square root of their number, so that its variance does not grow with the text; begin and
    end count as a word each, padding as none. Two n-grams of one bucket share their vector, so nothing is to be counted
    beforehand (Joulin et al. 2016, section 2.2; Weinberger et al. 2009).
    """
    words = keras.ops.pad(keras.ops.cast(ids, "int64"), [[0, 0], [1, longest - 1]])
    vectors = keras.layers.Embedding(buckets, size, name="ngrams")
    keys, features = words + 1, []  # as 0 in front would not change a key
    for n in range(2, longest + 1):
        keys = keras.ops.mod(keys[:, :-1] * FACTOR + words[:, n - 1 :] + 1, PRIME)
        real = keras.ops.maximum(words[:, n - 2 : -1], words[:, n - 1 :]) > 0  # not wholly behind the end
        features.append(_sum(vectors(keras.ops.mod(keys, buckets)), real))
    return keras.ops.concatenate(features, axis=-1)


def _sum(vectors: Any, real: Any) -> Any:
    """[B, S] of vectors [B, T, S], those that are real [B, T]."""
    weights = keras.ops.cast(keras.ops.expand_dims(real, -1), vectors.dtype)
    number = keras.ops.maximum(keras.ops.sum(weights, axis=1), 1)
    return keras.ops.sum(vectors * weights, axis=1) / keras.ops.sqrt(number)
