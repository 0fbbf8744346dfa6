"""The driver's side of training: checks before anything is taken, then `horovod.spark.run`, then the run's manifest."""

import dataclasses
import json
import logging
import os
import sys
import time
import tomllib
from typing import Any

import numpy as np
import tomli_w
from pyspark import SparkContext
from pyspark.sql import SparkSession

from preprocessing import storage
from preprocessing.errors import UserError
from preprocessing.hadoop import hadoop_configuration
from preprocessing.manifest import DatasetManifest, read_manifest
from preprocessing.versions import versions
from preprocessing.vocabulary import read_lines
from preprocessing.word_vectors import read_vectors
from training.checkpoint import WORD_VECTORS, latest_epoch, write_array
from training.config import ModelConfig, TrainingConfig
from training.failures import lost_executors
from training.interrupt import interruptible
from training.preflight import check_driver, check_executors, is_local
from training.progress import Display
from training.quiet import silent_stderr
from training.registry import RegistryConfig
from training.warm_start import Start, check_start, find_start
from training.worker import TrainJob, train_worker

log = logging.getLogger(__name__)

START_SECONDS = 120  # for all ranks to get a slot each
SMALL_BATCH = 32  # examples of a process in a step, whose arithmetic takes less time than the exchange after it
GLOO_SECONDS = 120  # for all ranks to import TensorFlow and meet; Horovod's own 30 are too few on a busy node


class TrainingFailed(RuntimeError):
    """A rank failed; the message is what it wrote before it died."""


