"""Checkpoints: what is pointed to stays whole, whatever writers that died have left beside it."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from preprocessing.errors import UserError
from training.checkpoint import (
    NOTHING,
    Checkpoint,
    Position,
    Superseded,
    begin_attempt,
    latest_epoch,
    read_checkpoint,
    read_history,
    read_position,
    settle,
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


def gone(path: Path) -> None:
    path.unlink()


def other(path: Path) -> None:
    path.write_bytes(b"other")


@pytest.mark.parametrize(
    "damages", [{"epoch-0002/state.npz": other}, {"epoch-0002/state.npz": gone},
                {"epoch-0002/state.npz": other, "latest.json": other}],
)  # fmt: skip
def test_training_goes_on_from_the_checkpoint_before_a_damaged_one(
    damages: dict[str, Callable[[Path], None]], tmp_path: Path
) -> None:
    run = tmp_path.as_uri()
    begin_attempt(run, "this")
    for epochs, step in ((1, 0), (1, 7), (2, 0)):
        write_checkpoint(run, checkpoint(epochs, step), "this")
    for file, damage in damages.items():
        damage(tmp_path / "checkpoints" / file)
    begin_attempt(run, "another")
    with pytest.raises(Superseded):
        settle(run, "this")
    found, said = settle(run, "another")
    assert found.position == read_position(run) == checkpoint(1, 7).position
    np.testing.assert_array_equal(found.weights[0], np.full((2, 2), 1))
    assert all(f"checkpoints/{file}" in said for file in damages)
    assert said.endswith(" is damaged: training goes on from step 7 of epoch 2, which was kept before")
    assert settle(run, "another")[1] == ""
    write_checkpoint(run, checkpoint(3), "another")
    assert names(run) == {"epoch-0001-step-0000007", "epoch-0003", "latest.json"}, "the damaged one is none of the two"


def test_where_all_are_damaged_nothing_is_begun_anew_by_itself(tmp_path: Path) -> None:
    run = tmp_path.as_uri()
    assert settle(run) == (NOTHING, "")
    for epochs in (1, 2):
        write_checkpoint(run, checkpoint(epochs))
        other(tmp_path / "checkpoints" / f"epoch-{epochs:04d}" / "state.npz")
    with pytest.raises(UserError, match=r"epoch-0002/state.npz is damaged, and no .*: remove .*/checkpoints to train"):
        settle(run)
    other(tmp_path / "checkpoints" / "latest.json")
    with pytest.raises(UserError, match=r"latest.json is damaged"):
        read_checkpoint(run)


def test_what_an_earlier_version_kept_is_read(tmp_path: Path) -> None:
    """Only its pointer has a checksum."""
    run = tmp_path.as_uri()
    for epochs in (1, 2):
        write_checkpoint(run, checkpoint(epochs))
        gone(tmp_path / "checkpoints" / f"epoch-{epochs:04d}" / "facts.json")
    assert settle(run)[0].position == checkpoint(2).position
    other(tmp_path / "checkpoints" / "epoch-0002" / "state.npz")
    with pytest.raises(UserError, match="is damaged"):
        settle(run)
    facts = {"name": "epoch-0001", "epoch": 1, "sha256": "", "history": [ROW]}
    (tmp_path / "checkpoints" / "latest.json").write_text(json.dumps(facts))
    assert read_position(run) == Position([ROW])


def test_a_history_whose_first_epochs_had_fewer_columns_is_written(tmp_path: Path) -> None:
    write_history(tmp_path.as_uri(), [{"epoch": 1, "loss": 2.0}, {"epoch": 2, "loss": 1.0, "later": 3}])
    assert read_history(tmp_path.as_uri()) == [
        {"epoch": 1, "loss": 2.0, "later": 0}, {"epoch": 2, "loss": 1.0, "later": 3},
    ]  # fmt: skip
