"""A whole dataset from some two hundred literal rows: what it holds, and that it holds the same however it was made."""

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

from preprocessing.config import CorpusConfig, DatasetConfig
from preprocessing.manifest import DatasetManifest, read_manifest
from preprocessing.pipeline import build_dataset
from preprocessing.schema import EXAMPLE, SPLITS
from preprocessing.tokenizers import tokenize
from preprocessing.vocabulary import PAD, SPECIAL, read_lines

pytestmark = pytest.mark.spark

TEXTS = {
    "lost": "I lost my card", "track": "where is order AB-1234567", "배송": "배송은 언제 오나요?", "oos": "sing a song",
}  # fmt: skip
REJECTED = {"malformed record": 2, "no text": 1, "no intent": 1, "not a label": 1, "no tokens": 1}
DIALOGS = 48
FINGERPRINT = "4f3e6f243c3026b3"  # of this corpus, as it always was: another one would have every model trained anew


def corpus_lines() -> list[str]:
    """Per dialog a user's turn, an agent's, a user's; the word d<number> stands in both turns of one dialog alone."""
    intents = list(TEXTS)
    rows: list[dict[str, Any]] = []
    for number in range(DIALOGS):
        dialog, first, second = f"d{number}", intents[number % 4], intents[number // 4 % 4]
        for turn, (speaker, text, intent) in enumerate([
            ("user", f"{TEXTS[first]} d{number}d", first),
            ("agent", "one moment please", None),
            ("user", f"{TEXTS[second]} now please, it is urgent! d{number}d", second),
        ]):  # fmt: skip
            rows.append(
                {
                    "d": dialog,
                    "n": turn,
                    "speaker": speaker,
                    "text": text,
                    "intent": intent,
                    "lang": "xx",
                    "by": {"channel": f"app {number % 3}" if number % 4 else None},
                }
            )
    broken = [("", "lost"), ("hello", None), ("hello", "lost\ncard"), ("\u200b", "lost")]
    rows += [{"d": "b", "n": 0, "speaker": "user", "text": text, "intent": intent} for text, intent in broken]
    return [*[json.dumps(row, ensure_ascii=False) for row in rows], '{"text": "half', "nonsense"]


def corpus(*paths: Path) -> CorpusConfig:
    return CorpusConfig(path=tuple(map(str, paths)), dialog_id="d", turn="n", speaker="speaker", language="lang",
                        slice="by.channel")  # fmt: skip


def settings(path: Path) -> DatasetConfig:
    return DatasetConfig(
        path=str(path), max_tokens=8, min_count=2, files_per_split=2, validation_fraction=0.2, test_fraction=0.2,
        out_of_scope="oos",
    )  # fmt: skip


@pytest.fixture(scope="module")
def built(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, DatasetManifest]:
    directory = tmp_path_factory.mktemp("pipeline")
    (directory / "corpus.json").write_text("\n".join(corpus_lines()))
    manifest = build_dataset(spark, corpus(directory / "corpus.json"), settings(directory / "dataset"))
    return directory / "dataset", manifest


def examples(dataset: Path, split: str) -> list[dict[str, Any]]:
    """All rows of a split, file by file."""
    return [row for file in sorted((dataset / split).glob("*.parquet")) for row in pq.read_table(file).to_pylist()]


def words_of(text: str) -> list[str]:
    return tokenize(pa.array([text]), "words")[0].as_py()


def test_the_manifest_says_what_the_files_hold(built: tuple[Path, DatasetManifest]) -> None:
    dataset, manifest = built
    assert manifest.buckets == (4, 6, 8)
    found = {}
    for split in SPLITS:
        for file in sorted((dataset / split).glob("*.parquet")):
            lengths = pq.read_table(file, columns=["length"])["length"].to_pylist()
            buckets = [sum(low < length <= high for length in lengths) for low, high in ((0, 4), (4, 6), (6, 8))]
            found[f"{split}/{file.name}"] = (tuple(buckets), pq.read_metadata(file).num_rows)
    files = [file for split in SPLITS for file in manifest.splits[split]]
    assert {file.path: (file.rows_per_bucket, file.rows) for file in files} == found
    assert [len(manifest.splits[split]) for split in SPLITS] == [2, 2, 2]


def test_the_written_manifest_is_the_returned_one(built: tuple[Path, DatasetManifest]) -> None:
    dataset, manifest = built
    assert read_manifest(str(dataset)) == manifest and manifest.fingerprint == FINGERPRINT
    assert (manifest.tokenizer, manifest.max_tokens, manifest.out_of_scope) == ("words", 8, "oos")
    assert manifest.splitting == {
        "by": "hash", "salt": "parley", "validation_fraction": 0.2, "test_fraction": 0.2, "validation_from": "",
        "test_from": "",
    }  # fmt: skip
    assert manifest.vocabulary_size == len(read_lines(f"{dataset}/vocabulary.txt"))
    assert manifest.num_labels == len(read_lines(f"{dataset}/labels.txt")) == 4


def test_every_row_is_accounted_for(built: tuple[Path, DatasetManifest]) -> None:
    dataset, manifest = built
    assert (manifest.rows_in, manifest.context_only, manifest.rejected) == (3 * DIALOGS + 6, DIALOGS, REJECTED)
    assert sum(map(manifest.rows, SPLITS)) == 2 * DIALOGS
    rejected = pq.read_table(dataset / "rejected").to_pylist()
    assert Counter(row["reason"] for row in rejected) == REJECTED
    assert sorted(row["malformed"] for row in rejected if row["malformed"]) == ["nonsense", '{"text": "half']


def test_every_labelled_turn_is_an_example_once_as_it_was_said(built: tuple[Path, DatasetManifest]) -> None:
    said = [json.loads(line) for line in corpus_lines()[: 3 * DIALOGS]]
    rows = [row for split in SPLITS for row in examples(built[0], split)]
    assert list(rows[0]) == EXAMPLE.names
    columns = ("dialog_id", "turn", "language", "text", "intent", "slice")
    found = [tuple(row[name] for name in columns) for row in rows]
    expected = [
        (*[row[name] for name in ("d", "n", "lang", "text", "intent")], row["by"]["channel"])
        for row in said if row["intent"]
    ]  # fmt: skip
    assert sorted(found, key=str) == sorted(expected, key=str)
    assert built[1].slice == "by.channel"


def test_no_dialog_is_in_two_splits(built: tuple[Path, DatasetManifest]) -> None:
    dialogs = [{row["dialog_id"] for row in examples(built[0], split)} for split in SPLITS]
    assert sum(map(len, dialogs)) == len(set.union(*dialogs)) == DIALOGS


def test_the_vocabulary_is_made_of_training_texts_only(built: tuple[Path, DatasetManifest]) -> None:
    dataset, _ = built
    counts = Counter(word for row in examples(dataset, "train") for word in words_of(row["text"]))
    frequent = sorted((-count, word) for word, count in counts.items() if count >= 2)
    assert read_lines(f"{dataset}/vocabulary.txt") == [*SPECIAL, *[word for _, word in frequent]]


def test_ids_decode_to_the_words_and_labels_to_the_intents(built: tuple[Path, DatasetManifest]) -> None:
    dataset, _ = built
    words, labels = read_lines(f"{dataset}/vocabulary.txt"), read_lines(f"{dataset}/labels.txt")
    assert labels == sorted(TEXTS)
    for split in SPLITS:
        for row in examples(dataset, split):
            spoken = words_of(row["text"])[:8]
            decoded = [words[number] for number in row["input_ids"]]
            expected = [word if word in words else "<unknown>" for word in spoken]
            assert decoded == expected + [words[PAD]] * (8 - len(spoken))
            assert (row["length"], labels[row["label_id"]]) == (len(spoken), row["intent"])


def test_the_profile_counts_examples_tokens_and_unknown_words(built: tuple[Path, DatasetManifest]) -> None:
    dataset, manifest = built
    profile = json.loads((dataset / "profile.json").read_text())
    known = read_lines(f"{dataset}/vocabulary.txt")
    rows = examples(dataset, "test")
    ids = [number for row in rows for number in row["input_ids"][: row["length"]]]
    spoken = Counter(word for row in rows for word in words_of(row["text"]))  # whole texts, not cut to 8 tokens
    types, tokens = (len(spoken), len(spoken.keys() & {*known})), (spoken.total(), sum(spoken[word] for word in known))
    assert profile["splits"]["test"] == {
        "examples": manifest.rows("test"),
        "tokens": len(ids),
        "unknown_fraction": round(ids.count(1) / len(ids), 6),
        "coverage": {
            "types": types[0], "known_types": types[1], "known_types_fraction": round(types[1] / types[0], 6),
            "tokens": tokens[0], "known_tokens": tokens[1], "known_tokens_fraction": round(tokens[1] / tokens[0], 6),
        },
        "languages": {"xx": len(rows)},
        "intents": dict(Counter(row["intent"] for row in rows)),
        "lengths": {str(length): rows for length, rows in Counter(row["length"] for row in rows).items()},
    }  # fmt: skip
    assert types[1] < types[0] and len(ids) < tokens[0]
    assert {name: profile[name] for name in ("rows_in", "context_only", "rejected")} == {
        "rows_in": 3 * DIALOGS + 6, "context_only": DIALOGS, "rejected": REJECTED
    }  # fmt: skip


def test_a_corpus_cut_otherwise_gives_the_same_files(
    spark: SparkSession, built: tuple[Path, DatasetManifest], tmp_path: Path
) -> None:
    lines = corpus_lines()[::-1]
    for part in range(3):
        (tmp_path / f"{part}.json").write_text("\n".join(lines[part::3]))
    target = tmp_path / "dataset"
    (target / "train").mkdir(parents=True)
    (target / "train/old.parquet").write_text("what stood there before")
    manifest = build_dataset(spark, corpus(*tmp_path.glob("*.json")), settings(target))
    assert manifest.fingerprint == built[1].fingerprint
    assert [examples(target, split) for split in SPLITS] == [examples(built[0], split) for split in SPLITS]
    assert {path.name for path in tmp_path.iterdir()} == {"0.json", "1.json", "2.json", "dataset"}


def test_a_column_to_slice_by_changes_no_fingerprint(
    spark: SparkSession, built: tuple[Path, DatasetManifest], tmp_path: Path
) -> None:
    without = replace(corpus(built[0].parent / "corpus.json"), slice="")
    manifest = build_dataset(spark, without, settings(tmp_path / "dataset"))
    assert (manifest.slice, manifest.fingerprint) == ("", built[1].fingerprint)


def test_other_content_has_another_fingerprint(
    spark: SparkSession, built: tuple[Path, DatasetManifest], tmp_path: Path
) -> None:
    """One text differs, and only in an order number: its words and ids are the same."""
    before = corpus_lines()
    after = [line.replace("where is order AB-1234567 d1d", "where is order AB-1234568 d1d") for line in before]
    assert sum(one != other for one, other in zip(before, after, strict=True)) == 1
    (tmp_path / "corpus.json").write_text("\n".join(after))
    config = replace(settings(tmp_path / "dataset"), files_per_split=1)
    manifest = build_dataset(spark, corpus(tmp_path / "corpus.json"), config)
    assert manifest.fingerprint != built[1].fingerprint
    assert (tmp_path / "dataset/vocabulary.txt").read_text() == (built[0] / "vocabulary.txt").read_text()
