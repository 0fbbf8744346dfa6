"""Tokenizers: a few RE2 replacements after which the tokens of a text stand between spaces.

The same (pattern, replacement) rules run here in Arrow and, inside the saved model, in TensorFlow
(`training/layers.py`); both are RE2. Folding (`preprocessing/text.py`) comes first and leaves no private-use character,
so three of these can stand for whole tokens until the last step.
"""

from collections.abc import Iterable

import pyarrow as pa
import pyarrow.compute as pc

from preprocessing.text import fold

Rule = tuple[str, str]

URL, EMAIL, NUMBER = "\ue000", "\ue001", "\ue002"
ENTITY_NAMES: list[Rule] = [(URL, "<url>"), (EMAIL, "<email>"), (NUMBER, "<number>")]
WORD_BREAK = "\u2581"  # stands for the space between words where characters are the tokens

# An address ends where Hangul, kana or ideographs begin, as these follow it without a space; where they stand inside a
# path, something that only an address has comes after them.
_URL = (
    r"(?:[a-z][0-9a-z+.-]*://[!-~]|www\.[!-~]|(?:[0-9a-z-]+\.)+[a-z]{2,}/)[!-~]*"
    r"(?:[^ -~]+[/?#&=%][0-9a-z%][!-~]*)*"
)
_LETTERS = r"0-9\p{Latin}\p{Greek}\p{Cyrillic}\p{M}"
_EMAIL = rf"[{_LETTERS}._+%'-]+@[{_LETTERS}-]+(?:\.[{_LETTERS}-]+)+"
# Order, phone, card numbers: five digits or more, however grouped; shorter ones (sizes, amounts) keep their value.
_GAP = r"(?:[ ._()/·・ー−\x{20e3}\p{Pd}]{0,3}|,)"
_NUMBER = rf"(?:\b[a-z]{{1,3}}-?)?\+?(?:\(\+?[0-9]+\)|[0-9])(?:{_GAP}[0-9]){{4,}}\x{{20e3}}?"
# Two letters that are a flag, a key of a phone: the parts mean nothing. Other emoji are tokens character by character,
# so that a thumb is known whatever its skin, and a family by its members.
_EMOJI = r"[\x{1f1e6}-\x{1f1ff}]{2}|[0-9#*]\x{20e3}"

# Each also by the name that masking (`preprocessing/masking.py`) has left of it: a masked text has the same tokens.
ENTITIES: list[Rule] = [
    (rf"{name}|{pattern}", f" {entity} ")
    for (entity, name), pattern in zip(ENTITY_NAMES, (_URL, _EMAIL, _NUMBER), strict=True)
]
TOKENIZERS: dict[str, list[Rule]] = {
    # letters with their marks, an English clitic ('s, 't, 'll), a run of digits, or any other single character; where
    # all others stand between spaces, so do the runs of letters, which most tokens are
    "words": [
        *ENTITIES,
        (rf"{_EMOJI}|'(?:s|t|re|ve|ll|d|m)\b|\p{{N}}+|[^ \p{{L}}\p{{M}}]", r" \0 "),
        *ENTITY_NAMES,
    ],
    "characters": [*ENTITIES, (r"^ +| +$", ""), (" +", WORD_BREAK), (rf"{_EMOJI}|[^ ]", r" \0 "), *ENTITY_NAMES],
}


def replace(texts: pa.StringArray, rules: Iterable[Rule]) -> pa.StringArray:
    """`texts` after all rules, one after the other."""
    for pattern, replacement in rules:
        texts = pc.replace_substring_regex(texts, pattern, replacement)
    return texts


def with_entities(texts: pa.StringArray) -> pa.StringArray:
    """`texts` folded, each address and long number replaced by its private-use character."""
    return replace(fold(texts), ENTITIES)


def spaced(texts: pa.StringArray, tokenizer: str) -> pa.StringArray:
    """Tokens of each text that `with_entities` gave, single spaces between them; "" for a text without any token.

    No token has a space in it, and Spark carries one string a row several times faster than a list of them.
    """
    tokens = replace(texts, TOKENIZERS[tokenizer][len(ENTITIES) :])
    return pc.utf8_trim(pc.replace_substring_regex(tokens, "  +", " "), " ")


def count_spaced(tokens: pa.StringArray) -> pa.Int32Array:
    """How many tokens each string of `spaced` has."""
    spaces = pc.count_substring(tokens, " ")
    return pc.if_else(pc.equal(tokens, ""), pa.scalar(0, pa.int32()), pc.add(spaces, pa.scalar(1, pa.int32())))


def split(tokens: pa.StringArray) -> pa.ListArray:
    """The tokens of each string of `spaced`, a list of strings."""
    lists = pc.split_pattern(tokens, " ")
    # splitting "" gives one empty token
    return pc.if_else(pc.equal(tokens, ""), pa.array([[]], lists.type)[0], lists)


def tokenize(texts: pa.StringArray, tokenizer: str) -> pa.ListArray:
    """Tokens of each text, a list of strings; empty for null and for text without any token."""
    return split(spaced(with_entities(texts), tokenizer))
