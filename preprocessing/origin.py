"""What a dataset was made of, as its manifest keeps it: by which a later run tells that it need not be made again."""

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from preprocessing import storage
from preprocessing.config import CorpusConfig, DatasetConfig
from preprocessing.errors import UserError
from preprocessing.manifest import read_manifest
from preprocessing.versions import code_checksum, versions
from preprocessing.vocabulary import read_inherited

FILES = "the corpus' files"


def made_of(spark: SparkSession, corpus: CorpusConfig, config: DatasetConfig) -> dict[str, Any]:
    """All that decides what is in the dataset of a corpus: settings, the corpus' files, inherited words, our code.

    Raises UserError where the inherited words cannot be read.
    """
    old = read_inherited(config.vocabulary, config.tokenizer, config.vocabulary_size)
    settings = {name: value for name, value in dataclasses.asdict(config).items() if name != "path"}
    paths = corpus.path if corpus.format == "table" else map(storage.absolute, corpus.path)
    found = {
        "corpus": {**dataclasses.asdict(corpus), "path": list(paths)},
        FILES: _files(spark, corpus),
        "dataset": settings,
        "inherited words": storage.sha256(json.dumps([old.words, old.labels]).encode()) if config.vocabulary else "",
        "the code of Parley": code_checksum(),
        "versions": versions(),
    }
    return dict(json.loads(json.dumps(found)))  # as it comes back from a manifest


def _files(spark: SparkSession, corpus: CorpusConfig) -> dict[str, Any] | None:
    """How many files, their bytes, and a checksum of paths, sizes and times; None where nobody can tell.

    Spark lists them as its readers would, and opens none. A table's rows may change without any file of it.
    """
    if corpus.format == "table":
        return None
    paths = [storage.absolute(path) for path in corpus.path]
    file = F.xxhash64("path", "length", "modificationTime").cast("decimal(38,0)")  # of which a sum does not overflow
    try:
        listed = spark.read.format("binaryFile").options(**corpus.options).load(paths)
        row = listed.agg(F.count("*").alias("files"), F.sum("length").alias("bytes"), F.sum(file).alias("sum")).first()
    except (PySparkException, Py4JJavaError):  # reading the corpus will say why
        return None
    assert row is not None
    return {"files": row.files, "bytes": row.bytes or 0, "checksum": str(row.sum)}


def changed(uri: str, now: Mapping[str, Any]) -> list[str] | None:
    """What differs between `now` and what the dataset at `uri` was made of; None where there is no dataset."""
    if not storage.exists(f"{uri}/manifest.json") and not storage.mended(uri):
        return None
    try:
        before = read_manifest(uri).made_of
    except UserError:  # of another version of Parley
        return ["the dataset's format"]
    return _differing(before, now)


def _differing(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Names of settings and of all else that is not as it was, or of which nobody can tell whether it is."""
    names = []
    for name, value in now.items():
        earlier = before.get(name)
        if name in ("corpus", "dataset"):
            known = earlier or {}
            names += [f"{name}.{key}" for key in value if key not in known or known[key] != value[key]]
        elif earlier != value or value is None:
            names.append(name)
    return names
