"""One rank's epochs over its examples; what only rank 0 does, its recorder and its reporter do."""

import math
import time
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from preprocessing.manifest import DatasetManifest
from training.augment import augment, row_numbers
from training.calibration import Calibration, calibrate
from training.checkpoint import Position
from training.config import TrainingConfig
from training.data import Block, Ids
from training.optimizers import catch_up
from training.progress import Progress, Reporter
from training.random_state import count_draws, reseed
from training.ranks import Ranks
from training.recorder import LESS, Diverged, Recorder
from training.reports import LEFT, in_one_line, kind_of
from training.schedule import Ints, RankSchedule, epoch_steps, unpadded_widths, words_of_a_step
from training.step import Sums, add_sums, balanced_weights, make_evaluation_step, make_train_step
from training.trace import Trace
from training.watch import SAVING, Watch

EVALUATION_BATCH = 1024
TRACES = 10  # first steps of a bucket, in whose time another one is done, also on a machine that is suddenly busy


class Epoch(NamedTuple):
    """One finished epoch, its numbers summed over all ranks."""

    number: int  # from 1
    train: Sums
    validation: Sums
    learning_rate: float  # of its last step
    seconds: float  # of training, without validation
    input_seconds: float  # of these, in which the model waited for its examples
    skipped_steps: int  # which changed no weight, as a gradient overflowed: with float16 only

    def row(self) -> dict[str, float]:
        """Its line in history.csv."""
        loss, accuracy = self.train.means()
        validation_loss, validation_accuracy = self.validation.means()
        return {
            "epoch": self.number, "loss": loss, "accuracy": accuracy, "validation_loss": validation_loss,
            "validation_accuracy": validation_accuracy, "learning_rate": self.learning_rate,
            "examples_per_second": self.train.examples / self.seconds, "seconds": self.seconds,
            "input_share": self.input_seconds / self.seconds, "skipped_steps": self.skipped_steps,
        }  # fmt: skip


def learning_rate(config: TrainingConfig, epochs_done: float, step: float) -> float:
    """Learning rate of a step of so many epochs, after so many: linear warm-up, then the configured decay."""
    if epochs_done < config.warmup_epochs:  # by the end of the step, as with a rate of 0 it would do nothing
        return config.learning_rate * min((epochs_done + step) / config.warmup_epochs, 1)
    if config.decay == "none":
        return config.learning_rate
    share = (epochs_done - config.warmup_epochs) / max(config.epochs - config.warmup_epochs, 1e-9)
    return config.learning_rate * 0.5 * (1 + math.cos(math.pi * min(share, 1)))


def is_over(accuracies: Sequence[float], config: TrainingConfig) -> bool:
    """Whether training ends with the epochs that had these validation accuracies: all done, or no longer better."""
    if len(accuracies) >= config.epochs:
        return True
    patience = config.early_stopping_epochs
    return bool(patience and accuracies and len(accuracies) - 1 - int(np.argmax(accuracies)) >= patience)


def has_state(model: keras.Model) -> bool:
    """Whether a layer has variables that are never trained, as the moving averages of batch normalisation."""
    return any(layer._non_trainable_variables for layer in model._flatten_layers())


def require_finite(loss: float, epoch: int, where: str) -> None:
    """Raises Diverged unless the loss, summed over all ranks, is a number."""
    if not math.isfinite(loss):
        raise Diverged(f"the loss became {loss} in epoch {epoch}, {where}: {LESS}")


