"""Tokens of literal texts, and what holds for any text."""

import unicodedata

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from preprocessing.text import fold
from preprocessing.tokenizers import TOKENIZERS, tokenize

names = st.sampled_from(sorted(TOKENIZERS))
fragments = st.sampled_from(
    ["www.", "https://", "a@b.co", " ", "\t", "'", "'s", "12345", "ab-", "+", "-", ".", "가", "e\u0301", "\u200b", "▁"]
)
any_text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20) | st.lists(fragments).map("".join)


def tokens(text: str | None, tokenizer: str = "words") -> list[str]:
    return tokenize(pa.array([text], pa.string()), tokenizer)[0].as_py()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Where is my card?", "where is my card ?"),
        ("  two   spaces\t\n", "two spaces"),
        ("Don’t worry, it's Ann's; we'll see", "don 't worry , it 's ann 's ; we 'll see"),
        ("rock 'n' roll o'clock", "rock ' n ' roll o ' clock"),
        ("see https://shop.example/x?y=1 or WWW.Shop.example", "see <url> or <url>"),
        ("write to Ann.Lee+spam@mail.shop.example.", "write to <email> ."),
        ("ann@localhost", "ann @ localhost"),
        ("order AB-1234567 of 2024", "order <number> of 2024"),
        ("call +82-10-1234-5678!", "call <number> !"),
        ("1234 12345 a12345 order12345", "1234 <number> <number> order <number>"),
        ("１２３４５", "<number>"),
        ("size 38, 12.50 €", "size 38 , 12 . 50 €"),
        ("abc123 ٣٤", "abc 123 ٣٤"),
        ("주문 취소해 주세요ㅠㅠ", "주문 취소해 주세요ㅠㅠ"),
        ("เก้าอี้ किताब", "เก้าอี้ किताब"),  # marks stay with their letters
        ("👨\u200d👩\u200d👧👍🏽", "👨 👩 👧 👍 🏽"),
        ("wow!!! :-)", "wow ! ! ! : - )"),
        ("<url> a\ue000b", "< url > a b"),  # what a user types is no entity
        ("pass\u200bword", "password"),
        ("\u200b \ufeff", ""),
        ("", ""),
        (None, ""),
    ],
)
def test_words(text: str | None, expected: str) -> None:
    assert tokens(text) == expected.split()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("주문 취소", "주 문 ▁ 취 소"),
        ("  A  b ", "a ▁ b"),
        ("see www.shop.example now", "s e e ▁ <url> ▁ n o w"),
        ("AB-1234567", "<number>"),
        (" ", ""),
        (None, ""),
    ],
)
def test_characters(text: str | None, expected: str) -> None:
    assert tokens(text, "characters") == expected.split()


@pytest.mark.parametrize("tokenizer", TOKENIZERS)
def test_korean_nfd_and_nfc_have_the_same_tokens(tokenizer: str) -> None:
    text = "환불은 언제 되나요?"
    assert tokens(unicodedata.normalize("NFD", text), tokenizer) == tokens(text, tokenizer)


@pytest.mark.parametrize("tokenizer", TOKENIZERS)
def test_slices_nulls_and_nothing_at_all(tokenizer: str) -> None:
    texts = pa.array(["x", None, "각 b", "", "y"])
    assert tokenize(texts.slice(1, 3), tokenizer).to_pylist() == [[], tokens("각 b", tokenizer), []]
    assert tokenize(texts.slice(2, 0), tokenizer).to_pylist() == []
    assert tokenize(pa.array([None], pa.string()), tokenizer).to_pylist() == [[]]


@settings(deadline=None)
@given(any_text, names)
def test_no_token_is_empty_or_holds_a_space(text: str, tokenizer: str) -> None:
    assert [token for token in tokens(text, tokenizer) if not token or any(map(str.isspace, token))] == []


@settings(deadline=None)
@given(any_text)
def test_no_character_of_a_text_is_lost(text: str) -> None:
    """Without entities, the tokens end to end are the folded text without its spaces."""
    text = "".join(char for char in text if char not in ".@:/" and not char.isdigit())
    assert "".join(tokens(text)) == fold(pa.array([text]))[0].as_py().replace(" ", "")


@settings(deadline=None)
@given(st.lists(st.none() | any_text, max_size=5), st.data(), names)
def test_a_batch_gives_what_each_text_gives_alone(texts: list[str | None], data: st.DataObject, tokenizer: str) -> None:
    start = data.draw(st.integers(0, len(texts)))
    batch = pa.array(texts, pa.string()).slice(start)
    assert tokenize(batch, tokenizer).to_pylist() == [tokens(text, tokenizer) for text in texts[start:]]
