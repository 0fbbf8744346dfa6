"""Random numbers that layers draw by themselves, as within a loop: dropout.py has those of all others.

Keras keeps two numbers for each source of them: what it is seeded with, and how often it was asked.
"""

from collections.abc import Sequence

import keras
import numpy as np


def reseed(model: keras.Model, seeds: Sequence[int], draws: Sequence[int] = ()) -> None:
    """Sets the random state of the model's layers, so that a resumed epoch draws as an uninterrupted one did."""
    sources = _sources(model, seeds)
    for (state, first), count in zip(sources, draws or [0] * len(sources), strict=True):
        state.assign((first + np.array([0, count], np.uint32)).astype(state.dtype))


def count_draws(model: keras.Model, seeds: Sequence[int]) -> list[int]:
    """How often each of the model's layers drew since `reseed`, which is the same on all ranks."""
    return [int((state.numpy().astype(np.uint32) - first)[1]) for state, first in _sources(model, seeds)]


def _sources(model: keras.Model, seeds: Sequence[int]) -> list[tuple[keras.Variable, np.ndarray]]:
    """The random states, each with what it begins with, of its own: else layers of one shape would draw the same."""
    states = [variable for variable in model.variables if "seed_generator_state" in variable.path]
    return [
        (state, np.asarray(np.random.SeedSequence([*seeds, place]).generate_state(2)))
        for place, state in enumerate(states)
    ]
