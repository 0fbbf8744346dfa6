"""report -> MLflow, where `tracking.uri` asks for it: parameters, metrics, lineage, and model and report as artifacts.

Nothing here is needed elsewhere: mlflow is imported only with that key set.
"""

import json
import logging
import os
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jobs.config import AppConfig, TrackingConfig
from preprocessing import storage
from preprocessing.errors import UserError, first_line
from training.artifact import Model, fetch_model
from training.checkpoint import read_history

if TYPE_CHECKING:
    from mlflow import MlflowClient

log = logging.getLogger(__name__)

# Its own defaults report to MLflow's makers who uses it how, and try for minutes to reach a server that is down.
QUIET = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3"}
IDENTITY = ("parley.model_checksum", "parley.fingerprint", "parley.metrics_checksum")  # tags: one run of MLflow each
BATCH = 100  # parameters that MLflow takes at once


def connect(config: TrackingConfig) -> "MlflowClient | None":
    """MLflow's client, which has reached its store; None where tracking is off. Raises UserError."""
    if not config.uri:
        return None
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    try:
        from mlflow import MlflowClient
        from mlflow.exceptions import MlflowException
    except ImportError:
        raise UserError(
            f"tracking.uri = '{config.uri}' asks for MLflow, which is not installed: pip install mlflow-skinny, or "
            "leave tracking.uri empty"
        ) from None
    try:
        client = MlflowClient(config.uri)
        client.get_experiment_by_name(config.experiment)
    except (MlflowException, ImportError) as error:  # a database asks for packages that mlflow-skinny goes without
        raise UserError(
            f"tracking.uri = '{config.uri}' cannot be used: {first_line(error)}: correct it, or leave it empty"
        ) from None
    return client


def track_report(config: AppConfig) -> None:
    """The report at evaluation.path, with its model's training, as a run of MLflow; once for each model and figures."""
    client = connect(config.tracking)
    if client is None:
        return
    report = storage.absolute(config.evaluation.path)
    about = json.loads(storage.read_text(f"{report}/manifest.json"))
    metrics = json.loads(storage.read_text(f"{report}/metrics.json"))
    timeless = {name: value for name, value in metrics.items() if name != "latency"}  # which differs each time
    checksum = storage.sha256(json.dumps(timeless, sort_keys=True).encode())
    identity = dict(zip(IDENTITY, (about["model_checksum"], about["fingerprint"], checksum), strict=True))
    if _runs_with(client, config.tracking, identity):
        log.info("the report %s is tracked already in %s", report, config.tracking.uri)
        return
    history = [] if config.registry.version else read_history(storage.absolute(config.training.path))
    with tempfile.TemporaryDirectory(prefix="parley-model-") as temporary:
        model = fetch_model(about["model"], Path(temporary))
        tags = {**identity, **_lineage(model, about["dataset"], report)}
        run = client.create_run(_experiment(client, config.tracking), tags=tags, run_name=_name(model.uri)).info.run_id
        try:
            _log_parameters(client, run, model.manifest)
            _log_metrics(client, run, history, metrics)
            client.log_artifacts(run, temporary, "model")
            for name in ("report.html", "metrics.json"):
                client.log_text(run, storage.read_text(f"{report}/{name}"), f"report/{name}")
        except BaseException:
            client.set_terminated(run, "FAILED")  # so that it is tracked anew
            raise
    client.set_terminated(run)
    log.info("tracked as run %s of %s in %s", run, config.tracking.experiment, config.tracking.uri)


def track_publication(config: AppConfig, checksum: str, version: int) -> None:
    """Marks the runs of MLflow that are about the model of this checksum with its version in the registry."""
    client = connect(config.tracking)
    if client is None:
        return
    found = _runs_with(client, config.tracking, {"parley.model_checksum": checksum})
    for run in found:
        client.set_tag(run, "parley.registry", config.registry.uri)
        client.set_tag(run, "parley.published_version", str(version))
    if not found:
        log.warning("version %d is not tracked in %s: run evaluate with tracking.uri", version, config.tracking.uri)


def _experiment(client: "MlflowClient", config: TrackingConfig) -> str:
    """The experiment's id; the experiment is there afterwards."""
    found = client.get_experiment_by_name(config.experiment)
    return str(found.experiment_id if found else client.create_experiment(config.experiment))


def _runs_with(client: "MlflowClient", config: TrackingConfig, tags: Mapping[str, str]) -> list[str]:
    """Ids of the experiment's finished runs with these tags."""
    experiment = client.get_experiment_by_name(config.experiment)
    if experiment is None:
        return []
    wanted = [f"tags.`{name}` = '{value}'" for name, value in tags.items()]
    found = client.search_runs([experiment.experiment_id], " and ".join([*wanted, "attributes.status = 'FINISHED'"]))
    return [run.info.run_id for run in found]


def _name(model: str) -> str:
    """How MLflow's pages call the run: the end of its path."""
    return "/".join(model.removesuffix("/model").split("/")[-2:])


def _lineage(model: Model, dataset: str, report: str) -> dict[str, str]:
    """Tags that say where the model came from."""
    versions = {f"parley.version.{name}": version for name, version in model.manifest["versions"].items()}
    return {
        "parley.model": model.uri,
        "parley.corpus": ", ".join(model.manifest["corpus"]["path"]),
        "parley.dataset": dataset,
        "parley.report": report,
        "parley.trained_at": model.manifest["trained_at"],
        **versions,
    }


def _log_parameters(client: "MlflowClient", run: str, lineage: Mapping[str, Any]) -> None:
    """All settings of model and training, by the names that they have in a configuration."""
    from mlflow.entities import Param

    settings = {f"{part}.{key}": value for part in ("model", "training") for key, value in lineage[part].items()}
    found = [Param(name, str(value)) for name, value in settings.items()]
    for first in range(0, len(found), BATCH):
        client.log_batch(run, params=found[first : first + BATCH])


def _log_metrics(client: "MlflowClient", run: str, history: list[dict[str, float]], metrics: Mapping[str, Any]) -> None:
    """Each epoch's line of the history by its number, and the report's figures as test_NAME."""
    from mlflow.entities import Metric

    now = int(1000 * time.time())
    for line in history:
        client.log_batch(run, [Metric(name, value, now, int(line["epoch"])) for name, value in line.items()])
    figures = {name: value for name, value in metrics.items() if isinstance(value, int | float)}
    for name, values in metrics.items():  # top-k, latency
        if isinstance(values, dict):
            figures |= {f"{name}_{key}": value for key, value in values.items() if isinstance(value, int | float)}
    client.log_batch(run, [Metric(f"test_{name}", float(value), now, 0) for name, value in figures.items()])
