"""corpus -> word vectors: Word2Vec over all that is said in the training dialogs, with an intent or without."""

import dataclasses
import logging
import sys
import time
import uuid
from typing import Any

from pyspark import StorageLevel
from pyspark.ml.feature import Word2Vec
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from jobs.cli import run_job
from jobs.config import AppConfig
from preprocessing import storage
from preprocessing.config import WordVectorsConfig
from preprocessing.errors import UserError
from preprocessing.hadoop import hadoop_configuration
from preprocessing.pipeline import checked, read_labelled
from preprocessing.versions import versions
from preprocessing.word_vectors import write_vectors

log = logging.getLogger(__name__)

TURNS_PER_PARTITION = 250_000  # each learns for itself, and then they are averaged: the fewer the better


def plan(config: AppConfig) -> str:
    """What the job would read and write."""
    return (
        f"read {config.corpus.format} from {', '.join(config.corpus.path)}, learn vectors of "
        f"{config.word_vectors.size} dimensions, write them to {config.word_vectors.path}"
    )


def run(spark: SparkSession, config: AppConfig) -> dict[str, Any]:
    """Raw dialogs to word vectors, in the text format of word2vec; returns their manifest."""
    wanted = config.word_vectors
    if not wanted.path:
        raise UserError("word_vectors.path is empty: say where they go, with --set word_vectors.path=URI")
    storage.use_hadoop_configuration(hadoop_configuration(spark))
    target = storage.absolute(wanted.path)
    with storage.lease(target):
        began = time.monotonic()
        temporary = f"{target}.tmp-{uuid.uuid4().hex[:8]}"
        turns = spoken(spark, config).persist(StorageLevel.DISK_ONLY)
        try:
            count = turns.count()
            vectors = learn(turns, count, wanted)
        finally:
            turns.unpersist()
        write_vectors(temporary, vectors, wanted.size)
        settings = {name: value for name, value in dataclasses.asdict(wanted).items() if name != "path"}
        manifest = {
            "kind": "word_vectors", "version": 1, "words": len(vectors), "turns": count, "settings": settings,
            "tokenizer": config.dataset.tokenizer, "corpus": list(config.corpus.path), "versions": versions(),
        }  # fmt: skip
        storage.write_json(f"{temporary}/manifest.json", manifest)
        storage.replace_directory(temporary, target)
    seconds = time.monotonic() - began
    log.info("learnt %d words from %d turns; %s (%.0f s)", len(vectors), count, target, seconds)
    return manifest


def spoken(spark: SparkSession, config: AppConfig) -> DataFrame:
    """The tokens of every turn, of any speaker, in the dialogs of the training split: the others remain unseen."""
    dataset = dataclasses.replace(config.dataset, context_turns=0)  # each turn is read anyway
    turns = checked(*read_labelled(spark, config.corpus, dataset), dataset)
    said = turns.where("malformed is null and split = 'train' and num_tokens > 0")
    return said.select(F.split("tokens", " ").alias("tokens"))


def learn(turns: DataFrame, count: int, wanted: WordVectorsConfig) -> dict[str, list[float]]:
    """A vector for each frequent word. Raises UserError where no word is frequent enough."""
    counted = f"in {count} turns of training, no word occurs word_vectors.min_count = {wanted.min_count} times"
    if not count:
        raise UserError(f"{counted}: check corpus.path and corpus.text")
    learner = Word2Vec(
        inputCol="tokens", vectorSize=wanted.size, windowSize=wanted.window, minCount=wanted.min_count,
        maxIter=wanted.epochs, seed=wanted.seed, numPartitions=1 + count // TURNS_PER_PARTITION,
    )  # fmt: skip
    try:
        found = learner.fit(turns).getVectors().collect()
    except Exception as error:
        if "The vocabulary size should be > 0" not in str(error):
            raise
        raise UserError(f"{counted}: lower it, or check corpus.text") from None
    return {row.word: row.vector.toArray().tolist() for row in found}


if __name__ == "__main__":
    sys.exit(run_job(run, plan))
