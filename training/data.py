"""Examples for one rank: its files staged on the local disk, read through Petastorm, held as NumPy blocks."""

import contextlib
import errno
import io
import socket
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from preprocessing import storage
from preprocessing.manifest import DataFile, DatasetManifest
from training.schedule import files_of_rank

Ids = npt.NDArray[np.int32]
Begin = Callable[[str], None]  # is told of each file before it is copied, and before it is read


class Block(NamedTuple):
    """Examples of one bucket: ids [N, T] with T the bucket's width, labels [N]."""

    ids: Ids
    labels: Ids


def stage(uri: str, files: Sequence[DataFile], directory: Path, begin: Begin) -> list[Path]:
    """Copies the files from the dataset's store to the local disk, as Petastorm reads no other store with Arrow 14."""
    staged = [directory / file.path for file in files]
    for file, path in zip(files, staged, strict=True):
        begin(file.path)
        try:
            storage.download(f"{uri}/{file.path}", path)
        except storage.StoreError as error:  # it names the store, which is not what is full
            if getattr(error.__cause__, "errno", None) in (errno.ENOSPC, errno.EDQUOT):
                full = f"{socket.gethostname()} cannot copy {file.path} to its own disk: no space left in {directory}"
                raise storage.StoreError(f"{full}: make room there, or choose another spark.local.dir") from error
            raise
    return staged


def read_file(path: Path, file: DataFile) -> tuple[Ids, Ids, Ids]:
    """ids [N, max_tokens], lengths [N] and labels [N] of one Parquet file, in its order.

    Raises RuntimeError where Petastorm gave another number of rows than the manifest states.
    """
    # leaving the reader prints a line
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore", FutureWarning)  # Petastorm calls Arrow by names that are on their way out
        from petastorm import make_batch_reader

        # The dummy pool reads in order and in this thread; the thread pool of 0.13.1 loses row groups. A list of files,
        # not the directory, keeps Petastorm from unpickling a _common_metadata file that somebody put there.
        with make_batch_reader(
            [f"file://{path}"],
            schema_fields=["input_ids", "length", "label_id"],
            reader_pool_type="dummy",
            shuffle_row_groups=False,
            num_epochs=1,
        ) as reader:
            groups = [(group.input_ids, group.length, group.label_id) for group in reader]
    ids, lengths, labels = (np.concatenate(column).astype(np.int32) for column in zip(*groups, strict=True))
    if len(ids) != file.rows:
        raise RuntimeError(f"{file.path}: {len(ids)} rows read, the manifest states {file.rows}; run preprocess again")
    return ids, lengths, labels


def load(
    uri: str, manifest: DatasetManifest, split: str, rank: int, processes: int, directory: Path,
    begin: Begin = lambda file: None,
) -> list[Block]:  # fmt: skip
    """By bucket the rank's examples of a split, file after file as `RankSchedule` numbers them."""
    files = [manifest.splits[split][number] for number in files_of_rank(len(manifest.splits[split]), rank, processes)]
    columns = []
    for path, file in zip(stage(uri, files, directory, begin), files, strict=True):
        begin(file.path)
        columns.append(read_file(path, file))
    lower = (0, *manifest.buckets[:-1])
    blocks = []
    for bucket, (low, high) in enumerate(zip(lower, manifest.buckets, strict=True)):
        inside = [(low < lengths) & (lengths <= high) for _, lengths, _ in columns]
        chosen = [(ids[rows, :high], labels[rows]) for (ids, _, labels), rows in zip(columns, inside, strict=True)]
        counts, stated = [len(labels) for _, labels in chosen], [file.rows_per_bucket[bucket] for file in files]
        if counts != stated:
            raise RuntimeError(
                f"{uri}: {counts} {split} examples of {low + 1} to {high} tokens, the manifest states {stated}"
            )
        empty = np.empty((0, high), np.int32), np.empty(0, np.int32)
        ids, labels = zip(*[*chosen, empty], strict=True)
        blocks.append(Block(np.concatenate(ids), np.concatenate(labels)))
    return blocks
