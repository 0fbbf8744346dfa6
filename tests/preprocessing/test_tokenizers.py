"""Tokens of literal texts, and what holds for any text."""

import unicodedata

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from preprocessing.text import fold
from preprocessing.tokenizers import TOKENIZERS, tokenize

names = st.sampled_from(sorted(TOKENIZERS))
fragments = st.sampled_from([
    "www.", "https://", "a@b.co", "b.co/", "@", "<url>", "<email>", "<number>", "<", ">", " ", "  ", "\t", "'", "'s",
    "12345", "1", "ab-", "+", "-", ".", ",", "(", ")", "가", "é", "e\u0301", "\u0338", "\u200b", "▁", "\u20e3", "🇰",
    "A",
])  # fmt: skip
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
        ("Józef.Łęcki@poczta.pl로 보내", "<email> 로 보내"),
        ("내메일은ann@x.com입니다", "내메일은 <email> 입니다"),
        ("ann@localhost", "ann @ localhost"),
        ("ftp://a.b/c bit.ly/3xK9 and/or e.g. shop.example", "<url> <url> and / or e . g . shop . example"),
        ("请看https://x.cn/a?t=1谢谢你的帮助", "请看 <url> 谢谢你的帮助"),
        ("https://ko.wiki.org/wiki/한국?token=abc 봐", "<url> 봐"),
        ("order AB-1234567 of 2024", "order <number> of 2024"),
        ("call +82-10-1234-5678!", "call <number> !"),
        ("call +82 (0)10.1234.5678 or (02) 123-4567", "call <number> or <number>"),
        ("010 1234 5678, 010·1234·5678, 03ー1234ー5678", "<number> , <number> , <number>"),
        ("+1 (415) 555‑2671; (+44) 20 7946 0958", "<number> ; <number>"),
        ("1234, 12345 a12345 order12345", "1234 , <number> <number> order <number>"),
        ("born 20/11/1985, paid 1,234,567원", "born <number> , paid <number> 원"),
        ("１２３４５ ٠١٢٣٤٥ 𝟎𝟏𝟎-𝟏𝟐𝟑𝟒", "<number>"),  # one number to us: groups of digits, a space between them
        ("0️⃣1️⃣0️⃣1️⃣2️⃣", "<number>"),
        ("12:30 to 14:00, room 204", "12 : 30 to 14 : 00 , room 204"),
        ("size 38, 12.50 €", "size 38 , 12 . 50 €"),
        ("abc123 or ٣٤", "abc 123 or 34"),
        ("주문 취소해 주세요ㅠㅠ", "주문 취소해 주세요ㅠㅠ"),
        ("เก้าอี้ किताब", "เก้าอี้ किताब"),  # marks stay with their letters
        ("👨\u200d👩\u200d👧👍🏽", "👨 👩 👧 👍 🏽"),
        ("hi👍🏿you🇰🇷🇯🇵 ❤\ufe0f 1\ufe0f⃣ #️⃣", "hi 👍 🏿 you 🇰🇷 🇯🇵 ❤ 1⃣ #⃣"),
        ("🏴\U000e0067\U000e0062\U000e007f x", "🏴 x"),  # a flag's tags
        ("カードを無くしました。ｶｰﾄﾞ", "カードを無くしました 。 カード"),
        ("카드card を 卡123", "카드card を 卡 123"),
        ("nul\x00esc\x1b del\x7f\x85nel", "nul esc del nel"),
        ("wow!!! :-)", "wow ! ! ! : - )"),
        ("<url> <b> a\ue000b", "<url> < b > a b"),  # what masking leaves of an address is one
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
        ("カードを 無くした。", "カ ー ド を ▁ 無 く し た 。"),
        ("我的卡丢了，please帮我", "我 的 卡 丢 了 , p l e a s e 帮 我"),  # the comma of full width is a comma
        ("번호는010-1234-5678요 👍🏽🇰🇷1️⃣", "번 호 는 ▁ <number> ▁ 요 ▁ 👍 🏽 🇰🇷 1⃣"),
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
    text = "".join(char for char in text if char not in ".@:/<" and not char.isdigit())
    assert "".join(tokens(text)) == fold(pa.array([text]))[0].as_py().replace(" ", "")


@settings(deadline=None)
@given(st.lists(st.none() | any_text, max_size=5), st.data(), names)
def test_a_batch_gives_what_each_text_gives_alone(texts: list[str | None], data: st.DataObject, tokenizer: str) -> None:
    start = data.draw(st.integers(0, len(texts)))
    batch = pa.array(texts, pa.string()).slice(start)
    assert tokenize(batch, tokenizer).to_pylist() == [tokens(text, tokenizer) for text in texts[start:]]
