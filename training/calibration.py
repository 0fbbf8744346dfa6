"""What validation says of a trained model: how far to trust its probabilities, and when to answer "none of these"."""

from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize_scalar

BOUNDS = (np.log(0.05), np.log(20.0))  # of the temperature's logarithm
TINY = 1e-12  # instead of 0, which has no logarithm
LOOKED_AT = 20_000_000  # probabilities of a rank that the temperature is fitted on, at most: 160 MB
THRESHOLDS = (np.arange(1000) / 1000).astype(np.float32)  # that are tried

# of one in so many examples: batches of probabilities [N, L] and labels [N]
Predictions = Callable[[int], Iterable[tuple[np.ndarray, np.ndarray]]]
Add = Callable[[np.ndarray], np.ndarray]  # sums a vector over all ranks


def alone(sums: np.ndarray) -> np.ndarray:
    """The sum over the ranks where there is only one."""
    return sums


class Calibration(NamedTuple):
    """What the published model does with the probabilities of the trained one."""

    temperature: float = 1.0  # its scores are divided by this
    out_of_scope_threshold: float = 0.0  # an answer less probable than this is out of scope


def calibrate(
    predictions: Predictions, rows: int, num_labels: int, out_of_scope: int | None, add: Add = alone
) -> Calibration:
    """The calibration of a model, the same on all ranks, from the predictions of a rank's own `rows` examples.

    `out_of_scope` is the label that means none of the others; without one there is no threshold.
    """
    nothing = np.empty((0, num_labels), np.float32), np.empty(0, np.int32)
    parts = [*predictions(1 + rows * num_labels // LOOKED_AT), nothing]
    probabilities, labels = (np.concatenate(column) for column in zip(*parts, strict=True))
    temperature = fit_temperature(probabilities, labels, add)
    if out_of_scope is None:
        return Calibration(temperature)
    counts = np.zeros((2, len(THRESHOLDS)), np.int64)
    for probabilities, labels in predictions(1):
        counts += threshold_counts(scaled(probabilities, temperature), labels, out_of_scope)
    return Calibration(temperature, choose_threshold(add(counts)))


def fit_temperature(probabilities: np.ndarray, labels: np.ndarray, add: Add = alone) -> float:
    """The temperature at which the examples of all ranks have the least cross-entropy; above 1 for a boastful model.

    Guo et al. 2017, section 4.2.

    probabilities [N, L] and labels [N] are one rank's own, N may be 0; `add` sums a vector over all ranks, which
    therefore search in step and find the same number.
    """
    scores = np.log(np.maximum(probabilities.astype(np.float64), TINY))
    rows = np.arange(len(labels))

    def loss(log_temperature: float) -> float:
        cooled = scores / np.exp(log_temperature)
        losses = np.logaddexp.reduce(cooled, axis=1) - cooled[rows, labels]
        total, examples = add(np.array([losses.sum(), len(labels)], np.float64))
        return float(total / max(examples, 1))

    return float(np.exp(minimize_scalar(loss, bounds=BOUNDS, method="bounded").x))


def scaled(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """probabilities [N, L] as they are at that temperature."""
    scores = np.log(np.maximum(probabilities, TINY)) / temperature
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)


def threshold_counts(probabilities: np.ndarray, labels: np.ndarray, out_of_scope: int) -> np.ndarray:
    """int64 [2, THRESHOLDS]: how many in-scope answers from each threshold to the next are out of scope, and right.

    probabilities [N, L] and labels [N]; the counts of several parts, and of several ranks, may be added.
    """
    answers, sure = probabilities.argmax(axis=1), probabilities.max(axis=1)
    places = np.searchsorted(THRESHOLDS, sure, side="right") - 1
    inside = answers != out_of_scope
    kinds = (inside & (labels == out_of_scope), inside & (labels == answers))
    return np.stack([np.bincount(places[kind], minlength=len(THRESHOLDS)) for kind in kinds])


def choose_threshold(counts: np.ndarray) -> float:
    """The threshold with the most right answers, the lowest of several; 0, which changes nothing, where none helps."""
    wrongly_inside, right = counts
    gains = np.concatenate([[0], np.cumsum(wrongly_inside - right)[:-1]])
    return float(THRESHOLDS[gains.argmax()])
