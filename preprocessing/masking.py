"""Masking: personal data replaced by <url>, <email>, <number> in the text itself.

A masked text is the folded one, as addresses and numbers are found after folding: whatever the spelling, what the
tokenizer takes for an entity is masked, and nothing else. So masked and original text have the same tokens.
"""

import hashlib

import pyarrow as pa
import pyarrow.compute as pc

from preprocessing.text import REPLACEMENT
from preprocessing.tokenizers import ENTITY_NAMES, replace, with_entities

PSEUDONYM = 32  # hexadecimal digits: 128 bits

_ANY = "[" + "".join(entity for entity, _ in ENTITY_NAMES) + "]"
_SINGLE_SPACES = [(f" *({_ANY})", r" \1"), (f"({_ANY}) *", r"\1 ")]


def show(texts: pa.StringArray) -> pa.StringArray:
    """What `with_entities` gave, as people may see it: each entity by its name, between single spaces."""
    return pc.utf8_trim(replace(texts, [*_SINGLE_SPACES, *ENTITY_NAMES]), " ")


def mask(texts: pa.StringArray) -> pa.StringArray:
    """`texts` without personal data; null stays null."""
    return shown_of(texts, with_entities(texts))


def shown_of(texts: pa.StringArray, entities: pa.StringArray) -> pa.StringArray:
    """`mask(texts)`, where `entities` is what `with_entities` gave of them."""
    # folding takes the sign for broken bytes away, by which such rows are rejected later
    broken = pc.if_else(pc.match_substring(texts, chr(REPLACEMENT)), chr(REPLACEMENT), "")
    return pc.binary_join_element_wise(show(entities), broken, "")  # null where `texts` is


def mask_malformed(records: pa.StringArray) -> pa.StringArray:
    """For each record that could not be parsed how long it is: who knows how it spells what it holds."""
    lengths = pc.utf8_length(records).cast(pa.string())
    return pc.binary_join_element_wise("a record of ", lengths, " characters", "")


def pseudonyms(ids: pa.StringArray, salt: str) -> pa.StringArray:
    """Another name for each id, which is often a phone number or an address: the same for the same one; null stays."""
    known = ids.dictionary_encode()
    names = [hashlib.sha256(f"{salt}{name}".encode()).hexdigest()[:PSEUDONYM] for name in known.dictionary.to_pylist()]
    return pa.array(names, pa.string()).take(known.indices)
