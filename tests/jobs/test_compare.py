"""A real comparison: two architectures and one that fails, two seeds, gone on with, and its winner trained."""

import dataclasses
import json
import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from pyspark.sql import SparkSession
from sklearn.metrics import accuracy_score

from jobs import compare, generate, preprocess, train
from jobs.config import AppConfig, CompareConfig, load_config
from preprocessing.config import CorpusConfig, DatasetConfig, GeneratorConfig
from preprocessing.errors import ClusterError, UserError
from preprocessing.manifest import read_manifest
from training.config import ModelConfig, TrainingConfig

pytestmark = [
    pytest.mark.spark, pytest.mark.tensorflow, pytest.mark.horovod,
    # Horovod's own thread complains when its Spark job is cancelled
    pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning"),
]  # fmt: skip

FAILING = "tests_compared_model:build"
FAILS = """
def build(config, vocabulary_size, num_labels):
    raise ArithmeticError("no <b>model</b> today")
"""

ENDS = """
import os, signal, time

def build(config, vocabulary_size, num_labels):
    os.kill({driver}, signal.SIGTERM)
    time.sleep(60)
"""


@pytest.fixture(scope="module")
def config(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AppConfig]:
    """Configuration of a comparison on a small generated dataset."""
    base = tmp_path_factory.mktemp("compare")
    with pytest.MonkeyPatch.context() as patch:
        (base / "tests_compared_model.py").write_text(FAILS)
        patch.syspath_prepend(str(base))
        config = AppConfig(
            corpus=CorpusConfig(path=(str(base / "corpus"),), dialog_id="dialog_id", turn="turn", speaker="speaker"),
            dataset=DatasetConfig(path=str(base / "dataset"), files_per_split=2),
            model=ModelConfig(embedding_size=8, units=8),
            training=TrainingConfig(processes=1, epochs=1, batch_size=64, learning_rate=0.01, seed=5),
            compare=CompareConfig(
                path=str(base / "compared"), grid={"model.architecture": ("fasttext", "lstm", FAILING)}, seeds=2
            ),
            generator=GeneratorConfig(rows=2_000),
        )
        generate.run(spark, config)
        preprocess.run(spark, config)
        compare.run(spark, config)
        yield config


def comparison_of(config: AppConfig) -> dict:
    return json.loads((Path(config.compare.path) / "comparison.json").read_text())


def test_figures_are_those_of_the_predictions(config: AppConfig, spark: SparkSession) -> None:
    comparison, manifest = comparison_of(config), read_manifest(config.dataset.path)
    assert {row["setting"] for row in comparison["settings"]} == {"fasttext", "lstm"}
    for row in comparison["settings"]:
        assert [trial["seed"] for trial in row["trials"]] == [5, 6]
        for trial in row["trials"]:
            rows = spark.read.parquet(f"{config.compare.path}/scores/{trial['name']}/rows").toPandas()
            for split in ("validation", "test"):
                part = rows[rows.split == split]
                assert len(part) == len(part[["file", "row"]].drop_duplicates()) == manifest.rows(split)
                expected = accuracy_score(part.intent, part.predicted)
                assert trial[f"{split}_accuracy"] == pytest.approx(expected, abs=1e-9)
            run = json.loads((Path(config.compare.path) / "trials" / trial["name"] / "manifest.json").read_text())
            assert trial["validation_accuracy"] == pytest.approx(run["best"]["validation_accuracy"], abs=2e-3)
            assert min(trial[name] for name in ("milliseconds", "megabytes", "process_seconds")) > 0
    best, other = comparison["settings"]
    assert (
        best["accuracy"]
        >= other["accuracy"]
        == pytest.approx(sum(trial["validation_accuracy"] for trial in other["trials"]) / 2)
    )


def test_rows_are_paired_by_their_place(config: AppConfig, spark: SparkSession) -> None:
    best, other = comparison_of(config)["settings"]
    shares = []
    for row in (best, other):
        names = [f"{config.compare.path}/scores/{trial['name']}/rows" for trial in row["trials"]]
        rows = spark.read.parquet(*names).where("split = 'validation'").toPandas()
        shares.append(rows.groupby(["file", "row"]).right.mean())
    test = other["against_best"]
    assert test["only_best_right"] == (shares[0] > shares[1]).sum()
    assert test["only_this_right"] == (shares[0] < shares[1]).sum()
    assert test["only_best_right"] + test["only_this_right"] > 0


def test_a_trial_that_fails_is_told_and_the_others_go_on(config: AppConfig) -> None:
    failed = comparison_of(config)["failed"]
    assert [(trial["setting"], trial["seed"]) for trial in failed] == [(FAILING, 5), (FAILING, 6)]
    assert all(trial["reason"].endswith("ArithmeticError: no <b>model</b> today") for trial in failed)
    page = (Path(config.compare.path) / "comparison.html").read_text()
    assert "no &lt;b&gt;model&lt;/b&gt; today" in page and "<b>model" not in page


