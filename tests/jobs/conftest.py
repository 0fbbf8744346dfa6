"""Models small enough to know what they say: one word, one intent."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest

Maker = Callable[[str, Mapping[str, str]], str]


@pytest.fixture
def make_model(tmp_path: Path) -> Maker:
    """make_model(run, {word: intent}) writes `run/model`: a text is taken as most of its known words say.

    Unknown words say "other", which is the out-of-scope label.
    """
    from training.quiet import import_tensorflow

    import_tensorflow()
    import keras

    from training.export import write_model

    def make(run: str, says: Mapping[str, str]) -> str:
        labels = sorted({*says.values(), "other"})
        words = ["[PAD]", "[UNK]", *says]
        votes = np.zeros((len(words), len(labels)), np.float32)
        for word, intent in zip(words[1:], ["other", *says.values()], strict=True):
            votes[words.index(word), labels.index(intent)] = 4.0
        model = keras.Sequential(
            [
                keras.layers.Embedding(len(words), len(labels), mask_zero=True),
                keras.layers.GlobalAveragePooling1D(),
                keras.layers.Softmax(),
            ]
        )
        model(np.ones((1, 3), np.int32))
        model.layers[0].set_weights([votes])
        lineage = {
            "out_of_scope": "other", "dataset": "none", "fingerprint": run, "corpus": {"path": []}, "model": {},
            "training": {}, "versions": {}, "trained_at": "2026-11-20T18:00:00Z",
        }  # fmt: skip
        uri = (tmp_path / run / "model").as_uri()
        write_model(model, words, labels, "words", 12, lineage, uri)
        return uri

    return make
