"""What `jobs.compare` tries: the settings of its grid, and each of them as the configuration of one training."""

import dataclasses
import json
import math
import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jobs.config import AppConfig, with_settings
from preprocessing import storage
from preprocessing.errors import UserError
from training.launch import FREE

SECTIONS = ("model", "training")
GIVEN = {  # keys of these that are no matter of the grid
    "training.path": "each trial has a directory of its own in compare.path",
    "training.processes": "all trials have the same, so that their speed compares",
    "training.seed": "compare.seeds says how many seeds there are",
}
MOST = 1000  # trials: a grid grows faster than one thinks
READABLE = 60  # characters of a trial's name


@dataclass(frozen=True)
class Setting:
    """One combination of the grid's values."""

    values: Mapping[str, Any]
    config: AppConfig  # with these values

    @property
    def label(self) -> str:
        """The values for people: `bigru, units 64`."""
        named = {key.partition(".")[2]: value for key, value in self.values.items()}
        return ", ".join(str(value) if key == "architecture" else f"{key} {value}" for key, value in named.items())


@dataclass(frozen=True)
class Trial:
    """One training of a setting."""

    setting: Setting
    seed: int
    epochs: int

    def name(self, fingerprint: str) -> str:
        """The trial's directory: the same for the same settings on the same dataset, another one for any other."""
        training = dataclasses.asdict(self.config("").training)
        kept = {key: value for key, value in training.items() if key not in FREE}
        content = [fingerprint, dataclasses.asdict(self.setting.config.model), kept]
        digest = storage.sha256(json.dumps(content, sort_keys=True).encode())[:10]
        told = re.sub(r"[^A-Za-z0-9._]+", "-", self.setting.label)[-READABLE:].strip("-.")
        return f"{told}-seed-{self.seed}-{digest}"

    def config(self, path: str) -> AppConfig:
        """What the trial is trained with, at `path`."""
        config = self.setting.config
        training = dataclasses.replace(config.training, path=path, seed=self.seed, epochs=self.epochs)
        return dataclasses.replace(config, training=training)


def settings_of(config: AppConfig) -> list[Setting]:
    """The combinations of the grid's values that are to be tried. Raises UserError where the grid is not sound."""
    grid, drawn = config.compare.grid, config.compare.trials
    if not grid:
        raise UserError('compare.grid is empty: say what to try, for example "model.architecture" = ["lstm", "bigru"]')
    for key in grid:
        if key.partition(".")[0] not in SECTIONS:
            raise UserError(f"compare.grid has {key}: only keys of model and training can be tried on one dataset")
        if key in GIVEN:
            raise UserError(f"compare.grid has {key}, but {GIVEN[key]}: take it out of the grid")
        if key in [f"training.{name}" for name in FREE]:
            raise UserError(f"compare.grid has {key}, which does not change the model: take it out of the grid")
    if config.compare.halving and "training.epochs" in grid:
        raise UserError("compare.grid has training.epochs, which compare.halving changes: do without one of the two")
    combinations = math.prod(len(values) for values in grid.values())
    wanted = min(drawn or combinations, combinations)
    if wanted * config.compare.seeds > MOST:
        raise UserError(
            f"compare.grid has {combinations} combinations, with {config.compare.seeds} seeds each more than {MOST} "
            "trials: set compare.trials to how many of them to draw"
        )
    numbers: Sequence[int] = range(combinations)
    if wanted < combinations:
        numbers = sorted(random.Random(config.training.seed).sample(numbers, wanted))
    settings = [_setting(config, _combination(grid, number)) for number in numbers]
    for place, setting in enumerate(settings):
        if setting.config in [other.config for other in settings[:place]]:
            raise UserError(f"compare.grid gives {setting.label} twice: name each value once")
    return settings


def _combination(grid: Mapping[str, Sequence[Any]], number: int) -> dict[str, Any]:
    """The combination of that number; of the last key the next number has the next value."""
    chosen = {}
    for key in reversed(list(grid)):
        number, place = divmod(number, len(grid[key]))
        chosen[key] = grid[key][place]
    return {key: chosen[key] for key in grid}


def _setting(config: AppConfig, values: Mapping[str, Any]) -> Setting:
    try:
        return Setting(values, with_settings(config, values))
    except UserError as error:
        raise UserError(f"compare.grid: {error}") from None


def seeds_of(config: AppConfig) -> range:
    """The seeds that each setting is trained with."""
    return range(config.training.seed, config.training.seed + config.compare.seeds)


def rounds_of(config: AppConfig) -> list[int]:
    """Epochs of the rounds after each of which the better half goes on: halving, twice that, ... below all epochs."""
    epochs, rounds = config.compare.halving, []
    while 0 < epochs < config.training.epochs:
        rounds.append(epochs)
        epochs *= 2
    return rounds
