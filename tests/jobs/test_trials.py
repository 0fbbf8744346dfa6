"""A grid of values becomes trials: each combination once, checked before anything starts, named for good."""

import dataclasses
import tomllib
from typing import Any

import pytest
import tomli_w

from jobs.compare import plan
from jobs.config import AppConfig, CompareConfig, describe, load_config
from jobs.trials import MOST, Trial, rounds_of, seeds_of, settings_of
from preprocessing.errors import UserError
from training.config import TrainingConfig

GRID = {"model.architecture": ("lstm", "bigru"), "training.learning_rate": (0.01, 1), "model.units": (8, 16, 32)}


def config_of(grid: dict[str, tuple[Any, ...]], **compare: Any) -> AppConfig:
    return AppConfig(training=TrainingConfig(seed=7, epochs=10), compare=CompareConfig(grid=grid, **compare))


def test_every_combination_once_the_last_key_first() -> None:
    settings = settings_of(config_of(GRID))
    assert len(settings) == 12
    assert [setting.label for setting in settings[:4]] == [
        "lstm, learning_rate 0.01, units 8", "lstm, learning_rate 0.01, units 16", "lstm, learning_rate 0.01, units 32",
        "lstm, learning_rate 1, units 8",
    ]  # fmt: skip
    assert len({str(setting.config) for setting in settings}) == 12
    assert settings[-1].config.model.units == 32 and settings[-1].config.training.learning_rate == 1.0
    assert all(setting.config.training.epochs == 10 for setting in settings)  # what the grid does not say stays


def test_values_are_checked_together() -> None:
    (setting,) = settings_of(config_of({"model.word_vectors_frozen": (True,), "model.word_vectors": ("file:///v",)}))
    assert (
        setting.config.model.word_vectors_frozen and setting.label == "word_vectors_frozen True, word_vectors file:///v"
    )


def test_a_draw_takes_different_ones_and_the_same_each_time() -> None:
    drawn = [setting.label for setting in settings_of(config_of(GRID, trials=9))]
    assert len(set(drawn)) == 9 and set(drawn) < {setting.label for setting in settings_of(config_of(GRID))}
    assert drawn == [setting.label for setting in settings_of(config_of(GRID, trials=9))]
    assert len(settings_of(config_of(GRID, trials=99))) == 12


def test_a_draw_from_a_grid_too_large_to_list() -> None:
    large = {f"model.{key}": tuple(range(1, 2000)) for key in ("units", "embedding_size", "layers")}
    assert len(settings_of(config_of(large, trials=3))) == 3


@pytest.mark.parametrize(
    ("grid", "message"),
    [
        ({}, "compare.grid is empty"),
        ({"dataset.max_tokens": (8,)}, "compare.grid has dataset.max_tokens: only keys of model and training"),
        ({"training.path": ("a",)}, "compare.grid has training.path, but each trial has a directory"),
        ({"training.processes": (1, 2)}, "compare.grid has training.processes, but all trials have the same"),
        ({"training.seed": (1, 2)}, "compare.grid has training.seed, but compare.seeds says"),
        ({"training.max_restarts": (1, 2)}, "compare.grid has training.max_restarts, which does not change the model"),
        ({"model.unit": (1, 2)}, "compare.grid: unknown key model.unit: did you mean 'units'"),
        ({"model": (1, 2)}, "compare.grid: unknown key model."),
        ({"model.units": (1, "2")}, "compare.grid: model.units must be a whole number, found '2'"),
        ({"model.architecture": ("lstm", "gru")}, "compare.grid: model.architecture must be one of"),
        ({"training.learning_rate": (1, 1.0)}, "compare.grid gives learning_rate 1.0 twice"),
        ({"model.units": tuple(range(1, MOST))}, f"more than {MOST} trials: set compare.trials"),
    ],
)
def test_a_grid_that_is_not_sound_is_refused_by_name(grid: dict[str, tuple[Any, ...]], message: str) -> None:
    with pytest.raises(UserError) as error:
        plan(config_of(grid))
    assert str(error.value).startswith(message) or message in str(error.value)


def test_a_name_tells_trials_apart_and_stays() -> None:
    one, other = settings_of(config_of({"model.architecture": ("lstm", "my.nets:한글/../x")}))
    trial = Trial(one, 7, 10)
    assert trial.name("a") == Trial(one, 7, 10).name("a")
    elsewhere = dataclasses.replace(one.config.training, path="elsewhere", processes=5)
    moved = dataclasses.replace(one, config=dataclasses.replace(one.config, training=elsewhere))
    assert Trial(moved, 7, 10).name("a") == trial.name("a")  # neither decides the weights
    larger = dataclasses.replace(one.config.training, batch_size=5)
    changed = dataclasses.replace(one, config=dataclasses.replace(one.config, training=larger))
    names = {trial.name("a"), trial.name("b"), Trial(one, 8, 10).name("a"), Trial(one, 7, 5).name("a"),
             Trial(other, 7, 10).name("a"), Trial(changed, 7, 10).name("a")}  # fmt: skip
    assert len(names) == 6 and trial.name("a").startswith("lstm-seed-7-")
    assert not any(set(name) & set("/:한") for name in names)


def test_a_trial_is_trained_with_its_seed_and_epochs() -> None:
    config = config_of({"model.units": (8,)}, seeds=2)
    assert list(seeds_of(config)) == [7, 8]
    training = Trial(settings_of(config)[0], 8, 5).config("hdfs:///x").training
    assert (training.path, training.seed, training.epochs) == ("hdfs:///x", 8, 5)


def test_a_grid_has_dotted_keys_quoted_or_not() -> None:
    grid = {"model.architecture": ("lstm", "bigru"), "training.epochs": (1,)}
    for given in ("{model.architecture=['lstm', 'bigru'], 'training.epochs'=[1]}",
                  "{'model.architecture'=['lstm', 'bigru'], training={epochs=[1]}}"):  # fmt: skip
        config = load_config(None, [f"compare.grid={given}"])
        assert config.compare == CompareConfig(grid=grid)
        assert tomllib.loads(tomli_w.dumps(describe(config)))["compare"]["grid"] == {
            key: list(values) for key, values in grid.items()
        }


@pytest.mark.parametrize("override", ["seeds=0", "trials=-1", "halving=-1", "grid=lstm"])
def test_a_value_out_of_range_is_named(override: str) -> None:
    with pytest.raises(UserError, match=rf"^compare.{override.partition('=')[0]} must be "):
        load_config(None, [f"compare.{override}"])


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("[1]", "compare.grid must be a table of dotted keys and lists of values, found [1]"),
        ("{model.units=8}", "compare.grid: model.units must be a list of values to try, found 8"),
        ("{'model.units'=[]}", "compare.grid: model.units must be a list of values to try, found []"),
    ],
)
def test_a_grid_is_a_table_of_lists(value: str, message: str) -> None:
    with pytest.raises(UserError) as error:
        load_config(None, [f"compare.grid={value}"])
    assert str(error.value) == message


@pytest.mark.parametrize(("halving", "rounds"), [(0, []), (1, [1, 2, 4, 8]), (3, [3, 6]), (5, [5]), (10, [])])
def test_rounds_double_below_all_epochs(halving: int, rounds: list[int]) -> None:
    assert rounds_of(config_of(GRID, halving=halving)) == rounds


def test_halving_and_epochs_in_the_grid_exclude_each_other() -> None:
    with pytest.raises(UserError, match=r"compare.grid has training.epochs, which compare.halving changes"):
        settings_of(config_of({"training.epochs": (1, 2)}, halving=1))
