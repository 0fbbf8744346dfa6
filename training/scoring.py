"""What Spark's Python workers do to score a batch of rows: Arrow in, Arrow out, no Spark."""

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import pyarrow as pa

from preprocessing import storage
from training.artifact import Prediction, load_model
from training.quiet import import_tensorflow

BATCH = 1024  # texts given to the model at once


@functools.cache
def _limit_threads(threads: int) -> None:
    """Once a process, before TensorFlow starts its threads: each task has as many as Spark gave it cores."""
    import_tensorflow()
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)


@functools.lru_cache(maxsize=1)
def _loaded(uri: str, checksum: str) -> Callable[[Sequence[str]], list[Prediction]]:
    """The model, loaded once a process; a new model under the same URI has another checksum."""
    return load_model(uri)


def predict_by_length(predict: Callable[[Sequence[str]], list[Prediction]], texts: Sequence[str]) -> list[Prediction]:
    """Predictions in the order of the texts; made from short to long, as a batch costs what its longest text costs."""
    order = sorted(range(len(texts)), key=lambda row: len(texts[row]))
    found: dict[int, Prediction] = {}
    for start in range(0, len(order), BATCH):
        rows = order[start : start + BATCH]
        found.update(zip(rows, predict([texts[row] for row in rows]), strict=True))
    return [found[row] for row in range(len(texts))]


def add_predictions(
    batches: Iterable[pa.RecordBatch], uri: str, checksum: str, threads: int, hadoop: Mapping[str, str]
) -> Iterator[pa.RecordBatch]:
    """Each batch with `predicted` and `probability` of its `text` as further columns."""
    _limit_threads(threads)
    storage.use_hadoop_configuration(hadoop)
    predict = _loaded(uri, checksum)
    for batch in batches:
        texts = [text or "" for text in batch.column("text").to_pylist()]
        predictions = predict_by_length(predict, texts)
        added = {
            "predicted": pa.array([prediction.intents[0] for prediction in predictions], pa.string()),
            "probability": pa.array([prediction.probabilities[0] for prediction in predictions], pa.float32()),
        }
        yield pa.RecordBatch.from_arrays([*batch.columns, *added.values()], names=[*batch.schema.names, *added])
