"""dataset + a grid of settings -> comparison: each trained with several seeds, the best one ready to be published."""

import logging
import math
import re
import sys
import time
from dataclasses import dataclass, field
from typing import Any

import tomli_w
from pyspark.sql import SparkSession

from jobs import train
from jobs.cli import run_job
from jobs.comparison_page import render_comparison
from jobs.config import AppConfig, describe
from jobs.figures import discordant, figures_of
from jobs.ranking import against_best, in_order, summarise
from jobs.trials import Setting, Trial, rounds_of, seeds_of, settings_of
from preprocessing import storage
from preprocessing.errors import ClusterError, UserError
from preprocessing.hadoop import SPARK_DEFAULTS, hadoop_configuration
from preprocessing.manifest import DatasetManifest, read_manifest
from training.failures import explain
from training.launch import check_files, check_model

log = logging.getLogger(__name__)

SECRET = re.compile(SPARK_DEFAULTS["spark.redaction.regex"])  # what Spark, too, would not show


@dataclass
class Contest:
    """A comparison under way: where it is, and which trials did not come to the end of it."""

    spark: SparkSession
    config: AppConfig
    path: str
    dataset: str
    manifest: DatasetManifest
    failed: list[dict[str, Any]] = field(default_factory=list)
    stopped: list[dict[str, Any]] = field(default_factory=list)

    def attempt(self, trial: Trial) -> dict[str, Any] | None:
        """The trial's figures, trained unless it is already; None, and a line in `failed`, where that fails."""
        name = trial.name(self.manifest.fingerprint)
        about = {"setting": trial.setting.label, "seed": trial.seed, "epochs": trial.epochs}
        log.info("trial %s, seed %d, epochs %d", trial.setting.label, trial.seed, trial.epochs)
        try:
            train.run(self.spark, trial.config(f"{self.path}/trials/{name}"))
            scores = f"{self.path}/scores/{name}"
            found = figures_of(self.spark, f"{self.path}/trials/{name}", scores, self.dataset, self.manifest)
        except (UserError, ClusterError):  # true of all the trials that would follow
            raise
        except Exception as error:
            reason = explain(error)
            log.warning("trial %s, seed %d failed: %s", trial.setting.label, trial.seed, reason)
            self.failed.append({**about, "values": dict(trial.setting.values), "reason": reason})
            return None
        return {"name": name, "seed": trial.seed, **found}

    def better_half(self, settings: list[Setting], epochs: int) -> list[Setting]:
        """Those settings that are ahead after so many epochs of the first seed."""
        seed = seeds_of(self.config)[0]
        tried = [(setting, self.attempt(Trial(setting, seed, epochs))) for setting in settings]
        alive = [(figures["validation_accuracy"], setting) for setting, figures in tried if figures]
        alive.sort(key=lambda entry: -entry[0])  # of equals the first in the grid
        half = math.ceil(len(alive) / 2)
        for accuracy, setting in alive[half:]:
            self.stopped.append({"setting": setting.label, "epochs": epochs, "accuracy": accuracy})
        return [setting for _, setting in alive[:half]]

    def scores_of(self, row: dict[str, Any]) -> list[str]:
        """URIs of the predictions of a line of the comparison."""
        return [f"{self.path}/scores/{trial['name']}" for trial in row["trials"]]


def plan(config: AppConfig) -> str:
    """What the job would read and write."""
    settings, rounds = settings_of(config), rounds_of(config)
    labels = "; ".join(setting.label for setting in settings)
    early = f"keep the better half after {', '.join(map(str, rounds))} epochs, then " if rounds else ""
    return (
        f"{early}train {len(settings)} settings on {config.dataset.path} with {config.compare.seeds} seeds each, one "
        f"after another with {config.training.processes} processes: {labels}; "
        f"write runs, comparison.html and winner.toml to {config.compare.path}"
    )


