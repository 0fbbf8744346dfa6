"""The order in which texts are scored."""

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from preprocessing.tokenizers import TOKENIZERS, tokenize
from training.scoring import TOKEN

TEXTS = [
    "where's my parcel?",
    "배송은 언제 오나요?",
    "no",
    "",
    "i'd like 2 of them, please...",
    "ça va, où est-il",
    "😀 ok",
]


@pytest.mark.parametrize("tokenizer", TOKENIZERS)
def test_the_tokens_of_a_text_are_counted_without_making_them(tokenizer: str) -> None:
    texts = pa.array(TEXTS)
    counted = pc.count_substring_regex(texts, TOKEN[tokenizer]).to_pylist()
    assert counted == pc.list_value_length(tokenize(texts, tokenizer)).to_pylist()
