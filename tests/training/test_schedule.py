"""Every row once an epoch and the same batches, for any number of processes."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from preprocessing.manifest import DataFile
from training.schedule import RankSchedule, Step, epoch_steps, files_of_rank, slot_files, unpadded_widths

counts = st.lists(st.lists(st.integers(0, 20), min_size=3, max_size=3), min_size=1, max_size=8)


def files(rows: list[list[int]]) -> list[DataFile]:
    return [DataFile(f"part-{number}", tuple(row)) for number, row in enumerate(rows)]


def global_rows(schedule: RankSchedule, step: Step, epoch: int) -> list[tuple[int, int, int]]:
    """(file, bucket, row of the file) of a rank's part of a step."""
    first = np.cumsum([0, *(schedule.files[file].rows_per_bucket[step.bucket] for file in schedule.mine)])
    found = []
    for row in schedule.rows_of(step, schedule.epoch_rows(epoch)):
        held = int(np.searchsorted(first, row, side="right")) - 1
        found.append((schedule.mine[held], step.bucket, int(row - first[held])))
    return found


@pytest.mark.parametrize("processes", [1, 2, 3, 7])
@given(rows=counts, batch=st.integers(1, 30), epoch=st.integers(0, 3))
@settings(deadline=None, max_examples=25)
def test_every_row_is_in_exactly_one_step(processes: int, rows: list[list[int]], batch: int, epoch: int) -> None:
    held = files(rows)
    steps = epoch_steps(held, batch, seed=1, epoch=epoch)
    seen = Counter(
        row
        for rank in range(processes)
        for step in steps
        for row in global_rows(RankSchedule(held, rank, processes, seed=1), step, epoch)
    )
    wanted = {(f, b, r) for f, file in enumerate(held) for b, n in enumerate(file.rows_per_bucket) for r in range(n)}
    assert seen == Counter(wanted)


@given(rows=counts, batch=st.integers(1, 30))
@settings(deadline=None, max_examples=25)
def test_batches_are_the_same_sets_for_any_number_of_processes(rows: list[list[int]], batch: int) -> None:
    held = files(rows)
    steps = epoch_steps(held, batch, seed=1, epoch=2)
    batches = {
        processes: [
            {row for rank in range(processes) for row in global_rows(RankSchedule(held, rank, processes, 1), step, 2)}
            for step in steps
        ]
        for processes in (1, 2, 3)
    }
    assert batches[1] == batches[2] == batches[3]


@given(rows=counts, batch=st.integers(1, 30))
@settings(deadline=None, max_examples=25)
def test_a_row_has_the_same_seed_for_any_number_of_processes(rows: list[list[int]], batch: int) -> None:
    held = files(rows)
    seeds = {}
    for processes in (1, 2, 3):
        for step in epoch_steps(held, batch, seed=1, epoch=2):
            for schedule in (RankSchedule(held, rank, processes, 1) for rank in range(processes)):
                drawn = schedule.rows_of(step, schedule.epoch_seeds(2)).tolist()
                for row, seed in zip(global_rows(schedule, step, 2), drawn, strict=True):
                    assert seeds.setdefault(row, seed) == seed
    assert len(seeds) == sum(map(sum, rows))


def test_seeds_are_others_in_each_epoch_and_bucket() -> None:
    schedule = RankSchedule(files([[50, 50]]), 0, 1, seed=1)
    drawn = [seed for epoch in range(2) for bucket in schedule.epoch_seeds(epoch) for seed in bucket.tolist()]
    assert len(set(drawn)) == 200


def test_only_the_last_batch_of_a_bucket_is_short() -> None:
    steps = epoch_steps(files([[5, 0], [4, 3]]), batch_size=4, seed=1, epoch=0)
    assert sorted(steps) == [Step(0, 0, 4), Step(0, 4, 8), Step(0, 8, 9), Step(1, 0, 3)]


def test_rows_and_steps_come_in_another_order_each_epoch() -> None:
    held = files([[50, 50]])
    schedule = RankSchedule(held, 0, 1, seed=1)
    assert schedule.epoch_rows(0)[0].tolist() != schedule.epoch_rows(1)[0].tolist()
    assert epoch_steps(held, 5, 1, 0) != epoch_steps(held, 5, 1, 1)


def test_the_same_seed_gives_the_same_order_and_another_seed_another() -> None:
    held = files([[50, 50]])
    orders = [RankSchedule(held, 0, 1, seed).epoch_rows(0)[0].tolist() for seed in (1, 1, 2)]
    assert orders[0] == orders[1] != orders[2]


def test_slots_are_dealt_in_proportion_to_the_files() -> None:
    assert slot_files([4, 2, 0]).tolist() == [0, 1, 0, 0, 1, 0]


def test_files_are_dealt_in_turn() -> None:
    assert [files_of_rank(5, rank, 2) for rank in (0, 1)] == [[0, 2, 4], [1, 3]]


def test_nothing_is_padded_in_buckets_of_a_single_length() -> None:
    assert unpadded_widths([4, 6, 7, 8, 12]) == {7, 8}
    assert unpadded_widths([1, 2, 24]) == {1, 2}
