"""Masking: personal data replaced by <url>, <email>, <number> in the text itself.

A masked text is the folded one, as addresses and numbers are found after folding: whatever the spelling, what the
tokenizer takes for an entity is masked, and nothing else. So masked and original text have the same tokens.
"""

import pyarrow as pa
import pyarrow.compute as pc

from preprocessing.tokenizers import ENTITY_NAMES, replace, with_entities


def show(texts: pa.StringArray) -> pa.StringArray:
    """What `with_entities` gave, as people may see it: each entity by its name, between single spaces."""
    return pc.utf8_trim(replace(texts, [(f" *{entity} *", f" {name} ") for entity, name in ENTITY_NAMES]), " ")


def mask(texts: pa.StringArray) -> pa.StringArray:
    """`texts` without personal data; null stays null."""
    return pc.if_else(texts.is_valid(), show(with_entities(texts)), pa.scalar(None, pa.string()))


def mask_malformed(records: pa.StringArray) -> pa.StringArray:
    """For each record that could not be parsed how long it is: who knows how it spells what it holds."""
    lengths = pc.utf8_length(records).cast(pa.string())
    return pc.binary_join_element_wise("a record of ", lengths, " characters", "")
