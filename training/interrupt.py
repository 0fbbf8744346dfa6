"""Ctrl-C or SIGTERM while training starts or runs: first its processes end, then it is an exception.

Horovod, once its processes start, puts its own signal handlers in the place of Spark's, leaves them there, and makes
one more RuntimeError of an interrupt. Spark's handler, before that, talks to the JVM in the middle of another talk,
also in a fork, which shares its socket, and cancels no job that is just being submitted.
"""

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from types import FrameType
from typing import TYPE_CHECKING, Any

from pyspark import SparkContext

from preprocessing.errors import ClusterError
from training.mailbox import Mailbox
from training.quiet import quiet_task

if TYPE_CHECKING:
    from horovod.runner.common.util.hosts import SlotInfo

End = tuple[int | None, float]  # of a rank: its exit code, if anybody could tell it, and when that was known

UNTOLD = -1  # what Horovod gives for the exit code of a rank that nobody answers for any more
CANCEL_SECONDS = 0.5
END_SECONDS = 10.0  # for Horovod to end its processes, which one that stands still lets it do only with SIGKILL
CANCELLED_SECONDS = 5.0  # more for Spark to end them, which an executor that stands still does not let it


class Interrupt:
    """Whether the driver was told to end, and what it then does; others end a `horovod.spark.run` with it too."""

    def __init__(self) -> None:
        self.requested = threading.Event()
        self.ending = threading.Event()  # at which Horovod ends the processes that it started
        self.ending_since = 0.0
        self.abandoned = threading.Event()  # with which Horovod waits no longer for those that do not end
        self.mailbox = Mailbox()
        self.ended: dict[int, int | None] = {}  # exit codes of ranks that ended before they were told to, in that order
        self.number = 0  # of the signal
        self.pid = os.getpid()
        self.processes_started = False
        self.over = threading.Event()

    def handle(self, number: int, _: FrameType | None) -> None:
        """Handles the signal; raises nothing, as that could leave the JVM's answer to be read in the next talk."""
        if os.getpid() != self.pid:  # a fork of this process, which a terminal interrupts too
            os._exit(1)
        self.number = number
        self.requested.set()
        self.end_processes()

    def processes_start(self) -> threading.Event:
        """In the place of the function that Horovod calls just before, to set up handlers of its own."""
        self.ending, self.processes_started = threading.Event(), True
        self.abandoned.clear()
        if self.requested.is_set():
            self.end_processes()
        return self.ending

    def end_processes(self) -> None:
        """Has Horovod end the processes that it started."""
        self.ending_since = time.monotonic()
        self.ending.set()

    def processes_ended(self) -> None:
        """Horovod has no processes any more."""
        self.processes_started = False

    def cancel(self, context: SparkContext) -> None:
        """Cancels what Spark does, again and again: a job that was not submitted yet would not be cancelled."""
        from horovod.spark.driver import job_id

        while not self.over.wait(CANCEL_SECONDS):
            if self.requested.is_set() and not self.processes_started:
                context.cancelAllJobs()
            elif self.ending.is_set() and self.processes_started:
                waited = time.monotonic() - self.ending_since
                if waited > END_SECONDS:
                    context.cancelJobGroup(f"horovod.spark.run.{job_id.JOB_ID}")
                if waited > END_SECONDS + CANCELLED_SECONDS:
                    self.abandoned.set()

    def run_rank(
        self, execute: Callable[..., End], command: str, slot: "SlotInfo", events: Sequence[threading.Event]
    ) -> End:
        """What Horovod's `execute` returns of a rank, its exit code and when it ended; no code once it is abandoned.

        Horovod itself waits for a word of the rank's machine as long as TCP does: for ever, where that is lost.
        """
        ends: list[End] = []
        started = partial(self.run_thread, lambda: ends.append(execute(command, slot, events)))
        thread = threading.Thread(target=started, name="rank", daemon=True)
        thread.start()
        while thread.is_alive() and not self.abandoned.is_set():
            thread.join(CANCEL_SECONDS)
        end = ends[0] if ends else (None, time.time())
        if end[0] != 0 and not self.ending.is_set():
            self.ended[slot.rank] = None if end[0] == UNTOLD else end[0]
        return end

    def run_thread(self, target: Callable[..., object], *args: Any) -> None:
        """What a thread that Horovod starts does; it says at length that its job, or whom it asks, was ended."""
        try:
            target(*args)
        except Exception as error:
            if not self.requested.is_set() and "cancelled" not in str(error):
                raise


@contextlib.contextmanager
def interruptible(context: SparkContext, message: Callable[[], str]) -> Iterator[Interrupt]:
    """The block in which training is prepared and run, once; handlers are afterwards what they were before.

    Raises KeyboardInterrupt if Ctrl-C ended it, ClusterError if SIGTERM did: neither is a failure of the training.
    """
    interrupt = Interrupt()
    numbers = (signal.SIGINT, signal.SIGTERM)
    canceller = threading.Thread(target=interrupt.cancel, args=(context,), name="canceller", daemon=True)
    with _in_horovod(interrupt):
        handlers = [signal.signal(number, interrupt.handle) for number in numbers]
        canceller.start()
        try:
            with interrupt.mailbox.open():
                yield interrupt
        except Exception:
            if not interrupt.requested.is_set():
                raise
        finally:
            for number, handler in zip(numbers, handlers, strict=True):
                signal.signal(number, handler)
            interrupt.over.set()
            canceller.join()
    if interrupt.number == signal.SIGINT:
        raise KeyboardInterrupt(message()) from None
    if interrupt.number == signal.SIGTERM:
        raise ClusterError(f"told to end by SIGTERM; {message()}") from None


@contextlib.contextmanager
def _in_horovod(interrupt: Interrupt) -> Iterator[None]:
    """The block in which Horovod asks `interrupt` how its processes start and end, and is silent of what that ends."""
    import horovod.spark.gloo_run as ranks
    import horovod.spark.runner as tasks
    from horovod.runner import gloo_run

    kept = gloo_run.register_shutdown_event, ranks._exec_command_fn, tasks.in_thread, tasks._make_mapper
    _, make_execute, in_thread, make_mapper = kept
    gloo_run.register_shutdown_event = interrupt.processes_start
    ranks._exec_command_fn = lambda *settings: partial(interrupt.run_rank, make_execute(*settings))
    tasks.in_thread = lambda target, *args, **options: in_thread(
        partial(interrupt.run_thread, target), *args, **options
    )
    tasks._make_mapper = lambda *settings: partial(quiet_task, make_mapper(*settings))
    try:
        yield
    finally:
        gloo_run.register_shutdown_event, ranks._exec_command_fn, tasks.in_thread, tasks._make_mapper = kept
