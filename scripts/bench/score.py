"""make bench-score: utterances/s of `score` beside a plain Keras `predict` loop and the saved model asked in process.

The texts are CLINC150's, repeated; the model is that of `make demo CORPUS=clinc150`. Each way runs in a process of its
own with two cores. `predict` tokenises in Python and pads every utterance to max_tokens, as a Keras user does; the
saved model gets raw text in the order of the table. Loading the model is in nobody's time but that of `score`, which
is all but Spark's start.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from corpus import CORES, ROOT

BATCH = 512
SOME = 50_000  # texts that are enough for those who need no start


def texts_of(table: Path) -> list[str]:
    import pyarrow.parquet as pq

    return pq.read_table(table)["text"].to_pylist()[:SOME]


def take_threads() -> None:
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(CORES)


def rate(texts: list[str], ask: Callable[[list[str]], object]) -> float:
    """Utterances/s, the first batch aside."""
    ask(texts[:BATCH])
    began = time.monotonic()
    for start in range(0, len(texts), BATCH):
        ask(texts[start : start + BATCH])
    return len(texts) / (time.monotonic() - began)


def keras_predict(table: Path, model: Path) -> float:
    import keras
    import numpy as np
    import pyarrow as pa

    from preprocessing.tokenizers import tokenize
    from preprocessing.vocabulary import PAD, UNKNOWN, read_lines

    manifest = json.loads((model / "manifest.json").read_text())
    ids = {word: number for number, word in enumerate(read_lines(f"{model}/vocabulary.txt"))}
    network, width = keras.models.load_model(model / "model.keras"), manifest["max_tokens"]

    def ask(texts: list[str]) -> object:
        rows = tokenize(pa.array(texts), manifest["tokenizer"]).to_pylist()
        known = [[ids.get(word, UNKNOWN) for word in row[:width]] for row in rows]
        padded = np.array([row + [PAD] * (width - len(row)) for row in known], np.int32)
        return network.predict(padded, batch_size=BATCH, verbose=0).argmax(1)

    return rate(texts_of(table), ask)


def saved_model(table: Path, model: Path) -> float:
    import tensorflow as tf

    loaded = tf.saved_model.load(str(model / "saved_model"))
    signature = loaded.signatures["serving_default"]
    return rate(texts_of(table), lambda texts: signature(text=tf.constant(texts))["intents"].numpy())


def parley(table: Path, model: Path) -> float:
    from jobs import score
    from jobs.cli import make_session
    from jobs.config import AppConfig, ScoringConfig, SparkConfig
    from training.config import TrainingConfig

    with tempfile.TemporaryDirectory(prefix="parley-bench-") as output:
        config = AppConfig(
            training=TrainingConfig(path=str(model.parent)),
            scoring=ScoringConfig(input=(str(table),), output=f"{output}/scores", format="parquet"),
            spark=SparkConfig({"spark.master": f"local[{CORES}]"}),
        )  # fmt: skip
        with make_session(config) as spark:
            spark.range(1).count()
            began = time.monotonic()
            rows: int = score.run(spark, config)["rows"]
            return rows / (time.monotonic() - began)


WAYS = {"Keras predict, padded": keras_predict, "SavedModel in process": saved_model, "jobs.score": parley}


def write_table(texts: Path, rows: int, table: Path) -> None:
    """The distinct texts of a dataset's splits, repeated, in eight files."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    found = sorted({text for split in ("train", "test") for text in pq.read_table(texts / split)["text"].to_pylist()})
    random.Random(1).shuffle(found)
    many = (found * (rows // len(found) + 1))[:rows]
    table.mkdir()
    for part in range(8):
        pq.write_table(pa.table({"text": many[part::8]}), table / f"part-{part}.parquet")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=500_000)
    parser.add_argument("--home", type=Path, default=ROOT / "data" / "clinc150", help="where run/model and dataset are")
    parser.add_argument("--way", choices=list(WAYS))
    parser.add_argument("--table", type=Path)
    options = parser.parse_args()
    model = options.home / "run" / "model"
    if options.way:
        take_threads()
        print(WAYS[options.way](options.table, model))
        return
    if not (model / "manifest.json").exists():
        sys.exit(f"bench-score: no model in {model}: run make demo CORPUS=clinc150")
    with tempfile.TemporaryDirectory(prefix="parley-bench-") as directory:
        table = Path(directory) / "table"
        write_table(options.home / "dataset", options.rows, table)
        first = 0.0
        print("| by | utterances/s | beside predict |\n|---|---|---|")
        for way in WAYS:
            command = [sys.executable, __file__, "--home", str(options.home), "--way", way, "--table", str(table)]
            done = subprocess.run(command, check=True, cwd=ROOT, stdout=subprocess.PIPE, text=True)
            found = float(done.stdout.splitlines()[-1])
            first = first or found
            print(f"| {way} | {found:,.0f} | {found / first:.2f} |", flush=True)


if __name__ == "__main__":
    main()
