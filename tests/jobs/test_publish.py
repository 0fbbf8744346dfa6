"""Which models come into use: those that are good enough on the rows of their report, once each, whole."""

import dataclasses
import json
import logging
import math
import subprocess
import sys
import time
from collections.abc import Collection
from pathlib import Path
from typing import Any

import pytest
import tomli_w
from pyspark.sql import SparkSession

from jobs import evaluate, publish
from jobs.config import AppConfig, EvaluationConfig, describe
from preprocessing import storage
from preprocessing.config import CorpusConfig, DatasetConfig
from preprocessing.errors import UserError
from preprocessing.pipeline import build_dataset
from training import registry
from training.artifact import check_model, load_model, model_checksum
from training.config import TrainingConfig
from training.registry import RegistryConfig

pytestmark = [pytest.mark.spark, pytest.mark.tensorflow]

WORDS = [f"q{first}{second}" for first in "abcd" for second in "abcdefghij"]  # each is a test utterance
TRUTH = {word: ("even", "odd")[place % 2] for place, word in enumerate(WORDS)}


def says(wrong: Collection[int] = ()) -> dict[str, str]:
    """What a model says of each word that is wrong at these places."""
    other = {"even": "odd", "odd": "even"}
    return {word: other[TRUTH[word]] if place in wrong else TRUTH[word] for place, word in enumerate(WORDS)}


