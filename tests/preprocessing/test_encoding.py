"""Tokens to ids, one Arrow batch at a time."""

import numpy as np
import pyarrow as pa
import pytest

from preprocessing.encoding import add_ids, add_tokens, count_tokens, padded

TEXTS = pa.RecordBatch.from_pydict({"text": ["My card!", None, "", "card CARD"], "intent": ["lost", "lost", "x", None]})
TOKENS = pa.RecordBatch.from_pydict({
    "text": ["my card is lost", "where is it", "?", ""],
    "intent": ["lost", "track", "lost", "lost"],
    "tokens": ["my card is lost", "where is it", "?", ""],
    "num_tokens": [4, 3, 1, 0],
})  # fmt: skip
WORDS, LABELS = ["card", "is", "my"], ["lost", "track"]  # ids 2, 3, 4; labels 0, 1


def encoded(batch: pa.RecordBatch, max_tokens: int) -> list[dict]:
    (result,) = add_ids([batch], WORDS, LABELS, max_tokens)
    return result.to_pylist()


@pytest.mark.parametrize(
    ("lengths", "width", "expected"),
    [
        ([2, 1, 3], 3, [[5, 6, 0], [7, 0, 0], [8, 9, 10]]),
        ([2, 1, 3], 2, [[5, 6], [7, 0], [8, 9]]),
        ([0, 6, 0], 4, [[0, 0, 0, 0], [5, 6, 7, 8], [0, 0, 0, 0]]),
    ],
)
def test_rows_are_cut_or_padded_to_the_width(lengths: list[int], width: int, expected: list[list[int]]) -> None:
    matrix = padded(np.arange(5, 11), np.array(lengths), width)
    assert (matrix.dtype, matrix.tolist()) == (np.int32, expected)


def test_no_rows_make_a_matrix_without_rows() -> None:
    assert padded(np.array([], np.int32), np.array([], np.int32), 3).shape == (0, 3)


def test_tokens_and_their_number_are_added_to_each_row() -> None:
    (batch,) = add_tokens([TEXTS], "words")
    assert batch.to_pylist() == [
        {"text": "My card!", "intent": "lost", "tokens": "my card !", "num_tokens": 3},
        {"text": None, "intent": "lost", "tokens": "", "num_tokens": 0},
        {"text": "", "intent": "x", "tokens": "", "num_tokens": 0},
        {"text": "card CARD", "intent": None, "tokens": "card card", "num_tokens": 2},
    ]


def test_large_strings_have_tokens_too() -> None:
    batch = pa.RecordBatch.from_arrays([pa.array(["a b"], pa.large_string())], names=["text"])
    assert next(add_tokens([batch], "words")).column("tokens").to_pylist() == ["a b"]


def test_ids_take_the_place_of_the_tokens() -> None:
    assert encoded(TOKENS, 3) == [
        {"text": "my card is lost", "intent": "lost", "input_ids": [4, 2, 3], "length": 3, "label_id": 0},
        {"text": "where is it", "intent": "track", "input_ids": [1, 3, 1], "length": 3, "label_id": 1},
        {"text": "?", "intent": "lost", "input_ids": [1, 0, 0], "length": 1, "label_id": 0},
        {"text": "", "intent": "lost", "input_ids": [0, 0, 0], "length": 0, "label_id": 0},
    ]


def test_ids_have_the_types_of_the_contract() -> None:
    (batch,) = add_ids([TOKENS], WORDS, LABELS, 3)
    assert [batch.schema.field(name).type for name in ("input_ids", "length", "label_id")] == [
        pa.list_(pa.int32()), pa.int32(), pa.int32()
    ]  # fmt: skip


def test_a_slice_of_a_batch_gets_the_ids_of_its_own_rows() -> None:
    assert encoded(TOKENS.slice(1, 2), 4) == encoded(TOKENS, 4)[1:3]


def test_batches_stay_apart_and_an_empty_one_stays_empty() -> None:
    batches = list(add_ids([TOKENS.slice(0, 1), TOKENS.slice(0, 0), TOKENS.slice(3)], WORDS, LABELS, 5))
    assert [batch.column("input_ids").to_pylist() for batch in batches] == [[[4, 2, 3, 1, 0]], [], [[0, 0, 0, 0, 0]]]


def test_words_are_counted_by_split_within_each_batch() -> None:
    splits = pa.array(["train", "test", "validation", "test"])
    batch = pa.RecordBatch.from_arrays([TOKENS.column("tokens"), splits], names=["tokens", "split"])
    again = pa.RecordBatch.from_arrays(
        [pa.array(["is is", "is ?"]), pa.array(["train", "test"])], names=["tokens", "split"]
    )
    counted = [
        {row["word"]: (row["train"], row["validation"], row["test"]) for row in batch.to_pylist()}
        for batch in count_tokens([batch, batch.slice(1, 1), batch.slice(3), again])
    ]
    assert counted == [
        {"my": (1, 0, 0), "card": (1, 0, 0), "is": (1, 0, 1), "lost": (1, 0, 0), "where": (0, 0, 1), "it": (0, 0, 1),
         "?": (0, 1, 0)},
        {"where": (0, 0, 1), "is": (0, 0, 1), "it": (0, 0, 1)},
        {},
        {"is": (2, 0, 1), "?": (0, 0, 1)},
    ]  # fmt: skip
