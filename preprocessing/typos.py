"""Typing errors: copies of training examples with one of them, for models that serve those who type on phones.

In Latin letters two change places, one is missing, doubled, or its neighbour on the keyboard; in Hangul a syllable has
one other jamo. All of it is drawn from a hash of the row: the same corpus has the same copies.
"""

import random
import re
from collections.abc import Iterable, Iterator
from functools import partial

import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from preprocessing.tokenizers import count_spaced, spaced, with_entities
from preprocessing.turns import hashed_turn

SALT = "typos"
ROW = "_row"
RESOLUTION = 1_000_000  # parts of the hash's range

LETTER = re.compile(r"<(?:url|email|number)>|([A-Za-z가-힣])")  # what masking has left is not to be broken
KEYS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
NEIGHBOURS = {
    letter: row[max(place - 1, 0) : place] + row[place + 1 : place + 2]
    for row in KEYS
    for place, letter in enumerate(row)
}
FIRST_SYLLABLE, JAMO = 0xAC00, (19, 21, 28)  # leading, vowels, trailing with none


def chosen(turns: DataFrame, share: float) -> DataFrame:
    """The share of the training examples that get a copy, with column ROW: what their errors are drawn from."""
    examples = turns.where("reason is null and split = 'train'")
    row = F.xxhash64(F.lit(SALT), "dialog_id", *hashed_turn(), "text", "intent")
    return examples.withColumn(ROW, row).where(F.pmod(ROW, F.lit(RESOLUTION)) < round(share * RESOLUTION))


def with_typos(turns: DataFrame, share: float, tokenizer: str) -> DataFrame:
    """Turns with their tokens, and a copy with one typing error of a share of the training examples."""
    return turns.unionByName(chosen(turns, share).mapInArrow(partial(misspelt, tokenizer=tokenizer), turns.schema))


def misspelt(batches: Iterable[pa.RecordBatch], tokenizer: str) -> Iterator[pa.RecordBatch]:
    """Each batch without ROW, with a typing error in `text`, and the tokens of that."""
    for batch in batches:
        rows = zip(batch.column("text").to_pylist(), batch.column(ROW).to_pylist(), strict=True)
        texts = pa.array([typo(text, random.Random(row)) for text, row in rows], pa.string())
        tokens = spaced(with_entities(texts), tokenizer)
        changed = {"text": texts, "tokens": tokens, "num_tokens": count_spaced(tokens)}
        names = [name for name in batch.schema.names if name != ROW]
        columns = [changed[name] if name in changed else batch.column(name) for name in names]
        yield pa.RecordBatch.from_arrays(columns, names=names)


def typo(text: str, drawn: random.Random) -> str:
    """`text` with one typing error; as it is where it has neither Latin letters nor Hangul."""
    places = [match.start() for match in LETTER.finditer(text) if match[1]]
    if not places:
        return text
    place = drawn.choice(places)
    letter, rest = text[place], text[place + 1 :]
    if letter >= "가":
        return text[:place] + _other_syllable(letter, drawn) + rest
    changes = [letter * 2 + rest, drawn.choice(_neighbours(letter)) + rest]
    if place + 1 in places and rest[0] < "가":  # else nothing might be left of the word
        changes.append(rest)
        if rest[0].lower() != letter.lower():  # else it would be no error
            changes.append(rest[0] + letter + rest[1:])
    return text[:place] + drawn.choice(changes)


def _neighbours(letter: str) -> str:
    found = NEIGHBOURS[letter.lower()]
    return found if letter.islower() else found.upper()


def _other_syllable(syllable: str, drawn: random.Random) -> str:
    """The syllable with one jamo replaced by the next or the one before in Unicode's order: ㅐ by ㅑ, ㄱ by ㄲ."""
    code = ord(syllable) - FIRST_SYLLABLE
    jamo = [code // 28 // 21, code // 28 % 21, code % 28]
    which = drawn.randrange(3)
    steps = [step for step in (-1, 1) if 0 <= jamo[which] + step < JAMO[which]]
    jamo[which] += drawn.choice(steps)
    return chr(FIRST_SYLLABLE + (jamo[0] * 21 + jamo[1]) * 28 + jamo[2])
