"""A small real dataset, made by preprocessing, that training tests share."""

import json
import random
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from preprocessing.config import CorpusConfig, DatasetConfig
from preprocessing.pipeline import build_dataset

PHRASES = {
    "refund": ["i want my money back", "please refund the {thing}", "refund", "환불 해주세요"],
    "delivery": [
        "where is my {thing}",
        "when does the {thing} arrive",
        "배송 언제 와요",
        "is it on its way already or not yet",
    ],
    "greeting": ["hello", "hi there", "안녕하세요"],
}
THINGS = ["shoes", "red dress", "phone case", "parcel", "order"]


def dialog_lines(rows: int) -> list[str]:
    """JSON lines of one-turn dialogs, seeded."""
    draw = random.Random(1)
    lines = []
    for number in range(rows):
        intent = draw.choice(sorted(PHRASES))
        text = draw.choice(PHRASES[intent]).format(thing=draw.choice(THINGS))
        lines.append(json.dumps({"dialog_id": f"d{number}", "text": text, "intent": intent}, ensure_ascii=False))
    return lines


@pytest.fixture(scope="session")
def dataset(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> str:
    """URI of a dataset of 300 utterances in five files a split."""
    directory = tmp_path_factory.mktemp("shop")
    (directory / "corpus.json").write_text("\n".join(dialog_lines(300)))
    corpus = CorpusConfig(path=(str(directory / "corpus.json"),), dialog_id="dialog_id")
    build_dataset(spark, corpus, DatasetConfig(path=str(directory / "dataset"), max_tokens=12, files_per_split=5))
    return Path(directory / "dataset").as_uri()
