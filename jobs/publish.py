"""run + report -> registry: a model that is good enough becomes the one in use; or an earlier one becomes it again."""

import getpass
import json
import logging
import socket
import sys
from typing import Any

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from scipy.stats import binomtest

from jobs.cli import run_job
from jobs.config import AppConfig
from jobs.prediction import decided, predict
from jobs.tracking import connect, track_publication
from preprocessing import storage
from preprocessing.errors import UserError
from preprocessing.hadoop import hadoop_configuration
from training import registry
from training.artifact import Model, check_model, model_checksum, read_model

log = logging.getLogger(__name__)

# One-sided: a model exactly as good as the current one is refused in at most 1 of 20 nights, which costs a night; a
# stricter level would cost more: real losses that pass for chance.
SIGNIFICANCE = 0.05
NAMED = 10  # intents in a message
PUBLISHED = ("accuracy", "accuracy_interval", "examples", "macro_f1", "in_scope_accuracy", "out_of_scope_recall")
WAIT = 600  # seconds for another publisher: scoring the rows of its report may take minutes


def plan(config: AppConfig) -> str:
    """What the job would read and write."""
    if config.registry.version:
        return f"make version {config.registry.version} of {config.registry.uri} current again"
    return (
        f"publish {config.training.path}/model in {config.registry.uri} if its report {config.evaluation.path} says "
        f"accuracy {config.evaluation.minimum_accuracy} or more, and it is not significantly worse than the current one"
    )


def run(spark: SparkSession, config: AppConfig) -> int:
    """Publishes the run's model, or makes registry.version current again; returns the number of the version in use."""
    storage.use_hadoop_configuration(hadoop_configuration(spark))
    connect(config.tracking)
    target = config.registry.uri
    with storage.lease(target, WAIT):
        if config.registry.version:
            return roll_back(target, config.registry.version)
        number = publish(spark, config, target)
    track_publication(config, model_checksum(registry.version_uri(target, number)), number)
    return number


def roll_back(target: str, version: str) -> int:
    """Makes an earlier version, checked, the current one again."""
    if version == registry.CURRENT:
        raise UserError(
            "registry.version = 'current' says nothing to publish: leave it empty to publish the model in "
            "training.path, or name the version to return to"
        )
    registry.make_current(target, int(version))
    log.info("version %s is the current one of %s", version, target)
    return int(version)


def publish(spark: SparkSession, config: AppConfig, target: str) -> int:
    """The model in training.path as a new version in use, if it is good enough. Raises UserError where it is not."""
    model, current = check_model(registry.model_of(config.training.path)), registry.current_version(target)
    number = registry.find_version(target, model.checksum)
    if number is not None and number == current:
        log.info("already published as version %d, which is the current one of %s", number, target)
        return number
    if number is not None and number in {entry["version"] for entry in registry.history(target)}:
        raise UserError(
            f"{model.uri} was published as version {number}, and version {current} took its place: to return to it, "
            f"run publish with --set registry.version={number}"
        )
    if not config.evaluation.path:
        raise UserError("evaluation.path is empty: name the model's report, with --set evaluation.path=URI")
    report = storage.absolute(config.evaluation.path)
    metrics = read_report(report, model)
    require_accuracy(metrics, config.evaluation.minimum_accuracy, report)
    require_intents(metrics, config.evaluation.minimum_intent_f1, report)
    gate: dict[str, Any] = {}
    if current is not None:
        scored = spark.read.parquet(f"{report}/predictions")
        gate = compare(scored, registry.version_uri(target, current))
        require_no_worse(gate, current, report)
    publication = {
        "model": model.uri, "checksum": model.checksum, "report": report, "compared_with": {"version": current, **gate},
        "published_by": f"{getpass.getuser()}@{socket.gethostname()}", "published_at": registry.now(),
        "metrics": {name: metrics[name] for name in PUBLISHED},
    }  # fmt: skip
    if number is None:  # else a publisher was killed before it came to the pointer
        number = registry.add_version(target, model.uri, publication)
    registry.make_current(target, number)
    log.info("published %s as version %d of %s, accuracy %.4f", model.uri, number, target, metrics["accuracy"])
    if old := registry.remove_old(target, config.registry.keep_versions):
        log.info("removed version %s, as registry.keep_versions says", ", ".join(map(str, old)))
    return number


def read_report(report: str, model: Model) -> dict[str, Any]:
    """The figures of the model's report. Raises UserError where there is no report, or one about another model."""
    try:
        manifest = json.loads(storage.read_text(f"{report}/manifest.json"))
        metrics: dict[str, Any] = json.loads(storage.read_text(f"{report}/metrics.json"))
    except FileNotFoundError:
        if storage.mended(report):
            return read_report(report, model)
        raise UserError(f"no report at {report}: run evaluate, or correct evaluation.path") from None
    if manifest.get("model_checksum") != model.checksum:
        raise UserError(
            f"the report {report} is about another model ({manifest.get('model')}), "
            f"not about {model.uri} as it is now: run evaluate again"
        )
    return metrics


def require_accuracy(metrics: dict[str, Any], least: float, report: str) -> None:
    """Raises UserError below evaluation.minimum_accuracy."""
    if metrics["accuracy"] < least:
        raise UserError(
            f"not published: accuracy {metrics['accuracy']:.4f} over {metrics['examples']} examples ({report}) "
            f"is below evaluation.minimum_accuracy = {least}: train a better model, or lower it"
        )


def require_intents(metrics: dict[str, Any], least: float, report: str) -> None:
    """Raises UserError where the F1 of an intent is below evaluation.minimum_intent_f1."""
    rows = metrics["per_intent"]
    low = sorted((row["f1"], row["intent"]) for row in rows if row["f1"] is not None and row["f1"] < least)
    if low:
        named = ", ".join(f"{intent} {f1:.2f}" for f1, intent in low[:NAMED])
        raise UserError(
            f"not published: F1 of {len(low)} of {len(rows)} intents ({report}) is below "
            f"evaluation.minimum_intent_f1 = {least}: {named}: give them more examples, or lower it"
        )


def compare(scored: DataFrame, model: str) -> dict[str, Any]:
    """How often only the new model, and only `model`, is right on the same rows; and McNemar's exact p, one-sided.

    `scored` holds text, intent and what the new model `predicted`.
    """
    current = read_model(model)
    both = predict(scored, current, "text", ["intent", "predicted"])
    new, old = F.col("intent") == F.col("predicted"), F.col("intent") == decided(current)
    counts = both.agg(
        F.count("*").alias("rows"), F.count_if(new & ~old).alias("better"), F.count_if(old & ~new).alias("worse")
    ).first()
    assert counts is not None
    better, worse = counts.better, counts.worse
    p = binomtest(better, better + worse, alternative="less").pvalue if better + worse else 1.0
    return {"rows": counts.rows, "only_new_right": better, "only_current_right": worse, "p": float(p)}


def require_no_worse(gate: dict[str, Any], current: int, report: str) -> None:
    """Raises UserError where the new model is worse by more than chance explains."""
    if gate["p"] < SIGNIFICANCE:
        raise UserError(
            f"not published: significantly worse than the current version {current} on the same {gate['rows']} rows "
            f"of {report}: {gate['only_current_right']} only version {current} has right, {gate['only_new_right']} "
            f"only the new model (p {gate['p']:.2g} < {SIGNIFICANCE}): train a better model; version {current} stays"
        )


if __name__ == "__main__":
    sys.exit(run_job(run, plan))
