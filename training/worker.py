"""What one Horovod process does: takes its device, stages its examples, trains, and, on rank 0, writes the run."""

import dataclasses
import logging
import os
import socket
import tempfile
import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from preprocessing import storage
from preprocessing.manifest import DatasetManifest, read_manifest
from preprocessing.versions import versions
from preprocessing.vocabulary import read_lines
from training.checkpoint import (
    WORD_VECTORS,
    Checkpoint,
    finished_epochs,
    read_array,
    read_checkpoint,
    write_checkpoint,
    write_history,
)
from training.config import ModelConfig, TrainingConfig
from training.device import take_device
from training.quiet import import_tensorflow
from training.warm_start import carry_over

if TYPE_CHECKING:
    import keras

    from training.loop import Epoch


@dataclass(frozen=True)
class TrainJob:
    """All that travels to an executor: where things are, and what to do."""

    dataset: str  # URI
    run: str  # URI
    fingerprint: str  # of the dataset, as the driver saw it
    model: ModelConfig
    training: TrainingConfig
    epochs_done: int  # by the checkpoint to go on from; 0 to begin
    threads: int  # for TensorFlow's operations, in each process
    hadoop: Mapping[str, str]  # the driver's settings for hdfs://


def train_worker(job: TrainJob) -> dict[str, float] | None:
    """Trains one rank of `job`; rank 0 returns the best epoch's line of the history, the others None."""
    storage.use_hadoop_configuration(job.hadoop)
    try:
        return _train(job)
    except BaseException as error:
        rank = os.environ.get("HOROVOD_RANK", "0")
        facts = {"rank": int(rank), "host": socket.gethostname(), "error": f"{type(error).__name__}: {error}",
                 "traceback": traceback.format_exc(), "time": time.time()}  # fmt: skip
        storage.write_json(f"{job.run}/errors/rank-{rank}.json", facts)
        raise


def _train(job: TrainJob) -> dict[str, float] | None:
    take_device()
    import_tensorflow()
    import horovod.tensorflow as hvd
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(job.threads)
    hvd.init()
    rank, processes = hvd.rank(), hvd.size()
    logging.basicConfig(level=logging.WARNING, format=f"%(asctime)s rank {rank} %(levelname)s %(message)s")
    manifest = read_manifest(job.dataset)
    if manifest.fingerprint != job.fingerprint:
        raise RuntimeError(f"{job.dataset} changed while training began: start again")

    from training.data import load

    # in Spark's own directory, which goes with the executor even if this process is killed in between
    disk = os.environ.get("SPARK_LOCAL_DIRS", "").partition(",")[0] or None
    with tempfile.TemporaryDirectory(prefix="parley-stage-", dir=disk) as directory:
        blocks = {
            split: load(job.dataset, manifest, split, rank, processes, Path(directory))
            for split in ("train", "validation")
        }
    return _train_on(job, manifest, blocks, rank, processes)


def _train_on(
    job: TrainJob, manifest: DatasetManifest, blocks: dict[str, Any], rank: int, processes: int
) -> dict[str, float] | None:
    import horovod.tensorflow as hvd
    import keras

    from training.loop import Loop
    from training.models import build_model
    from training.optimizers import make_optimizer
    from training.progress import Reporter
    from training.step import allreduce_fused, alone

    keras.utils.set_random_seed(job.training.seed)
    vectors = read_array(f"{job.run}/{WORD_VECTORS}") if job.model.word_vectors else None
    model = build_model(job.model, manifest.vocabulary_size, manifest.num_labels, vectors)
    if rank == 0 and job.training.start_from and not job.epochs_done:
        words, labels = (read_lines(f"{job.dataset}/{name}.txt") for name in ("vocabulary", "labels"))
        carry_over(model, job.model, job.training.start_from, words, labels)
    optimizer = make_optimizer(job.training)
    allreduce = allreduce_fused if processes > 1 else alone
    loop = Loop(model, optimizer, job.training, manifest, blocks, rank, processes, allreduce)
    recorder = Recorder(job, model, optimizer) if rank == 0 else None
    if processes > 1:  # what rank 0 began with or restored, everyone goes on from
        hvd.broadcast_variables([v.value for v in [*model.weights, *optimizer.variables]], root_rank=0)
    loop.run(
        [past["validation_accuracy"] for past in finished_epochs(job.run)[: job.epochs_done]],
        Reporter(job.run) if recorder else None,
        recorder.record if recorder else lambda epoch: None,
    )
    return recorder.finish(manifest) if recorder else None


class Recorder:
    """Rank 0's pen: checkpoints, history, TensorBoard and, at the end, the model."""

    def __init__(self, job: TrainJob, model: "keras.Model", optimizer: "keras.Optimizer") -> None:
        self.job, self.model, self.optimizer = job, model, optimizer
        self.state = Checkpoint(0, [], [], [], [])
        if job.epochs_done:
            self.state = read_checkpoint(job.run)
            model.set_weights(self.state.weights)
            for variable, value in zip(optimizer.variables, self.state.optimizer, strict=True):
                variable.assign(value)

    def record(self, epoch: "Epoch") -> None:
        """Writes what there is after an epoch."""
        row = epoch.row()
        accuracies = [past["validation_accuracy"] for past in self.state.history]
        weights = self.model.get_weights()
        improved = row["validation_accuracy"] > max(accuracies, default=-1.0)
        self.state = Checkpoint(
            epoch.number, weights, [variable.numpy() for variable in self.optimizer.variables],
            weights if improved else self.state.best, [*self.state.history, row],
        )  # fmt: skip
        write_checkpoint(self.job.run, self.state)
        write_history(self.job.run, self.state.history)

    def finish(self, manifest: DatasetManifest) -> dict[str, float]:
        """Writes the model of the best epoch, and returns that epoch's line of the history."""
        from training.export import write_model
        from training.tensorboard import write_events

        best = max(self.state.history, key=lambda row: row["validation_accuracy"])
        self.model.set_weights(self.state.best)
        write_events(f"{self.job.run}/tensorboard", self.state.history)
        lineage = {
            "dataset": self.job.dataset, "fingerprint": manifest.fingerprint, "corpus": manifest.corpus,
            "out_of_scope": manifest.out_of_scope, "mask": manifest.mask,
            "context_turns": manifest.context_turns, "model": dataclasses.asdict(self.job.model),
            "training": dataclasses.asdict(self.job.training), "metrics": best,
            "versions": versions(), "trained_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        }  # fmt: skip
        write_model(
            self.model, read_lines(f"{self.job.dataset}/vocabulary.txt"), read_lines(f"{self.job.dataset}/labels.txt"),
            manifest.tokenizer, manifest.max_tokens, lineage, f"{self.job.run}/model",
        )  # fmt: skip
        return best
