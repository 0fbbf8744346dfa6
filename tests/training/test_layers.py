"""What the saved model does with text is what Spark did: the same tokens and the same ids, byte for byte."""

import unicodedata

import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from preprocessing.encoding import padded
from preprocessing.text import LAST
from preprocessing.tokenizers import TOKENIZERS, tokenize

pytestmark = pytest.mark.tensorflow

# all of Unicode, and the places where engines differ: jamo, marks, kana, widths, apostrophes, digits, addresses
tricky = st.text(
    st.sampled_from("aB1'’ .-@:/_()+ー²٣<>ㄱ가ᄒ\u1161\u11ab\u0301\u0323e\u3099かＡｱﾞİßΣ\u200d\ufe0f\u20e3😀👩🏽🇰"),
    max_size=20,
)
fragments = st.lists(
    st.sampled_from(
        [
            "https://",
            "www.x",
            "b.co/",
            "a@b.co",
            "é@ü.de",
            "<number>",
            "<url>",
            "010",
            "-1234",
            " 5678",
            "(2)",
            "가",
            " ",
        ]
    )
).map("".join)
texts = st.lists(st.text(max_size=30) | tricky | fragments, min_size=1, max_size=5)


@pytest.fixture(scope="module", params=sorted(TOKENIZERS))
def engine(request: pytest.FixtureRequest):
    import tensorflow as tf

    from training.layers import TextEncoder

    words = ["<pad>", "<unknown>", "a", "e", "가", "<number>", "'s"]
    encoder = TextEncoder(request.param, words, max_tokens=6)
    signature = [tf.TensorSpec([None], tf.string)]
    tokens = tf.function(encoder.tokenize, input_signature=signature)
    ids = tf.function(encoder.__call__, input_signature=signature)
    return request.param, words, tokens, ids


@given(texts=texts)
@example(texts=["", " ", "\t\n"])
@example(texts=["caf" + "e\u0301", "\u1112\u1161\u11ab", "a" * 500, "it's A-20391847 at http://x.y/z me@x.org"])
@settings(deadline=None, max_examples=100)
def test_tokens_are_equal_on_any_unicode_text(engine, texts: list[str]) -> None:
    name, _, tokens, _ = engine
    served = [[token.decode() for token in row] for row in tokens(texts).to_list()]
    assert served == tokenize(pa.array(texts, pa.string()), name).to_pylist()


def test_tokens_are_equal_around_every_character_there_is(engine) -> None:
    name, _, tokens, _ = engine
    codes = [*range(LAST + 500), *range(0xE0000, 0x110000, 97), 0x10FFFF]  # beyond LAST all fold alike
    characters = [chr(code) for code in codes if not 0xD800 <= code < 0xE000]
    around = [f"a{character}b {character}1 {character}@b.co 12{character}345" for character in characters]
    served = tokens(around).to_list()
    expected = tokenize(pa.array(around), name).to_pylist()
    differing = [
        (f"U+{ord(character):04X}", unicodedata.category(character))
        for character, one, other in zip(characters, served, expected, strict=True)
        if [token.decode() for token in one] != other
    ]
    assert differing == []


def test_bytes_that_are_no_utf8_do_not_stop_the_model(engine) -> None:
    _, _, tokens, _ = engine
    served = [[token.decode() for token in row] for row in tokens([b"a \xff\xfe b", b"\xed\xa0\x80"]).to_list()]
    assert served in ([["a", "b"], []], [["a", "▁", "b"], []])


@given(texts=texts)
@settings(deadline=None, max_examples=50)
def test_ids_are_those_that_training_saw(engine, texts: list[str]) -> None:
    name, words, _, ids = engine
    tokens = tokenize(pa.array(texts, pa.string()), name).to_pylist()
    flat = [words.index(token) if token in words[2:] else 1 for row in tokens for token in row]
    expected = padded(pa.array(flat, pa.int64()).to_numpy(), [len(row) for row in tokens], 6)
    served = ids(texts).numpy()
    width = served.shape[1]
    assert (served == expected[:, :width]).all() and (expected[:, width:] == 0).all()
