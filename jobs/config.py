"""One configuration for all jobs: a TOML file, then `--set section.key=value`, checked as it is read."""

import dataclasses
import difflib
import re
import tomllib
import typing
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import UnionType
from typing import Any

from preprocessing.config import FORMATS, CorpusConfig, DatasetConfig, GeneratorConfig, WordVectorsConfig, require
from preprocessing.errors import UserError
from preprocessing.hadoop import SECRET
from training.config import ModelConfig, TrainingConfig
from training.registry import RegistryConfig


@dataclass(frozen=True)
class EvaluationConfig:
    """Where the report goes, and what it must show for its model to be published."""

    path: str = ""
    input: tuple[str, ...] = ()  # URIs of a labelled table in place of the test split; its columns as in [corpus]
    minimum_accuracy: float = 0.0
    minimum_intent_f1: float = 0.0  # of every intent that the test split has

    def __post_init__(self) -> None:
        for key in ("minimum_accuracy", "minimum_intent_f1"):
            require(0 <= getattr(self, key) <= 1, f"evaluation.{key}", "between 0 and 1", getattr(self, key))


@dataclass(frozen=True)
class ScoringConfig:
    """The table that `jobs.score` reads, and the one that it writes."""

    input: tuple[str, ...] = ()  # URIs, globs or, with format "table", one table's name
    output: str = ""
    format: str = "parquet"
    text: str = "text"
    keep: tuple[str, ...] = ()  # columns of the input that the output has too; none named: all

    def __post_init__(self) -> None:
        require(self.format in FORMATS, "scoring.format", f"one of {' '.join(FORMATS)}", self.format)
        require(bool(self.text), "scoring.text", "the name of the column with the utterance", self.text)


Grid = Mapping[str, tuple[Any, ...]]


@dataclass(frozen=True)
class CompareConfig:
    """Which trainings `jobs.compare` compares, and where their runs and the comparison go."""

    path: str = ""
    grid: Grid = field(default_factory=dict)  # keys of sections model and training -> the values to try
    seeds: int = 3  # trials of each combination of values, with training.seed and those that follow it
    trials: int = 0  # combinations drawn at random, by training.seed; 0: all
    halving: int = 0  # epochs after which only the better half goes on, again after twice as many, ...; 0: all go on

    def __post_init__(self) -> None:
        require(self.seeds >= 1, "compare.seeds", "at least 1", self.seeds)
        for key in ("trials", "halving"):
            require(getattr(self, key) >= 0, f"compare.{key}", "at least 0", getattr(self, key))


@dataclass(frozen=True)
class TrackingConfig:
    """Where MLflow keeps what was trained and evaluated; without a URI nothing is told to it."""

    uri: str = ""  # of an MLflow server, or what else MLflow takes
    experiment: str = "parley"

    def __post_init__(self) -> None:
        if "@" in self.uri.partition("://")[2].partition("/")[0]:
            raise UserError(
                "tracking.uri has a user's name in it, and this configuration is shown in logs and command lines: take "
                "it out, and set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD in the environment"
            )
        require(bool(self.experiment), "tracking.experiment", "the name of an experiment", self.experiment)


@dataclass(frozen=True)
class SparkConfig:
    """What a SparkSession gets where spark-submit did not say otherwise."""

    conf: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for key in self.conf:
            if re.search(r"[\s\"']", key):  # Spark would take it for somebody else's, and say nothing
                raise UserError(f"{key} is no setting of Spark's: write it without quotes and spaces")
            if re.fullmatch(rf"spark\.hadoop\.({SECRET})", key):
                raise UserError(
                    f"{key} is a secret, and this configuration is shown in logs and command lines: take it out, and "
                    "set it in the environment or in a credential provider (see docs/storage.md)"
                )


