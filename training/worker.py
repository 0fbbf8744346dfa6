"""What one Horovod process does: takes its device, stages its examples, trains, and, on rank 0, writes the run."""

import logging
import os
import signal
import tempfile
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from preprocessing import storage
from preprocessing.manifest import DatasetManifest, read_manifest
from preprocessing.vocabulary import ids_of_marks, read_lines
from training.calibration import Calibration
from training.checkpoint import (
    NOTHING,
    WORD_VECTORS,
    Checkpoint,
    Position,
    read_array,
    read_position,
    require_attempt,
    settle,
)
from training.config import ModelConfig, TrainingConfig
from training.device import recurrent_kernel, take_device
from training.progress import Reporter
from training.quiet import import_tensorflow
from training.recorder import Recorder, Terminated
from training.reports import CAUSE, FINAL, announce, in_one_line, kind_of, report
from training.warm_start import carry_over
from training.watch import MEETING_SECONDS, STARTING, Watch

if TYPE_CHECKING:
    from collections.abc import Callable

    import keras

    from training.loop import Loop


@dataclass(frozen=True)
class TrainJob:
    """All that travels to an executor: where things are, and what to do."""

    dataset: str  # URI
    run: str  # URI
    fingerprint: str  # of the dataset, as the driver saw it
    model: ModelConfig
    training: TrainingConfig
    threads: int  # for TensorFlow's operations, in each process
    hadoop: Mapping[str, str]  # the driver's settings for hdfs://
    attempt: str = ""  # which one this is of those to finish the run


def train_worker(job: TrainJob) -> dict[str, float] | None:
    """Trains one rank of `job`; rank 0 returns the best epoch's line of the history, the others None."""
    storage.use_hadoop_configuration(job.hadoop)
    # all temporary files are in Spark's own directory, which goes with the executor even if this process is killed
    tempfile.tempdir = os.environ.get("SPARK_LOCAL_DIRS", "").partition(",")[0] or None
    rank = int(os.environ.get("HOROVOD_RANK", "0"))
    watch = Watch(job.run, rank, job.training.stall_seconds)
    signal.signal(signal.SIGTERM, partial(_terminate, watch))
    reporter = None
    try:
        require_attempt(job.run, job.attempt)
        reporter = Reporter(job.run, job.attempt) if rank == 0 else None
        return _train(job, watch, reporter)
    except BaseException as error:
        line = in_one_line(error)
        kind = kind_of(line)
        # before the first step, what is wrong with the model or the environment would only come again
        final = type(error).__name__ in FINAL or not (
            watch.began or kind != CAUSE or isinstance(error, OSError | Terminated)
        )
        report(job.run, rank, watch.doing, line, traceback.format_exc(), kind, final)
        if watch.told_to_end.is_set():  # by somebody who knows why: no traceback among what a shell says after Ctrl-C
            os._exit(128 + signal.SIGTERM)
        raise
    finally:
        watch.close()
        if reporter:
            reporter.close()


def _terminate(watch: Watch, *_: object) -> None:
    watch.told_to_end.set()
    raise Terminated("told to end by SIGTERM")


def _train(job: TrainJob, watch: Watch, reporter: Reporter | None) -> dict[str, float] | None:
    device = take_device()
    import_tensorflow()
    import horovod.tensorflow as hvd
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(job.threads)
    if device == "-1":  # by itself TensorFlow takes as many again as the machine has cores, those of other ranks too
        tf.config.threading.set_inter_op_parallelism_threads(job.threads)
    if job.training.trace_steps:
        os.environ["HOROVOD_TIMELINE"] = "DYNAMIC"  # begun later
    hvd.init()
    rank, processes = hvd.rank(), hvd.size()
    logging.basicConfig(level=logging.WARNING, format=f"%(asctime)s rank {rank} %(levelname)s %(message)s")
    manifest = read_manifest(job.dataset)
    if manifest.fingerprint != job.fingerprint:
        raise RuntimeError(f"{job.dataset} changed while training began: start again")

    from training.data import load

    def reading(file: str) -> None:
        watch.now(f"{STARTING}, reading {file}", patient=True)

    with tempfile.TemporaryDirectory(prefix="parley-stage-") as directory:
        blocks = {
            split: load(job.dataset, manifest, split, rank, processes, Path(directory), reading)
            for split in ("train", "validation")
        }
    return _train_on(job, manifest, blocks, rank, processes, watch, reporter)


