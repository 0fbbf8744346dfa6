"""Folding: one spelling for each character, whatever the keyboard, the file system or the phone made of it."""

import unicodedata

import pyarrow as pa
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from preprocessing.text import SHIFT, fold, folding

# Their canonical decompositions begin with a mark. A pair that begins with a mark would also be the end of another, and
# one pass over the text could not tell which of the two to compose; no keyboard types them.
KNOWN_EXCEPTIONS = "\u0344\u0f73\u0f75\u0f81"
MARKS = "\u0301\u0302\u0307\u0323\u0327\u1161\u11a8\u200d\uff9e"
LETTERS = "aEiİ\u212b\u1100가ｶＡ"

any_text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters=KNOWN_EXCEPTIONS), max_size=20)
# at most four marks: i and its dot are one letter, one pass takes one dot, and of a fifth dot something would be left
letter = st.tuples(st.sampled_from(LETTERS), st.text(st.sampled_from(MARKS), max_size=4)).map("".join)
marked_text = st.lists(letter, max_size=3).map("".join)


def folded(text: str | None) -> str:
    return fold(pa.array([text], pa.string()))[0].as_py()


def composes_in_order(text: str) -> bool:
    """Whether NFC steps over no mark; the other exception that the module's documentation names."""
    composed = unicodedata.normalize("NFC", text)
    return "".join(unicodedata.normalize("NFD", char) for char in composed) == unicodedata.normalize("NFD", text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("WHERE is My Card", "where is my card"),
        ("Ｃａｒｄ１２", "card12"),  # full width to half
        ("ｶｰﾄﾞ", "カード"),  # half width to full, and the voicing mark joins its letter
        ("각\u1100\u1161\u11a8", "각각"),  # Hangul jamo
        ("Café Cafe\u0301", "café café"),
        ("Ệ E\u0323\u0302 Ẹ\u0302", "ệ ệ ệ"),  # two marks, in three spellings
        ("\u03b1\u0314\u0301\u0345 \u1f8d", "\u1f85 \u1f85"),  # three marks
        ("İ I\u0307 I", "i i i"),  # a capital that lower-cases to two characters
        ("ΣΊΣΥΦΟΣ", "σίσυφοσ"),  # character by character, without regard to the end of the word
        ("\u212b", "å"),  # the Angstrom sign
        ("\uf900\u2126", "\u8c48ω"),  # a compatibility ideograph, the Ohm sign
        ("don’t don`t donʼt don´t", "don't don't don't don't"),
        ("a\tb\nc\u00a0d\u3000e", "a b c d e"),
        ("pass\u00adword zero\u200bwidth \ufeffbom \u2066left\u2069", "password zerowidth bom left"),
        ("👨\u200d👩\u200d👧 ❤\ufe0f", "👨👩👧 ❤"),
        ("a\ue000b\U000f0000c\U000e0041d", "a b c d"),  # private use, and tags beyond the table
        ("caf\ufffd bar", "caf  bar"),  # a decoder's sign for broken bytes
        ("a\x00b\x1bc\x7fd\x85e", "a b c d e"),  # control characters
        ("٠١٢ ०१ 𝟗 ９", "012 01 9 9"),
        ("ß ﬁ ² ½", "ß ﬁ ² ½"),  # compatibility spellings that are more than width stay
        ("", ""),
        (None, ""),
    ],
)
def test_each_character_has_one_spelling(text: str | None, expected: str) -> None:
    assert folded(text) == unicodedata.normalize("NFC", expected)


def test_korean_is_the_same_from_a_phone_and_from_a_mac() -> None:
    text = "주문을 취소하고 싶어요 뷁"
    assert unicodedata.normalize("NFD", text) != text
    assert folded(unicodedata.normalize("NFD", text)) == text


def test_marks_do_not_join_the_text_before() -> None:
    assert fold(pa.array(["e", "\u0301", None, "\u0301"])).to_pylist() == ["e", "\u0301", "", "\u0301"]


def test_slices_and_nulls_keep_their_rows() -> None:
    texts = pa.array(["Äb", None, "É👍", "", "가나", "Z"])
    assert fold(texts.slice(1, 4)).to_pylist() == ["", "é👍", "", "가나"]
    assert fold(texts.slice(2, 1)).to_pylist() == ["é👍"]
    assert fold(texts.slice(3, 0)).to_pylist() == []
    assert fold(pa.array([None, None], pa.string())).to_pylist() == ["", ""]


def test_what_lies_in_memory_behind_a_null_is_no_text() -> None:
    valid, offsets, octets = (
        pa.py_buffer(b"\x05"),
        pa.array([0, 1, 2, 3], pa.int32()).buffers()[1],
        pa.py_buffer(b"AXB"),
    )
    texts = pa.StringArray.from_buffers(3, offsets, octets, valid)
    assert texts.to_pylist() == ["A", None, "B"]
    assert fold(texts).to_pylist() == ["a", "", "b"]


def test_broken_bytes_are_refused() -> None:
    offsets, octets = pa.py_buffer(b"\0\0\0\0\2\0\0\0"), pa.py_buffer(b"\xc3\x28")
    with pytest.raises(UnicodeDecodeError):
        fold(pa.StringArray.from_buffers(1, offsets, octets))


def test_no_character_both_begins_and_ends_a_pair() -> None:
    """One pass composes all pairs at once: two that share a character would lose one."""
    keys = folding().keys
    assert set((keys >> SHIFT).tolist()).isdisjoint((keys & ((1 << SHIFT) - 1)).tolist())


@settings(deadline=None)
@given(any_text | marked_text)
def test_folding_twice_changes_nothing_more(text: str) -> None:
    assert folded(folded(text)) == folded(text)


@settings(deadline=None)
@given(any_text | marked_text)
def test_composed_and_decomposed_text_fold_alike(text: str) -> None:
    assume(composes_in_order(text))
    assert folded(unicodedata.normalize("NFC", text)) == folded(unicodedata.normalize("NFD", text))


@settings(deadline=None)
@given(st.lists(st.none() | any_text | marked_text, max_size=5), st.data())
def test_a_batch_folds_as_each_text_alone(texts: list[str | None], data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(texts)))
    batch = pa.array(texts, pa.string()).slice(start)
    assert fold(batch).to_pylist() == [folded(text) for text in texts[start:]]