@pytest.fixture(scope="module")
def dataset(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> DatasetConfig:
    directory = tmp_path_factory.mktemp("words")
    rows = [
        json.dumps({"text": word, "intent": intent, "split": split})
        for split in ("train", "validation", "test")
        for word, intent in TRUTH.items()
    ]
    (directory / "corpus.json").write_text("\n".join(rows))
    config = DatasetConfig(path=str(directory / "dataset"), min_count=1, files_per_split=2)
    build_dataset(spark, CorpusConfig(path=(str(directory / "corpus.json"),), split="split"), config)
    return config


@pytest.fixture
def evaluated(spark: SparkSession, dataset: DatasetConfig, tmp_path: Path, make_model: Any) -> Any:
    """evaluated(run, wrong) makes a model that is wrong at these places, and its report."""

    def make(run: str, wrong: Collection[int] = ()) -> AppConfig:
        make_model(run, says(wrong))
        config = AppConfig(
            dataset=dataset, training=TrainingConfig(path=str(tmp_path / run)),
            evaluation=EvaluationConfig(path=str(tmp_path / run / "report")),
            registry=RegistryConfig(path=str(tmp_path / "registry")),
        )  # fmt: skip
        evaluate.run(spark, config)
        return config

    return make


def refusal(spark: SparkSession, config: AppConfig) -> str:
    with pytest.raises(UserError) as error:
        publish.run(spark, config)
    return str(error.value)


def state(config: AppConfig) -> dict[str, bytes]:
    """Every file of the registry."""
    home = Path(config.registry.path)
    return {str(file.relative_to(home)): file.read_bytes() for file in home.rglob("*") if file.is_file()}


def with_version(config: AppConfig, version: str) -> AppConfig:
    return dataclasses.replace(config, registry=dataclasses.replace(config.registry, version=version))


def first(config: AppConfig, model: str) -> None:
    """Puts a model into the registry as it is."""
    home = config.registry.uri
    registry.make_current(home, registry.add_version(home, model, {"checksum": model_checksum(model)}))


def test_a_run_is_published_once(
    spark: SparkSession, evaluated: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = evaluated("one", wrong=[3])
    assert publish.run(spark, config) == 1
    before = state(config)
    with caplog.at_level(logging.INFO):
        assert publish.run(spark, config) == 1
    assert "already published as version 1" in caplog.text
    assert state(config) == before
    model = registry.resolve("", with_version(config, "current").registry)
    assert check_model(model).manifest["fingerprint"] == "one"
    publication = json.loads(before["intents/versions/1/publication.json"])
    assert publication["metrics"]["accuracy"] == pytest.approx(39 / 40)
    assert publication["checksum"] == model_checksum((tmp_path / "one" / "model").as_uri())


def test_an_intent_below_the_floor_is_refused_by_name(spark: SparkSession, evaluated: Any) -> None:
    config = evaluated("low", wrong=[0, 2, 4])  # even: recall 17/20; odd: precision 20/23
    strict = dataclasses.replace(config.evaluation, minimum_intent_f1=0.925)
    said = refusal(spark, dataclasses.replace(config, evaluation=strict))
    assert said.startswith("not published: F1 of 1 of 2 intents (") and "= 0.925: even 0.92: give them more" in said


@pytest.mark.parametrize(
    ("current", "new", "refused"),
    [
        (range(0), range(4), False),  # p 1/16
        (range(3), range(3, 13), True),  # p 378/8192
    ],
)
def test_a_model_that_is_significantly_worse_is_refused(
    spark: SparkSession, evaluated: Any, make_model: Any, tmp_path: Path, current: range, new: range, refused: bool
) -> None:
    candidate = evaluated("new", new)
    first(candidate, make_model("current", says(current)))
    before = state(candidate)
    models = [load_model((tmp_path / run / "model").as_uri()) for run in ("current", "new")]
    right = [
        [TRUTH[word] == said.intents[0] for word, said in zip(WORDS, model(WORDS), strict=True)] for model in models
    ]
    better = sum(new and not old for old, new in zip(*right, strict=True))
    worse = sum(old and not new for old, new in zip(*right, strict=True))
    p = sum(math.comb(better + worse, k) for k in range(better + 1)) / 2 ** (better + worse)
    assert (p < 0.05) == refused
    if refused:
        report = (tmp_path / "new" / "report").as_uri()
        assert refusal(spark, candidate) == (
            f"not published: significantly worse than the current version 1 on the same 40 rows of {report}: {worse} "
            f"only version 1 has right, {better} only the new model (p {p:.2g} < 0.05): train a better model; "
            "version 1 stays"
        )
        assert state(candidate) == before
    else:
        assert publish.run(spark, candidate) == 2
        publication = json.loads(state(candidate)["intents/versions/2/publication.json"])
        assert publication["compared_with"] == {
            "version": 1, "rows": 40, "only_new_right": better, "only_current_right": worse, "p": pytest.approx(p),
        }  # fmt: skip


def test_too_low_an_accuracy_is_refused(spark: SparkSession, evaluated: Any) -> None:
    config = evaluated("one", range(8))
    for least, refused in ((0.8, False), (0.81, True)):
        asked = dataclasses.replace(
            config, evaluation=dataclasses.replace(config.evaluation, minimum_accuracy=least),
            registry=dataclasses.replace(config.registry, name=f"at-{100 * least:.0f}"),
        )  # fmt: skip
        if refused:
            assert refusal(spark, asked) == (
                f"not published: accuracy 0.8000 over 40 examples ({Path(config.evaluation.path).as_uri()}) is below "
                "evaluation.minimum_accuracy = 0.81: train a better model, or lower it"
            )
        else:
            assert publish.run(spark, asked) == 1
    assert not any(name.startswith("at-81") for name in state(config))


def test_a_report_about_another_model_is_refused(spark: SparkSession, evaluated: Any, make_model: Any) -> None:
    config = evaluated("one")
    make_model("one", says([1, 2]))  # trained again since
    report = Path(config.evaluation.path.removeprefix("file://"))
    report.rename(f"{report}.old-1")  # as a killed evaluate leaves it
    assert refusal(spark, config).endswith("not about " + Path(config.training.path).as_uri() + "/model as it is now: "
                                           "run evaluate again")  # fmt: skip
    elsewhere = dataclasses.replace(config, evaluation=EvaluationConfig(path=config.training.path))
    assert refusal(spark, elsewhere).startswith(f"no report at {Path(config.training.path).as_uri()}: run evaluate")
    nowhere = dataclasses.replace(config, evaluation=EvaluationConfig())
    assert refusal(spark, nowhere).startswith("evaluation.path is empty")
    assert state(config) == {}


def test_a_damaged_model_is_refused(spark: SparkSession, evaluated: Any, tmp_path: Path) -> None:
    config = evaluated("one")
    (tmp_path / "one" / "model" / "labels.txt").write_text("others\n")
    assert "one/model/labels.txt is damaged or missing" in refusal(spark, config)
    assert state(config) == {}


def test_an_earlier_version_becomes_current_again(spark: SparkSession, evaluated: Any, make_model: Any) -> None:
    two = evaluated("two", [2])
    first(two, make_model("one", says([1])))
    assert publish.run(spark, two) == 2
    assert publish.run(spark, with_version(two, "1")) == 1
    assert registry.current_version(two.registry.uri) == 1
    assert [entry["version"] for entry in registry.history(two.registry.uri)] == [1, 2, 1]
    before = state(two)
    assert refusal(spark, two).endswith(  # who rolled back did not want it: a schedule must not undo that
        "/two/model was published as version 2, and version 1 took its place: to return to it, run publish with "
        "--set registry.version=2"
    )
    assert refusal(spark, with_version(two, "9")).startswith("registry.version names version 9, which is not in")
    assert refusal(spark, with_version(two, "current")).startswith("registry.version = 'current' says nothing")
    assert state(two) == before
    assert publish.run(spark, with_version(two, "2")) == 2


def test_a_publisher_that_was_killed_before_the_pointer_is_finished_by_the_next(
    spark: SparkSession, evaluated: Any, tmp_path: Path
) -> None:
    config = evaluated("one")
    model = (tmp_path / "one" / "model").as_uri()
    assert registry.add_version(config.registry.uri, model, {"checksum": model_checksum(model)}) == 1
    assert registry.current_version(config.registry.uri) is None
    assert publish.run(spark, config) == 1
    assert registry.versions(config.registry.uri) == [registry.current_version(config.registry.uri)] == [1]


def test_a_registry_version_is_evaluated_without_its_run(
    spark: SparkSession, dataset: DatasetConfig, make_model: Any, tmp_path: Path
) -> None:
    config = AppConfig(
        dataset=dataset, evaluation=EvaluationConfig(path=str(tmp_path / "report")),
        registry=RegistryConfig(path=str(tmp_path / "registry"), version="current"),
    )  # fmt: skip
    first(config, make_model("one", says([5])))
    assert evaluate.run(spark, config)["accuracy"] == pytest.approx(39 / 40)
    manifest = json.loads((tmp_path / "report" / "manifest.json").read_text())
    assert manifest["model"] == registry.version_uri(config.registry.uri, 1)


def test_two_publishers_at_once_lose_nothing(spark: SparkSession, evaluated: Any, tmp_path: Path) -> None:
    """Two commands: the second one waits for the first, and is judged against its model."""
    configs = [evaluated(run, wrong) for run, wrong in (("one", [1]), ("two", [2]))]
    home, logs, started = configs[0].registry.uri, [tmp_path / "0.log", tmp_path / "1.log"], []
    with storage.lease(home):
        for config, log in zip(configs, logs, strict=True):
            log.with_suffix(".toml").write_text(tomli_w.dumps(describe(config)))
            command = [sys.executable, "-m", "jobs.publish", "--config", str(log.with_suffix(".toml"))]
            started.append(subprocess.Popen(command, stderr=log.open("w"), text=True))
        while not all("waiting for process" in log.read_text() for log in logs):
            assert all(process.poll() is None for process in started), [log.read_text() for log in logs]
            time.sleep(0.1)
    assert [process.wait() for process in started] == [0, 0], [log.read_text() for log in logs]
    assert registry.versions(home) == [1, 2] == [entry["version"] for entry in registry.history(home)]
    publications = [json.loads(state(configs[0])[f"intents/versions/{number}/publication.json"]) for number in (1, 2)]
    assert publications[0]["checksum"] != publications[1]["checksum"]
    assert [publication["compared_with"]["version"] for publication in publications] == [None, 1]
