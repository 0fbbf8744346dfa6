"""Training that goes on from its last checkpoint when processes die or freeze, on fewer of them where it must."""

import logging
import time

from pyspark import SparkContext

from preprocessing.errors import ClusterError
from training.attempt import TrainingFailed, run_once
from training.checkpoint import Position, read_position, require_room
from training.interrupt import Interrupt
from training.preflight import check_executors, count_slots
from training.worker import TrainJob

log = logging.getLogger(__name__)

FRUITLESS = 2  # restarts without a new checkpoint, after which another one would not help either
RETURN_SECONDS = 30  # for lost executors to come back, before training goes on without them
MINIMUM_SECONDS = 600  # for as many as training.min_processes, and for a store that takes files again
AGAIN_SECONDS = 5.0  # after a preflight that failed
LINE_SECONDS = 60.0  # between lines that say why there is no restart yet


def run_to_the_end(context: SparkContext, job: TrainJob, interface: str, interrupt: Interrupt) -> dict[str, float]:
    """The best epoch's line of the history. Raises TrainingFailed where going on is of no use."""
    processes, restarts, fruitless = job.training.processes, 0, 0
    while True:
        before = read_position(job.run)
        try:
            return run_once(context, job, processes, interface, interrupt)
        except (TrainingFailed, ClusterError) as error:
            failed = error
        position = read_position(job.run)
        fruitless = fruitless + 1 if restarts and position == before else 0
        if interrupt.requested.is_set():
            raise failed
        if getattr(failed, "final", False):
            raise failed if position == Position() else _with(f"{position} is kept", failed)
        if fruitless == FRUITLESS:
            raise _with(f"given up: {FRUITLESS} restarts from {position} made no progress", failed)
        if restarts == job.training.max_restarts:
            raise _with(f"given up: training.max_restarts = {restarts}", failed)
        restarts += 1
        processes, interface = _wait_until_ready(context, job, interrupt, failed)
        log.warning(
            "restart %d of %d, with %d of %d processes from %s: %s", restarts, job.training.max_restarts, processes,
            job.training.processes, position, failed,
        )  # fmt: skip
        for note in getattr(failed, "__notes__", ()):
            log.warning("%s", note)


def _wait_until_ready(
    context: SparkContext, job: TrainJob, interrupt: Interrupt, failed: Exception
) -> tuple[int, str]:  # fmt: skip
    """With how many processes and over which network training can go on. Raises TrainingFailed where it stays unable.

    Executors may be gone, or be there for Spark alone as their machine is lost; a store may be full, or down.
    """
    training, began, next_line = job.training, time.monotonic(), 0.0
    while True:
        if interrupt.requested.is_set() or context._jsc.sc().isStopped():
            raise failed
        slots, waited = count_slots(context), time.monotonic() - began
        processes = min(slots, training.processes)
        pause, of = 0.5, f"training.processes = {training.processes}, training.min_processes = {training.min_processes}"
        why = f"there are {slots} slots ({of})"
        if processes == training.processes or (waited > RETURN_SECONDS and slots >= training.min_processes):
            try:
                require_room(job.run)
                return processes, check_executors(context, processes, [job.dataset], [job.run], job.hadoop)
            except ClusterError as error:
                pause, why = AGAIN_SECONDS, str(error)
        if waited > MINIMUM_SECONDS:
            raise _with(f"given up: after {MINIMUM_SECONDS} s {why}", failed)
        if waited >= next_line:
            log.warning("not restarted yet, as %s: %s", why, failed)
            next_line = waited + LINE_SECONDS
        time.sleep(pause)


def _with(more: str, failed: Exception) -> TrainingFailed:
    """The last failure, and what there is to say besides; the checkpoint stays for the same command."""
    said = TrainingFailed(f"{failed}; {more}")
    for note in getattr(failed, "__notes__", ()):
        said.add_note(note)
    return said
