"""The state of a run after an epoch, on any store: a new directory, checksums, then the pointer to it."""

import csv
import io
import json
from typing import NamedTuple

import numpy as np

from preprocessing import storage
from preprocessing.errors import UserError

History = list[dict[str, float]]
Arrays = list[np.ndarray]

KEPT = 2  # complete checkpoints left on storage
POINTER = "latest.json"
WORD_VECTORS = "word_vectors.npy"  # of the run: what its embedding begins with


class Checkpoint(NamedTuple):
    """What training goes on from after `epoch` finished epochs."""

    epoch: int
    weights: Arrays
    optimizer: Arrays
    best: Arrays  # weights of the epoch with the best validation accuracy
    history: History


def _pack(checkpoint: Checkpoint) -> bytes:
    groups = {"weights": checkpoint.weights, "optimizer": checkpoint.optimizer, "best": checkpoint.best}
    named = {f"{group}.{index:04d}": array for group, arrays in groups.items() for index, array in enumerate(arrays)}
    buffer = io.BytesIO()
    np.savez(buffer, **named)
    return buffer.getvalue()


def write_checkpoint(run: str, checkpoint: Checkpoint) -> None:
    """Writes a checkpoint below `run`/checkpoints, points to it, and removes those before the last KEPT."""
    name = f"epoch-{checkpoint.epoch:04d}"
    content = _pack(checkpoint)
    facts = {"name": name, "epoch": checkpoint.epoch, "sha256": storage.sha256(content), "history": checkpoint.history}
    storage.write_bytes(f"{run}/checkpoints/{name}/state.npz", content)
    storage.write_json(f"{run}/checkpoints/{POINTER}", facts)
    names = sorted({path.split("/")[0] for path in storage.files_below(f"{run}/checkpoints")} - {POINTER})
    for old in names[:-KEPT]:
        storage.remove(f"{run}/checkpoints/{old}")


def finished_epochs(run: str) -> History:
    """The epochs that the run's last complete checkpoint holds, a dict each; empty where there is none."""
    try:
        return list(json.loads(storage.read_text(f"{run}/checkpoints/{POINTER}"))["history"])
    except FileNotFoundError:
        return []


def latest_epoch(run: str) -> int:
    """How many epochs the run's last complete checkpoint holds."""
    return len(finished_epochs(run))


def read_checkpoint(run: str) -> Checkpoint:
    """The run's last complete checkpoint. Raises UserError where its file is not the one that was written."""
    facts = json.loads(storage.read_text(f"{run}/checkpoints/{POINTER}"))
    uri = f"{run}/checkpoints/{facts['name']}/state.npz"
    content = storage.read_bytes(uri)
    if storage.sha256(content) != facts["sha256"]:
        raise UserError(f"{uri} is damaged: remove {run}/checkpoints to train from the start")
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        groups = [
            [arrays[name] for name in sorted(arrays.files) if name.startswith(f"{group}.")]
            for group in ("weights", "optimizer", "best")
        ]
    weights, optimizer, best = groups
    return Checkpoint(facts["epoch"], weights, optimizer, best, facts["history"])


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
    writer = csv.DictWriter(table, fieldnames=list(history[0]), lineterminator="\n")
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
