"""What Spark's Python workers do to score a batch of rows: Arrow in, Arrow out, no Spark."""

import functools
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from preprocessing import storage
from preprocessing.masking import mask
from training.artifact import Classify, load_classifier
from training.quiet import import_tensorflow

BATCH = 512  # texts given to the model at once; more do not fit the cache: CLINC150's LSTM then takes 5 % longer
# What becomes a token, nearly: to count the true ones takes longer than their better order would save.
TOKEN = {"words": r"[\pL\pM]+|'(?:s|t|re|ve|ll|d|m)\b|\pN+|\S", "characters": r"\S| +"}
WARM_UP = 5  # texts; the first ones take longer
PREDICTION = pa.struct({
    "intents": pa.list_(pa.string()), "probabilities": pa.list_(pa.float32()), "out_of_scope": pa.bool_(),
})  # fmt: skip


@functools.cache
def _limit_threads(threads: int) -> None:
    """Once a process, before TensorFlow starts its threads: each task has as many as Spark gave it cores."""
    import_tensorflow()
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)


@functools.lru_cache(maxsize=1)
def _loaded(uri: str, checksum: str) -> Classify:
    """The model, loaded once a process; a new model under the same URI has another checksum."""
    return load_classifier(uri)


def predict_by_length(classify: Classify, tokenizer: str, texts: pa.Array, *turns: pa.ListArray) -> pa.Array:
    """PREDICTION of each text, null for null; made from short to long: a batch costs its longest text.

    `turns` are, for a model with context, the texts before each text and who spoke them.
    """
    lengths = pc.count_substring_regex(texts, TOKEN[tokenizer]).to_numpy(zero_copy_only=False)
    if turns:
        said_before = pc.count_substring_regex(turns[0].flatten(), TOKEN[tokenizer])
        before = said_before.fill_null(0).to_numpy(zero_copy_only=False)
        lengths = lengths + before.reshape(len(texts), -1).sum(1)
    rows = np.flatnonzero(texts.is_valid().to_numpy(zero_copy_only=False))
    characters = pc.binary_length(texts).to_numpy(zero_copy_only=False)
    rows = rows[np.lexsort((characters[rows], lengths[rows]))]
    inputs = [array.take(rows) for array in (texts, *turns)]
    parts = [
        _structs(classify, *[array.slice(start, BATCH) for array in inputs]) for start in range(0, len(rows), BATCH)
    ]
    if not parts:
        return pa.nulls(len(texts), PREDICTION)
    places = np.full(len(texts), -1)
    places[rows] = np.arange(len(rows))
    return pa.concat_arrays(parts).take(pa.array(places, mask=places < 0))


def _structs(classify: Classify, texts: pa.Array, *turns: pa.ListArray) -> pa.Array:
    """Predictions of a few texts, none of them null, as PREDICTION."""
    said = classify(texts.to_pylist(), *[array.to_pylist() for array in turns])
    offsets = np.arange(len(texts) + 1, dtype=np.int32) * said.intents.shape[1]
    columns = [
        pa.ListArray.from_arrays(offsets, pa.array(said.intents.ravel(), pa.binary()).cast(pa.string())),
        pa.ListArray.from_arrays(offsets, pa.array(said.probabilities.ravel(), pa.float32())),
        pa.array(said.out_of_scope, pa.bool_()),
    ]
    return pa.StructArray.from_arrays(columns, fields=list(PREDICTION))


def replace_text(
    batches: Iterable[pa.RecordBatch], asked: Sequence[str], name: str, masked: str, tokenizer: str, uri: str,
    checksum: str, threads: int, hadoop: Mapping[str, str],
) -> Iterator[pa.RecordBatch]:  # fmt: skip
    """Each batch with PREDICTION as column `name` in the place of the columns `asked`: the text, or text and context.

    Where `masked` is a name, the masked text follows as a column of that name.
    """
    _limit_threads(threads)
    storage.use_hadoop_configuration(hadoop)
    classify = _loaded(uri, checksum)
    for batch in batches:
        columns = {column: batch.column(column) for column in batch.schema.names if column not in asked}
        columns[name] = predict_by_length(classify, tokenizer, *[batch.column(column) for column in asked])
        if masked:
            columns[masked] = mask(batch.column(asked[0]).cast(pa.string()))
        yield pa.RecordBatch.from_arrays(list(columns.values()), names=list(columns))


def seconds_of_each(
    inputs: Sequence[Sequence[Any]], uri: str, checksum: str, threads: int, hadoop: Mapping[str, str]
) -> list[float]:
    """How long the model takes for each of the inputs alone, one after another: a text, and its turns with context."""
    _limit_threads(threads)
    storage.use_hadoop_configuration(hadoop)
    classify = _loaded(uri, checksum)
    seconds = []
    for row in [*inputs[:WARM_UP], *inputs]:
        began = time.perf_counter()
        classify(*[[value] for value in row])
        seconds.append(time.perf_counter() - began)
    return seconds[len(inputs[:WARM_UP]) :]
