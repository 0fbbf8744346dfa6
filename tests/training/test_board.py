"""The memory of one machine: real processes, without TensorFlow or Horovod."""

import mmap
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.board import GONE, NUMBER, Board, Gone, open_board

SPAWN = multiprocessing.get_context("spawn")
SIZE = 1 << 16


def summing(pipe: Connection) -> Callable[[int], int]:
    """`total`, by the test's own process."""

    def total(own: int) -> int:
        pipe.send(own)
        return int(pipe.recv())

    return total


def rank_of(pipe: Connection, work: Callable[[Board, int], Any], name: str, rank: int, ranks: int) -> None:
    board = open_board(name, rank, ranks, SIZE, summing(pipe))
    pipe.send(work(board, rank) if board else None)
    pipe.recv()  # until all are through: what ends with a process is no work of the board's


def add_totals(pipes: list[Connection]) -> None:
    """Answers all ranks, which ask three times."""
    for _ in range(3):
        total = sum(pipe.recv() for pipe in pipes)
        for pipe in pipes:
            pipe.send(total)
        if total < len(pipes):
            return


def on_boards(work: Callable[[Board, int], Any], ranks: int) -> list[Any]:
    """What `work` returns in each of so many processes; the exit code of one that returns nothing."""
    name, pipes, processes = uuid.uuid4().hex, [], []
    for rank in range(ranks):
        ours, theirs = SPAWN.Pipe()
        processes.append(SPAWN.Process(target=rank_of, args=(theirs, work, name, rank, ranks), daemon=True))
        processes[-1].start()
        theirs.close()
        pipes.append(ours)
    add_totals(pipes)
    found: list[Any] = []
    for process, pipe in zip(processes, pipes, strict=True):
        try:
            assert pipe.poll(60), f"rank {len(found)} waits for ever"
            found.append(pipe.recv())
        except EOFError:
            process.join()
            found.append(process.exitcode)
    for process, pipe in zip(processes, pipes, strict=True):
        if process.is_alive():
            pipe.send("go")
        process.join()
    return found


