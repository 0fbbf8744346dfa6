"""How far training is: rank 0 writes a small file to the run, the driver reads and shows it.

A file, because whatever store holds the run is reachable from both sides already, while a port might not be.
"""

import contextlib
import dataclasses
import itertools
import json
import logging
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from tqdm import tqdm

from preprocessing import storage

log = logging.getLogger(__name__)

FILE = "progress.json"
WRITE_SECONDS = 1.0
CLOSE_SECONDS = 10.0  # for the last sign to be written
LINE_SECONDS = 10.0  # between lines where there is no terminal


@dataclass(frozen=True)
class Progress:
    """One report of rank 0's."""

    epoch: int  # from 1
    epochs: int
    step: int  # of the epoch, from 1
    steps: int
    loss: float  # mean over the epoch so far
    accuracy: float
    examples_per_second: float
    seconds_left: float

    def line(self) -> str:
        """For people."""
        minutes, seconds = divmod(round(self.seconds_left), 60)
        return (
            f"epoch {self.epoch}/{self.epochs} step {self.step}/{self.steps} loss {self.loss:.4f} "
            f"accuracy {self.accuracy:.4f} {self.examples_per_second:,.0f} examples/s {minutes}:{seconds:02d} left"
        )


@dataclass(frozen=True)
class Sign:
    """A sign of life of rank 0's."""

    number: int
    progress: Progress | None  # none before the first step


class Reporter:
    """Gives a sign of life each WRITE_SECONDS, with the last progress, in a thread: no step waits for the store."""

    def __init__(self, run: str) -> None:
        self.run = run
        self.progress: Progress | None = None
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._write, name="reporter", daemon=True)
        self.thread.start()

    def report(self, progress: Progress) -> None:
        """From now on it is this."""
        self.progress = progress

    def close(self) -> None:
        """No more signs."""
        self.over.set()
        self.thread.join(CLOSE_SECONDS)

    def _write(self) -> None:
        for number in itertools.count(1):
            with contextlib.suppress(OSError):  # a store that hiccups: the next sign will do
                storage.write_json(f"{self.run}/{FILE}", dataclasses.asdict(Sign(number, self.progress)))
            if self.over.wait(WRITE_SECONDS):
                return


def _read(run: str) -> Sign | None:
    try:
        content = json.loads(storage.read_text(f"{run}/{FILE}"))
        return Sign(content["number"], Progress(**content["progress"]) if content["progress"] else None)
    except (OSError, ValueError):  # not there yet, or the store hiccups: the next look will tell
        return None


class Display:
    """Shows the run's progress while the block lasts: a bar on a terminal, lines in a log.

    Each sign of life is handed to `look` too, and None each second in which there is no readable one.
    """

    def __init__(self, run: str, look: Callable[[Sign | None], None]) -> None:
        self.run, self.look = run, look
        self.done = threading.Event()
        self.thread = threading.Thread(target=self._watch, name="progress", daemon=True)

    def __enter__(self) -> None:
        storage.remove(f"{self.run}/{FILE}")
        self.thread.start()

    def __exit__(self, *_: object) -> None:
        self.done.set()
        self.thread.join()
        storage.remove(f"{self.run}/{FILE}")

    def _watch(self) -> None:
        bar = tqdm(total=0, desc="starting", disable=not sys.stderr.isatty(), leave=False, bar_format="{desc} |{bar}|")
        shown, next_line = None, 0.0
        while not self.done.wait(WRITE_SECONDS):
            sign = _read(self.run)
            self.look(sign)
            progress = sign.progress if sign else None
            if progress is None or progress == shown:
                continue
            shown = progress
            bar.total = progress.epochs * progress.steps
            bar.n = (progress.epoch - 1) * progress.steps + progress.step
            bar.set_description_str(progress.line())
            if bar.disable and time.monotonic() >= next_line:
                log.info("%s", progress.line())
                next_line = time.monotonic() + LINE_SECONDS
        bar.close()
