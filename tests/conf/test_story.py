"""The seven architectures of the story are compared on equal terms: their files differ only in the network."""

import dataclasses
from pathlib import Path

import pytest

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
