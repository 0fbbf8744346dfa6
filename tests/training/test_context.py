"""A model with context reads in TensorFlow what Spark laid out: the same ids for the same turns."""

import random

import numpy as np
import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from preprocessing.context import with_context, with_inputs
from preprocessing.vocabulary import MARKS, SPECIAL

PIECES = ["where", "is", "내", "주문", "12345", "a@b.co", "!", " ", "  ", "", "unknownword", "don't", "café", "<user>"]


@pytest.mark.spark
@pytest.mark.tensorflow
@pytest.mark.parametrize(("count", "max_tokens"), [(1, 4), (3, 9), (3, 40)])
def test_both_engines_read_the_same_turns(spark: SparkSession, count: int, max_tokens: int) -> None:
    from preprocessing.encoding import padded
    from preprocessing.tokenizers import tokenize
    from training.layers import TextEncoder

    draw = random.Random(count)
    rows = [
        (dialog, turn, draw.choice(["user", "agent", None]), " ".join(draw.choices(PIECES, k=draw.randrange(6))))
        for dialog in "abcdefgh"
        for turn in range(6)
    ]
    import pyarrow as pa

    tokens = tokenize(pa.array([text for *_, text in rows]), "words").to_pylist()
    turns = spark.createDataFrame(
        [(*row, " ".join(words)) for row, words in zip(rows, tokens, strict=True)],
        "dialog_id string, turn int, speaker string, text string, tokens string",
    )
    found = turns.transform(with_context, count).transform(with_inputs, max_tokens).where(F.col("text") != "").collect()
    read = [row.tokens.split(" ") for row in found]

    words = [*SPECIAL, *MARKS, *sorted({word for text in tokens for word in text} - {"unknownword"})]
    ids = {word: number for number, word in enumerate(words)}
    lengths = np.array([len(turn) for turn in read])
    wanted = padded(np.array([ids.get(word, 1) for turn in read for word in turn]), lengths, lengths.max())

    encoder = TextEncoder("words", words, max_tokens)
    context, speakers = [row.context for row in found], [row.speakers for row in found]
    given = encoder.encode_dialogs([row.text for row in found], context, speakers).numpy()
    assert lengths.max() == max_tokens or max_tokens == 40
    np.testing.assert_array_equal(given, wanted)
