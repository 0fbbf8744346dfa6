"""The state of a run, after an epoch or within one, on any store: a new directory, a checksum, then the pointer."""

import csv
import io
import json
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from preprocessing import storage
from preprocessing.errors import UserError

History = list[dict[str, float]]
Arrays = list[np.ndarray]
Facts = dict[str, Any]  # of a checkpoint: its name, its checksum, its position

KEPT = 2  # complete checkpoints left on storage
POINTER = "latest.json"
STATE, FACTS = "state.npz", "facts.json"  # of each checkpoint; the pointer has the same facts
ATTEMPT = "attempt"  # of the run: the name of the attempt to finish it that is under way
ROOM = "room"  # of the run, for a moment: whether there is some
WORD_VECTORS = "word_vectors.npy"  # of the run: what its embedding begins with


class Position(NamedTuple):
    """How far training is: what every rank goes on from, while the weights come from rank 0."""

    history: History = []  # noqa: RUF012  of the finished epochs
    step: int = 0  # that many steps of the next epoch are done
    sums: Sequence[float] = (0.0, 0.0, 0.0)  # over them and all ranks: loss, correct, examples
    seconds: float = 0.0  # that they took
    draws: Sequence[int] = ()  # how often each source of random numbers was asked in them
    input_seconds: float = 0.0  # of those seconds, until the examples of each step were there

    def __str__(self) -> str:
        """For people."""
        if not self.history and not self.step:
            return "the beginning"
        return f"step {self.step} of epoch {len(self.history) + 1}" if self.step else f"epoch {len(self.history)}"


class Checkpoint(NamedTuple):
    """All that training goes on from."""

    position: Position
    weights: Arrays  # within an epoch some rows are behind, and `optimizer` has what they miss (lag.py)
    optimizer: Arrays
    best: Arrays  # weights of the epoch with the best validation accuracy; none before the first


NOTHING = Checkpoint(Position(), [], [], [])


def _pack(checkpoint: Checkpoint) -> bytes:
    groups = {"weights": checkpoint.weights, "optimizer": checkpoint.optimizer, "best": checkpoint.best}
    named = {f"{group}.{index:04d}": array for group, arrays in groups.items() for index, array in enumerate(arrays)}
    buffer = io.BytesIO()
    np.savez(buffer, **named)
    return buffer.getvalue()


class Superseded(RuntimeError):
    """Another attempt to finish the run has begun, and this one was thought to be gone."""


def begin_attempt(run: str, name: str) -> None:
    """From now on only the attempt of this name may write checkpoints; "" when no attempt is under way."""
    if name:
        storage.write_text(f"{run}/{ATTEMPT}", name)
    else:
        storage.remove(f"{run}/{ATTEMPT}")


def require_attempt(run: str, name: str) -> None:
    """Raises Superseded where another attempt has begun, or the run is finished."""
    try:
        current = storage.read_text(f"{run}/{ATTEMPT}")
    except FileNotFoundError:
        current = ""
    if current != name:
        raise Superseded(f"{run} goes on without this process, which was taken for gone: it writes nothing more")


def write_checkpoint(run: str, checkpoint: Checkpoint, attempt: str = "") -> None:
    """Writes a checkpoint below `run`/checkpoints, points to it, and removes all but it and the KEPT - 1 before it.

    Raises Superseded, with the last checkpoint as it was, unless `attempt` is the one under way.
    """
    position = checkpoint.position
    epoch = len(position.history)
    name = f"epoch-{epoch:04d}" + (f"-step-{position.step:07d}" if position.step else "")
    content = _pack(checkpoint)
    facts = {"name": name, "epoch": epoch, "sha256": storage.sha256(content), **position._asdict()}
    require_attempt(run, attempt)
    storage.write_bytes(f"{run}/checkpoints/{name}/{STATE}", content)
    storage.write_json(f"{run}/checkpoints/{name}/{FACTS}", facts)
    require_attempt(run, attempt)  # once more, as the store may have taken its time
    storage.write_json(f"{run}/checkpoints/{POINTER}", facts)
    names = sorted({path.split("/")[0] for path in storage.files_below(f"{run}/checkpoints")} - {POINTER})
    kept = [other for other in names if other <= name][-KEPT:]  # a later one was never pointed to: its writer died
    for other in set(names) - set(kept):
        storage.remove(f"{run}/checkpoints/{other}")


def require_room(run: str) -> None:
    """Raises StoreError unless the store takes as much again as the run's checkpoints have by now."""
    try:
        size = storage.size(f"{run}/checkpoints")
    except FileNotFoundError:
        return
    try:
        storage.write_bytes(f"{run}/{ROOM}", bytes(size))
    finally:
        storage.remove(f"{run}/{ROOM}")


