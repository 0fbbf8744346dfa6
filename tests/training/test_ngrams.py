"""The n-grams of a text, beside a plain enumeration of them."""

import functools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytestmark = pytest.mark.tensorflow

BUCKETS, SIZE = 1_000, 3


def plain(ids: list[int], longest: int, table: np.ndarray) -> np.ndarray:
    """What the layer says of one text: all runs of 2 to `longest` words of it, its begin and its end."""
    whole, features = [0, *ids, 0], []
    for n in range(2, longest + 1):
        keys = []
        for start in range(len(whole) - n + 1):
            key = whole[start] + 1
            for word in whole[start + 1 : start + n]:
                key = (key * 1_000_003 + word + 1) % (2**31 - 1)
            keys.append(key % BUCKETS)
        features.append(table[keys].sum(axis=0) / max(len(keys), 1) ** 0.5 if keys else np.zeros(SIZE))
    return np.concatenate(features)


@functools.cache
def model_of(longest: int) -> Any:
    import keras

    from training.ngrams import ngram_features

    ids = keras.Input((None,), dtype="int32")
    return keras.Model(ids, ngram_features(ids, longest, BUCKETS, SIZE))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.lists(st.integers(1, 2**31 - 2), min_size=1, max_size=9), min_size=1, max_size=4),
    st.integers(2, 6),
    st.integers(0, 3),
)
def test_they_are_those_of_the_text_alone(texts: list[list[int]], longest: int, padding: int) -> None:
    model = model_of(longest)
    width = max(map(len, texts)) + padding
    found = model(np.array([text + [0] * (width - len(text)) for text in texts], np.int32))
    (table,) = model.get_weights()
    np.testing.assert_allclose(found, [plain(text, longest, table) for text in texts], atol=1e-6)
