"""A rank has cores of its own where the ranks of its machine take all; the cores are this machine's own."""

import os
import subprocess
import sys

CORES = sorted(os.sched_getaffinity(0))
TAKE = """
import os, sys
from training.cores import take_cores
take_cores(int(sys.argv[1]))
print(*sorted(os.sched_getaffinity(0)))
"""


def cores_of(rank: int, ranks: int, threads: int) -> list[int]:
    """The cores that a process is left with."""
    environment = os.environ | {"HOROVOD_LOCAL_RANK": str(rank), "HOROVOD_LOCAL_SIZE": str(ranks)}
    done = subprocess.run(
        [sys.executable, "-c", TAKE, str(threads)], env=environment, capture_output=True, text=True, check=True
    )
    return [int(core) for core in done.stdout.split()]


def test_ranks_that_take_the_whole_machine_share_its_cores() -> None:
    assert [cores_of(rank, len(CORES), 1) for rank in range(len(CORES))] == [[core] for core in CORES]
    assert cores_of(0, 1, len(CORES)) == CORES


def test_fewer_or_more_ranks_than_that_stay_free() -> None:
    assert cores_of(0, 1, 1) == CORES
    assert cores_of(1, len(CORES), 2) == CORES