def train(
    spark: SparkSession, dataset: str, model: ModelConfig, training: TrainingConfig,
    registry: RegistryConfig | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Trains on the dataset at `dataset` into the run at `training.path`, and returns the run's manifest.

    A finished run with the same settings is left alone, an interrupted one goes on from its last checkpoint.
    """
    if not training.path:
        raise UserError("training.path is empty: say where the run goes, with --set training.path=URI")
    hadoop = hadoop_configuration(spark)
    storage.use_hadoop_configuration(hadoop)
    dataset, run = storage.absolute(dataset), storage.absolute(training.path)
    check_driver(spark.sparkContext, [dataset], [run])
    manifest = read_manifest(dataset)
    check_model(model, training)
    check_files(manifest, training.processes)
    warn_of_small_batch(training)
    with storage.lease(run), interruptible(spark.sparkContext, lambda: _how_far(run, training.epochs)):
        vectors = _word_vectors(spark, dataset, model)
        start = find_start(run, training.start_from, registry or RegistryConfig())
        settings = _settings(manifest, model, training, vectors, start)
        _check_same_settings(run, settings)
        if storage.exists(f"{run}/manifest.json"):
            log.info("%s is already trained with these settings; nothing to do", run)
            return dict(json.loads(storage.read_text(f"{run}/manifest.json")))
        threads = int(spark.sparkContext.getConf().get("spark.task.cpus", "1"))
        check_start(start, dataset, manifest, model)
        training = dataclasses.replace(training, start_from=start.uri)
        job = TrainJob(dataset, run, manifest.fingerprint, model, training, latest_epoch(run), threads, hadoop)
        began = time.monotonic()
        interface = check_executors(spark.sparkContext, training.processes, [dataset], [run], hadoop)
        if vectors is not None:
            write_array(f"{run}/{WORD_VECTORS}", vectors)
        storage.write_text(f"{run}/config.toml", tomli_w.dumps({**settings, "started": {"from": start.uri}}))
        best = _run(spark.sparkContext, job, manifest, interface)
        facts = {
            "kind": "run", "version": 1, "dataset": dataset, "fingerprint": manifest.fingerprint, "best": best,
            "seconds": round(time.monotonic() - began, 1), "versions": versions(),
        }  # fmt: skip
        storage.write_json(f"{run}/manifest.json", facts)
    log.info(
        "best epoch %d: validation accuracy %.4f, loss %.4f; model in %s/model (%.0f s)",
        best["epoch"], best["validation_accuracy"], best["validation_loss"], run, facts["seconds"],
    )  # fmt: skip
    return facts


def check_model(model: ModelConfig, training: TrainingConfig) -> None:
    """Raises UserError where the user's own architecture cannot be imported, or the optimizer lacks an option.

    Both import Keras, which the driver else does without; names of ours are checked already.
    """
    if ":" in model.architecture:
        from training.models import find_builder

        find_builder(model.architecture)
    if training.optimizer_options:
        from training.optimizers import make_optimizer

        make_optimizer(training)


def check_files(manifest: DatasetManifest, processes: int) -> None:
    """Raises UserError where there are fewer files than processes."""
    files = len(manifest.splits["train"])
    if files < processes:
        raise UserError(
            f"training.processes = {processes}, but the training split has {files} files, and each process needs one: "
            f"lower it, or run preprocess with dataset.files_per_split of at least {processes}"
        )


def warn_of_small_batch(training: TrainingConfig) -> None:
    """Warns where a step leaves each process so few examples that fewer processes would be as fast."""
    share = training.batch_size / training.processes
    if training.processes > 1 and share < SMALL_BATCH:
        log.warning(
            "training.batch_size = %d leaves each of %d processes %.1f examples a step, which mostly wait for each "
            "other: fewer processes would be as fast; a larger batch (with a larger training.learning_rate) uses them",
            training.batch_size, training.processes, share,
        )  # fmt: skip


def _word_vectors(spark: SparkSession, dataset: str, model: ModelConfig) -> np.ndarray | None:
    """The vectors [V, E] of the dataset's words, NaN for those without; None where none are configured."""
    if not model.word_vectors:
        return None
    return read_vectors(spark, model.word_vectors, read_lines(f"{dataset}/vocabulary.txt"), model.embedding_size).matrix


def _settings(
    manifest: DatasetManifest, model: ModelConfig, training: TrainingConfig, vectors: np.ndarray | None, start: Start
) -> dict[str, dict[str, Any]]:
    """What decides the weights, and so must not change within a run; paths and processes may."""
    kept = {name: value for name, value in dataclasses.asdict(training).items() if name not in ("path", "processes")}
    dataset = {"fingerprint": manifest.fingerprint, "mask": manifest.mask, "context_turns": manifest.context_turns}
    checksum = "" if vectors is None else storage.sha256(vectors.tobytes())
    return {
        "dataset": dataset,
        "model": {**dataclasses.asdict(model), "word_vectors": checksum},
        "training": {**kept, "start_from": start.checksum},
    }


def _check_same_settings(run: str, settings: dict[str, dict[str, Any]]) -> None:
    """Raises UserError where the run began with other settings."""
    if not storage.exists(f"{run}/config.toml"):
        return
    before = tomllib.loads(storage.read_text(f"{run}/config.toml"))
    differing = [
        f"{section}.{key} was {before.get(section, {}).get(key)!r}, is {value!r}"
        for section, values in settings.items()
        for key, value in values.items()
        if before.get(section, {}).get(key) != value
    ]
    if differing:
        raise UserError(
            f"{run} was begun with other settings: {'; '.join(differing)}: "
            "choose another training.path, or remove the run"
        )


def _run(context: SparkContext, job: TrainJob, manifest: DatasetManifest, interface: str) -> dict[str, float]:
    """One `horovod.spark.run`; raises TrainingFailed with the first rank's own words."""
    import horovod.spark
    from horovod.common.util import gloo_built

    training = job.training
    log.info(
        "training %s on %d examples with %d processes of %d threads, batch %d, epochs %d to %d",
        job.model.architecture, manifest.rows("train"), training.processes, job.threads, training.batch_size,
        job.epochs_done + 1, training.epochs,
    )  # fmt: skip
    storage.remove(f"{job.run}/errors")
    environment = {
        "HOROVOD_GLOO_TIMEOUT_SECONDS": str(GLOO_SECONDS),
        "OMP_NUM_THREADS": str(job.threads),
    }
    if is_local(context):  # what the driver can import, its workers can
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
    with silent_stderr():  # Horovod's own first question imports TensorFlow, in a process that it starts for that
        # asked in the same words, it then answers from its cache
        assert gloo_built(verbose=False), "this Horovod was built without Gloo: build it with scripts/build_horovod.sh"
    try:
        with Display(job.run):
            results = horovod.spark.run(
                train_worker, args=(job,), num_proc=training.processes, start_timeout=START_SECONDS, use_gloo=True,
                env=environment, verbose=0, nics={interface},
                executable=os.environ.get("PYSPARK_PYTHON", sys.executable),
            )  # fmt: skip
    except Exception as error:
        raise _training_failed(context, job.run, error) from error
    return dict(results[0])


def _how_far(run: str, epochs: int) -> str:
    """What there is after Ctrl-C."""
    done = latest_epoch(run)
    kept = f"epoch {done} of {epochs} is kept and the same command goes on from there"
    return f"interrupted: {kept if done else 'before the first epoch was done; the same command begins again'}"


def _training_failed(context: SparkContext, run: str, error: Exception) -> TrainingFailed:
    """What the rank that failed first wrote, with its traceback as a note: the others only saw it go."""
    reports = [json.loads(storage.read_text(f"{run}/errors/{name}")) for name in storage.files_below(f"{run}/errors")]
    if not reports:  # killed from outside
        return TrainingFailed("; ".join(lost_executors(context)) or f"no rank could say why: {error}")
    first = min(reports, key=lambda report: report["time"])
    failed = TrainingFailed(f"rank {first['rank']} on {first['host']}: {first['error']}")
    failed.add_note(first["traceback"])
    return failed
