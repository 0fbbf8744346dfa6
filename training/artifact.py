"""The model directory as its users have it: checked, loaded, asked; TensorFlow is imported only to load one."""

import json
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from preprocessing import storage
from preprocessing.errors import UserError
from training.quiet import import_tensorflow

VERSION = 1


@dataclass(frozen=True)
class Prediction:
    """What a model says of one text: intents and their probabilities, the most probable first."""

    intents: list[str]
    probabilities: list[float]


def read_model_manifest(uri: str) -> dict[str, Any]:
    """The manifest of the model at `uri`. Raises UserError where there is none, or one of another version."""
    try:
        manifest: dict[str, Any] = json.loads(storage.read_text(f"{uri}/manifest.json"))
    except FileNotFoundError:
        raise UserError(f"no model at {uri} (it has no manifest.json): run train, or correct training.path") from None
    if manifest.get("kind") != "model" or manifest.get("version") != VERSION:
        raise UserError(
            f"{uri} holds a {manifest.get('kind')} of version {manifest.get('version')}, "
            f"not a model of version {VERSION}: train it again"
        )
    return manifest


def load_model(uri: str) -> Callable[[Sequence[str]], list[Prediction]]:
    """A function from texts to predictions, of the model at `uri` on any store.

    Raises UserError where there is no model, or where a file is not the one that was written.
    """
    import_tensorflow()
    import tensorflow as tf

    manifest = read_model_manifest(uri)
    with tempfile.TemporaryDirectory(prefix="parley-model-") as temporary:
        storage.download(uri, Path(temporary))
        for name, checksum in manifest["files"].items():
            path = Path(temporary) / name
            if not path.is_file() or storage.sha256(path.read_bytes()) != checksum:
                raise UserError(f"{uri}/{name} is damaged or missing: copy or train the model again")
        loaded = tf.saved_model.load(str(Path(temporary) / "saved_model"))
    classify = loaded.signatures["serving_default"]

    def predict(texts: Sequence[str]) -> list[Prediction]:
        answer = classify(text=tf.constant(list(texts), tf.string))
        intents = np.char.decode(answer["intents"].numpy().astype(bytes), "utf-8").tolist()
        return [Prediction(*row) for row in zip(intents, answer["probabilities"].numpy().tolist(), strict=True)]

    predict.loaded = loaded  # type: ignore[attr-defined]  # a signature does not keep its variables alive
    return predict