@dataclass(frozen=True)
class AppConfig:
    """All sections; a job reads those that it needs."""

    corpus: CorpusConfig = field(default_factory=CorpusConfig)
    dataset: DatasetConfig = field(default_factory=DatasetConfig)
    word_vectors: WordVectorsConfig = field(default_factory=WordVectorsConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    registry: RegistryConfig = field(default_factory=RegistryConfig)
    scoring: ScoringConfig = field(default_factory=ScoringConfig)
    compare: CompareConfig = field(default_factory=CompareConfig)
    tracking: TrackingConfig = field(default_factory=TrackingConfig)
    generator: GeneratorConfig = field(default_factory=GeneratorConfig)
    spark: SparkConfig = field(default_factory=SparkConfig)


SECTIONS = {section.name: section.default_factory for section in dataclasses.fields(AppConfig)}


def load_config(file: str | None, overrides: Iterable[str] = ()) -> AppConfig:
    """The configuration of a file and of `section.key=value` overrides. Raises UserError, naming what is wrong."""
    content = _read(file) if file else {}
    for override in overrides:
        section, key, value = _parse_override(override)
        if isinstance(content.setdefault(section, {}), dict):  # _section refuses anything else
            content[section][key] = value
    return AppConfig(**{name: _section(name, values) for name, values in content.items()})


def _read(file: str) -> dict[str, Any]:
    try:
        return tomllib.loads(Path(file).read_text("utf-8"))
    except OSError as error:
        raise UserError(f"--config {file} cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"--config {file} is not TOML: {error}; correct the file") from None


def with_settings(config: AppConfig, settings: Mapping[str, Any]) -> AppConfig:
    """`config` with other values of some `section.key`s, checked as those of a file are."""
    changed: dict[str, dict[str, Any]] = {}
    for name, value in settings.items():
        section, _, key = name.partition(".")
        changed.setdefault(section, dataclasses.asdict(getattr(config, section)))[key] = value
    return dataclasses.replace(config, **{name: _section(name, values) for name, values in changed.items()})


def _parse_override(override: str) -> tuple[str, str, Any]:
    """(section, key, value); the value in TOML's own notation, or a bare string."""
    name, equals, text = override.partition("=")
    section, dot, key = name.strip().partition(".")
    if not (equals and dot and key):
        raise UserError(f"--set {override}: expected section.key=value, for example --set training.epochs=3")
    try:
        return section, key, tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return section, key, text


def _nearest(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, list(known), 1, cutoff=0.5)
    return f"did you mean '{near[0]}'?" if near else f"known are {', '.join(known)}"


def _section(name: str, values: Any) -> Any:
    """One section as its dataclass."""
    if name not in SECTIONS:
        raise UserError(f"unknown section [{name}]: {_nearest(name, SECTIONS)}")
    if not isinstance(values, dict):
        raise UserError(f"{name} = {values!r}: expected a section [{name}] with keys")
    kind: Any = SECTIONS[name]
    if name == "spark":  # Spark's own names, dots and all, with or without the "spark." that all of them begin with
        return SparkConfig(
            {f"spark.{key.removeprefix('spark.')}": _text(value) for key, value in _flat(values).items()}
        )
    types = typing.get_type_hints(kind)
    for key in values:
        if key not in types:
            raise UserError(f"unknown key {name}.{key}: {_nearest(key, types)}")
    return kind(**{key: _typed(f"{name}.{key}", value, types[key]) for key, value in values.items()})


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested tables as dotted keys: TOML reads spark.sql.x = 1 as tables."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat


def _typed(key: str, value: Any, kind: Any) -> Any:
    """`value` as its field's type. Raises UserError where it has another one."""
    if kind == tuple[str, ...]:
        paths = [value] if isinstance(value, str) else value
        if isinstance(paths, list | tuple) and all(isinstance(path, str) for path in paths):
            return tuple(paths)
        raise UserError(f"{key} must be a string or a list of strings, found {value!r}")
    if kind == Grid:
        return _grid(key, value)
    if typing.get_origin(kind) is Mapping:
        if not isinstance(value, dict):
            raise UserError(f"{key} must be a table of options, found {value!r}")
        if typing.get_args(kind)[1] is str:
            return {name: _text(entry) for name, entry in value.items()}
        if all(isinstance(entry, bool | int | float) for entry in value.values()):
            return value
        raise UserError(f"{key} must be a table of numbers, true and false, found {value!r}")
    assert not isinstance(kind, UnionType), f"{key}: no optional fields"
    if kind is float and type(value) is int:
        return float(value)
    if key == "registry.version" and type(value) is int:  # --set registry.version=3
        return str(value)
    if type(value) is not kind:
        names = {str: "a string", int: "a whole number", float: "a number", bool: "true or false"}
        raise UserError(f"{key} must be {names[kind]}, found {value!r}")
    return value


def _grid(key: str, value: Any) -> dict[str, tuple[Any, ...]]:
    """Dotted keys with the values of each. Raises UserError where they are no lists."""
    if not isinstance(value, dict):
        raise UserError(f"{key} must be a table of dotted keys and lists of values, found {value!r}")
    lists = _flat(value)
    for name, values in lists.items():
        if not isinstance(values, list) or not values:
            raise UserError(f"{key}: {name} must be a list of values to try, found {values!r}")
    return {name: tuple(values) for name, values in lists.items()}


def _text(value: Any) -> str:
    """An option as Spark wants it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def describe(config: AppConfig) -> dict[str, Any]:
    """The resolved configuration, ready to be written as TOML that `load_config` reads back."""
    return {**dataclasses.asdict(config), "spark": dict(config.spark.conf)}
