"""The words that a model knows, and its labels, as text files with one a line."""

from collections.abc import Sequence

from preprocessing import storage

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
