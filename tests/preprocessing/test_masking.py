"""Masked text: no address, no long number, and the same tokens."""

import hashlib
import re

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from preprocessing.masking import mask, mask_malformed, pseudonyms
from preprocessing.tokenizers import TOKENIZERS, tokenize

fragments = st.sampled_from([
    "www.", "https://", "x.kr/?t=", "a@b.co", "@", ".", "<url>", "<email>", "<number>", "<", ">", "url>", " ", "   ",
    "12345", "1", "ab-", "-", ",", "(", ")", "가", "e\u0301", "\u0338", "\u20e3", "\u200b", "１", "Ａ", "\ue000", "'s",
])  # fmt: skip
any_text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20) | st.lists(fragments).map("".join)


def masked(text: str | None) -> str | None:
    return mask(pa.array([text], pa.string()))[0].as_py()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Mail ann.lee@mail.example or call 010-1234-5678!", "mail <email> or call <number> !"),
        ("https://Shop.example/track?token=s3cret", "<url>"),
        ("주문번호AB-1234567요", "주문번호 <number> 요"),
        ("ann\u200b.lee＠mail。com ann@mail.com", "ann.lee@mail。com <email>"),
        ("size 38, 12.50 €", "size 38, 12.50 €"),
        ("<email>  12345 AB-54321", "<email> <number> <number>"),
        ("  two  spaces ", "two  spaces"),
        ("", ""),
        (None, None),
    ],
)
def test_addresses_and_long_numbers_are_named_only(text: str | None, expected: str | None) -> None:
    assert masked(text) == expected


@settings(deadline=None, max_examples=500)
@given(any_text, st.sampled_from(sorted(TOKENIZERS)))
def test_a_masked_text_has_the_same_tokens(text: str, tokenizer: str) -> None:
    tokens = tokenize(pa.array([text, masked(text)], pa.string()), tokenizer).to_pylist()
    assert tokens[0] == tokens[1]


@settings(deadline=None, max_examples=500)
@given(any_text)
def test_nothing_is_left_to_mask(text: str) -> None:
    left = masked(text)
    assert masked(left) == left
    assert not re.search(r"\d(?:-?\d){4}|\S@[0-9a-z-]+\.[0-9a-z]|www\.[!-~]|https?://[!-~]", left)


def test_a_slice_of_a_batch_is_masked_as_each_text_alone() -> None:
    texts = pa.array(["a", None, "call 12345", "", "b"])
    assert mask(texts.slice(1, 3)).to_pylist() == [None, "call <number>", ""]
    assert mask(texts.slice(2, 0)).to_pylist() == []


def test_of_a_malformed_record_the_length_is_left() -> None:
    records = pa.array(['{"text": "ann\\u0040mail.com', None, "환불"])
    assert mask_malformed(records).to_pylist() == ["a record of 27 characters", None, "a record of 2 characters"]


def test_each_id_has_one_name_that_depends_on_the_salt() -> None:
    ids = pa.array(["ann@mail.com", None, "010-1234-5678", "", "ann@mail.com"])
    first, none, other, empty, again = pseudonyms(ids, "salt").to_pylist()
    assert first == again == hashlib.sha256(b"saltann@mail.com").hexdigest()[:32]  # as docs/text.md has it in SQL
    assert none is None and len({first, other, empty}) == 3
    assert not {first, other, empty} & {*pseudonyms(ids, "another").to_pylist()}
    assert pseudonyms(ids.slice(1, 2), "salt").to_pylist() == [None, other]
