"""Temperature scaling: probabilities that mean what they say, fitted on validation (Guo et al. 2017, section 4.2)."""

from collections.abc import Callable

import numpy as np
from scipy.optimize import minimize_scalar

BOUNDS = (np.log(0.05), np.log(20.0))  # of the temperature's logarithm
TINY = 1e-12  # instead of 0, which has no logarithm


def fit_temperature(
    probabilities: np.ndarray, labels: np.ndarray, add: Callable[[np.ndarray], np.ndarray] = lambda sums: sums
) -> float:
    """The temperature at which the examples of all ranks have the least cross-entropy; above 1 for a boastful model.

    probabilities [N, L] and labels [N] are one rank's own, N may be 0; `add` sums a vector over all ranks, which
    therefore search in step and find the same number.
    """
    scores = np.log(np.maximum(probabilities.astype(np.float64), TINY))
    rows = np.arange(len(labels))

    def loss(log_temperature: float) -> float:
        scaled = scores / np.exp(log_temperature)
        losses = np.logaddexp.reduce(scaled, axis=1) - scaled[rows, labels]
        total, examples = add(np.array([losses.sum(), len(labels)], np.float64))
        return float(total / max(examples, 1))

    return float(np.exp(minimize_scalar(loss, bounds=BOUNDS, method="bounded").x))
