"""Vectors learnt from a small corpus, and read back as a model would begin with them."""

import gzip
import itertools
import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

from jobs import preprocess, word_vectors
from jobs.config import AppConfig
from preprocessing.config import CorpusConfig, DatasetConfig, WordVectorsConfig
from preprocessing.errors import UserError
from preprocessing.vocabulary import read_lines
from preprocessing.word_vectors import read_vectors

pytestmark = pytest.mark.spark

# two groups of words that stand together, and never with those of the other
GROUPS = (["주문", "취소", "환불", "반품"], ["weather", "rain", "sunny", "forecast"])


def own_word(dialog: str) -> str:
    """A word of letters that stands in this dialog alone."""
    return "own" + "".join(chr(ord("a") + ord(char) % 26) for char in dialog)


@pytest.fixture
def config(tmp_path: Path) -> AppConfig:
    """Dialogs of a user's turn with an intent, one without, and an agent's with words of its own."""
    rows = []
    for number, words in enumerate(list(map(list, itertools.permutations(GROUPS[0], 3))) * 3):
        for group, shift in ((0, words), (1, [GROUPS[1][GROUPS[0].index(word)] for word in words])):
            dialog = f"d{group}-{number}"
            rows.append({"d": dialog, "speaker": "user", "text": " ".join(shift), "intent": f"group {group}"})
            rows.append({"d": dialog, "speaker": "user", "text": " ".join([*shift[::-1], own_word(dialog)])})
            rows.append({"d": dialog, "speaker": "agent", "text": f"agent{group} " + " ".join(shift)})
    (tmp_path / "corpus.json").write_text("\n".join([*map(json.dumps, rows), '{"text": "half']))
    return AppConfig(
        corpus=CorpusConfig(path=(str(tmp_path / "corpus.json"),), dialog_id="d", speaker="speaker"),
        dataset=DatasetConfig(path=str(tmp_path / "dataset"), files_per_split=1, max_rejected_fraction=0.5),
        word_vectors=WordVectorsConfig(path=str(tmp_path / "vectors"), size=8, window=3, min_count=1, epochs=20),
    )


def test_words_that_stand_together_have_vectors_that_do(spark: SparkSession, config: AppConfig) -> None:
    manifest = word_vectors.run(spark, config)
    preprocess.run(spark, config)
    vocabulary = read_lines(f"{config.dataset.path}/vocabulary.txt")
    vectors = read_vectors(spark, config.word_vectors.path, vocabulary, 8)
    assert vectors.found == len(vocabulary) - 2 == 8  # all but padding and unknown
    unit = vectors.matrix / np.linalg.norm(vectors.matrix, axis=1, keepdims=True)
    alike = {
        (one, other): float(unit[vocabulary.index(one)] @ unit[vocabulary.index(other)])
        for one, other in itertools.combinations([*GROUPS[0], *GROUPS[1]], 2)
    }
    inside = [value for (one, other), value in alike.items() if (one in GROUPS[0]) == (other in GROUPS[0])]
    across = [value for (one, other), value in alike.items() if (one in GROUPS[0]) != (other in GROUPS[0])]
    assert np.mean(inside) > np.mean(across) + 0.2
    assert manifest == json.loads((Path(config.word_vectors.path) / "manifest.json").read_text())


def test_all_that_is_said_in_training_is_learnt_from_and_nothing_else(spark: SparkSession, config: AppConfig) -> None:
    word_vectors.run(spark, config)
    preprocess.run(spark, config)
    file = Path(config.word_vectors.path) / "vectors.txt.gz"
    lines = gzip.decompress(file.read_bytes()).decode().splitlines()
    words = {line.split()[0] for line in lines[1:]}
    assert lines[0] == f"{len(words)} 8" and {"agent", "주문"} < words
    train = {row["dialog_id"] for row in pq.read_table(f"{config.dataset.path}/train").to_pylist()}
    assert {word for word in words if word.startswith("own")} == set(map(own_word, train))
    assert 50 < len(train) < 144
    before = file.read_bytes()
    word_vectors.run(spark, config)
    assert file.read_bytes() == before  # the same seed


def test_nothing_to_learn_from_is_said_in_a_line(spark: SparkSession, config: AppConfig) -> None:
    rare = WordVectorsConfig(path=config.word_vectors.path, min_count=10_000)
    with pytest.raises(UserError, match=r"no word occurs word_vectors.min_count = 10000 times: lower it"):
        word_vectors.run(spark, AppConfig(corpus=config.corpus, dataset=config.dataset, word_vectors=rare))
    with pytest.raises(UserError, match=r"word_vectors.path is empty"):
        word_vectors.run(spark, AppConfig(corpus=config.corpus))
    assert not Path(config.word_vectors.path).exists()
