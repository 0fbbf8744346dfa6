"""Tokenizers: a few RE2 replacements after which the tokens of a text stand between spaces.

The same (pattern, replacement) rules run here in Arrow and, inside the saved model, in TensorFlow
(`training/layers.py`); both are RE2. Folding (`preprocessing/text.py`) comes first and leaves no private-use character,
so three of these can stand for whole tokens until the last step.
"""

import pyarrow as pa
import pyarrow.compute as pc

from preprocessing.text import fold

Rule = tuple[str, str]

URL, EMAIL, NUMBER = "\ue000", "\ue001", "\ue002"
WORD_BREAK = "\u2581"  # stands for the space between words where characters are the tokens

_ENTITIES: list[Rule] = [
    (r"(?:https?://|www\.)[^ ]+", f" {URL} "),
    (r"[0-9a-z._+-]+@[0-9a-z-]+(?:\.[0-9a-z-]+)+", f" {EMAIL} "),
    # order, phone, card numbers: five digits or more, however grouped; shorter ones (sizes, amounts) keep their value
    (r"(?:\b[a-z]{1,3}-?)?\+?[0-9](?:-?[0-9]){4,}", f" {NUMBER} "),
]
_NAMES: list[Rule] = [(URL, "<url>"), (EMAIL, "<email>"), (NUMBER, "<number>")]

TOKENIZERS: dict[str, list[Rule]] = {
    # letters with their marks, an English clitic ('s, 't, 'll), a run of digits, or any other single character
    "words": [*_ENTITIES, (r"[\p{L}\p{M}]+|'(?:s|t|re|ve|ll|d|m)\b|\p{N}+|[^ ]", r" \0 "), *_NAMES],
    "characters": [*_ENTITIES, (r"^ +| +$", ""), (" +", WORD_BREAK), (r"[^ ]", r" \0 "), *_NAMES],
}


def tokenize(texts: pa.StringArray, tokenizer: str) -> pa.ListArray:
    """Tokens of each text, a list of strings; empty for null and for text without any token."""
    spaced = fold(texts)
    for pattern, replacement in TOKENIZERS[tokenizer]:
        spaced = pc.replace_substring_regex(spaced, pattern, replacement)
    spaced = pc.utf8_trim(pc.replace_substring_regex(spaced, " +", " "), " ")
    tokens = pc.split_pattern(spaced, " ")
    # splitting "" gives one empty token
    return pc.if_else(pc.equal(spaced, ""), pa.array([[]], tokens.type)[0], tokens)