def _facts(uri: str) -> Facts | None:
    """What is known of a checkpoint; nothing where the file that says it is damaged, None where there is none."""
    try:
        found = json.loads(storage.read_text(uri))
    except FileNotFoundError:
        return None
    except ValueError:
        return {}
    return found if isinstance(found, dict) and "name" in found else {}


def _newest_first(run: str) -> Iterator[Facts]:
    """The facts of the run's checkpoints: of that which is pointed to, then of those before it."""
    pointed = _facts(f"{run}/checkpoints/{POINTER}")
    if pointed is None:
        return
    yield pointed
    names = [path.split("/")[0] for path in storage.files_below(f"{run}/checkpoints") if path.endswith(f"/{FACTS}")]
    for name in sorted(names, reverse=True):
        if not pointed or name < pointed["name"]:
            yield _facts(f"{run}/checkpoints/{name}/{FACTS}") or {}


def _position(facts: Facts) -> Position:
    return Position(**{name: facts[name] for name in Position._fields if name in facts})


def read_position(run: str) -> Position:
    """How far the run's last complete checkpoint is; the beginning where there is none."""
    return _position(next(filter(None, _newest_first(run)), {}))


def latest_epoch(run: str) -> int:
    """How many epochs the run's last complete checkpoint holds."""
    return len(read_position(run).history)


def _unpack(run: str, facts: Facts) -> Checkpoint | None:
    """The checkpoint of these facts; None where its file is gone, or not the one that was written."""
    try:
        content = storage.read_bytes(f"{run}/checkpoints/{facts['name']}/{STATE}") if facts else b""
    except FileNotFoundError:
        return None
    if storage.sha256(content) != facts.get("sha256"):
        return None
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        groups = [
            [arrays[name] for name in sorted(arrays.files) if name.startswith(f"{group}.")]
            for group in ("weights", "optimizer", "best")
        ]
    return Checkpoint(_position(facts), *groups)


def _last_whole(run: str) -> tuple[Checkpoint, Facts, list[str]]:
    """The run's last checkpoint that is as it was written, its facts, and the damaged files that were passed over."""
    damaged: list[str] = []
    for facts in _newest_first(run):
        if found := _unpack(run, facts):
            return found, facts, damaged
        damaged.append(f"{run}/checkpoints/{facts['name']}/{STATE}" if facts else f"{run}/checkpoints/{POINTER}")
    if damaged:
        raise UserError(
            f"{damaged[0]} is damaged, and no checkpoint before it is whole: "
            f"remove {run}/checkpoints to train from the start"
        )
    return NOTHING, {}, []


def read_checkpoint(run: str) -> Checkpoint:
    """The run's last whole checkpoint; NOTHING where it has none yet. Raises UserError where all are damaged."""
    return _last_whole(run)[0]


def settle(run: str, attempt: str = "") -> tuple[Checkpoint, str]:
    """What `read_checkpoint` returns, to which the pointer then points; and what was damaged, in a line for people."""
    found, facts, damaged = _last_whole(run)
    if not damaged:
        return found, ""
    require_attempt(run, attempt)
    storage.write_json(f"{run}/checkpoints/{POINTER}", facts)
    for uri in damaged:  # which the next checkpoint would else keep, as the one before it
        if uri.endswith(STATE):
            storage.remove(uri.removesuffix(f"/{STATE}"))
    return found, f"{', '.join(damaged)} is damaged: training goes on from {found.position}, which was kept before"


def write_array(uri: str, array: np.ndarray) -> None:
    """Writes an array as .npy."""
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    storage.write_bytes(uri, buffer.getvalue())


def read_array(uri: str) -> np.ndarray:
    """The array of an .npy file."""
    return np.load(io.BytesIO(storage.read_bytes(uri)), allow_pickle=False)


def write_history(run: str, history: History) -> None:
    """Writes the run's history.csv, a line an epoch."""
    table = io.StringIO()
    # a run that an older Parley began may have fewer columns in its first epochs
    writer = csv.DictWriter(table, fieldnames=list(history[-1]), restval=0, lineterminator="\n")
    writer.writeheader()
    writer.writerows(history)
    storage.write_text(f"{run}/history.csv", table.getvalue())


def read_history(run: str) -> History:
    """The run's history, a dict an epoch; empty where there is none."""
    try:
        rows = csv.DictReader(io.StringIO(storage.read_text(f"{run}/history.csv")))
    except FileNotFoundError:
        return []
    return [{name: float(value) for name, value in row.items()} for row in rows]
