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
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tqdm import tqdm

from preprocessing import storage
from training.checkpoint import History, Superseded, require_attempt
from training.reports import describe_ranks, read_ranks

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
    history: History = field(default_factory=list)  # of the finished epochs


def epoch_line(row: Mapping[str, float]) -> str:
    """A line of the history for people."""
    skipped = row.get("skipped_steps", 0)
    return (
        f"epoch {row['epoch']} done: loss {row['loss']:.4f}, accuracy {row['accuracy']:.4f}; validation loss "
        f"{row['validation_loss']:.4f}, accuracy {row['validation_accuracy']:.4f}; "
        f"{row['examples_per_second']:,.0f} examples/s, {100 * row['input_share']:.1f} % of {row['seconds']:.1f} s "
        f"waiting for input{f'; steps skipped, as a gradient overflowed float16: {skipped:.0f}' if skipped else ''}"
    )


class Reporter:
    """Gives a sign of life each WRITE_SECONDS, with the last progress, in a thread: no step waits for the store."""

    def __init__(self, run: str, attempt: str) -> None:
        self.run, self.attempt = run, attempt
        self.progress: Progress | None = None
        self.history: History = []
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._write, name="reporter", daemon=True)
        self.thread.start()

    def report(self, progress: Progress) -> None:
        """From now on it is this."""
        self.progress = progress

    def finished(self, history: History) -> None:
        """From now on these epochs are done."""
        self.history = history

    def close(self) -> None:
        """One more sign, the last."""
        self.over.set()
        self.thread.join(CLOSE_SECONDS)

    def _write(self) -> None:
        for number in itertools.count(1):
            last, sign = self.over.wait(WRITE_SECONDS if number > 1 else 0), Sign(number, self.progress, self.history)
            try:
                require_attempt(self.run, self.attempt)  # which a process that stood still may not be of any more
                storage.write_json(f"{self.run}/{FILE}", dataclasses.asdict(sign))
            except OSError:  # a store that hiccups: the next sign will do
                pass
            except Superseded:
                return
            if last:
                return


def _read(run: str) -> Sign | None:
    try:
        content = json.loads(storage.read_text(f"{run}/{FILE}"))
        progress = Progress(**content["progress"]) if content["progress"] else None
        return Sign(content["number"], progress, content["history"])
    except (OSError, ValueError):  # not there yet, or the store hiccups: the next look will tell
        return None


class Display:
    """Shows the run's progress while the block lasts: a bar on a terminal, lines in a log; and a line for each epoch.

    Each sign of life is handed to `look` too, and None each second in which there is no readable one.
    `epochs` are those that a run has done before.
    """

    def __init__(self, run: str, look: Callable[[Sign | None], None], epochs: int) -> None:
        self.run, self.look, self.epochs = run, look, epochs
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
        shown, next_line, last = None, 0.0, False
        while not last:
            last = self.done.wait(WRITE_SECONDS)
            sign = _read(self.run)
            if not last:
                self.look(sign)
            if sign and sign.progress and not shown:
                self._log_ranks()
            if sign:
                self._log_epochs(sign.history, bar)
            progress = sign.progress if sign else None
            if last or progress is None or progress == shown:
                continue
            shown = progress
            bar.total = progress.epochs * progress.steps
            bar.n = (progress.epoch - 1) * progress.steps + progress.step
            bar.set_description_str(progress.line())
            if bar.disable and time.monotonic() >= next_line:
                log.info("%s", progress.line())
                next_line = time.monotonic() + LINE_SECONDS
        bar.close()

    def _log_ranks(self) -> None:
        with contextlib.suppress(OSError, KeyError):  # a store that hiccups, a rank that is not so far
            ranks = read_ranks(self.run)
            for damage in filter(None, (rank.get("damage") for rank in ranks)):
                log.warning("%s", damage)
            line, fast = describe_ranks(ranks)
            log.log(logging.INFO if fast else logging.WARNING, "%s", line)

    def _log_epochs(self, history: History, bar: Any) -> None:
        for row in history[self.epochs :]:
            bar.clear()
            log.info("%s", epoch_line(row))
        self.epochs = max(self.epochs, len(history))