def run(spark: SparkSession, config: AppConfig) -> dict[str, Any]:
    """A grid of settings to the best of them."""
    if not config.compare.path:
        raise UserError("compare.path is empty: say where the comparison goes, with --set compare.path=URI")
    storage.use_hadoop_configuration(hadoop_configuration(spark))
    path, dataset = storage.absolute(config.compare.path), storage.absolute(config.dataset.path)
    settings, manifest = settings_of(config), read_manifest(dataset)
    for setting in settings:
        check_model(setting.config.model, setting.config.training)
    check_files(manifest, config.training.processes)
    began = time.monotonic()
    with storage.lease(path):
        contest = Contest(spark, config, path, dataset, manifest)
        comparison = compare(contest, settings)
        best = comparison["settings"][0]
        chosen = next(setting for setting in settings if setting.label == best["setting"])
        storage.write_text(f"{path}/comparison.html", render_comparison(comparison))
        storage.write_text(f"{path}/winner.toml", winner_toml(chosen, comparison["winner"], best))
        storage.write_json(f"{path}/comparison.json", comparison)
    log.info(
        "%s is best of %d settings: validation accuracy %.4f (%.4f to %.4f); %d no worse than chance explains, "
        "%d trials failed; comparison in %s/comparison.html, its settings in winner.toml (%.0f s)",
        best["setting"], len(settings), best["accuracy"], *best["accuracy_interval"],
        sum(row["against_best"]["chance"] for row in comparison["settings"][1:]), len(comparison["failed"]), path,
        time.monotonic() - began,
    )  # fmt: skip
    return comparison


def compare(contest: Contest, settings: list[Setting]) -> dict[str, Any]:
    """The content of comparison.json: every trial trained and scored, the settings in order."""
    going, config = settings, contest.config
    for epochs in rounds_of(config):
        going = contest.better_half(going, epochs)
    trained: dict[str, list[dict[str, Any]]] = {setting.label: [] for setting in going}
    for seed in seeds_of(config):  # every setting once, before any is trained again
        for setting in going:
            if figures := contest.attempt(Trial(setting, seed, setting.config.training.epochs)):
                trained[setting.label].append(figures)
    found = [summarise(setting.label, setting.values, trained[setting.label])
             for setting in going if trained[setting.label]]  # fmt: skip
    if not found:
        reasons = {failure["reason"] for failure in contest.failed}
        raise RuntimeError(f"all {len(contest.failed)} trials failed: {'; '.join(sorted(reasons))}")
    best, *others = in_order(found)
    for row in others:
        counts = discordant(contest.spark, contest.scores_of(best), contest.scores_of(row))
        row["against_best"] = against_best(best, row, *counts)
    chosen = max(best["trials"], key=lambda trial: trial["validation_accuracy"])
    return {
        "kind": "comparison", "version": 1, "dataset": contest.dataset, "fingerprint": contest.manifest.fingerprint,
        "validation_examples": chosen["validation_examples"], "test_examples": chosen["test_examples"],
        "seeds": list(seeds_of(config)), "processes": config.training.processes, "settings": [best, *others],
        "failed": contest.failed, "stopped": contest.stopped,
        "winner": {"setting": best["setting"], "run": f"{contest.path}/trials/{chosen['name']}", **chosen},
    }  # fmt: skip


def winner_toml(setting: Setting, winner: dict[str, Any], row: dict[str, Any]) -> str:
    """The winner's configuration, ready for every job; no secrets."""
    config = describe(Trial(setting, winner["seed"], setting.config.training.epochs).config(winner["run"]))
    del config["compare"]
    for options in (config["spark"], config["corpus"]["options"]):
        for name in [name for name in options if SECRET.search(name)]:
            del options[name]
    told = f"{' '.join(setting.label.split())}, validation accuracy {row['accuracy']:.4f}"
    return (
        f"# What jobs.compare chose: {told} over {len(row['trials'])} seeds.\n"
        f"# training.path is the run of seed {winner['seed']}, already trained: evaluate and publish take its model.\n"
        "# To train it anew: python -m jobs.train --config winner.toml --set training.path=URI\n"
        f"{tomli_w.dumps(config)}"
    )


if __name__ == "__main__":
    sys.exit(run_job(run, plan))
