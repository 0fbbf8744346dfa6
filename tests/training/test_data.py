"""What Petastorm hands to the ranks is what preprocessing wrote."""

import dataclasses
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from preprocessing.manifest import DatasetManifest, read_manifest
from training.data import load

pytestmark = pytest.mark.spark


def examples(blocks: list) -> list[tuple[tuple[int, ...], int]]:
    return [
        (tuple(int(word) for word in ids if word), int(label))
        for block in blocks
        for ids, label in zip(block.ids, block.labels, strict=True)
    ]


def written(dataset: str) -> list[tuple[tuple[int, ...], int]]:
    table = pq.read_table(Path(dataset.removeprefix("file://")) / "train")
    return [
        (tuple(word for word in row["input_ids"] if word), row["label_id"])
        for row in table.select(["input_ids", "label_id"]).to_pylist()
    ]


@pytest.mark.parametrize("processes", [1, 2, 3, 5, 7])
def test_all_ranks_together_hold_every_example_once(dataset: str, processes: int, tmp_path: Path) -> None:
    """Also where some of them have no file, as happens with a small validation split."""
    manifest = read_manifest(dataset)
    held = [
        example
        for rank in range(processes)
        for example in examples(load(dataset, manifest, "train", rank, processes, tmp_path / str(rank)))
    ]
    assert sorted(held) == sorted(written(dataset))


def test_blocks_are_as_wide_as_their_bucket(dataset: str, tmp_path: Path) -> None:
    manifest = read_manifest(dataset)
    blocks = load(dataset, manifest, "train", 0, 1, tmp_path)
    assert [block.ids.shape[1] for block in blocks] == list(manifest.buckets)
    for block, low in zip(blocks, (0, *manifest.buckets), strict=False):
        lengths = (block.ids != 0).sum(axis=1)
        assert ((lengths > low) & (lengths <= block.ids.shape[1])).all()


def test_a_file_with_other_rows_than_stated_is_refused(dataset: str, tmp_path: Path) -> None:
    manifest = read_manifest(dataset)
    first, *others = manifest.splits["train"]
    more = (first.rows_per_bucket[0] + 1, *first.rows_per_bucket[1:])
    wrong: DatasetManifest = dataclasses.replace(
        manifest, splits={"train": (dataclasses.replace(first, rows_per_bucket=more), *others)}
    )
    with pytest.raises(RuntimeError, match=r"rows read, the manifest states"):
        load(dataset, wrong, "train", 0, 1, tmp_path)
