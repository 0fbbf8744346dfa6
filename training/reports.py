"""What ranks leave in the run about themselves, and which of them failed first: the others only saw it go."""

import dataclasses
import json
import os
import socket
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from preprocessing import storage
from training.board import GONE
from training.mailbox import Mailbox, has_driver, post

CAUSE, WAITING, LEFT = "cause", "waiting", "left"
FINAL = ("UserError", "Diverged")  # errors that would only come again


@dataclass(frozen=True)
class Report:
    """Why a rank ended, by itself."""

    rank: int
    host: str
    doing: str  # for example: epoch 2, step 13 of 40
    error: str
    traceback: str
    kind: str  # CAUSE; WAITING where it stalled as another one did not come; LEFT where that one was gone
    final: bool  # it would only come again
    time: float


def announce(run: str, rank: int, **device: str) -> None:
    """Says where a rank is, and on what it computes."""
    storage.write_json(f"{run}/ranks/{rank}.json", {"rank": rank, "host": socket.gethostname(), **device})


def report(run: str, rank: int, doing: str, error: str, traceback: str, kind: str, final: bool = False) -> None:
    """Tells the driver, which keeps it in the run; a rank without a driver does so itself."""
    said = Report(rank, socket.gethostname(), doing, error, traceback, kind, final, time.time())
    if has_driver():
        post(f"report-{rank}", dataclasses.asdict(said))
    else:
        keep_report(run, said)


def keep_report(run: str, said: Report) -> None:
    """Writes a rank's report into the run."""
    storage.write_json(f"{run}/errors/rank-{said.rank}.json", dataclasses.asdict(said))


def in_one_line(error: BaseException) -> str:
    """An exception's type and words; of TensorFlow's graph, where a stack comes before them, the words alone."""
    lines = [line for line in str(error).splitlines() if line.strip()]
    if lines and lines[0].startswith("Graph execution error"):
        said = [line for line in lines if not line.startswith((" ", "\t", "Hint:", "Detected at", "Traceback"))]
        lines = said[-1:]
    return f"{type(error).__name__}: {' '.join(lines)}"


def kind_of(line: str) -> str:
    """Whether an error is the rank's own, or the word of Horovod, or of the board, that another rank is gone."""
    return LEFT if GONE in line or "Horovod" in line or "gloo" in line.lower() else CAUSE


def read_reports(mailbox: Mailbox) -> list[Report]:
    """What the ranks of this attempt told the driver."""
    return mailbox.read("report-", Report)


def read_ranks(run: str) -> list[dict[str, Any]]:
    """What each rank announced."""
    names = storage.files_below(f"{run}/ranks")
    return [json.loads(storage.read_text(f"{run}/ranks/{name}")) for name in names if ".tmp-" not in name]


def here() -> str:
    """This process, for people."""
    return f"{socket.gethostname()} (process {os.getpid()})"


def describe_ranks(ranks: Sequence[Mapping[str, Any]]) -> tuple[str, bool]:
    """Where all ranks are and on what they compute, in a line; and whether that is as fast as it could be there."""
    hosts = Counter(rank["host"] for rank in ranks)
    gpus = sum(rank["device"] != "-1" for rank in ranks)
    kernels = sorted({rank["kernel"] for rank in ranks} - {""})
    ways = sorted({rank["exchange"] for rank in ranks} - {""})
    told = f"; cuDNN LSTM: {' or '.join(kernels)}" if kernels else ""
    told += f"; gradients by {' or '.join(ways)}" if ways else ""
    where = ", ".join(f"{count} on {host}" for host, count in sorted(hosts.items()))
    return f"ranks: {where}; {f'{gpus} GPUs' if gpus else 'no GPU'}{told}", not gpus or kernels in ([], ["yes"])


@dataclass(frozen=True)
class Failure:
    """What ended a run of all ranks."""

    line: str
    traceback: str = ""
    final: bool = False


def find_failure(
    reports: Sequence[Report], hosts: Mapping[int, str], ended: Mapping[int, int | None], last: str,
    unheard: Sequence[int] = (),
) -> Failure | None:  # fmt: skip
    """The first cause: a rank's own error, else a rank that is gone without a word, else who waited for it.

    `ended` has the exit codes of ranks that ended by themselves, as Horovod saw them end, which may be a second late;
    `last` is where rank 0 was last seen, `unheard` the ranks without a sign of life.
    """
    causes = [report for report in reports if report.kind == CAUSE]
    silent = sorted(set(hosts) - {report.rank for report in reports})
    if causes or (reports and not silent):
        first = min(causes or reports, key=lambda report: (report.kind != WAITING, report.time))
        line = f"rank {first.rank} on {first.host}, {first.doing}: {first.error}"
        return Failure(line, first.traceback, first.final)
    if not silent:
        return None
    gone = [rank for rank in ended if rank in silent]
    rank = [*gone, *(rank for rank in silent if rank in unheard), *silent][0]
    how = _how(ended[rank]) if gone else "gives no sign of life: it stands still"
    return Failure(f"rank {rank} on {hosts[rank]} {how}; last seen: {last}")


def _how(code: int | None) -> str:
    """What the exit code of a rank without a report says."""
    if code is None:
        return "is lost with its executor"
    return f"was killed, exit code {code}" if code > 128 else f"ended with exit code {code}: see its log"
