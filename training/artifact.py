"""The model directory: a SavedModel that takes raw text, the Keras model, its words and labels, and where it came from."""

import dataclasses
import json
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from preprocessing import storage
from preprocessing.errors import UserError
from training.layers import TextEncoder

VERSION = 1
TOP = 5  # intents returned for each text, the most probable first


class Classifier(tf.Module):
    """Raw text in, intents out: everything that serving needs, and nothing of ours to import."""

    def __init__(self, model: keras.Model, encoder: TextEncoder, labels: Sequence[str]) -> None:
        super().__init__(name="classifier")
        self.encoder = encoder
        self.labels = tf.constant(list(labels))
        self.model = model

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="text")])
    def classify(self, text: tf.Tensor) -> dict[str, tf.Tensor]:
        """text UTF-8 [B] -> intents string [B, K] and probabilities float32 [B, K], the most probable first."""
        probabilities = self.model(self.encoder(text), training=False)
        top = tf.math.top_k(probabilities, min(TOP, len(self.labels)))
        return {"intents": tf.gather(self.labels, top.indices), "probabilities": top.values}


@dataclasses.dataclass(frozen=True)
class Prediction:
    """What a model says of one text: intents and their probabilities, the most probable first."""

    intents: list[str]
    probabilities: list[float]


def write_model(
    model: keras.Model, words: Sequence[str], labels: Sequence[str], tokenizer: str, max_tokens: int,
    lineage: dict[str, Any], uri: str,
) -> None:  # fmt: skip
    """Writes the model directory to `uri`, its manifest with a checksum of every file last."""
    with tempfile.TemporaryDirectory(prefix="parley-model-") as temporary:
        directory = Path(temporary)
        classifier = Classifier(model, TextEncoder(tokenizer, words, max_tokens), labels)
        tf.saved_model.save(
            classifier, str(directory / "saved_model"), signatures={"serving_default": classifier.classify}
        )
        model.save(directory / "model.keras")
        (directory / "vocabulary.txt").write_text("".join(f"{word}\n" for word in words))
        (directory / "labels.txt").write_text("".join(f"{label}\n" for label in labels))
        files = {
            str(path.relative_to(directory)): storage.sha256(path.read_bytes())
            for path in sorted(directory.rglob("*"))
            if path.is_file()
        }
        manifest = {
            "kind": "model", "version": VERSION, "tokenizer": tokenizer, "max_tokens": max_tokens,
            "num_labels": len(labels), **lineage, "files": files,
        }  # fmt: skip
        (directory / "manifest.json").write_text(json.dumps(manifest, indent=2, ensure_ascii=False) + "\n")
        storage.remove(uri)
        storage.upload(directory, uri)


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
