"""Writes the model directory: a SavedModel that takes raw text, the Keras model, its words and labels, its lineage."""

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from preprocessing import storage
from training.artifact import VERSION
from training.calibration import TINY
from training.layers import TextEncoder

TOP = 5  # intents returned for each text, the most probable first


class Classifier(tf.Module):  # type: ignore[misc]
    """Raw text in, intents out: everything that serving needs, and nothing of ours to import."""

    def __init__(self, model: keras.Model, encoder: TextEncoder, labels: Sequence[str], temperature: float) -> None:
        super().__init__(name="classifier")
        self.encoder = encoder
        self.labels = tf.constant(list(labels))
        self.model = model
        self.temperature = temperature

    def signature(self, context_turns: int) -> Any:
        """The function to serve, which takes the `context_turns` turns before each text where the model reads them."""
        text = tf.TensorSpec([None], tf.string, name="text")
        if not context_turns:
            return tf.function(lambda text: self.answer(self.encoder(text))).get_concrete_function(text)
        turns = [tf.TensorSpec([None, context_turns], tf.string, name=name) for name in ("context", "speakers")]
        return tf.function(
            lambda text, context, speakers: self.answer(self.encoder.encode_dialogs(text, context, speakers))
        ).get_concrete_function(text, *turns)

    def answer(self, ids: tf.Tensor) -> dict[str, tf.Tensor]:
        """ids int32 [B, T] -> intents string [B, K] and probabilities float32 [B, K], the most probable first."""
        probabilities = self.model(ids, training=False)
        if self.temperature != 1:
            probabilities = tf.nn.softmax(tf.math.log(tf.maximum(probabilities, TINY)) / self.temperature)
        top = tf.math.top_k(probabilities, min(TOP, len(self.labels)))
        return {"intents": tf.gather(self.labels, top.indices), "probabilities": top.values}


def write_model(
    model: keras.Model, words: Sequence[str], labels: Sequence[str], tokenizer: str, max_tokens: int,
    lineage: dict[str, Any], uri: str,
) -> None:  # fmt: skip
    """Writes the model directory to `uri`, its manifest with a checksum of every file last.

    The SavedModel scales its probabilities by the `temperature` of the lineage, the Keras model does not.
    """
    with tempfile.TemporaryDirectory(prefix="parley-model-") as temporary:
        directory = Path(temporary)
        encoder = TextEncoder(tokenizer, words, max_tokens)
        classifier = Classifier(model, encoder, labels, lineage.get("temperature", 1.0))
        signature = classifier.signature(lineage.get("context_turns", 0))
        tf.saved_model.save(classifier, str(directory / "saved_model"), signatures={"serving_default": signature})
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
