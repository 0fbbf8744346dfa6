"""The history as TensorBoard event files."""

import tempfile
from pathlib import Path

import tensorflow as tf

from preprocessing import storage
from training.checkpoint import History


def write_events(uri: str, history: History) -> None:
    """Writes one scalar curve for each column of the history to the directory `uri`."""
    with tempfile.TemporaryDirectory(prefix="parley-events-") as directory:
        writer = tf.summary.create_file_writer(directory)
        with writer.as_default():
            for row in history:
                for name, value in row.items():
                    tf.summary.scalar(name, value, step=int(row["epoch"]))
        writer.close()
        storage.remove(uri)
        storage.upload(Path(directory), uri)