def _settled(job: TrainJob, watch: Watch) -> tuple[Checkpoint, str]:
    """The last checkpoint that is whole, which rank 0 settles before the ranks meet: then all of them find the same."""
    watch.now("reading the checkpoint", patient=True)
    return settle(job.run, job.attempt)


def _train_on(
    job: TrainJob, manifest: DatasetManifest, blocks: dict[str, Any], rank: int, processes: int, watch: Watch,
    reporter: Reporter | None,
) -> dict[str, float] | None:  # fmt: skip
    import keras

    from training.loop import Loop
    from training.models import build_model
    from training.optimizers import make_optimizer
    from training.ranks import meet
    from training.trace import Trace

    keras.utils.set_random_seed(job.training.seed)
    vectors = read_array(f"{job.run}/{WORD_VECTORS}") if job.model.word_vectors else None
    build = partial(build_model, job.model, manifest.vocabulary_size, manifest.num_labels, vectors)
    model = build(mixed_precision=job.training.mixed_precision)
    device = os.environ["CUDA_VISIBLE_DEVICES"]
    kept, damage = _settled(job, watch) if rank == 0 else (NOTHING, "")
    watch.now("waiting for all ranks", patient=True, patience=MEETING_SECONDS)
    # what is on a GPU travels from there
    ranks = meet(job.attempt, model.weights, in_memory=job.training.shared_memory and device == "-1")
    announce(job.run, rank, device=device, kernel=recurrent_kernel(model), exchange=ranks.way, damage=damage)
    start = read_position(job.run)
    if rank == 0 and job.training.start_from and start == Position():
        words, labels = (read_lines(f"{job.dataset}/{name}.txt") for name in ("vocabulary", "labels"))
        carry_over(model, job.model, job.training.start_from, words, labels)
    optimizer = make_optimizer(job.training)
    watch.now("waiting for the first weights", patient=True)
    marks = ids_of_marks(read_lines(f"{job.dataset}/vocabulary.txt")) if manifest.context_turns else ()
    steps = job.training.trace_steps
    trace = Trace(job.run, steps, ranks.way) if rank == 0 and steps else None
    loop = Loop(model, optimizer, job.training, manifest, blocks, rank, processes, ranks, trace, marks)
    recorder = Recorder(job, model, optimizer, kept, watch.told_to_end) if rank == 0 else None
    del kept  # it would stay in memory
    # what rank 0 began with or restored, everyone goes on from
    ranks.copy([v.value for v in [*model.weights, *optimizer.variables]])
    if recorder:  # there is time to finish the step
        signal.signal(signal.SIGTERM, lambda *_: watch.told_to_end.set())
    loop.run(start, watch, reporter, recorder)
    watch.now("calibrating and writing the model", patient=True)
    if trace:
        trace.close()
    return _finish(job, manifest, loop, recorder, build)


def _finish(
    job: TrainJob, manifest: DatasetManifest, loop: "Loop", recorder: Recorder | None,
    build: "Callable[[], keras.Model]",
) -> dict[str, float] | None:  # fmt: skip
    """What rank 0 returns, the model of the best epoch being calibrated by all ranks, and written."""
    if recorder:
        recorder.restore_best()
    loop.ranks.copy([v.value for v in loop.model.weights])
    published = loop.model
    if job.training.mixed_precision != "none":  # whoever asks it has a CPU, which is fast and exact in float32
        published = build()
        published.set_weights(loop.model.get_weights())
    calibration = Calibration()
    if job.training.calibrated:
        labels = read_lines(f"{job.dataset}/labels.txt")
        calibration = loop.calibrate(published, labels.index(manifest.out_of_scope) if manifest.out_of_scope else None)
    return recorder.finish(published, manifest, calibration) if recorder else None
