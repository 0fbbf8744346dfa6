"""run -> report: the model as a user has it, raw text in, over the test split or any labelled table."""

import functools
import itertools
import logging
import sys
import time
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from pyspark import StorageLevel
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from jobs.cli import run_job
from jobs.config import AppConfig
from jobs.examples import examples_of
from jobs.latency import latencies, sample
from jobs.metrics import BINS, frequent_confusions, summarise
from jobs.prediction import SAID, decided, predict
from jobs.report import render_report
from jobs.score import describe_model
from jobs.tracking import connect, track_report
from preprocessing import storage
from preprocessing.errors import UserError
from preprocessing.hadoop import hadoop_configuration
from preprocessing.versions import code_checksum
from preprocessing.vocabulary import read_lines
from training.artifact import Model, check_model
from training.checkpoint import read_history
from training.registry import resolve

log = logging.getLogger(__name__)

CONFUSIONS, TEXTS, ERRORS = 30, 3, 50  # listed in metrics.json
NAMED = 5  # unknown intents in a line of the log
RANKS = (1, 3, 5)  # among so many intents the right one is looked for; the model gives training.export.TOP
TIMED = 300  # texts of the test split whose latency is taken
VALUES = 50  # of the slice column: the most frequent
LENGTHS = (1, 3, 5, 8, 12, 20)  # first number of tokens of each slice


def plan(config: AppConfig) -> str:
    """What the job would read and write."""
    rows = ", ".join(config.evaluation.input) or f"the test split of {config.dataset.path}"
    return f"score {rows} with {describe_model(config)}, write the report to {config.evaluation.path}"


def run(spark: SparkSession, config: AppConfig) -> dict[str, Any]:
    """A trained model to its report."""
    if not config.evaluation.path:
        raise UserError("evaluation.path is empty: say where the report goes, with --set evaluation.path=URI")
    storage.use_hadoop_configuration(hadoop_configuration(spark))
    connect(config.tracking)
    report = storage.absolute(config.evaluation.path)
    model = check_model(resolve(config.training.path, config.registry))
    examples = examples_of(spark, config, model)
    with storage.lease(report):
        began = time.monotonic()
        temporary = f"{report}.tmp-{uuid.uuid4().hex[:8]}"
        row = examples.rows.columns
        scored = answered(predict(examples.rows, model, "text", row), model, row).persist(StorageLevel.DISK_ONLY)
        try:
            scored.write.parquet(f"{temporary}/predictions")
            metrics = {
                **measure(scored, model.out_of_scope, examples.slice),
                "latency": _latency(latencies(sample(examples.rows, TIMED), model)),
                "rejected": dict(examples.rejected),
            }
            metrics["unknown_intents"] = _unknown(metrics, model)
        finally:
            scored.unpersist()
        history = [] if config.registry.version else read_history(storage.absolute(config.training.path))
        page = render_report(metrics, history, _facts(model))
        storage.write_json(f"{temporary}/metrics.json", metrics)
        storage.write_text(f"{temporary}/report.html", page)
        about = {
            "model": model.uri, "model_checksum": model.checksum, **examples.origin, "code": code_checksum(),
        }  # fmt: skip
        storage.write_json(f"{temporary}/manifest.json", {"kind": "report", "version": 1, **about})
        storage.replace_directory(temporary, report)
    log.info(
        "accuracy %.4f (%.4f to %.4f) over %d examples%s; report in %s/report.html (%.0f s)",
        metrics["accuracy"], *metrics["accuracy_interval"], metrics["examples"], _in_scope(metrics), report,
        time.monotonic() - began,
    )  # fmt: skip
    track_report(config)
    return metrics


def answered(said: DataFrame, model: Model, row: Sequence[str]) -> DataFrame:
    """The columns `row`, what was `predicted` and, by rank, the intents with their probabilities.

    Where the model says that a text is out of scope, that is the prediction, however probable the first intent.
    """
    intents, probabilities = F.col(f"{SAID}.intents"), F.col(f"{SAID}.probabilities")
    return said.select(
        *row, decided(model).alias("predicted"), probabilities[0].alias("probability"), intents.alias("intents")
    )


def _unknown(metrics: Mapping[str, Any], model: Model) -> dict[str, int]:
    """Examples of each intent that the model cannot name, all of which are wrong."""
    labels = set(read_lines(f"{model.uri}/labels.txt"))
    unknown = {row["intent"]: row["examples"] for row in metrics["per_intent"] if row["intent"] not in labels}
    if unknown:
        log.warning(
            "%d examples are of %d intents that the model does not know, and count as wrong: %s",
            sum(unknown.values()), len(unknown), ", ".join(sorted(unknown)[:NAMED]),
        )  # fmt: skip
    return unknown


def _in_scope(metrics: dict[str, Any]) -> str:
    if metrics["in_scope_accuracy"] is None:
        return ""
    return f", in scope {metrics['in_scope_accuracy']:.4f}, out-of-scope recall {metrics['out_of_scope_recall']:.4f}"


