"""Which processor cores a rank computes on: its own ones, where the ranks of a machine take all that it has.

The scheduler else puts threads of two ranks on one core now and then, and in each step all ranks wait for the slowest.
Launchers of MPI bind processes in the same way (`mpirun --bind-to core`).
"""

import os


def take_cores(threads: int) -> None:
    """Ties this process to as many cores as it has threads, if the ranks of this machine need just those there are.

    Else it stays free: what is beside the ranks may have any core.
    """
    rank, ranks = (
        int(os.environ.get(f"HOROVOD_LOCAL_{name}", default)) for name, default in (("RANK", 0), ("SIZE", 1))
    )
    cores = sorted(os.sched_getaffinity(0))
    if ranks * threads == len(cores):
        os.sched_setaffinity(0, cores[rank * threads : (rank + 1) * threads])
