"""The training step: what N processes compute is what one would with the same global batch.

Each rank takes the gradients of its *summed* loss; one exchange adds them up together with the sums of loss, hits and
examples; the total is divided by the global number of examples. No mean of means anywhere. What of an
embedding travels is in exchange.py; batch normalisation has two more a layer and as many for its gradients
(normalization.py). Dropout is drawn for each example (dropout.py).
"""

import functools
import math
from collections.abc import Callable, Collection
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from preprocessing.vocabulary import UNKNOWN
from training.dropout import drawn_by_example
from training.embeddings import gradient_by_words, read_by_words, rows_of_words
from training.exchange import mean_gradients
from training.normalization import global_moments
from training.optimizers import lets_rows_wait
from training.ranks import Ranks
from training.schedule import Seeds
from training.unrolled import longest_unrolled, unrolled


class Sums(NamedTuple):
    """Over examples: total loss, correct ones, number of examples."""

    loss: float
    correct: float
    examples: float

    def means(self) -> tuple[float, float]:
        """(loss, accuracy) of one example."""
        return self.loss / max(self.examples, 1), self.correct / max(self.examples, 1)


def add_sums(one: Sums, other: Sums) -> Sums:
    """Both together."""
    return Sums(*(a + b for a, b in zip(one, other, strict=True)))


def cross_entropies(labels: tf.Tensor, probabilities: tf.Tensor, smoothing: float = 0.0) -> tf.Tensor:
    """Losses float32 [B] of labels [B], that share of each of them spread over all labels, and probabilities [B, L]."""
    if smoothing:
        wanted = tf.one_hot(labels, probabilities.shape[-1])
        losses = keras.losses.categorical_crossentropy(wanted, probabilities, label_smoothing=smoothing)
    else:
        losses = keras.losses.sparse_categorical_crossentropy(labels, probabilities)
    return tf.cast(losses, tf.float32)  # not the probabilities, through which Keras finds the scores before softmax


def example_sums(labels: tf.Tensor, weights: tf.Tensor, probabilities: tf.Tensor) -> tf.Tensor:
    """[loss, correct, examples] of labels, weights [B] and probabilities [B, L]."""
    correct = tf.cast(tf.equal(tf.argmax(probabilities, -1, tf.int32), labels), tf.float32)
    values = [cross_entropies(labels, probabilities), correct, tf.ones_like(weights)]
    return tf.stack([tf.reduce_sum(value * weights) for value in values])