def parts_of(rank: int, turn: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Whole tensors of several shapes, and rows of which there may be none."""
    draw = np.random.default_rng([rank, turn])
    whole = [draw.normal(size=shape).astype(np.float32) for shape in ((3, 5), (7,), ())]
    return whole, [draw.normal(size=(int(count), 4)).astype(np.float32) for count in draw.integers(0, 6, 2)]


def combine_often(board: Board, rank: int) -> list[list[np.ndarray]]:
    return [board.combine(*parts_of(rank, turn)) for turn in range(20)]


@pytest.mark.parametrize("ranks", [2, 3])
def test_all_ranks_get_all_sums_and_all_rows_rank_by_rank(ranks: int) -> None:
    for found in on_boards(combine_often, ranks):
        for turn, parts in enumerate(found):
            everyones = [parts_of(rank, turn) for rank in range(ranks)]
            sums = [np.sum(column, axis=0, dtype=np.float32) for column in zip(*[w for w, _ in everyones], strict=True)]
            rows = [np.concatenate(column) for column in zip(*[rows for _, rows in everyones], strict=True)]
            assert [part.shape for part in parts] == [part.shape for part in [*sums, *rows]]
            for part, expected in zip(parts, [*sums, *rows], strict=True):
                np.testing.assert_allclose(part, expected, rtol=1e-6)


def share_types(board: Board, rank: int) -> list[np.ndarray]:
    return [
        *board.combine([np.array([1.5, rank], np.float64)]),
        board.of_first(np.array([rank + 5, 2**32 - 1], np.uint32)),
        board.of_first(np.float32(rank + 0.5)),
        *board.combine([np.array([[rank]], np.int64)]),
    ]


def test_sums_and_the_first_rank_s_values_keep_their_type() -> None:
    for found in on_boards(share_types, 2):
        assert [value.tolist() for value in found] == [[3.0, 1.0], [5, 2**32 - 1], 0.5, [[1]]]
        assert [value.dtype.name for value in found] == ["float64", "uint32", "float32", "int64"]


def leave_in_turn_three(board: Board, rank: int) -> str:
    for turn in range(9):
        if turn == 3 and rank == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        try:
            board.combine(*parts_of(rank, turn))
        except Gone as error:
            return f"{turn}: {error}"
    return "nothing noticed"


def test_who_is_killed_is_missed_at_once() -> None:
    assert on_boards(leave_in_turn_three, 3) == [f"3: {GONE}", -signal.SIGKILL, f"3: {GONE}"]


def one_behind(board: Board, rank: int) -> str:
    board.turn += rank
    try:
        board.combine(*parts_of(rank, 0))
    except Gone as error:
        return f"{error}; {error.__cause__}"
    return "nothing noticed"


def test_ranks_that_are_not_at_the_same_exchange_are_told_apart() -> None:
    first, other = on_boards(one_behind, 2)
    assert first == f"{GONE}; exchange 1, but it says {NUMBER.pack(2)!r}" and other.startswith(GONE)


ELSEWHERE = """
import sys
from training.board import open_board

def total(own):
    print(own, flush=True)
    return int(sys.stdin.readline())

print(open_board(sys.argv[1], 1, 2, 1000, total))
"""


def test_ranks_of_two_machines_have_none() -> None:
    """The second one has a network of its own, in which the first one's name means nothing."""
    name = uuid.uuid4().hex
    command = ["unshare", "--user", "--map-root-user", "--net", sys.executable, "-c", ELSEWHERE, name]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdin and other.stdout

        def total(own: int) -> int:
            both = own + int(other.stdout.readline())  # type: ignore[union-attr]
            other.stdin.write(f"{both}\n")  # type: ignore[union-attr]
            other.stdin.flush()  # type: ignore[union-attr]
            return both

        assert open_board(name, 0, 2, 1000, total) is None
        assert other.communicate()[0].strip() == "None"


def test_a_name_that_somebody_has_gives_none_and_leaves_nothing_open() -> None:
    name, said = uuid.uuid4().hex, []

    def total(own: int) -> int:
        said.append(own)
        return own + 1

    with socket.socket(socket.AF_UNIX) as holder:
        holder.bind(f"\0parley-{name}")
        before = os.listdir("/proc/self/fd")
        assert open_board(name, 0, 2, 1000, total) is None
        assert len(os.listdir("/proc/self/fd")) == len(before)
    assert said == [0]


@settings(max_examples=30, deadline=None)
@given(
    sizes=st.lists(st.integers(0, 9), min_size=1, max_size=3),
    counts=st.lists(st.tuples(*[st.integers(0, 5)] * 2), max_size=3),
    seed=st.integers(0, 99),
)
def test_any_shapes_come_together(sizes: list[int], counts: list[tuple[int, int]], seed: int) -> None:
    """Of two boards over the same memory, each in a thread."""
    ends = socket.socketpair()
    memory = mmap.mmap(-1, 4 * SIZE)
    boards = [Board(rank, 2, memory, [ends[rank]]) for rank in range(2)]
    draw = np.random.default_rng(seed)
    whole = [[draw.normal(size=size) for size in sizes] for _ in boards]
    rows = [[draw.normal(size=(count[rank], 3)) for count in counts] for rank in range(2)]
    found: dict[int, list[np.ndarray]] = {}
    threads = [
        threading.Thread(target=lambda rank=rank: found.update({rank: boards[rank].combine(whole[rank], rows[rank])}))
        for rank in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sums = [one + other for one, other in zip(*whole, strict=True)]
    expected = [*sums, *(np.concatenate(parts) for parts in zip(*rows, strict=True))]
    for rank in range(2):
        for one, other in zip(found[rank], expected, strict=True):
            np.testing.assert_array_equal(one, other)
        boards[rank].close()
