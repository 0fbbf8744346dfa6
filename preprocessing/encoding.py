"""What Spark's Python workers do with a batch of rows: Arrow in, Arrow out, no Spark."""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from preprocessing.masking import mask as masked
from preprocessing.masking import mask_malformed, pseudonyms, shown_of
from preprocessing.schema import SPLITS
from preprocessing.tokenizers import count_spaced, spaced, split, with_entities
from preprocessing.vocabulary import PAD, SPECIAL, UNKNOWN

Batches = Iterable[pa.RecordBatch]


def add_tokens(batches: Batches, tokenizer: str, mask: bool = False, salt: str = "") -> Iterator[pa.RecordBatch]:
    """Each batch with the tokens of `text`, a string, and their number as columns; masked where that is wanted.

    `salt` is of the names that dialogs have then.
    """
    for batch in batches:
        said = batch.column("text").cast(pa.string()).dictionary_encode("encode")  # much is said more than once
        texts, place = said.dictionary, said.indices
        entities = with_entities(texts)
        tokens = spaced(entities, tokenizer).take(place)
        columns = dict(zip(batch.schema.names, batch.columns, strict=True))
        if mask:
            columns["text"] = shown_of(texts, entities).take(place)
            columns["dialog_id"] = pseudonyms(columns["dialog_id"].cast(pa.string()), salt)
            columns["slice"] = masked(columns["slice"].cast(pa.string()))
            columns["malformed"] = mask_malformed(columns["malformed"].cast(pa.string()))
        columns |= {"tokens": tokens, "num_tokens": count_spaced(tokens)}
        yield pa.RecordBatch.from_arrays(list(columns.values()), names=list(columns))


def count_tokens(batches: Batches) -> Iterator[pa.RecordBatch]:
    """Each word of the `tokens` column with its count in each split, within each batch; Spark sums them."""
    for batch in batches:
        tokens = split(batch.column("tokens"))
        words = tokens.flatten().dictionary_encode()
        lengths = pc.list_value_length(tokens).to_numpy(zero_copy_only=False)
        place = pc.index_in(batch.column("split"), value_set=pa.array(SPLITS)).to_numpy(zero_copy_only=False)
        cell = words.indices.to_numpy() * len(SPLITS) + np.repeat(place, lengths)
        counts = np.bincount(cell, minlength=len(words.dictionary) * len(SPLITS)).reshape(-1, len(SPLITS))
        columns = [pa.array(column) for column in counts.T.astype(np.int64)]
        yield pa.RecordBatch.from_arrays([words.dictionary, *columns], names=["word", *SPLITS])


def padded(ids: np.ndarray, lengths: np.ndarray, width: int) -> np.ndarray:
    """Ids laid end to end, `lengths` of them a row, as an int32 matrix [rows, width]: cut, or padded on the right."""
    matrix = np.full((len(lengths), width), PAD, np.int32)
    starts = np.cumsum(lengths) - lengths
    column = np.arange(len(ids)) - np.repeat(starts, lengths)
    row = np.repeat(np.arange(len(lengths)), lengths)
    inside = column < width
    matrix[row[inside], column[inside]] = ids[inside]
    return matrix


def add_ids(batches: Batches, words: Sequence[str], labels: Sequence[str], max_tokens: int) -> Iterator[pa.RecordBatch]:
    """Each batch with `input_ids`, `length` and `label_id` in the place of its tokens."""
    known, names = pa.array(words, pa.string()), pa.array(labels, pa.string())
    for batch in batches:
        tokens = split(batch.column("tokens"))
        found = pc.index_in(tokens.flatten(), value_set=known).fill_null(UNKNOWN - len(SPECIAL))
        lengths = pc.list_value_length(tokens).to_numpy(zero_copy_only=False)
        matrix = padded(found.to_numpy() + len(SPECIAL), lengths, max_tokens)
        offsets = np.arange(len(lengths) + 1, dtype=np.int32) * max_tokens
        added = {
            "input_ids": pa.ListArray.from_arrays(pa.array(offsets), pa.array(matrix.ravel())),
            "length": pa.array(np.minimum(lengths, max_tokens).astype(np.int32)),
            "label_id": pc.index_in(batch.column("intent"), value_set=names),
        }
        kept = [name for name in batch.schema.names if name not in ("tokens", "num_tokens")]
        columns = [batch.column(name) for name in kept]
        yield pa.RecordBatch.from_arrays([*columns, *added.values()], names=[*kept, *added])
