"""The files of a dataset: all rows are in them, and equal rows that no dialog tells apart are dealt over them."""

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

from preprocessing import tables
from preprocessing.config import CorpusConfig, DatasetConfig
from preprocessing.pipeline import build_dataset
from preprocessing.schema import SPLITS

pytestmark = pytest.mark.spark

# three of four rows say one of two things
SAID = [*["yes"] * 900, *["no"] * 450, *[f"where is parcel {number}" for number in range(450)]]
ROWS = [
    {"text": text, "intent": text[:5], "part": SPLITS[max(number % 12 - 9, 0)], "by": {"channel": f"{number % 5}"}}
    for number, text in enumerate(SAID)
]


def write_corpus(path: Path, rows: list[dict[str, Any]]) -> CorpusConfig:
    path.write_text("\n".join(map(json.dumps, rows)))
    return CorpusConfig(path=(str(path),), split="part", slice="by.channel")


def examples(dataset: Path, split: str) -> list[dict[str, Any]]:
    """All rows of a split, file by file."""
    return [row for file in sorted((dataset / split).glob("*.parquet")) for row in pq.read_table(file).to_pylist()]


@pytest.mark.parametrize(
    ("step", "lost", "told"),
    [
        ("rejected", "text = 'what 1'", "'rejected': 3} were to be written, but .*'rejected': 2} were: rows were lost"),
        ("encoded", "text = 'where is parcel 0'", "'train': 1500, .* were to be written, but {'train': 1499, "),
    ],
)
def test_rows_that_are_lost_on_their_way_end_the_job(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, lost: str, told: str
) -> None:
    whole = getattr(tables, step)
    monkeypatch.setattr(tables, step, lambda *given: whole(*given).where(f"not ({lost})"))
    (tmp_path / "dataset").mkdir()
    (tmp_path / "dataset/labels.txt").write_text("what stood there before")
    rejected = [{"text": f"what {number}", "part": "train"} for number in range(3)]
    corpus = write_corpus(tmp_path / "corpus.json", ROWS + rejected)
    with pytest.raises(RuntimeError, match=f"^of 1803 rows read 0 are context and .*{told}"):
        build_dataset(spark, corpus, DatasetConfig(path=f"{tmp_path}/dataset", files_per_split=1))
    assert [path.name for path in (tmp_path / "dataset").iterdir()] == ["labels.txt"]


def test_a_corpus_without_dialogs_has_its_equal_rows_dealt_over_all_files(spark: SparkSession, tmp_path: Path) -> None:
    """The same files come of the rows in any order."""
    files = []
    for name, rows in (("one", ROWS), ("other", ROWS[::-1])):
        corpus = write_corpus(tmp_path / f"{name}.json", rows)
        manifest = build_dataset(spark, corpus, DatasetConfig(path=f"{tmp_path}/{name}", files_per_split=6))
        counts = [file.rows for file in manifest.splits["train"]]
        assert len(counts) == 6 and max(counts) <= 1.1 * sum(counts) / 6 + 5, counts
        files.append([examples(tmp_path / name, split) for split in SPLITS])
    assert files[0] == files[1] and sum(map(len, files[0])) == len(SAID)
