"""run -> report: the model as a user has it, raw text in, over the test split."""

import itertools
import logging
import sys
import time
import uuid
from typing import Any

from pyspark import StorageLevel
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from jobs.cli import run_job
from jobs.config import AppConfig
from jobs.metrics import BINS, frequent_confusions, summarise
from jobs.prediction import SAID, predict
from jobs.report import render_report
from jobs.score import describe_model
from preprocessing import storage
from preprocessing.context import CONTEXT_COLUMNS
from preprocessing.errors import UserError
from preprocessing.hadoop import hadoop_configuration
from preprocessing.manifest import read_manifest
from training.artifact import Model, check_model
from training.checkpoint import read_history
from training.registry import resolve

log = logging.getLogger(__name__)

CONFUSIONS, TEXTS, ERRORS = 30, 3, 50  # listed in metrics.json
LENGTHS = (1, 3, 5, 8, 12, 20)  # first number of tokens of each slice
ROW = ("dialog_id", "turn", "language", "text", "intent", "length")
PREDICTED = (f"{SAID}.intents[0] AS predicted", f"{SAID}.probabilities[0] AS probability")


def plan(config: AppConfig) -> str:
    """What the job would read and write."""
    return (
        f"score the test split of {config.dataset.path} with {describe_model(config)}, "
        f"write the report to {config.evaluation.path}"
    )


def run(spark: SparkSession, config: AppConfig) -> dict[str, Any]:
    """A trained model to its report."""
    if not config.evaluation.path:
        raise UserError("evaluation.path is empty: say where the report goes, with --set evaluation.path=URI")
    storage.use_hadoop_configuration(hadoop_configuration(spark))
    report = storage.absolute(config.evaluation.path)
    dataset, uri = storage.absolute(config.dataset.path), resolve(config.training.path, config.registry)
    manifest, model = read_manifest(dataset), check_model(uri)
    with storage.lease(report):
        began = time.monotonic()
        temporary = f"{report}.tmp-{uuid.uuid4().hex[:8]}"
        row = (*ROW, *(CONTEXT_COLUMNS if manifest.context_turns else ()))
        test = spark.read.parquet(*[f"{dataset}/{file.path}" for file in manifest.splits["test"]]).select(*row)
        said = predict(test, model, "text", row)
        scored = said.selectExpr(*row, *PREDICTED).persist(StorageLevel.DISK_ONLY)
        try:
            scored.write.parquet(f"{temporary}/predictions")
            metrics = measure(scored, model.out_of_scope)
        finally:
            scored.unpersist()
        history = [] if config.registry.version else read_history(storage.absolute(config.training.path))
        page = render_report(metrics, history, _facts(model))
        storage.write_json(f"{temporary}/metrics.json", metrics)
        storage.write_text(f"{temporary}/report.html", page)
        about = {
            "model": model.uri, "model_checksum": model.checksum,
            "dataset": dataset, "fingerprint": manifest.fingerprint,
        }  # fmt: skip
        storage.write_json(f"{temporary}/manifest.json", {"kind": "report", "version": 1, **about})
        storage.replace_directory(temporary, report)
    log.info(
        "accuracy %.4f (%.4f to %.4f) over %d examples%s; report in %s/report.html (%.0f s)",
        metrics["accuracy"], *metrics["accuracy_interval"], metrics["examples"], _in_scope(metrics), report,
        time.monotonic() - began,
    )  # fmt: skip
    return metrics


def _in_scope(metrics: dict[str, Any]) -> str:
    if metrics["in_scope_accuracy"] is None:
        return ""
    return f", in scope {metrics['in_scope_accuracy']:.4f}, out-of-scope recall {metrics['out_of_scope_recall']:.4f}"


def measure(scored: DataFrame, out_of_scope: str) -> dict[str, Any]:
    """The content of metrics.json, from rows of PREDICTED; only counts and listed examples reach the driver."""
    counted = scored.groupBy("intent", "predicted").count().collect()
    confusion = {(row.intent, row.predicted): row["count"] for row in counted}
    correct = F.sum((F.col("intent") == F.col("predicted")).cast("int"))
    number = F.least(F.floor(F.col("probability") * BINS), F.lit(BINS - 1)).cast("int")
    bins = scored.groupBy(number.alias("bin")).agg(F.count("*"), F.sum("probability"), correct).collect()
    confusions = frequent_confusions(confusion, CONFUSIONS)
    texts = _texts(scored)
    return {
        **summarise(confusion, [tuple(row) for row in bins], out_of_scope),
        "confusions": [{**pair, "texts": texts[pair["intent"], pair["predicted"]]} for pair in confusions],
        "slices": _slices(scored),
        "errors": _errors(scored),
    }


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


def _slices(scored: DataFrame) -> dict[str, list[dict[str, Any]]]:
    """Accuracy by language, where the corpus tells it, and by number of tokens."""
    names = [f"{low}-{high - 1}" for low, high in itertools.pairwise(LENGTHS)] + [f"{LENGTHS[-1]} or more"]
    place = sum((F.col("length") >= low).cast("int") for low in LENGTHS)
    found = {"language": _accuracy_by(scored.where("language is not null"), F.col("language"))}
    lengths = _accuracy_by(scored, place)
    found["length"] = [{**entry, "value": names[int(entry["value"]) - 1]} for entry in lengths]
    return {name: entries for name, entries in found.items() if entries}


def _accuracy_by(scored: DataFrame, key: Any) -> list[dict[str, Any]]:
    accuracy = F.avg((F.col("intent") == F.col("predicted")).cast("int")).alias("accuracy")
    rows = scored.groupBy(key.alias("value")).agg(F.count("*").alias("examples"), accuracy).orderBy("value").collect()
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
        "Model settings": ", ".join(f"{key} {value}" for key, value in lineage["model"].items()),
        "Training settings": ", ".join(f"{key} {value}" for key, value in lineage["training"].items() if key != "path"),
        "Versions": ", ".join(f"{name} {version}" for name, version in lineage["versions"].items()),
    }


if __name__ == "__main__":
    sys.exit(run_job(run, plan))
