"""Metrics from counts: how often each intent was taken for which, and how sure the model was."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.stats import binomtest
from sklearn.metrics import f1_score, precision_recall_fscore_support

BINS = 10  # of confidence, equally wide
Confusion = Mapping[tuple[str, str], int]  # (intent, predicted) -> examples
Bin = tuple[int, int, float, int]  # number, examples, summed probability, correct ones


def summarise(confusion: Confusion, bins: Sequence[Bin], out_of_scope: str) -> dict[str, Any]:
    """The figures of metrics.json: accuracy and its 95 % interval (Wilson), F1 averages, out-of-scope, calibration."""
    intents = np.array([intent for intent, _ in confusion], dtype=object)
    predicted = np.array([prediction for _, prediction in confusion], dtype=object)
    counts = np.array(list(confusion.values()))
    hits = counts * (intents == predicted)
    examples, correct = int(counts.sum()), int(hits.sum())
    interval = binomtest(correct, examples).proportion_ci(method="wilson")
    labels = sorted(set(intents))
    averages = {
        f"{average}_f1": float(
            f1_score(intents, predicted, labels=labels, average=average, sample_weight=counts, zero_division=0)
        )
        for average in ("macro", "weighted")
    }
    outside = intents == out_of_scope
    return {
        "accuracy": correct / examples,
        "accuracy_interval": [float(interval.low), float(interval.high)],
        **averages,
        "examples": examples,
        "intents": len(labels),
        "in_scope_accuracy": _share(hits[~outside], counts[~outside]) if outside.any() else None,
        "out_of_scope_recall": _share(hits[outside], counts[outside]) if outside.any() else None,
        "out_of_scope": out_of_scope or None,
        "expected_calibration_error": sum(abs(total - right) for _, _, total, right in bins) / examples,
        "per_intent": _per_intent(intents, predicted, counts, labels),
        "calibration": _calibration(bins),
    }


def _share(hits: np.ndarray, counts: np.ndarray) -> float | None:
    return float(hits.sum() / counts.sum()) if counts.sum() else None


def _per_intent(
    intents: np.ndarray, predicted: np.ndarray, counts: np.ndarray, labels: list[str]
) -> list[dict[str, Any]]:
    precision, recall, f1, _ = precision_recall_fscore_support(
        intents, predicted, labels=labels, sample_weight=counts, zero_division=0
    )
    return [
        {
            "intent": label,
            "examples": int(counts[intents == label].sum()),
            "predicted": int(counts[predicted == label].sum()),
            "precision": float(precision[row]),
            "recall": float(recall[row]),
            "f1": float(f1[row]),
        }
        for row, label in enumerate(labels)
    ]


def _calibration(bins: Sequence[Bin]) -> list[dict[str, Any]]:
    """All BINS, those without examples too."""
    filled = {number: (examples, total, right) for number, examples, total, right in bins}
    rows = []
    for number in range(BINS):
        examples, total, right = filled.get(number, (0, 0.0, 0))
        rows.append({
            "confidence": total / examples if examples else None,
            "accuracy": right / examples if examples else None,
            "examples": examples,
        })  # fmt: skip
    return rows


def frequent_confusions(confusion: Confusion, most: int) -> list[dict[str, Any]]:
    """The most frequent mistakes; `share` is of the right intent's examples."""
    totals: dict[str, int] = {}
    for (intent, _), examples in confusion.items():
        totals[intent] = totals.get(intent, 0) + examples
    mistakes = [(examples, intent, taken) for (intent, taken), examples in confusion.items() if intent != taken]
    return [
        {"intent": intent, "predicted": taken, "examples": examples, "share": examples / totals[intent]}
        for examples, intent, taken in sorted(mistakes, key=lambda mistake: (-mistake[0], *mistake[1:]))[:most]
    ]