class Loop:
    """Training of one rank: the model, its optimizer and the rank's examples."""

    def __init__(
        self, model: keras.Model, optimizer: keras.Optimizer, config: TrainingConfig, manifest: DatasetManifest,
        blocks: dict[str, list[Block]], rank: int, processes: int, ranks: Ranks, trace: Trace | None = None,
        marks: Sequence[int] = (),
    ) -> None:  # fmt: skip
        self.marks = marks  # ids that augmentation leaves alone
        self.model, self.optimizer, self.config, self.rank = model, optimizer, config, rank
        self.blocks, self.ranks, self.trace = blocks, ranks, trace
        self.files = manifest.splits["train"]
        self.schedule = RankSchedule(self.files, rank, processes, config.seed)
        self.numbers = [row_numbers(self.files, self.schedule.mine, bucket) for bucket in range(len(blocks["train"]))]
        weights = self._class_weights(manifest.num_labels) if config.class_weights == "balanced" else None
        words = words_of_a_step(self.files, manifest.buckets, config.batch_size)
        unpadded = unpadded_widths(manifest.buckets)
        self.train_step = make_train_step(model, optimizer, ranks, weights, config.label_smoothing, words, unpadded)
        self.evaluation_step = make_evaluation_step(model)
        self.traced: set[int] = set()  # buckets whose first step is done, which takes long
        self.first_seconds = 0.0  # of the first of these, in which TensorFlow starts, too
        self.drawn: Ints = np.zeros(0, np.int64)  # how often each source of random numbers is asked in a step

    def run(self, start: Position, watch: Watch, reporter: Reporter | None, recorder: Recorder | None) -> None:
        """Trains from `start` to the end of the last epoch, all ranks as many steps.

        Raises Diverged where the loss is no number any more: no later step would mend that.
        """
        if tf.config.get_visible_devices("GPU"):
            catch_up(self.optimizer)  # with what a CPU left behind, as no row waits here
        while not is_over([row["validation_accuracy"] for row in start.history], self.config):
            done = self._train_epoch(start, watch, reporter, recorder)
            number = len(start.history) + 1
            catch_up(self.optimizer)
            watch.now(f"epoch {number}, validation", patient=True)
            rate, train = float(self.optimizer.learning_rate), Sums(*done.sums)
            before = sum(int(row.get("skipped_steps", 0)) for row in start.history)
            skipped = number * done.step - int(self.optimizer.iterations) - before  # all epochs have as many steps
            epoch = Epoch(number, train, self.evaluate(), rate, done.seconds, done.input_seconds, skipped)
            require_finite(epoch.validation.loss, number, "validation")
            start = Position([*start.history, epoch.row()])
            if reporter:
                reporter.finished(start.history)
            if recorder:
                recorder.keep(start)

    def _train_epoch(
        self, start: Position, watch: Watch, reporter: Reporter | None, recorder: Recorder | None
    ) -> Position:
        """The end of an epoch, before its validation; what was done before `start` is in its sums and seconds."""
        epoch, done = len(start.history), start
        seeds = [self.config.seed, epoch, self.rank]
        reseed(self.model, seeds, start.draws)
        steps = epoch_steps(self.files, self.config.batch_size, self.config.seed, epoch)
        rows, drawn = self.schedule.epoch_rows(epoch), self.schedule.epoch_seeds(epoch)
        began = time.monotonic() - start.seconds
        for number in range(start.step + 1, len(steps) + 1):
            step, where = steps[number - 1], f"step {number} of {len(steps)}"
            first, new = number == start.step + 1, step.bucket not in self.traced
            watch.now(f"epoch {epoch + 1}, {where}", first or new, 0 if first else self._patience())
            rate = learning_rate(self.config, epoch + (number - 1) / len(steps), 1 / len(steps))
            if self.trace:
                self.trace.next_step()
            ready = time.monotonic()
            block, chosen = self.blocks["train"][step.bucket], self.schedule.rows_of(step, rows)
            ids = self._augmented(epoch, step.bucket, block.ids[chosen], chosen)
            dropped = self.schedule.rows_of(step, drawn)
            waited = done.input_seconds + time.monotonic() - ready
            try:
                sums = Sums(*self.train_step(ids, block.labels[chosen], dropped, rate).numpy().tolist())
            except tf.errors.OpError as error:
                if recorder and done != start and kind_of(in_one_line(error)) == LEFT:
                    watch.now(f"epoch {epoch + 1}, {SAVING} {done.step}", patient=True)
                    self._keep_undisturbed(done, start, recorder)
                raise
            self.traced.add(step.bucket)
            self.first_seconds = self.first_seconds or time.monotonic() - ready
            sums, seconds = add_sums(Sums(*done.sums), sums), time.monotonic() - began
            done = Position(start.history, number, sums, seconds, input_seconds=waited)
            require_finite(done.sums[0], epoch + 1, where)
            if reporter:
                reporter.report(self._progress(done, len(steps)))
            if recorder and number == start.step + 1:
                self.drawn = np.subtract(count_draws(self.model, seeds), start.draws or 0)
            if recorder and recorder.wants_one(within=number < len(steps)):
                recorder.keep(done._replace(draws=count_draws(self.model, seeds)))
        return done

    def _patience(self) -> int:
        """Seconds for the first step of a bucket: what any step has, and much more than such a step took before."""
        return math.ceil(self.config.stall_seconds + TRACES * self.first_seconds)

    def _keep_undisturbed(self, done: Position, start: Position, recorder: Recorder) -> None:
        """A checkpoint of the steps done before one that failed, as other ranks are gone; it changed no weight yet.

        None where the model has state besides, which the step that failed may have changed.
        """
        if not has_state(self.model):
            draws = np.asarray(start.draws or 0) + self.drawn * (done.step - start.step)
            recorder.keep(done._replace(draws=draws.tolist()))
            recorder.wait()

    def _class_weights(self, num_labels: int) -> np.ndarray:
        """[L] from the examples of all ranks."""
        own = sum(np.bincount(block.labels, minlength=num_labels) for block in self.blocks["train"])
        (counts,) = self.ranks.add([tf.constant(own, tf.float64)])
        return balanced_weights(counts.numpy())

    def _augmented(self, epoch: int, bucket: int, ids: Ids, chosen: Ints) -> Ids:
        config, rows = self.config, self.numbers[bucket][chosen]
        return augment(ids, rows, [config.seed, epoch, bucket], config.word_dropout, config.word_swap, self.marks)

    def _progress(self, done: Position, steps: int) -> Progress:
        epoch, sums = len(done.history), Sums(*done.sums)
        left = (self.config.epochs - epoch) * steps - done.step
        loss, accuracy = sums.means()
        return Progress(
            epoch + 1, self.config.epochs, done.step, steps, loss, accuracy, sums.examples / done.seconds,
            done.seconds / done.step * left,
        )  # fmt: skip

    def evaluate(self) -> Sums:
        """Sums over the validation split: each rank its own examples, then one exchange."""
        own = Sums(0, 0, 0)
        for block in self._validation_batches():
            own = add_sums(own, Sums(*self.evaluation_step(*block).numpy().tolist()))
        (total,) = self.ranks.add([tf.constant(own, tf.float64)])
        return Sums(*total.numpy().tolist())

    def _validation_batches(self, share: int = 1) -> Iterator[Block]:
        """This rank's validation examples, or one in `share` of them."""
        for ids, labels in self.blocks["validation"]:
            chosen = Block(ids[::share], labels[::share])
            for start in range(0, len(chosen.labels), EVALUATION_BATCH):
                part = slice(start, start + EVALUATION_BATCH)
                yield Block(chosen.ids[part], chosen.labels[part])

    def calibrate(self, model: keras.Model, out_of_scope: int | None) -> Calibration:
        """What the validation split says of the probabilities of `model`, the same on all ranks."""
        predict = tf.function(lambda ids: model(ids, training=False), reduce_retracing=True)

        def predictions(share: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
            return ((predict(ids).numpy(), labels) for ids, labels in self._validation_batches(share))

        rows, num_labels = sum(len(block.labels) for block in self.blocks["validation"]), model.output_shape[-1]
        return calibrate(predictions, rows, num_labels, out_of_scope, self._add)

    def _add(self, own: np.ndarray) -> np.ndarray:
        return self.ranks.add([tf.constant(own, tf.float64)])[0].numpy()