def measure(scored: DataFrame, out_of_scope: str, sliced: str = "") -> dict[str, Any]:
    """What metrics.json says of rows of `answered`; only counts and listed examples reach the driver.

    `sliced` is the corpus' name for the column `slice`, "" where there is none.
    """
    counted = scored.groupBy("intent", "predicted").count().collect()
    confusion = {(row.intent, row.predicted): row["count"] for row in counted}
    # whether the probability tells the truth is a question about the intent that it belongs to
    correct = F.sum((F.col("intent") == F.col("intents")[0]).cast("int"))
    number = F.least(F.floor(F.col("probability") * BINS), F.lit(BINS - 1)).cast("int")
    bins = scored.groupBy(number.alias("bin")).agg(F.count("*"), F.sum("probability"), correct).collect()
    confusions = frequent_confusions(confusion, CONFUSIONS)
    texts = _texts(scored)
    return {
        **summarise(confusion, [tuple(row) for row in bins], out_of_scope),
        "top_k_accuracy": _top_k(scored),
        "confusions": [{**pair, "texts": texts[pair["intent"], pair["predicted"]]} for pair in confusions],
        "slices": _slices(scored, bool(sliced)),
        "slice_column": sliced or None,
        "errors": _errors(scored),
    }


def _top_k(scored: DataFrame) -> dict[str, float]:
    """How often the right intent is among the first of RANKS: what is predicted, then the others by probability."""
    ranked = F.array_distinct(F.concat(F.array("predicted"), "intents"))
    found = [F.coalesce(F.array_contains(F.slice(ranked, 1, rank), F.col("intent")), F.lit(False)) for rank in RANKS]
    shares = scored.agg(*[F.avg(right.cast("int")) for right in found]).first()
    assert shares is not None
    return dict(zip(map(str, RANKS), shares, strict=True))


def _latency(seconds: Sequence[float]) -> dict[str, float]:
    """Of one text alone, in milliseconds."""
    median, slow = (float(value) for value in np.percentile(seconds, [50, 95]) * 1000)
    return {"texts": len(seconds), "median_milliseconds": median, "percentile_95_milliseconds": slow}


def _mistakes(scored: DataFrame) -> DataFrame:
    return scored.where(F.col("intent") != F.col("predicted"))


def _texts(scored: DataFrame) -> dict[tuple[str, str], list[str]]:
    """A few texts of each of the most frequent mistakes."""
    few = F.slice(F.sort_array(F.collect_set("text")), 1, TEXTS).alias("texts")
    pairs = _mistakes(scored).groupBy("intent", "predicted").agg(F.count("*").alias("examples"), few)
    frequent = pairs.orderBy(F.desc("examples"), "intent", "predicted").limit(CONFUSIONS)
    return {(row.intent, row.predicted): row.texts for row in frequent.collect()}


def _errors(scored: DataFrame) -> list[dict[str, Any]]:
    """The mistakes that the model was surest of."""
    listed = _mistakes(scored).orderBy(F.desc("probability"), "text").limit(ERRORS)
    return [row.asDict() for row in listed.select("text", "intent", "predicted", "probability").collect()]


def _slices(scored: DataFrame, sliced: bool) -> dict[str, list[dict[str, Any]]]:
    """Accuracy by language, where the corpus tells it, by number of tokens and by the VALUES of the slice column."""
    names = [f"{low}-{high - 1}" for low, high in itertools.pairwise(LENGTHS)] + [f"{LENGTHS[-1]} or more"]
    place = functools.reduce(Column.__add__, [(F.col("length") >= low).cast("int") for low in LENGTHS])
    found = {"language": _accuracy_by(scored.where("language is not null"), F.col("language"))}
    lengths = _accuracy_by(scored, place)
    found["length"] = [{**entry, "value": names[int(entry["value"]) - 1]} for entry in lengths]
    if sliced:
        found["slice"] = _accuracy_by(scored, F.col("slice"), VALUES)
    return {name: entries for name, entries in found.items() if entries}


def _accuracy_by(scored: DataFrame, key: Column, most: int = 1000) -> list[dict[str, Any]]:
    """Of the most frequent values of the key, in their order."""
    accuracy = F.avg((F.col("intent") == F.col("predicted")).cast("int")).alias("accuracy")
    values = scored.groupBy(key.alias("value")).agg(F.count("*").alias("examples"), accuracy)
    rows = values.orderBy(F.desc("examples"), "value").limit(most).orderBy("value").collect()
    return [row.asDict() for row in rows]


def _facts(model: Model) -> dict[str, str]:
    """The report's table of where the model came from."""
    lineage = model.manifest
    return {
        "Model": model.uri,
        "Trained at": lineage["trained_at"],
        "Dataset": f"{lineage['dataset']} (fingerprint {lineage['fingerprint']})",
        "Corpus": ", ".join(lineage["corpus"]["path"]),
        "Temperature of the probabilities": f"{lineage.get('temperature', 1):.3f}",
        "Out of scope below": _threshold(lineage),
        "Model settings": ", ".join(f"{key} {value}" for key, value in lineage["model"].items()),
        "Training settings": ", ".join(f"{key} {value}" for key, value in lineage["training"].items() if key != "path"),
        "Versions": ", ".join(f"{name} {version}" for name, version in lineage["versions"].items()),
    }


def _threshold(lineage: Mapping[str, Any]) -> str:
    if not lineage["out_of_scope"]:
        return "never: the dataset has no out-of-scope intent"
    return f"probability {lineage.get('out_of_scope_threshold', 0):.3f}, or where {lineage['out_of_scope']} comes first"


if __name__ == "__main__":
    sys.exit(run_job(run, plan))
