"""Masking, context, typing errors and duplicates in one dataset: each does there what it does alone."""

import json
from collections import Counter
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

from preprocessing.config import CorpusConfig, DatasetConfig
from preprocessing.leaks import OF_TRAINING
from preprocessing.manifest import DatasetManifest
from preprocessing.masking import mask, pseudonyms
from preprocessing.pipeline import build_dataset
from preprocessing.schema import SPLITS

pytestmark = pytest.mark.spark

SECRETS = ("mail.example", "7654321")
ASKED = {"cancel": "shall I cancel order AB-76543210{}", "pay": "do you want to pay from who{}@mail.example now"}
ANSWERS = ["yes, that one please", "sure, write to me{}@mail.example", "go ahead", "of course, do it"]
ALONE = "bye from me{}@mail.example and all of us in {}"


def corpus_lines() -> list[str]:
    """Per dialog a question, an answer with an intent, and a goodbye that says where; every third one validates."""
    rows: list[dict[str, Any]] = []
    for number in range(96):
        split = ("train", "train", "validation", "train", "train", "test")[number % 6]
        intent, question = list(ASKED.items())[number // 6 % 2]
        place = f"town{number}" if number % 5 else "rome"
        spoken = [
            ("agent", question.format(number), None),
            ("user", ANSWERS[number // 12 % 4].format(number), intent),
            ("user", ALONE.format(number, place), "goodbye"),
        ]
        for turn, (speaker, text, label) in enumerate(spoken):
            rows.append({"d": f"d{number}", "n": turn, "who": speaker, "text": text, "intent": label, "split": split})
    return [json.dumps(row) for row in rows]


Built = tuple[Path, DatasetManifest]


@pytest.fixture(scope="module")
def built(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Built:
    directory = tmp_path_factory.mktemp("together")
    (directory / "corpus.json").write_text("\n".join(corpus_lines()))
    corpus = CorpusConfig(path=(f"{directory}/corpus.json",), dialog_id="d", turn="n", speaker="who", split="split")
    config = DatasetConfig(
        path=str(directory / "dataset"), mask=True, typos=0.5, context_turns=1, duplicates="train", min_count=1,
        files_per_split=2, max_tokens=32,
    )  # fmt: skip
    return directory / "dataset", build_dataset(spark, corpus, config)


def examples(dataset: Path, split: str) -> list[dict[str, Any]]:
    return [row for file in sorted((dataset / split).glob("*.parquet")) for row in pq.read_table(file).to_pylist()]


def copies(dataset: Path) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The training examples as they were said, masked, and their copies with a typing error."""
    rows = [json.loads(line) for line in corpus_lines()]
    masked = mask(pa.array([row["text"] for row in rows])).to_pylist()
    dialogs = pseudonyms(pa.array([row["d"] for row in rows]), DatasetConfig().split_salt).to_pylist()
    said = {(dialog, row["n"]): text for dialog, row, text in zip(dialogs, rows, masked, strict=True)}
    originals: dict[tuple[str, int], dict[str, Any]] = {}
    copied = []
    for row in examples(dataset, "train"):
        key = row["dialog_id"], row["turn"]
        if row["text"] == said[key] and key not in originals:
            originals[key] = row
        else:
            copied.append(row)
    return list(originals.values()), copied


def test_nothing_planted_is_in_any_file_and_the_context_is_masked_too(built: Built) -> None:
    dataset, _ = built
    files = [file for file in dataset.rglob("*") if file.is_file() and file.suffix != ".crc"]
    texts = {
        file: str(pq.read_table(file).to_pylist()) if file.suffix == ".parquet" else file.read_text() for file in files
    }
    assert len(texts) > 10 and not [(file, word) for file, text in texts.items() for word in SECRETS if word in text]
    contexts = {row["context"][0] for split in SPLITS for row in examples(dataset, split) if row["turn"] == 1}
    assert contexts == {"shall i cancel order <number>", "do you want to pay from <email> now"}


def test_copies_are_of_training_only_and_keep_marks_and_context(built: Built) -> None:
    dataset, manifest = built
    originals, copied = copies(dataset)
    assert 0 < len(copied) == manifest.augmented < len(originals) == 128
    by_turn = {(row["dialog_id"], row["turn"]): row for row in originals}
    for row in copied:
        original = by_turn[row["dialog_id"], row["turn"]]
        assert (row["context"], row["speakers"], row["intent"]) == tuple(
            original[name] for name in ("context", "speakers", "intent")
        )
        assert row["text"].count("<email>") == original["text"].count("<email>")
        assert 0 < SequenceMatcher(None, row["text"], original["text"], autojunk=False).ratio() < 1


def test_held_out_texts_are_new_with_their_masked_context(built: Built) -> None:
    """The answers of all dialogs are those of training; of the goodbyes only those from Rome behind the same answer."""
    dataset, manifest = built
    trained = {(row["context"][0], row["text"]) for row in copies(dataset)[0]}
    held_out = [row for split in SPLITS[1:] for row in examples(dataset, split)]
    assert held_out and not [row for row in held_out if (row["context"][0], row["text"]) in trained]
    assert {row["intent"] for row in held_out} == {"goodbye"}
    assert manifest.rejected == {OF_TRAINING: 64 - len(held_out)} and manifest.rejected[OF_TRAINING] > 32
    assert sum(map(manifest.rows, SPLITS)) - manifest.augmented == 192 - manifest.rejected[OF_TRAINING]


def test_a_turn_under_two_intents_is_two_examples_and_counted(spark: SparkSession, tmp_path: Path) -> None:
    """With context, too, where the two are one turn for each other."""
    rows = [json.loads(line) for line in corpus_lines() if "town" in line or '"n": 1' in line]
    twice = {**rows[0], "d": "d0", "n": 2, "text": "only once said", "who": "user", "split": "train"}
    rows += [{**twice, "intent": "pay"}, {**twice, "intent": "cancel"}]
    (tmp_path / "corpus.json").write_text("\n".join(map(json.dumps, rows)))
    corpus = CorpusConfig(path=(f"{tmp_path}/corpus.json",), dialog_id="d", turn="n", speaker="who", split="split")
    for turns in (0, 1):
        target = tmp_path / f"context-{turns}"
        config = DatasetConfig(path=str(target), context_turns=turns, min_count=1, files_per_split=1)
        manifest = build_dataset(spark, corpus, config)
        found = [row for row in examples(target, "train") if row["text"] == "only once said"]
        assert Counter(row["intent"] for row in found) == {"pay": 1, "cancel": 1}
        leaks = json.loads((target / "leaks.json").read_text())["several_intents"]
        assert {"pay": 1, "cancel": 1} in [row["intents"] for row in leaks["listed"] if row["text"] == "only once said"]
        assert manifest.rejected == {} and {row.get("context", [""])[0] for row in found} <= {"", rows[0]["text"]}
