"""Checkpoints: what is pointed to stays whole, whatever writers that died have left beside it."""

import json
from pathlib import Path

import numpy as np
import pytest

from preprocessing.errors import UserError
from training.checkpoint import (
    Checkpoint,
    Position,
    Superseded,
    begin_attempt,
    latest_epoch,
    read_checkpoint,
    read_history,
    read_position,
    write_checkpoint,
    write_history,
)

ROW = {"epoch": 1, "validation_accuracy": 0.5}


def checkpoint(epochs: int, step: int = 0) -> Checkpoint:
    position = Position([ROW] * epochs, step, [2.5, 1.0, 3.0], 0.25, [7, 8])
    return Checkpoint(position, [np.full((2, 2), epochs), np.arange(3)], [np.float32(step)], [])


def names(run: str) -> set[str]:
    return {path.name for path in (Path(run.removeprefix("file://")) / "checkpoints").iterdir()}


def test_what_is_written_reads_back(tmp_path: Path) -> None:
    run = tmp_path.as_uri()
    assert read_position(run) == Position()
    write_checkpoint(run, checkpoint(1, 20))
    read = read_checkpoint(run)
    assert read.position == read_position(run) == checkpoint(1, 20).position
    assert str(read.position) == "step 20 of epoch 2"
    np.testing.assert_array_equal(read.weights[0], np.full((2, 2), 1))
    assert (len(read.weights), len(read.optimizer), len(read.best), latest_epoch(run)) == (2, 1, 0, 1)


def test_the_last_two_are_kept(tmp_path: Path) -> None:
    for epochs, step in ((0, 5), (0, 10), (1, 0), (1, 5)):
        write_checkpoint(tmp_path.as_uri(), checkpoint(epochs, step))
    assert names(tmp_path.as_uri()) == {"epoch-0001", "epoch-0001-step-0000005", "latest.json"}


def test_an_upload_that_was_killed_is_as_if_it_had_not_been(tmp_path: Path) -> None:
    """Its files are there, and newer, but nothing points to them."""
    run = tmp_path.as_uri()
    write_checkpoint(run, checkpoint(1))
    for name in ("epoch-0001-step-0000009", "epoch-0002", "epoch-0002-step-0000003"):
        (tmp_path / "checkpoints" / name).mkdir()
        (tmp_path / "checkpoints" / name / "state.npz").write_bytes(b"half of")
    assert read_checkpoint(run).position == checkpoint(1).position
    write_checkpoint(run, checkpoint(1, 7))
    assert names(run) == {"epoch-0001", "epoch-0001-step-0000007", "latest.json"}
    write_checkpoint(run, checkpoint(2))
    assert read_checkpoint(run).position == checkpoint(2).position


def test_an_attempt_that_was_taken_for_gone_writes_nothing_any_more(tmp_path: Path) -> None:
    """Its machine was out of reach for a while, but not the store."""
    run = tmp_path.as_uri()
    begin_attempt(run, "first")
    write_checkpoint(run, checkpoint(1), "first")
    for current in ("second", ""):  # another attempt, or none, as the run is finished
        begin_attempt(run, current)
        with pytest.raises(Superseded, match="goes on without this process"):
            write_checkpoint(run, checkpoint(2), "first")
        assert names(run) == {"epoch-0001", "latest.json"} and read_position(run) == checkpoint(1).position
    begin_attempt(run, "third")
    write_checkpoint(run, checkpoint(2), "third")
    assert read_position(run) == checkpoint(2).position


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    write_checkpoint(tmp_path.as_uri(), checkpoint(1))
    (tmp_path / "checkpoints" / "epoch-0001" / "state.npz").write_bytes(b"other")
    with pytest.raises(UserError, match=r"epoch-0001/state.npz is damaged: remove .*/checkpoints to train from the"):
        read_checkpoint(tmp_path.as_uri())


def test_a_pointer_of_an_earlier_version_is_read(tmp_path: Path) -> None:
    (tmp_path / "checkpoints").mkdir()
    facts = {"name": "epoch-0001", "epoch": 1, "sha256": "", "history": [ROW]}
    (tmp_path / "checkpoints" / "latest.json").write_text(json.dumps(facts))
    assert read_position(tmp_path.as_uri()) == Position([ROW])


def test_a_history_whose_first_epochs_had_fewer_columns_is_written(tmp_path: Path) -> None:
    write_history(tmp_path.as_uri(), [{"epoch": 1, "loss": 2.0}, {"epoch": 2, "loss": 1.0, "later": 3}])
    assert read_history(tmp_path.as_uri()) == [
        {"epoch": 1, "loss": 2.0, "later": 0}, {"epoch": 2, "loss": 1.0, "later": 3},
    ]  # fmt: skip
