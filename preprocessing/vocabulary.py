"""The words that a model knows, and its labels, as text files with one a line."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from preprocessing import storage
from preprocessing.errors import UserError

SPECIAL = ("<pad>", "<unknown>")
PAD, UNKNOWN = 0, 1  # their ids

USER, AGENT = "user", "agent"  # the two kinds of speakers
USER_MARK, AGENT_MARK = MARKS = ("<user>", "<agent>")  # the next words, where the turns before are read too


def write_lines(uri: str, lines: Sequence[str]) -> None:
    """Writes one entry a line; the number of the line, from 0, is its id."""
    storage.write_text(uri, "".join(f"{line}\n" for line in lines))


def read_lines(uri: str) -> list[str]:
    """The entries of a vocabulary or label file, in the order of their ids."""
    return storage.read_text(uri).removesuffix("\n").split("\n")


def ids_of_marks(words: Sequence[str]) -> tuple[int, ...]:
    """The ids of the speakers' marks in a vocabulary that has them; after inherited words they are not the first."""
    return tuple(words.index(mark) for mark in MARKS if mark in words)


@dataclass(frozen=True)
class Inherited:
    """The words and labels of an older dataset or model, whose ids a new dataset keeps for a warm start."""

    words: list[str]  # without the special ones
    labels: list[str]


def read_inherited(uri: str, tokenizer: str, size: int) -> Inherited:
    """What `dataset.vocabulary` names, if anything. Raises UserError where it does not fit the new dataset."""
    if not uri:
        return Inherited([], [])
    directory = storage.absolute(uri)
    try:
        manifest = json.loads(storage.read_text(f"{directory}/manifest.json"))
        words, labels = (read_lines(f"{directory}/{name}.txt") for name in ("vocabulary", "labels"))
    except FileNotFoundError as error:
        raise UserError(
            f"dataset.vocabulary = '{uri}' is neither a dataset nor a model ({error}): name the directory that has a "
            "vocabulary.txt, labels.txt and manifest.json, or leave it empty"
        ) from None
    if manifest.get("tokenizer") != tokenizer:
        raise UserError(
            f"dataset.vocabulary = '{uri}' was made by the tokenizer '{manifest.get('tokenizer')}', and "
            f"dataset.tokenizer = '{tokenizer}': its words would not be found; make the two equal"
        )
    if tuple(words[: len(SPECIAL)]) != SPECIAL:
        raise UserError(f"{uri}/vocabulary.txt begins with {words[: len(SPECIAL)]}, not {list(SPECIAL)}: damaged?")
    num_words = len({*words} - {*SPECIAL, *MARKS})
    if num_words > size:
        raise UserError(
            f"dataset.vocabulary = '{uri}' has {num_words} words, more than dataset.vocabulary_size = {size}: "
            "raise that, as old words keep their ids"
        )
    return Inherited(words[len(SPECIAL) :], labels)


def extended(old: Sequence[str], new: Sequence[str]) -> list[str]:
    """The old entries in their places, then those of the new ones that are not among them."""
    return list(dict.fromkeys([*old, *new]))