def with_weights(ids: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """ids, labels and weights [B] of 1; where B = 0, one example of weight 0, as no layer takes an empty batch."""
    if len(labels):
        return ids, labels, np.ones(len(labels), np.float32)
    return np.full((1, ids.shape[1]), UNKNOWN, np.int32), np.zeros(1, np.int32), np.zeros(1, np.float32)


def make_train_step(
    model: keras.Model, optimizer: keras.Optimizer, ranks: Ranks, class_weights: np.ndarray | None = None,
    label_smoothing: float = 0.0, words: float = math.inf, unpadded: Collection[int] = (),
) -> Callable[..., tf.Tensor]:  # fmt: skip
    """A function (ids [B, T], labels [B]) -> [loss, correct, examples] summed over all ranks, which updates `model`.

    With class_weights [L] it learns from the examples so weighted, and with label_smoothing from labels so smoothed;
    what it returns is neither. A third argument, seeds [B], decides what is dropped of each example; a fourth is the
    learning rate, in place of what the optimizer has. A rank without examples in a step passes B = 0 and still takes
    part in the exchange.
    `words` is about how many words a step has, `unpadded` are the widths T of which no example has padding. Weights may
    be behind: `optimizers.catch_up` before they are read.
    """
    variables = model.trainable_variables
    optimizer.build(variables)
    layers = read_by_words(model, words) if lets_rows_wait(optimizer) else {}
    lags = optimizer.let_lag(layers.values()) if layers else {}
    if tf.config.get_visible_devices("GPU"):  # has the memory's speed to change them all; the state is that of a CPU
        layers = {}

    def step(examples: tf.Tensor, full: bool) -> tf.Tensor:
        ids, labels, seeds = examples[:, :-3], tf.maximum(examples[:, -3], 0), tf.bitcast(examples[:, -2], tf.uint32)
        weights = tf.cast(examples[:, -3] >= 0, tf.float32)
        with (
            tf.GradientTape() as tape, global_moments(model, ranks.add, weights),
            unrolled(model, ids if full else None), drawn_by_example(seeds), rows_of_words(layers, lags, tape) as reads,
        ):  # fmt: skip
            probabilities = model(ids, training=True)
            shares = weights if class_weights is None else weights * tf.gather(class_weights, labels)
            loss = tf.reduce_sum(cross_entropies(labels, probabilities, label_smoothing) * shares)
            loss += _penalty(model) * tf.reduce_sum(weights)
            loss = optimizer.scale_loss(loss)  # by 1, but for float16: the optimizer undoes it
        sums = example_sums(labels, weights, probabilities)
        sources = [[read.rows for read in reads[place]] if place in reads else variable.value
                   for place, variable in enumerate(variables)]  # fmt: skip
        gradients = tape.gradient(loss, sources, unconnected_gradients="zero")
        for place, read in reads.items():
            gradients[place] = gradient_by_words(read, gradients[place], variables[place].shape[0])
        means, sums = mean_gradients(gradients, variables, sums, ranks, words)
        means = [mean if place in reads else tf.convert_to_tensor(mean) for place, mean in enumerate(means)]
        with tf.control_dependencies(means):  # all or nothing: a step whose exchange fails has not even been counted
            optimizer.learning_rate.assign(tf.bitcast(examples[0, -1], tf.float32))  # else 0.5 ms, from Python
            optimizer.apply(means, variables)
        return sums

    @functools.cache
    def step_of(tokens: int | None, full: bool) -> Callable[..., tf.Tensor]:
        """A graph of its own for each width that is unrolled, without masks where it is `full`; one for all others."""
        examples = tf.TensorSpec([None, tokens and tokens + 3], tf.int32)

        def step_of_width(examples: tf.Tensor) -> tf.Tensor:  # TensorFlow's errors are shorter where it has a name
            return step(examples, full)

        # and not by way of a tf.function, which takes 0.15 ms a step to find the graph for its arguments
        return tf.function(step_of_width).get_concrete_function(examples)

    longest = longest_unrolled(model)

    def train(ids: np.ndarray, labels: np.ndarray, seeds: Seeds | None = None, rate: float | None = None) -> tf.Tensor:
        tokens = ids.shape[1]
        # other batches may be full, too, but a graph more takes a second, while other ranks, whose batch is not, wait
        full = tokens in unpadded and bool(ids.all())
        graph = step_of(tokens, full) if tokens <= longest else step_of(None, False)
        rate = float(optimizer.learning_rate) if rate is None else rate
        return graph(tf.constant(_in_one(ids, labels, seeds, rate)))

    return train


def _in_one(ids: np.ndarray, labels: np.ndarray, seeds: Seeds | None, rate: float) -> np.ndarray:
    """[B, T + 3]: ids, label, seed and rate of each example in one array: TensorFlow takes its time for each it gets.

    The label of an example of weight 0 is -1.
    """
    ids, labels, weights = with_weights(ids, labels)
    if seeds is None or not len(seeds):
        seeds = np.arange(len(labels), dtype=np.uint32)
    examples = np.empty((len(labels), ids.shape[1] + 3), np.int32)
    examples[:, :-3] = ids
    examples[:, -3] = np.where(weights > 0, labels, -1)
    examples[:, -2] = seeds.view(np.int32)
    examples[:, -1] = np.float32(rate).view(np.int32)
    return examples


def _penalty(model: keras.Model) -> tf.Tensor:
    """What the model's own layers add to the mean loss of a batch: regularizers, and `add_loss`."""
    return tf.add_n([tf.cast(loss, tf.float32) for loss in model.losses]) if model.losses else tf.zeros([])


def balanced_weights(counts: np.ndarray) -> np.ndarray:
    """Weights [L] of classes with so many examples [L]: the same sum for each class, 1 for the average example."""
    return (counts.sum() / (len(counts) * np.maximum(counts, 1))).astype(np.float32)


def make_evaluation_step(model: keras.Model) -> Callable[[np.ndarray, np.ndarray], tf.Tensor]:
    """A function (ids [B, T], labels [B]) -> [loss, correct, examples] of these examples alone."""

    @tf.function(reduce_retracing=True)  # type: ignore[untyped-decorator]
    def step(ids: tf.Tensor, labels: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
        return example_sums(labels, weights, model(ids, training=False))

    return lambda ids, labels: step(*with_weights(ids, labels))
