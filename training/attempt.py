"""One `horovod.spark.run`: its result, or which rank failed first, where and why."""

import contextlib
import dataclasses
import logging
import os
import re
import sys
import time
import uuid

from pyspark import SparkContext

from preprocessing import storage
from training.checkpoint import ROOM, begin_attempt, latest_epoch
from training.failures import lost_executors
from training.guard import Guard
from training.interrupt import Interrupt
from training.preflight import is_local
from training.progress import Display
from training.quiet import silent_stderr
from training.reports import Failure, keep_report, read_reports
from training.worker import TrainJob, train_worker

log = logging.getLogger(__name__)

START_SECONDS = 120  # for all ranks to get a slot each
GLOO_SECONDS = 120  # for all ranks to import TensorFlow and meet; Horovod's own 30 are too few on a busy node
LOSS_SECONDS = 5.0  # for YARN to tell Spark why an executor is gone, which Horovod may have noticed before
HALF = re.compile(r"\.tmp-[0-9a-f]{8}$")  # a file that is being written, as preprocessing.files names it


class TrainingFailed(RuntimeError):
    """A rank failed; the message is what it wrote before it died. `final` where it would only do so again."""

    final = False


def run_once(
    context: SparkContext, job: TrainJob, processes: int, interface: str, interrupt: Interrupt
) -> dict[str, float]:
    """The best epoch's line of the history; raises TrainingFailed with the first rank's own words."""
    import horovod.spark
    from horovod.common.util import gloo_built

    _remove_remains(job.run, "errors", ROOM)
    job = dataclasses.replace(job, attempt=uuid.uuid4().hex)
    begin_attempt(job.run, job.attempt)
    environment = {
        "HOROVOD_GLOO_TIMEOUT_SECONDS": str(GLOO_SECONDS),
        "OMP_NUM_THREADS": str(job.threads),
    }
    if is_local(context):  # what the driver can import, its workers can
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
    with silent_stderr():  # Horovod's own first question imports TensorFlow, in a process that it starts for that
        # asked in the same words, it then answers from its cache
        assert gloo_built(verbose=False), "this Horovod was built without Gloo: build it with scripts/build_horovod.sh"
    lost = set(lost_executors(context))
    interrupt.mailbox.clear()
    interrupt.ended.clear()
    guard = Guard(interrupt.mailbox, interrupt.end_processes, interrupt.ended)
    try:
        with Display(job.run, guard.look, latest_epoch(job.run)):
            results = horovod.spark.run(
                train_worker, args=(job,), num_proc=processes, start_timeout=START_SECONDS, use_gloo=True,
                env=environment, verbose=0, nics={interface},
                executable=os.environ.get("PYSPARK_PYTHON", sys.executable),
            )  # fmt: skip
    except Exception as error:
        losses = _losses(context, lost, LOSS_SECONDS if None in interrupt.ended.values() else 0)
        raise _failed(job.run, error, guard, losses) from error
    finally:
        interrupt.processes_ended()
        with contextlib.suppress(OSError):  # a store that is gone: why training ended is worth more
            begin_attempt(job.run, "")
            _remove_remains(job.run)
    return dict(results[0])


def _remove_remains(run: str, *more: str) -> None:
    """Removes what ranks said of themselves, `more`, and what those killed in the middle of a file left of it."""
    for remains in ("ranks", *more):
        storage.remove(f"{run}/{remains}")
    with contextlib.suppress(FileNotFoundError):  # a rank that was taken for gone is at it
        for name in filter(HALF.search, storage.files_below(run)):
            storage.remove(f"{run}/{name}")


def _losses(context: SparkContext, known: set[str], seconds: float) -> list[str]:
    """`host: reason` of the executors that are gone, besides those known; waits for the first one so long."""
    until = time.monotonic() + seconds
    while True:
        losses = [loss for loss in lost_executors(context) if loss not in known]
        if losses or time.monotonic() >= until:
            return losses
        time.sleep(0.2)


def _failed(run: str, error: Exception, guard: Guard, losses: list[str]) -> TrainingFailed:
    """The first failure in one line, the rank's traceback as a note."""
    failure = guard.failure()
    with contextlib.suppress(OSError):  # a full store: the failure is known without
        for said in read_reports(guard.mailbox):
            keep_report(run, said)
    if not failure:
        failure = Failure(f"no rank could say why: {error}" if not losses else "ranks are gone")
    failed = TrainingFailed("; ".join([failure.line, *losses]))
    failed.final = failure.final
    if failure.traceback:
        failed.add_note(failure.traceback)
    return failed
