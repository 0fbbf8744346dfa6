"""Augmentation of training examples: words forgotten, neighbours swapped.

What happens to a token is drawn from (seed, epoch, bucket, row, place) by a hash and not from a stream of random
numbers, so that an example looks the same in an epoch whichever rank and batch it comes in.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from preprocessing.manifest import DataFile
from preprocessing.vocabulary import PAD, SPECIAL, UNKNOWN

Words = npt.NDArray[np.uint64]
DROPOUT, SWAP, PARITY = 1, 2, 3  # what is drawn


def mixed(numbers: Words) -> Words:
    """Each number as another one, all bits of which depend on all of its own (the finaliser of SplitMix64)."""
    numbers = (numbers ^ (numbers >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    numbers = (numbers ^ (numbers >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return numbers ^ (numbers >> np.uint64(31))


def draw(seeds: Sequence[int], rows: npt.NDArray[np.int64], places: int) -> npt.NDArray[np.float64]:
    """Uniform numbers [B, T], from 0 to below 1, for each row's number and each place."""
    state = np.zeros(1, np.uint64)
    for seed in seeds:
        state = mixed(state + np.uint64(seed) + np.uint64(0x9E3779B97F4A7C15))
    state = mixed(state + rows.astype(np.uint64) + np.uint64(1))[:, None]
    state = mixed(state + np.arange(1, places + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15))
    return (state >> np.uint64(11)) * 2.0**-53


def row_numbers(files: Sequence[DataFile], mine: Sequence[int], bucket: int) -> npt.NDArray[np.int64]:
    """The number in the whole bucket of each row that a rank holds, its files one after the other."""
    counts = [file.rows_per_bucket[bucket] for file in files]
    before = np.cumsum([0, *counts])
    held = [np.arange(before[file], before[file] + counts[file]) for file in mine]
    return np.concatenate([np.empty(0, np.int64), *held])


def augment(
    ids: npt.NDArray[np.int32], rows: npt.NDArray[np.int64], seeds: Sequence[int], word_dropout: float,
    word_swap: float, marks: Sequence[int] = (),
) -> npt.NDArray[np.int32]:  # fmt: skip
    """ids [B, T] of the examples numbered `rows` [B]: a share of the tokens unknown, a share where a neighbour stood.

    Padding and `marks`, the ids that say who speaks, stay where they are, and the number of tokens what it was.
    """
    if word_swap:
        ids = swapped(ids, rows, seeds, word_swap, marks)
    if word_dropout:
        dropped = (draw([*seeds, DROPOUT], rows, ids.shape[1]) < word_dropout) & (ids >= len(SPECIAL))
        if marks:
            dropped &= ~np.isin(ids, marks)
        ids = np.where(dropped, np.int32(UNKNOWN), ids)
    return ids


def swapped(
    ids: npt.NDArray[np.int32], rows: npt.NDArray[np.int64], seeds: Sequence[int], share: float,
    marks: Sequence[int] = (),
) -> npt.NDArray[np.int32]:  # fmt: skip
    """Pairs of neighbours in each other's place, no mark among them; they begin at even places or at odd ones."""
    width = ids.shape[1]
    odd = draw([*seeds, PARITY], rows, 1) < 0.5
    first = (np.arange(width) % 2 == odd) & (draw([*seeds, SWAP], rows, width) < share)
    first[:, -1:] = False
    fixed = np.isin(ids, [PAD, *marks])
    first[:, :-1] &= ~(fixed[:, :-1] | fixed[:, 1:])
    second = np.zeros_like(first)
    second[:, 1:] = first[:, :-1]
    places = np.arange(width) + first - second
    return np.take_along_axis(ids, places, axis=1)
