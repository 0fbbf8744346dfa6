"""The seven architectures of the story are compared on equal terms, and each of their files runs."""

import dataclasses
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from jobs import generate, pipeline, word_vectors
from jobs.config import AppConfig, load_config

STORY = Path(__file__).parents[2] / "conf" / "story"
SEVEN = {
    "word2vec_cnn": "cnn",
    "word2vec_lstm": "lstm",
    "word2vec_cnn_lstm": "cnn_lstm",
    "word2vec_bigru": "bigru",
    "word2vec_bigru_attention": "bigru_attention",
    "fasttext": "fasttext",
    "glove_lstm": "lstm",
}


def read(name: str) -> AppConfig:
    return load_config(str(STORY / f"{name}.toml"))


def test_there_are_seven() -> None:
    assert {file.stem for file in STORY.iterdir()} == set(SEVEN)


@pytest.mark.parametrize("name", SEVEN)
def test_a_file_is_what_its_name_says_and_else_like_the_others(name: str) -> None:
    config, first = read(name), read("word2vec_cnn")
    assert config.model.architecture == SEVEN[name]
    vectors = {"word2vec": config.word_vectors.path, "glove": "data/glove/glove.6B.100d.txt", "fasttext": ""}
    assert config.model.word_vectors == vectors[name.partition("_")[0]]
    assert config.training.path == f"data/story/{name}/run" and config.evaluation.path == f"data/story/{name}/report"
    assert (config.corpus, config.dataset) == (first.corpus, first.dataset)
    assert dataclasses.replace(config.training, path="") == dataclasses.replace(first.training, path="")
    assert config.word_vectors == first.word_vectors or not name.startswith("word2vec")


@pytest.fixture(scope="module")
def shop(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A directory, for that time the current one, with the corpus and the vectors that the seven begin from."""
    base, before = tmp_path_factory.mktemp("story"), Path.cwd()
    os.chdir(base)
    try:
        generate.run(spark, load_config(str(STORY.parent / "local.toml"), ["generator.rows=3000"]))
        word_vectors.run(spark, read("word2vec_cnn"))
        glove = base / "data" / "glove"
        glove.mkdir()
        numbers = " ".join(f"{place / 100}" for place in range(100))
        (glove / "glove.6B.100d.txt").write_text(f"order {numbers}\nrefund {numbers}\n")
        yield base
    finally:
        os.chdir(before)


@pytest.mark.spark
@pytest.mark.tensorflow
@pytest.mark.horovod
@pytest.mark.parametrize("name", SEVEN)
def test_each_of_the_seven_learns_on_the_same_dataset(name: str, spark: SparkSession, shop: Path) -> None:
    metrics = pipeline.run(spark, load_config(str(STORY / f"{name}.toml"), ["training.batch_size=64"]))
    assert metrics["accuracy"] > 0.2, "of 40 intents, by chance 0.025; the seven reach 0.30 to 0.52"
    assert (shop / "data" / "story" / name / "report" / "report.html").exists()
