"""A run that starts from an earlier model: its words' and intents' rows go to theirs, by name; all else as it is.

V words, L labels. Which axis of which weight is the words' or the labels' is found by building the architecture once
more with one more word and two more labels, so it needs no names and works for a user's own model too.
"""

import dataclasses
import logging
import tempfile
import tomllib
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from preprocessing import storage
from preprocessing.errors import UserError, first_line
from preprocessing.manifest import DatasetManifest
from preprocessing.vocabulary import read_lines
from training.artifact import fetch_model, read_model
from training.config import ModelConfig
from training.registry import CURRENT, RegistryConfig, current_version, version_uri

if TYPE_CHECKING:
    import keras

log = logging.getLogger(__name__)

# what both models must have in common
SAME = ("architecture", "embedding_size", "units", "layers", "ngrams", "ngram_buckets", "ngram_size")
WORD, LABELS = 1, 2  # by which the sizes of the words' and the labels' axes grow
Places = dict[int, tuple[list[int], list[int]]]  # by axis kind: indices in the new model, and in the earlier one


@dataclass(frozen=True)
class Start:
    """The model that a run starts from; empty for fresh weights."""

    uri: str = ""
    checksum: str = ""  # part of what decides the weights


def find_start(run: str, start_from: str, registry: RegistryConfig) -> Start:
    """What `training.start_from` names; "current" is the registry's version that was current when the run began."""
    if start_from == CURRENT and storage.exists(f"{run}/config.toml"):
        began = tomllib.loads(storage.read_text(f"{run}/config.toml"))
        return Start(began.get("started", {}).get("from", ""), began.get("training", {}).get("start_from", ""))
    if start_from == CURRENT:
        number = current_version(registry.uri)
        if number is None:
            log.info("nothing is published in %s yet: training starts with fresh weights", registry.uri)
            return Start()
        start_from = version_uri(registry.uri, number)
    if not start_from:
        return Start()
    model = read_model(storage.absolute(start_from))
    return Start(model.uri, model.checksum)


def check_start(start: Start, dataset: str, manifest: DatasetManifest, model: ModelConfig) -> None:
    """Says how much of the model will be carried over.

    Raises UserError where it is another network, or its n-grams would be those of other words.
    """
    if not start.uri:
        return
    source = read_model(start.uri).manifest
    wanted = {"tokenizer": manifest.tokenizer, **{key: getattr(model, key) for key in SAME}}
    earlier = {**dataclasses.asdict(ModelConfig()), **source["model"]}  # a model older than a key has its default
    found = {"tokenizer": source["tokenizer"], **{key: earlier[key] for key in SAME}}
    differing = [f"{key} {found[key]!r}, not {wanted[key]!r}" for key in wanted if found[key] != wanted[key]]
    if differing:
        raise UserError(
            f"training.start_from = '{start.uri}' has {', '.join(differing)}: "
            "make them equal, or leave training.start_from empty"
        )
    (words, old_words), (labels, old_labels) = (
        [read_lines(f"{uri}/{name}.txt") for uri in (dataset, start.uri)] for name in ("vocabulary", "labels")
    )
    if model.ngrams > 1 and words[: len(old_words)] != old_words:
        raise UserError(
            f"training.start_from = '{start.uri}' has n-grams, which know its words by their ids, and {dataset} has "
            f"others: preprocess with dataset.vocabulary = '{start.uri}', or leave training.start_from empty"
        )
    counts = len({*words} & {*old_words}), len(words), len({*labels} & {*old_labels}), len(labels)
    log.info("starting from %s: %d of %d words and %d of %d intents carried over", start.uri, *counts)


def carry_over(
    model: "keras.Model", config: ModelConfig, uri: str, words: Sequence[str], labels: Sequence[str]
) -> None:
    """Puts the weights of the model at `uri` into `model`; words [V] and labels [L] that it lacks keep their own.

    Raises UserError where the two are not the same network but for their words and labels.
    """
    from training.models import build_model

    with tempfile.TemporaryDirectory(prefix="parley-start-") as temporary:
        directory = Path(temporary)
        fetch_model(uri, directory)
        old_words, old_labels = (read_lines(f"{directory}/{name}.txt") for name in ("vocabulary", "labels"))
        earlier = build_model(config, len(old_words), len(old_labels))
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", UserWarning)  # with one, Keras leaves a layer's fresh weights in place
                earlier.load_weights(directory / "model.keras")
        except (ValueError, UserWarning) as error:
            reason = first_line(error)
            raise UserError(
                f"training.start_from = '{uri}' is not what model.architecture = '{config.architecture}' builds now "
                f"({reason}): leave training.start_from empty"
            ) from error
    larger = build_model(config, len(words) + WORD, len(labels) + LABELS)
    places = {WORD: _places(words, old_words), LABELS: _places(labels, old_labels)}
    weights = zip(model.get_weights(), earlier.get_weights(), larger.get_weights(), strict=True)
    model.set_weights([_carried(fresh, old, grown.shape, places, config) for fresh, old, grown in weights])


def _places(new: Sequence[str], old: Sequence[str]) -> tuple[list[int], list[int]]:
    """Where the names that both have are in the one and in the other."""
    at = {name: index for index, name in enumerate(old)}
    both = [(index, at[name]) for index, name in enumerate(new) if name in at]
    return [index for index, _ in both], [index for _, index in both]


def _carried(
    fresh: np.ndarray, old: np.ndarray, grown: tuple[int, ...], places: Places, config: ModelConfig
) -> np.ndarray:
    """`fresh` with all that `old` has a place for; `grown` is its shape with one more word and two more labels."""
    here, there = [], []
    for size, old_size, larger in zip(fresh.shape, old.shape, grown, strict=True):
        same = (list(range(size)), list(range(size)))
        indices = places.get(larger - size, same if size == old_size == larger else None)
        if indices is None:
            raise UserError(
                f"model.architecture = '{config.architecture}' has a weight {old.shape} that became {fresh.shape}: "
                "only an axis of the words or of the intents may change; leave training.start_from empty"
            )
        here.append(indices[0])
        there.append(indices[1])
    result = fresh.copy()
    result[np.ix_(*here)] = old[np.ix_(*there)]
    return result
