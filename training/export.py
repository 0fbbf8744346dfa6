"""Writes the model directory: a SavedModel that takes raw text, the Keras model, its words and labels, its lineage."""

import hashlib
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from preprocessing import storage
from training.artifact import VERSION
from training.calibration import TINY, Calibration
from training.layers import TextEncoder

TOP = 5  # intents returned for each text, the most probable first


class Classifier(tf.Module):  # type: ignore[misc]
    """Raw text in, intents out: everything that serving needs, and nothing of ours to import."""

    def __init__(
        self, model: keras.Model, encoder: TextEncoder, labels: Sequence[str], calibration: Calibration,
        out_of_scope: str = "", version: str = "",
    ) -> None:  # fmt: skip
        super().__init__(name="classifier")
        self.encoder = encoder
        self.labels = tf.constant(list(labels))
        self.model = model
        self.temperature, self.threshold = calibration
        self.out_of_scope, self.version = out_of_scope, version

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
        """ids int32 [B, T] -> intents string [B, K] and probabilities float32 [B, K], the most probable first;
        out_of_scope bool [B], whether the answer is none of the intents; version string [B], the model's own.
        """
        probabilities = self.model(ids, training=False)
        if self.temperature != 1:
            probabilities = tf.nn.softmax(tf.math.log(tf.maximum(probabilities, TINY)) / self.temperature)
        top = tf.math.top_k(probabilities, min(TOP, len(self.labels)))
        intents = tf.gather(self.labels, top.indices)
        outside = tf.zeros_like(top.values[:, 0], tf.bool)
        if self.out_of_scope:  # of an answer in scope, the first probability is the highest of those in scope
            outside = (intents[:, 0] == self.out_of_scope) | (top.values[:, 0] < self.threshold)
        version = tf.fill([tf.shape(ids)[0]], self.version)
        return {"intents": intents, "probabilities": top.values, "out_of_scope": outside, "version": version}


def model_version(
    model: keras.Model, words: Sequence[str], labels: Sequence[str], calibration: Calibration, out_of_scope: str
) -> str:
    """12 hexadecimal digits that differ where two models differ: of weights, words, labels and calibration.

    What a model can know of itself as it is written; the registry gives it its number later.
    """
    checksum = hashlib.sha256(json.dumps([*words, *labels, *calibration, out_of_scope]).encode())
    for weights in model.get_weights():
        checksum.update(weights.tobytes())
    return checksum.hexdigest()[:12]


def write_model(
    model: keras.Model, words: Sequence[str], labels: Sequence[str], tokenizer: str, max_tokens: int,
    lineage: dict[str, Any], uri: str,
) -> None:  # fmt: skip
    """Writes the model directory to `uri`, its manifest with a checksum of every file last.

    The SavedModel scales its probabilities by the `temperature` of the lineage, and decides what is out of scope by the
    `out_of_scope` intent and the `out_of_scope_threshold` there; the Keras model does neither.
    """
    calibration = Calibration(**{name: lineage[name] for name in Calibration._fields if name in lineage})
    out_of_scope = lineage["out_of_scope"]
    version = model_version(model, words, labels, calibration, out_of_scope)
    with tempfile.TemporaryDirectory(prefix="parley-model-") as temporary:
        directory = Path(temporary)
        encoder = TextEncoder(tokenizer, words, max_tokens)
        classifier = Classifier(model, encoder, labels, calibration, out_of_scope, version)
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
            "num_labels": len(labels), "model_version": version, **lineage, "files": files,
        }  # fmt: skip
        (directory / "manifest.json").write_text(json.dumps(manifest, indent=2, ensure_ascii=False) + "\n")
        storage.remove(uri)
        storage.upload(directory, uri)
