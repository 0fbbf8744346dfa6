"""Which examples make up which step: the same for any number of processes, from the manifest's counts alone.

F files, B buckets of length. Rows of one bucket are dealt to its batches file by file in proportion to the files'
sizes, so that a batch is the same set of rows whoever holds which file. A rank holds whole files and takes from each
batch the rows that are its own: every row once an epoch, and the same number of steps on every rank.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from preprocessing.manifest import DataFile

Ints = npt.NDArray[np.int64]
Seeds = npt.NDArray[np.uint32]
Numbers = TypeVar("Numbers", Ints, Seeds)

SEEDS = 1  # the end of what seeds are drawn by, so that they are no other series of random numbers


class Step(NamedTuple):
    """Slots `start` to `stop` of a bucket: the examples of one global batch."""

    bucket: int
    start: int
    stop: int


def files_of_rank(num_files: int, rank: int, processes: int) -> list[int]:
    """Numbers of the files that `rank` holds."""
    return list(range(rank, num_files, processes))


def slot_files(rows: Sequence[int]) -> Ints:
    """For each slot of a bucket the file that fills it; rows [F] of the bucket in each file."""
    places = [(np.arange(count) + 0.5) / count if count else np.empty(0) for count in rows]
    owners = np.repeat(np.arange(len(rows)), rows)
    return np.asarray(owners[np.argsort(np.concatenate(places), kind="stable")], np.int64)


def epoch_steps(files: Sequence[DataFile], batch_size: int, seed: int, epoch: int) -> list[Step]:
    """All steps of an epoch, in an order that is drawn anew for each epoch and is the same on every rank."""
    totals = np.sum([file.rows_per_bucket for file in files], axis=0)
    steps = [
        Step(bucket, start, min(start + batch_size, int(total)))
        for bucket, total in enumerate(totals)
        for start in range(0, int(total), batch_size)
    ]
    order = np.random.default_rng([seed, epoch]).permutation(len(steps))
    return [steps[index] for index in order]


def words_of_a_step(files: Sequence[DataFile], buckets: Sequence[int], batch_size: int) -> float:
    """How many words, padding among them, the examples of a step have on average."""
    totals = np.sum([file.rows_per_bucket for file in files], axis=0)
    return float(np.dot(totals, buckets) / totals.sum() * batch_size)


def unpadded_widths(buckets: Sequence[int]) -> set[int]:
    """The widths of batches without padding: those of buckets of a single length."""
    return {width for shorter, width in pairwise([0, *buckets]) if width == shorter + 1}


class RankSchedule:
    """The rows of one rank in every step.

    Rows are numbered as the rank holds them: within each bucket, its files one after the other.
    """

    def __init__(self, files: Sequence[DataFile], rank: int, processes: int, seed: int) -> None:
        self.files, self.seed = files, seed
        self.mine = files_of_rank(len(files), rank, processes)
        self._owned: list[Ints] = []  # by bucket: the file of each slot that is this rank's
        self._before: list[Ints] = []  # by bucket: own slots before each slot
        for rows in zip(*(file.rows_per_bucket for file in files), strict=True):
            owners = slot_files(rows)
            own = np.isin(owners, self.mine)
            self._owned.append(owners[own])
            self._before.append(np.append(0, np.cumsum(own)))

    def epoch_rows(self, epoch: int) -> list[Ints]:
        """By bucket: this rank's rows in the order of their slots, shuffled within each file anew for each epoch."""
        return [self._shuffled(bucket, epoch) for bucket in range(len(self._owned))]

    def _shuffled(self, bucket: int, epoch: int) -> Ints:
        rows = np.empty(len(self._owned[bucket]), np.int64)
        first = 0
        for file in self.mine:
            count = self.files[file].rows_per_bucket[bucket]
            drawn = np.random.default_rng([self.seed, epoch, file, bucket]).permutation(count)
            rows[self._owned[bucket] == file] = first + drawn
            first += count
        return rows

    def rows_of(self, step: Step, epoch_rows: Sequence[Numbers]) -> Numbers:
        """This rank's rows of one step, which may be none; or their seeds, of those of the epoch."""
        before = self._before[step.bucket]
        return epoch_rows[step.bucket][before[step.start] : before[step.stop]]

    def epoch_seeds(self, epoch: int) -> list[Seeds]:
        """By bucket: a seed for each of these rows, drawn anew for each epoch; those of all ranks are one series."""
        seeds = []
        for bucket, before in enumerate(self._before):
            draw = np.random.default_rng([self.seed, epoch, bucket, 0, SEEDS])
            seeds.append(draw.integers(0, 1 << 32, len(before) - 1, np.uint32)[np.diff(before) > 0])
        return seeds
