"""Rank 0's pen: checkpoints, history, TensorBoard and, at the end, the model."""

import dataclasses
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np

from preprocessing.manifest import DatasetManifest
from preprocessing.versions import versions
from preprocessing.vocabulary import read_lines
from training.calibration import Calibration
from training.checkpoint import Checkpoint, Position, require_attempt, write_checkpoint, write_history

if TYPE_CHECKING:
    import keras

    from training.worker import TrainJob


LESS = "begin another run with a lower training.learning_rate, or with training.warmup_epochs"


class Terminated(RuntimeError):
    """This process was told to end."""


class Diverged(RuntimeError):
    """The loss, or what training goes on from, is no number any more."""


def require_finite_state(state: Checkpoint) -> None:
    """Raises Diverged unless all that training would go on from is numbers: the loss tells only a step later."""
    if not all(np.isfinite(array).all() for array in (*state.weights, *state.optimizer)):
        raise Diverged(
            f"the weights, or what the optimizer keeps of them, became no numbers by {state.position}: {LESS}"
        )


class Recorder:
    """Writes what there is, in a thread of its own: no rank waits for the store, but for the epoch before."""

    def __init__(
        self, job: "TrainJob", model: "keras.Model", optimizer: "keras.Optimizer", start: Checkpoint,
        told_to_end: threading.Event,
    ) -> None:  # fmt: skip
        self.job, self.model, self.optimizer, self.told_to_end = job, model, optimizer, told_to_end
        self.state = start
        if start.weights:
            model.set_weights(start.weights)
            # an earlier Parley kept less: what it did not have is behind the rest, and begins as it is
            for variable, value in zip(optimizer.variables[: len(start.optimizer)], start.optimizer, strict=True):
                variable.assign(value)
        self.pen = ThreadPoolExecutor(1, "checkpoint")
        self.writing: Future[None] = self.pen.submit(lambda: None)
        self.kept_at = time.monotonic()

    def wants_one(self, within: bool) -> bool:
        """Whether it is time for a checkpoint, `within` an epoch or behind it. Raises what went wrong with the last."""
        if self.told_to_end.is_set():
            return True
        minutes = self.job.training.checkpoint_minutes
        if not within or not self.writing.done():
            return False
        self.wait()
        return minutes > 0 and time.monotonic() - self.kept_at >= 60 * minutes

    def keep(self, position: Position) -> None:
        """Makes a checkpoint, which is written while training goes on. Raises Terminated where it is to be the last."""
        self.wait()
        weights, best = self.model.get_weights(), self.state.best
        if not position.step:
            *before, last = [row["validation_accuracy"] for row in position.history]
            best = weights if last > max(before, default=-1.0) else best
        self.state = Checkpoint(position, weights, [variable.numpy() for variable in self.optimizer.variables], best)
        self.writing = self.pen.submit(self._write, self.state)
        self.kept_at = time.monotonic()
        if self.told_to_end.is_set():
            self.wait()
            raise Terminated(f"told to end by SIGTERM; {position} is kept")

    def wait(self) -> None:
        """Until the last checkpoint is written. Raises what went wrong with it."""
        self.writing.result()

    def _write(self, state: Checkpoint) -> None:
        require_finite_state(state)
        write_checkpoint(self.job.run, state, self.job.attempt)
        if not state.position.step:
            write_history(self.job.run, state.position.history)

    def restore_best(self) -> None:
        """Gives the model the weights of the epoch with the best validation accuracy."""
        self.model.set_weights(self.state.best)

    def finish(self, model: "keras.Model", manifest: DatasetManifest, calibration: Calibration) -> dict[str, float]:
        """Writes `model`, that of the best epoch, and returns that epoch's line of the history."""
        from training.export import write_model
        from training.tensorboard import write_events

        self.wait()
        require_attempt(self.job.run, self.job.attempt)
        history = self.state.position.history
        write_history(self.job.run, history)  # once more: an attempt may have ended between a checkpoint and this
        best = max(history, key=lambda row: row["validation_accuracy"])
        write_events(f"{self.job.run}/tensorboard", history)
        lineage = {
            "dataset": self.job.dataset, "fingerprint": manifest.fingerprint, "corpus": manifest.corpus,
            "out_of_scope": manifest.out_of_scope, "mask": manifest.mask,
            "context_turns": manifest.context_turns, "model": dataclasses.asdict(self.job.model),
            "training": dataclasses.asdict(self.job.training), "metrics": best,
            **calibration._asdict(), "versions": versions(),
            "trained_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        }  # fmt: skip
        write_model(
            model, read_lines(f"{self.job.dataset}/vocabulary.txt"), read_lines(f"{self.job.dataset}/labels.txt"),
            manifest.tokenizer, manifest.max_tokens, lineage, f"{self.job.run}/model",
        )  # fmt: skip
        return best
