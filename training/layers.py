"""Preprocessing inside the saved model: the integers and RE2 rules of `preprocessing`, applied by TensorFlow's ops."""

from collections.abc import Sequence

import tensorflow as tf

from preprocessing.text import DROP, LAST, PASSES, SHIFT, folding
from preprocessing.tokenizers import TOKENIZERS
from preprocessing.vocabulary import AGENT, AGENT_MARK, PAD, SPECIAL, UNKNOWN, USER_MARK


class TextEncoder(tf.Module):  # type: ignore[misc]
    """Raw strings to padded ids, token for token as `preprocessing` makes them on Spark."""

    def __init__(self, tokenizer: str, words: Sequence[str], max_tokens: int) -> None:
        super().__init__(name="text_encoder")
        self.rules = TOKENIZERS[tokenizer]
        self.max_tokens = max_tokens
        self.table, self.closes, self.keys, self.composites = (tf.constant(part) for part in folding())
        known = tf.constant(words[len(SPECIAL) :])
        ids = tf.range(len(SPECIAL), len(words), dtype=tf.int32)
        self.vocabulary = tf.lookup.StaticHashTable(
            tf.lookup.KeyValueTensorInitializer(known, ids), default_value=UNKNOWN
        )

    def __call__(self, texts: tf.Tensor) -> tf.Tensor:
        """texts string [B] -> ids int32 [B, T], T the most tokens of any text, from 1 to max_tokens."""
        ids = self.vocabulary.lookup(self.tokenize(texts))[:, : self.max_tokens].to_tensor(PAD)
        return tf.pad(ids, [[0, 0], [0, tf.maximum(1 - tf.shape(ids)[1], 0)]])  # no model takes T = 0

    def encode_dialogs(self, texts: tf.Tensor, context: tf.Tensor, speakers: tf.Tensor) -> tf.Tensor:
        """texts string [B], the turns before them and who spoke [B, C] -> ids int32 [B, T]; `preprocessing.context`."""
        tokens = self.tokenize(tf.reshape(context, [-1]))
        marks = tf.where(tf.reshape(speakers, [-1]) == AGENT, AGENT_MARK, USER_MARK)
        marks = tf.RaggedTensor.from_row_lengths(
            tf.boolean_mask(marks, tokens.row_lengths() > 0), tf.cast(tokens.row_lengths() > 0, tf.int64)
        )
        turns = tf.RaggedTensor.from_uniform_row_length(tf.concat([marks, tokens], 1), tf.shape(context, tf.int64)[1])
        said = self.tokenize(texts)[:, : self.max_tokens - 1]
        mark = tf.fill([tf.shape(texts)[0], 1], USER_MARK)
        whole = tf.concat([turns.merge_dims(1, 2), tf.RaggedTensor.from_tensor(mark), said], 1)
        return self.vocabulary.lookup(whole[:, -self.max_tokens :]).to_tensor(PAD)

    def tokenize(self, texts: tf.Tensor) -> tf.RaggedTensor:
        """texts string [B] -> tokens string [B, (tokens)]."""
        spaced = self.fold(texts)
        for pattern, replacement in self.rules:
            spaced = tf.strings.regex_replace(spaced, pattern, replacement)
        return tf.strings.split(spaced)

    def fold(self, texts: tf.Tensor) -> tf.Tensor:
        """`preprocessing.text.fold`."""
        codes = tf.strings.unicode_decode(texts, "UTF-8")
        flat, rows = codes.flat_values, tf.cast(codes.value_rowids(), tf.int32)
        flat = tf.gather(self.table, tf.minimum(flat, LAST + 1))
        kept = flat != DROP
        flat, rows = flat[kept], rows[kept]
        for _ in range(PASSES):
            flat, rows = tf.cond(
                tf.reduce_any(tf.gather(self.closes, flat)), lambda f=flat, r=rows: self.compose(f, r),
                lambda f=flat, r=rows: (f, r),
            )  # fmt: skip
        folded = tf.RaggedTensor.from_value_rowids(flat, rows, tf.size(texts, tf.int32), validate=False)
        return tf.strings.unicode_encode(folded, "UTF-8")

    def compose(self, codes: tf.Tensor, rows: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """`preprocessing.text._compose`."""
        pairs = tf.bitwise.left_shift(tf.cast(codes[:-1], tf.int64), SHIFT) + tf.cast(codes[1:], tf.int64)
        found = tf.minimum(tf.searchsorted(self.keys, pairs), tf.size(self.keys) - 1)
        composes = (tf.gather(self.keys, found) == pairs) & (rows[:-1] == rows[1:])
        composed = tf.where(composes, tf.gather(self.composites, found), codes[:-1])
        kept = tf.concat([[True], ~composes], 0)
        return tf.concat([composed, codes[-1:]], 0)[kept], rows[kept]
