"""Random numbers that layers draw by themselves, as within a loop: dropout.py has those of all others.

Keras keeps two numbers for each source of them: what it is seeded with, and how often it was asked.
"""

from collections.abc import Sequence

import keras
import numpy as np


def reseed(model: keras.Model, seeds: Sequence[int], draws: Sequence[int] = ()) -> None:
    """Sets the random state of the model's layers, so that a resumed epoch draws as an uninterrupted one did."""
    states = _states(model)
    for (variable, first), count in zip(_seeded(states, seeds), draws or [0] * len(states), strict=True):
        variable.assign((first + np.array([0, count], np.uint32)).astype(variable.dtype))


def count_draws(model: keras.Model, seeds: Sequence[int]) -> list[int]:
    """How often each of the model's layers drew since `reseed`, which is the same on all ranks."""
    return [int((variable.numpy().astype(np.uint32) - first)[1]) for variable, first in _seeded(_states(model), seeds)]


def _seeded(states: Sequence[keras.Variable], seeds: Sequence[int]) -> list[tuple[keras.Variable, np.ndarray]]:
    """With each state what it begins with, of its own: else layers of one shape would drop the same numbers."""
    first = (np.random.SeedSequence([*seeds, place]).generate_state(2) for place in range(len(states)))
    return list(zip(states, first, strict=True))


def _states(model: keras.Model) -> list[keras.Variable]:
    return [variable for variable in model.variables if "seed_generator_state" in variable.path]