def test_the_same_command_again_trains_nothing_twice(
    config: AppConfig, spark: SparkSession, caplog: pytest.LogCaptureFixture
) -> None:
    """Also where it was killed before a trial had its figures; what failed is tried once more."""
    before = comparison_of(config)
    name = before["settings"][1]["trials"][1]["name"]
    (Path(config.compare.path) / "scores" / name / "manifest.json").unlink()
    runs = {file: file.stat().st_mtime_ns for file in Path(config.compare.path, "trials").rglob("*.keras")}
    with caplog.at_level(logging.INFO):
        after = compare.run(spark, config)
    assert caplog.text.count("already trained with these settings") == len(runs) == 4
    assert {file: file.stat().st_mtime_ns for file in runs} == runs
    assert after["failed"] == before["failed"] and [row["accuracy"] for row in after["settings"]] == [
        row["accuracy"] for row in before["settings"]
    ]


def test_the_winner_is_a_configuration_to_train(
    config: AppConfig, spark: SparkSession, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    winner = load_config(f"{config.compare.path}/winner.toml")
    best = comparison_of(config)["settings"][0]
    assert winner.model.architecture == best["setting"] and winner.compare == CompareConfig()
    with caplog.at_level(logging.INFO):
        done = train.run(spark, winner)
    assert "already trained with these settings" in caplog.text
    assert done["best"]["validation_accuracy"] == pytest.approx(
        max(trial["validation_accuracy"] for trial in best["trials"]), abs=2e-3
    )
    anew = dataclasses.replace(winner, training=dataclasses.replace(winner.training, path=str(tmp_path / "run")))
    assert train.run(spark, anew)["best"]["validation_accuracy"] == done["best"]["validation_accuracy"]


def test_only_the_better_half_goes_on(config: AppConfig, spark: SparkSession, tmp_path: Path) -> None:
    halved = dataclasses.replace(
        config,
        model=dataclasses.replace(config.model, architecture="fasttext"),
        training=dataclasses.replace(config.training, epochs=2, batch_size=16),
        compare=CompareConfig(
            path=str(tmp_path / "halved"), grid={"training.learning_rate": (1e-6, 0.05)}, seeds=1, halving=1
        ),
    )
    comparison = compare.run(spark, halved)
    assert [row["setting"] for row in comparison["settings"]] == ["learning_rate 0.05"]
    assert [(row["setting"], row["epochs"]) for row in comparison["stopped"]] == [("learning_rate 1e-06", 1)]
    assert [trial["epochs"] for trial in comparison["settings"][0]["trials"]] == [2]


def test_all_trials_failed_is_a_failure(config: AppConfig, spark: SparkSession, tmp_path: Path) -> None:
    hopeless = CompareConfig(path=str(tmp_path / "hopeless"), grid={"model.architecture": (FAILING,)}, seeds=1)
    with pytest.raises(RuntimeError, match=r"all 1 trials failed: rank 0 .*ArithmeticError: no <b>model</b> today"):
        compare.run(spark, dataclasses.replace(config, compare=hopeless))
    assert not (tmp_path / "hopeless" / "comparison.json").exists()


def test_told_to_end_it_does_not_go_on_with_the_next_trial(
    config: AppConfig, spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tests_ended_model.py").write_text(ENDS.format(driver=os.getpid()))
    monkeypatch.syspath_prepend(str(tmp_path))
    ended = CompareConfig(
        path=str(tmp_path / "ended"), grid={"model.architecture": ("tests_ended_model:build", "fasttext")}, seeds=1
    )
    with pytest.raises(ClusterError, match=r"^told to end by SIGTERM; interrupted: before the first epoch was done"):
        compare.run(spark, dataclasses.replace(config, compare=ended))
    assert len([*(tmp_path / "ended" / "trials").glob("*/config.toml")]) == 1


def test_what_cannot_be_built_is_refused_before_anything_starts(
    config: AppConfig, spark: SparkSession, tmp_path: Path
) -> None:
    for grid, message in (
        ({"model.architecture": ("lstm", "nowhere:build")}, "'nowhere:build' cannot be imported"),
        ({"model.units": (8, 0)}, "compare.grid: model.units must be at least 1, found 0"),
    ):
        wrong = CompareConfig(path=str(tmp_path / "wrong"), grid=grid)
        with pytest.raises(UserError, match=message):
            compare.run(spark, dataclasses.replace(config, compare=wrong))
    assert not (tmp_path / "wrong").exists()
