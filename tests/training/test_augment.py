"""Augmented examples: what changes, how much of it, and that no rank or batch has a say in it."""

import numpy as np
import pytest

from preprocessing.manifest import DataFile
from preprocessing.vocabulary import MARKS, SPECIAL, ids_of_marks
from training.augment import augment, draw, row_numbers, swapped
from training.schedule import RankSchedule, epoch_steps

FILES = tuple(DataFile(f"{number}.parquet", (rows, 3 * rows)) for number, rows in enumerate((5, 0, 7, 4, 6)))
SENTENCE = np.tile(np.array([[2, 3, 4, 5, 6, 7, 0, 0]], np.int32), (20_000, 1))
ROWS = np.arange(20_000)


def test_a_share_of_the_words_is_forgotten_and_padding_is_not() -> None:
    found = augment(SENTENCE, ROWS, [1, 0, 0], 0.1, 0.0)
    assert (found[:, 6:] == 0).all() and set(np.unique(found)) == {0, 1, 2, 3, 4, 5, 6, 7}
    assert (found == 1).mean(axis=0)[:6] == pytest.approx(np.full(6, 0.1), abs=0.01)
    assert ((found == SENTENCE) | (found == 1)).all()


def test_a_share_of_the_words_changes_places_with_a_neighbour() -> None:
    found = augment(SENTENCE, ROWS, [1, 0, 0], 0.0, 0.2)
    assert (np.sort(found[:, :6], axis=1) == SENTENCE[:, :6]).all() and (found[:, 6:] == 0).all()
    moved = found[:, :6] != SENTENCE[:, :6]
    assert np.abs(found - SENTENCE).max() == 1  # no further than that
    assert moved.mean(axis=0)[1:5] == pytest.approx(np.full(4, 0.2), abs=0.01)
    assert moved.mean(axis=0)[[0, 5]] == pytest.approx(np.full(2, 0.1), abs=0.01)  # they have one neighbour


@pytest.mark.parametrize("words", [[*MARKS, "a", "b", "c"], ["a", *MARKS[::-1], "b", "c"]])
def test_marks_of_the_speakers_stay_where_they_are(words: list[str]) -> None:
    """Wherever in the vocabulary they are; the words around them are forgotten and swapped as often as any."""
    vocabulary = [*SPECIAL, *words]
    marks = ids_of_marks(vocabulary)
    said = ["<user>", "a", "b", "c", "<agent>", "b", "<user>", "c", "a", "<pad>"]
    ids = np.array([[vocabulary.index(word) for word in said]], np.int32)
    found = augment(np.repeat(ids, 20_000, axis=0), ROWS, [1, 0, 0], 0.2, 0.3, marks)
    marked = np.isin(ids[0], marks)
    assert (
        marked.sum() == 3 and (found[:, marked] == ids[:, marked]).all() and not np.isin(found[:, ~marked], marks).any()
    )
    assert (found[:, [1, 2, 3, 5, 7, 8]] == 1).mean() == pytest.approx(0.2, abs=0.01)
    assert (found[:, 2] != ids[:, 2]).mean() == pytest.approx(0.2 + 0.8 * 0.3, abs=0.01)
    assert (found[:, 5] != ids[:, 5]).mean() == pytest.approx(0.2, abs=0.01)  # between two marks


@pytest.mark.parametrize("width", [0, 1, 2])
def test_short_texts_and_no_texts(width: int) -> None:
    ids = np.arange(2, 2 + 3 * width, dtype=np.int32).reshape(3, width)
    assert (np.sort(swapped(ids, np.arange(3), [1], 0.99)) == ids).all()
    assert augment(ids[:0], np.arange(0), [1], 0.5, 0.5).shape == (0, width)


def test_without_augmentation_nothing_is_touched() -> None:
    assert augment(SENTENCE, ROWS, [1, 0, 0], 0.0, 0.0) is SENTENCE


def test_other_seeds_rows_places_and_epochs_draw_other_numbers() -> None:
    drawn = [draw([1, 0], ROWS, 4), draw([2, 0], ROWS, 4), draw([1, 1], ROWS, 4), draw([0, 1], ROWS, 4)]
    columns = np.concatenate([numbers.T for numbers in drawn])
    assert np.abs(np.corrcoef(columns) - np.eye(16)).max() < 0.04
    assert np.mean(columns, axis=1) == pytest.approx(np.full(16, 0.5), abs=0.01)
    assert len(np.unique(columns)) == columns.size


@pytest.mark.parametrize("processes", [2, 4, 5])
@pytest.mark.parametrize("marks", [(), (34, 105)])
def test_any_number_of_processes_trains_on_the_same_examples(processes: int, marks: tuple[int, ...]) -> None:
    """Step by step, the examples of all ranks together."""

    def steps(size: int) -> list[list[list[int]]]:
        schedules = [RankSchedule(FILES, rank, size, 1) for rank in range(size)]
        found = []
        for step in epoch_steps(FILES, 6, 1, 2):
            examples = []
            for schedule in schedules:
                numbers = row_numbers(FILES, schedule.mine, step.bucket)[schedule.rows_of(step, schedule.epoch_rows(2))]
                ids = (numbers[:, None] * 10 + np.arange(2, 8)).astype(np.int32)
                examples += augment(ids, numbers, [1, 2, step.bucket], 0.2, 0.3, marks).tolist()
            found.append(sorted(examples))
        return found

    one = steps(1)
    assert steps(processes) == one
    assert any(1 in example for step in one for example in step)
    for mark in marks:  # one a bucket has, and where it was
        assert [example.index(mark) for step in one for example in step if mark in example] == [mark % 10 - 2] * 2


def test_rows_are_numbered_over_all_files() -> None:
    held = [row_numbers(FILES, mine, 1).tolist() for mine in ([0, 2, 4], [1, 3], [])]
    assert held == [[*range(15), *range(15, 36), *range(48, 66)], [*range(36, 48)], []]
