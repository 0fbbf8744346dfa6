"""A rank's own watch: Horovod never notices that a rank does not come to a step, and all the others wait for ever."""

import faulthandler
import itertools
import os
import sys
import threading
import time
import traceback
from types import FrameType
from typing import NamedTuple

from training import board
from training.mailbox import has_driver, post
from training.reports import CAUSE, WAITING, here, report

PATIENT_SECONDS = 600  # for anything but a step: an import, a file of examples, tracing a function, validation, a store
MEETING_SECONDS = 3600  # for the others, who may have more files to read: one that hangs at it ends by itself before
TICK_SECONDS = 0.5
BEAT_SECONDS = 2.0  # between signs of life
STARTING = "starting"  # so begins what a rank does until it has its examples
SAVING = "checkpoint after step"  # what rank 0 does where another one is gone
GRACE_SECONDS = 10  # for the report; then the process ends without


class Beat(NamedTuple):
    """A sign of life."""

    rank: int
    host: str
    number: int  # of the rank's signs, from 0
    doing: str
    over: bool  # whether it is the last


class Watch:
    """Ends this process when what it does takes too long, and says what that was."""

    def __init__(self, run: str, rank: int, seconds: float) -> None:
        self.run, self.rank, self.seconds = run, rank, seconds
        self.doing, self.limit = STARTING, float(max(PATIENT_SECONDS, seconds))
        self.began = False  # whether the first step is done
        self.told_to_end = threading.Event()  # by SIGTERM, after which little time is left
        self.since = time.monotonic()
        self.over = threading.Event()
        self.due = threading.Event()  # a sign of life, at once
        threading.Thread(target=self._look, name="watch", daemon=True).start()
        if has_driver():
            self.beating = threading.Thread(target=self._beat, name="signs of life", daemon=True)
            self.beating.start()

    def now(self, doing: str, patient: bool = False, patience: float = 0) -> None:
        """From now on the process does this, with so much time for it: where it is patient, `patience` seconds."""
        starting = self.doing.startswith(STARTING)
        self.doing, self.began = doing, self.began or not patient
        self.since = time.monotonic()  # before the limit, which may be long over for what was done until now
        self.limit = max(patience or PATIENT_SECONDS, self.seconds) if patient else self.seconds
        if starting:  # the driver has more patience with a start than with all that comes after it
            self.due.set()

    def close(self) -> None:
        """The process may take its time again, and need give no sign of life."""
        self.over.set()
        self.due.set()
        if has_driver():
            self.beating.join()
        faulthandler.cancel_dump_traceback_later()

    def _beat(self) -> None:
        """Signs of life for the driver, the last of which says that there will be no more."""
        for number in itertools.count():
            if number:
                self.due.wait(BEAT_SECONDS)
                self.due.clear()
            over = self.over.is_set()
            post(f"alive-{self.rank}", Beat(self.rank, here(), number, self.doing, over)._asdict())
            if over:
                return

    def _look(self) -> None:
        while not self.over.wait(TICK_SECONDS):
            left = self.since + self.limit - time.monotonic()
            if left < 0:
                self._end()
            else:  # for code that keeps Python's lock, and so this thread from looking
                faulthandler.dump_traceback_later(left + GRACE_SECONDS, exit=True)

    def _end(self) -> None:
        faulthandler.dump_traceback_later(GRACE_SECONDS, exit=True)
        error = f"Stalled: this took longer than {self.limit:g} s (training.stall_seconds)"
        busy = _busy()
        text = "\n".join("".join(traceback.format_stack(frame)) for frame in busy or [_main()])
        report(self.run, self.rank, self.doing, error, text, CAUSE if busy else WAITING)
        os._exit(1)


def _main() -> FrameType:
    return sys._current_frames()[threading.main_thread().ident or 0]


def _busy() -> list[FrameType]:
    """What this rank's Python code does; nothing where TensorFlow waits for other ranks."""
    ours = {t.ident for t in threading.enumerate() if not isinstance(t, threading._DummyThread)}
    # threads of TensorFlow's in which Python functions of the model's run, but for the one that waits for other ranks
    frames = [frame for thread, frame in sys._current_frames().items() if thread not in ours]
    frames = [frame for frame in frames if frame.f_code.co_filename != board.__file__]
    if "tensorflow" not in _main().f_code.co_filename:
        frames.append(_main())
    return frames
