"""The training step: what N processes compute is what one would with the same global batch.

Each rank takes the gradients of its *summed* loss; one allreduce adds them up together with the sums of loss, hits and
examples; the total is divided by the global number of examples. No mean of means anywhere. Only batch normalisation
needs further ones, two a layer and as many for its gradients: normalization.py.
"""

from collections.abc import Callable
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from preprocessing.vocabulary import UNKNOWN
from training.normalization import Tensors, global_moments

# Adds tensors up over all ranks; a name besides "step", the same on all of them, tells one exchange from another.
AllReduce = Callable[..., Tensors]


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
    """Losses [B] of labels [B], that share of each of them spread over all labels, and probabilities [B, L]."""
    if not smoothing:
        return keras.losses.sparse_categorical_crossentropy(labels, probabilities)
    wanted = tf.one_hot(labels, probabilities.shape[-1])
    return keras.losses.categorical_crossentropy(wanted, probabilities, label_smoothing=smoothing)


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


def alone(tensors: Tensors, name: str = "step") -> Tensors:
    """The sums over the ranks of a single process."""
    return tensors


def allreduce_fused(tensors: Tensors, name: str = "step") -> Tensors:
    """Sums over all ranks, travelling as one vector: a step costs one exchange, whatever the number of weights."""
    import horovod.tensorflow as hvd

    flat = tf.concat([tf.reshape(tensor, [-1]) for tensor in tensors], 0)
    total = hvd.allreduce(flat, op=hvd.Sum, name=name, ignore_name_scope=True)
    parts = tf.split(total, [int(np.prod(tensor.shape)) for tensor in tensors])
    return [tf.reshape(part, tensor.shape) for part, tensor in zip(parts, tensors, strict=True)]


def make_train_step(
    model: keras.Model, optimizer: keras.Optimizer, allreduce: AllReduce, class_weights: np.ndarray | None = None,
    label_smoothing: float = 0.0,
) -> Callable[[np.ndarray, np.ndarray], tf.Tensor]:  # fmt: skip
    """A function (ids [B, T], labels [B]) -> [loss, correct, examples] summed over all ranks, which updates `model`.

    With class_weights [L] it learns from the examples so weighted, and with label_smoothing from labels so smoothed;
    what it returns is neither. A rank without examples in a step passes B = 0 and still takes part in the exchange.
    """
    variables = model.trainable_variables
    optimizer.build(variables)

    @tf.function(reduce_retracing=True)  # type: ignore[untyped-decorator]
    def step(ids: tf.Tensor, labels: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape, global_moments(model, allreduce, weights):
            probabilities = model(ids, training=True)
            shares = weights if class_weights is None else weights * tf.gather(class_weights, labels)
            loss = tf.reduce_sum(cross_entropies(labels, probabilities, label_smoothing) * shares)
        sums = example_sums(labels, weights, probabilities)
        # Dense, those of the embedding too: Keras' Adam would square the gradients of a word that comes twice one by
        # one, and what it computes would depend on how the batch is cut into ranks. And of a known shape, which that of
        # a Dense over words has not.
        zero = tf.UnconnectedGradients.ZERO
        gradients = tape.gradient(loss, [v.value for v in variables], unconnected_gradients=zero)
        gradients = [tf.reshape(tf.convert_to_tensor(g), v.shape) for g, v in zip(gradients, variables, strict=True)]
        *gradients, sums = allreduce([*gradients, sums])
        optimizer.apply([gradient / sums[2] for gradient in gradients], variables)
        return sums

    return lambda ids, labels: step(*with_weights(ids, labels))


def balanced_weights(counts: np.ndarray) -> np.ndarray:
    """Weights [L] of classes with so many examples [L]: the same sum for each class, 1 for the average example."""
    return (counts.sum() / (len(counts) * np.maximum(counts, 1))).astype(np.float32)


def make_evaluation_step(model: keras.Model) -> Callable[[np.ndarray, np.ndarray], tf.Tensor]:
    """A function (ids [B, T], labels [B]) -> [loss, correct, examples] of these examples alone."""

    @tf.function(reduce_retracing=True)  # type: ignore[untyped-decorator]
    def step(ids: tf.Tensor, labels: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
        return example_sums(labels, weights, model(ids, training=False))

    return lambda ids, labels: step(*with_weights(ids, labels))
