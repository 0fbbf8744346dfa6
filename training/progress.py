"""How far training is: rank 0 writes a small file to the run, the driver reads and shows it.

A file, because whatever store holds the run is reachable from both sides already, while a port might not be.
"""

import dataclasses
import json
import logging
import sys
import threading
import time
from dataclasses import dataclass

from tqdm import tqdm

from preprocessing import storage

log = logging.getLogger(__name__)

FILE = "progress.json"
WRITE_SECONDS = 1.0
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


class Reporter:
    """Writes progress at most once a WRITE_SECONDS."""

    def __init__(self, run: str) -> None:
        self.run, self.due = run, 0.0

    def report(self, progress: Progress) -> None:
        """Writes `progress`, or nothing where the last one is fresh."""
        if time.monotonic() >= self.due:
            storage.write_json(f"{self.run}/{FILE}", dataclasses.asdict(progress))
            self.due = time.monotonic() + WRITE_SECONDS


def _read(run: str) -> Progress | None:
    try:
        return Progress(**json.loads(storage.read_text(f"{run}/{FILE}")))
    except (OSError, ValueError):  # not there yet, or the store hiccups: the next look will tell
        return None


class Display:
    """Shows the run's progress while the block lasts: a bar on a terminal, lines in a log."""

    def __init__(self, run: str) -> None:
        self.run = run
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
            progress = _read(self.run)
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
