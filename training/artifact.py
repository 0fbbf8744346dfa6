"""The model directory as its users have it: checked, loaded, asked; TensorFlow is imported only to load one."""

import json
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from preprocessing import storage
from preprocessing.errors import UserError
from training.quiet import import_tensorflow

VERSION = 2  # 2: the signature decides what is out of scope, and names its version


@dataclass(frozen=True)
class Prediction:
    """What a model says of one text: intents and their probabilities, the most probable first."""

    intents: list[str]
    probabilities: list[float]
    out_of_scope: bool  # whether it means none of the intents, however probable the first one is


class Answers(NamedTuple):
    """What a model says of B texts: the K most probable intents of each, the most probable first."""

    intents: np.ndarray  # UTF-8 [B, K]
    probabilities: np.ndarray  # float32 [B, K]
    out_of_scope: np.ndarray  # bool [B]


Classify = Callable[..., Answers]  # of texts [B] and, where the model reads them, context and speakers [B][C]
Turn = tuple[str, str]  # speaker ("user" or "agent"), text


@dataclass(frozen=True)
class Model:
    """A model directory as its manifest describes it."""

    uri: str
    checksum: str  # of the manifest, which has those of all files: what tells one model from another
    manifest: dict[str, Any]

    @property
    def masked(self) -> bool:
        """Whether the texts that it learnt from were masked."""
        return bool(self.manifest.get("mask"))

    @property
    def context_turns(self) -> int:
        """How many turns before each text it reads."""
        return int(self.manifest.get("context_turns", 0))

    @property
    def out_of_scope(self) -> str:
        """The intent that means none of the others; "" without one."""
        return str(self.manifest["out_of_scope"])


def read_model(uri: str) -> Model:
    """The model at `uri` by its manifest. Raises UserError where there is none, or one of another version."""
    try:
        content = storage.read_bytes(f"{uri}/manifest.json")
        manifest: dict[str, Any] = json.loads(content)
    except FileNotFoundError:
        raise UserError(f"no model at {uri} (it has no manifest.json): run train, or correct training.path") from None
    except ValueError:
        raise UserError(f"{uri}/manifest.json is damaged: copy or train the model again") from None
    if manifest.get("kind") != "model" or manifest.get("version") != VERSION:
        raise UserError(
            f"{uri} holds a {manifest.get('kind')} of version {manifest.get('version')}, "
            f"not a model of version {VERSION}: train it again"
        )
    return Model(uri, storage.sha256(content), manifest)


def model_checksum(uri: str) -> str:
    """What tells one model from another: the checksum of its manifest, which has those of all its files."""
    return storage.sha256(storage.read_bytes(f"{uri}/manifest.json"))


def fetch_model(uri: str, target: Path) -> Model:
    """Copies the model at `uri` to the local directory `target`, and returns what its manifest says.

    Raises UserError where there is no model, or where a file is not the one that was written.
    """
    model = read_model(uri)
    storage.download(uri, target)
    for name, checksum in model.manifest["files"].items():
        path = target / name
        if not path.is_file() or storage.sha256(path.read_bytes()) != checksum:
            raise UserError(f"{uri}/{name} is damaged or missing: copy or train the model again")
    return model


def check_model(uri: str) -> Model:
    """The model at `uri`, all files of which are as they were written. Raises UserError otherwise."""
    with tempfile.TemporaryDirectory(prefix="parley-model-") as temporary:
        return fetch_model(uri, Path(temporary))


def load_classifier(uri: str) -> Classify:
    """A function from texts to the answers of the model at `uri`, checked as it is fetched."""
    import_tensorflow()
    import tensorflow as tf

    with tempfile.TemporaryDirectory(prefix="parley-model-") as temporary:
        fetch_model(uri, Path(temporary))
        loaded = tf.saved_model.load(str(Path(temporary) / "saved_model"))
    signature = loaded.signatures["serving_default"]

    def classify(texts: Sequence[str], *turns: Sequence[Sequence[str]]) -> Answers:
        inputs = {"text": list(texts)} | ({"context": turns[0], "speakers": turns[1]} if turns else {})
        answer = signature(**{name: tf.constant(values, tf.string) for name, values in inputs.items()})
        return Answers(*[answer[name].numpy() for name in Answers._fields])

    classify.loaded = loaded  # type: ignore[attr-defined]  # a signature does not keep its variables alive
    return classify


def load_model(uri: str) -> Callable[..., list[Prediction]]:
    """A function from texts to predictions, of the model at `uri` on any store.

    A model with context also takes the turns before each text, of which it reads the last ones.
    Raises UserError where there is no model, or where a file is not the one that was written.
    """
    classify, count = load_classifier(uri), read_model(uri).context_turns

    def predict(texts: Sequence[str], dialogs: Sequence[Sequence[Turn]] = ()) -> list[Prediction]:
        if count:
            before = [turns[-count:] for turns in dialogs or [[]] * len(texts)]
            full = [[("user", "")] * (count - len(turns)) + list(turns) for turns in before]
            context = [[text for _, text in turns] for turns in full]
            said = classify(texts, context, [[speaker for speaker, _ in turns] for turns in full])
        else:
            said = classify(texts)
        names = np.char.decode(said.intents.astype(bytes), "utf-8").tolist()
        return [
            Prediction(*row) for row in zip(names, said.probabilities.tolist(), said.out_of_scope.tolist(), strict=True)
        ]

    return predict
