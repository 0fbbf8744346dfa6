"""The driver's watch over a training: ranks that stand still are noticed, and all are ended so that it can go on."""

import logging
import time
from collections.abc import Callable, Mapping

from training.mailbox import Mailbox
from training.progress import Sign
from training.reports import Failure, find_failure, read_reports
from training.watch import SAVING, STARTING, Beat

log = logging.getLogger(__name__)

GRACE_SECONDS = 10.0  # after a rank's report, for the others' reports and Horovod's own end
SILENT_SECONDS = 50.0  # without a sign of life of a rank
MISSED_SECONDS = 10.0  # the same, where it is known already that some rank stands still
START_SECONDS = 300.0  # for the first sign, and while TensorFlow is imported: Spark's slots and Python on busy nodes


class Guard:
    """Calls `stop` once where a rank gives no signs of life, or where one has failed and others do not end."""

    def __init__(self, mailbox: Mailbox, stop: Callable[[], None], ended: Mapping[int, int | None]) -> None:
        self.mailbox, self.stop, self.ended = mailbox, stop, ended
        self.last: Sign | None = None
        self.began = self.looked = time.monotonic()
        self.hosts: dict[int, str] = {}
        self.doing: dict[int, str] = {}
        self.beats: dict[int, tuple[int, float, float]] = {}  # of a rank: which one, when, for how long it will do
        self.failed = 0.0  # when the first report was seen
        self.stopped = False

    def look(self, sign: Sign | None) -> None:
        """What there is each second."""
        now, self.last = time.monotonic(), sign or self.last
        self._listen(now)
        if not self.failed and read_reports(self.mailbox):
            self.failed = now
        silent, failed = self.silent(now), self.failed and now - self.failed > GRACE_SECONDS
        absent = not self.beats and now - self.began > START_SECONDS
        if any(SAVING in doing for rank, doing in self.doing.items() if rank not in silent):
            return  # what is being written is what training goes on from
        if (silent or failed or absent) and not self.stopped:
            failure, self.stopped = self.failure(), True
            log.warning("ending all ranks: %s", failure.line if failure else "no sign of life")
            self.stop()

    def _listen(self, now: float) -> None:
        if now - self.looked > SILENT_SECONDS / 2:  # the driver itself stood still, and heard nobody
            self.beats = {rank: (number, now, limit) for rank, (number, _, limit) in self.beats.items()}
        self.looked = now
        for beat in self.mailbox.read("alive-", Beat):
            self.hosts[beat.rank], self.doing[beat.rank] = beat.host, "" if beat.over else beat.doing
            if beat.rank not in self.beats or self.beats[beat.rank][0] != beat.number:
                limit = START_SECONDS if beat.doing.startswith(STARTING) else SILENT_SECONDS
                self.beats[beat.rank] = (beat.number, now, 0 if beat.over else limit)

    def silent(self, now: float, most: float = float("inf")) -> list[int]:
        """The ranks that gave no sign of life in time, or for `most` seconds."""
        return [rank for rank, (_, heard, limit) in self.beats.items() if limit and now - heard > min(most, limit)]

    def failure(self) -> Failure | None:
        """The first failure of a rank, as far as is known."""
        now = time.monotonic()
        self._listen(now)
        silent = self.silent(now, MISSED_SECONDS)
        return find_failure(read_reports(self.mailbox), self.hosts, dict(self.ended), self.where(), silent)

    def where(self) -> str:
        """Where rank 0 was last seen."""
        progress = self.last and self.last.progress
        return f"epoch {progress.epoch}, step {progress.step} of {progress.steps}" if progress else "before any step"
