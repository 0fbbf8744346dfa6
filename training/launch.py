"""The driver's side of training: checks before anything is taken, then `horovod.spark.run`, then the run's manifest."""

import dataclasses
import json
import logging
import time
import tomllib
from typing import Any

import numpy as np
import tomli_w
from pyspark.sql import SparkSession

from preprocessing import storage
from preprocessing.errors import UserError
from preprocessing.hadoop import hadoop_configuration
from preprocessing.manifest import DatasetManifest, read_manifest
from preprocessing.versions import versions
from preprocessing.vocabulary import read_lines
from preprocessing.word_vectors import read_vectors
from training.checkpoint import WORD_VECTORS, Position, latest_epoch, read_position, write_array
from training.config import ModelConfig, TrainingConfig
from training.interrupt import interruptible
from training.preflight import check_driver, check_executors, threads_of_a_task
from training.registry import RegistryConfig
from training.restarts import run_to_the_end
from training.schedule import epoch_steps, words_of_a_step
from training.warm_start import Start, check_start, find_start
from training.worker import TrainJob

log = logging.getLogger(__name__)

# of section training, what does not decide the weights
FREE = (
    "path", "processes", "checkpoint_minutes", "max_restarts", "min_processes", "stall_seconds", "trace_steps",
    "shared_memory",
)  # fmt: skip
SMALL_BATCH = 32  # examples of a process in a step, whose arithmetic takes less time than the exchange after it


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
    context = spark.sparkContext
    with storage.lease(run), interruptible(context, lambda: _how_far(run, training.epochs)) as interrupt:
        vectors = _word_vectors(spark, dataset, model)
        start = find_start(run, training.start_from, registry or RegistryConfig())
        settings = _settings(manifest, model, training, vectors, start)
        _check_same_settings(run, settings)
        if storage.exists(f"{run}/manifest.json"):
            log.info("%s is already trained with these settings; nothing to do", run)
            return dict(json.loads(storage.read_text(f"{run}/manifest.json")))
        check_start(start, dataset, manifest, model)
        training = dataclasses.replace(training, start_from=start.uri)
        job = TrainJob(
            dataset, run, manifest.fingerprint, model, training, threads_of_a_task(context), hadoop
        )  # fmt: skip
        began = time.monotonic()
        interface = check_executors(context, training.processes, [dataset], [run], hadoop)
        if vectors is not None:
            write_array(f"{run}/{WORD_VECTORS}", vectors)
        storage.write_text(f"{run}/config.toml", tomli_w.dumps({**settings, "started": {"from": start.uri}}))
        _announce(job, manifest)
        best = run_to_the_end(context, job, interface, interrupt)
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


def _announce(job: TrainJob, manifest: DatasetManifest) -> None:
    """The line with which training starts, and how its largest gradients travel."""
    training, words = job.training, manifest.vocabulary_size
    log.info(
        "training %s on %d examples with %d processes of %d threads, batch %d, %d steps an epoch, epochs %d to %d",
        job.model.architecture, manifest.rows("train"), training.processes, job.threads, training.batch_size,
        len(epoch_steps(manifest.splits["train"], training.batch_size, training.seed, 0)),
        latest_epoch(job.run) + 1, training.epochs,
    )  # fmt: skip
    used = words_of_a_step(manifest.splits["train"], manifest.buckets, training.batch_size)
    way = "by the rows of its words" if used < words else "whole"
    log.info("a step has about %.0f words: the gradient of an embedding of all %d travels %s", used, words, way)


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
            f"lower it, or run preprocess with dataset.files_per_split of at least {processes}; where it is, there are "
            "too few training examples for so many files"
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
    """What decides the weights, and so must not change within a run; paths, processes and the like may."""
    kept = {name: value for name, value in dataclasses.asdict(training).items() if name not in FREE}
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
    for section, defaults in (("model", ModelConfig()), ("training", TrainingConfig())):  # of keys that are newer
        before[section] = {**dataclasses.asdict(defaults), **before.get(section, {})}
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


def _how_far(run: str, epochs: int) -> str:
    """What there is after Ctrl-C."""
    position = read_position(run)
    if position == Position():
        return "interrupted: before the first epoch was done; the same command begins again"
    steps = f" and {position.step} steps are" if position.step else " is"
    return f"interrupted: epoch {len(position.history)} of {epochs}{steps} kept and the same command goes on from there"
