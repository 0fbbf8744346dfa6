"""The driver's watch over a training: ranks that stand still are noticed, and all are ended so that it can go on."""

import contextlib
import logging
import time
from collections.abc import Callable

from preprocessing import storage
from training.progress import Sign

log = logging.getLogger(__name__)

GRACE_SECONDS = 10.0  # after a rank's report, for the others' reports and Horovod's own end
SILENT_SECONDS = 50.0  # without a sign of life, where there was one
START_SECONDS = 300.0  # for the first one: Spark's slots, Python and TensorFlow on busy nodes


class Guard:
    """Calls `stop` once where no rank 0 gives signs of life, or where a rank has failed and others do not end."""

    def __init__(self, run: str, stop: Callable[[], None]) -> None:
        self.run, self.stop = run, stop
        self.last: Sign | None = None
        self.heard = time.monotonic()
        self.failed = 0.0  # when the first report was seen
        self.stopped = False

    def look(self, sign: Sign | None) -> None:
        """What there is each second."""
        now = time.monotonic()
        if sign and (not self.last or sign.number != self.last.number):
            self.last, self.heard = sign, now
        with contextlib.suppress(OSError):  # a store that hiccups: the next look will tell
            if not self.failed and storage.files_below(f"{self.run}/errors"):
                self.failed = now
        silent = now - self.heard > (SILENT_SECONDS if self.last else START_SECONDS)
        failed = self.failed and now - self.failed > GRACE_SECONDS
        if (silent or failed) and not self.stopped:
            self.stopped = True
            log.warning("ending all ranks: %s", "one has failed, others stand still" if failed else "no sign of life")
            self.stop()

    def where(self) -> str:
        """Where rank 0 was last seen."""
        progress = self.last and self.last.progress
        return f"epoch {progress.epoch}, step {progress.step} of {progress.steps}" if progress else "before any step"
