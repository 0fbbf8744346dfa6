"""Metrics from counts equal scikit-learn's over the rows one by one, and figures that were worked out by hand."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, classification_report, f1_score

from jobs.metrics import frequent_confusions, summarise

# 10 examples; a: 3 of 4 right, b: 2 of 4, oos: 1 of 2
CONFUSION = {("a", "a"): 3, ("a", "b"): 1, ("b", "b"): 2, ("b", "oos"): 2, ("oos", "oos"): 1, ("oos", "a"): 1}
BINS = [(9, 6, 5.7, 5), (5, 2, 1.1, 0), (0, 2, 0.1, 1)]  # number, examples, summed probability, right

intents = st.sampled_from(["a", "b", "c", "oos"])
confusions = st.dictionaries(st.tuples(intents, st.sampled_from("abcd")), st.integers(1, 5), min_size=1)


def rows(confusion: dict[tuple[str, str], int]) -> tuple[list[str], list[str]]:
    """Intents and predictions, one by one."""
    pairs = [pair for pair, count in confusion.items() for _ in range(count)]
    return [intent for intent, _ in pairs], [predicted for _, predicted in pairs]


def test_the_figures_worked_out_by_hand() -> None:
    metrics = summarise(CONFUSION, BINS, "oos")
    calibration = metrics.pop("calibration")
    per_intent = metrics.pop("per_intent")
    # a: P 3/4, R 3/4; b: P 2/3, R 2/4; oos: P 1/3, R 1/2
    f1 = [3 / 4, 4 / 7, 2 / 5]
    assert metrics == {
        "accuracy": 0.6,
        "accuracy_interval": pytest.approx([0.3127, 0.8318], abs=1e-4),  # Wilson, z = 1.96
        "macro_f1": pytest.approx(sum(f1) / 3),
        "weighted_f1": pytest.approx((4 * f1[0] + 4 * f1[1] + 2 * f1[2]) / 10),
        "examples": 10,
        "intents": 3,
        "in_scope_accuracy": 5 / 8,
        "out_of_scope_recall": 1 / 2,
        "out_of_scope": "oos",
        "expected_calibration_error": pytest.approx((0.7 + 1.1 + 0.9) / 10),
    }
    assert [list(row.values()) for row in per_intent] == [
        ["a", 4, 4, 3 / 4, 3 / 4, pytest.approx(f1[0])],
        ["b", 4, 3, pytest.approx(2 / 3), 1 / 2, pytest.approx(f1[1])],
        ["oos", 2, 3, pytest.approx(1 / 3), 1 / 2, pytest.approx(f1[2])],
    ]
    none = {"confidence": None, "accuracy": None, "examples": 0}
    assert calibration == [
        {"confidence": 0.05, "accuracy": 0.5, "examples": 2},
        *[none] * 4,
        {"confidence": 0.55, "accuracy": 0.0, "examples": 2},
        *[none] * 3,
        {"confidence": pytest.approx(0.95), "accuracy": pytest.approx(5 / 6), "examples": 6},
    ]


@pytest.mark.parametrize("out_of_scope", ["", "elsewhere"])
def test_without_out_of_scope_examples_there_are_no_such_figures(out_of_scope: str) -> None:
    metrics = summarise(CONFUSION, BINS, out_of_scope)
    assert [metrics[name] for name in ("in_scope_accuracy", "out_of_scope_recall", "out_of_scope")] == [
        None, None, out_of_scope or None
    ]  # fmt: skip


def test_out_of_scope_examples_alone_have_no_accuracy_in_scope() -> None:
    metrics = summarise({("oos", "oos"): 3, ("oos", "a"): 1}, [], "oos")
    assert (metrics["in_scope_accuracy"], metrics["out_of_scope_recall"]) == (None, 0.75)


def test_an_intent_that_is_only_predicted_has_no_row_and_no_weight() -> None:
    metrics = summarise({("a", "b"): 1, ("a", "a"): 1}, [], "")
    assert [(row["intent"], row["predicted"]) for row in metrics["per_intent"]] == [("a", 1)]
    assert metrics["macro_f1"] == metrics["weighted_f1"] == pytest.approx(2 / 3)


@settings(deadline=None)
@given(confusions)
def test_counts_give_what_scikit_learn_says_of_the_rows(confusion: dict[tuple[str, str], int]) -> None:
    truth, predicted = rows(confusion)
    labels = sorted(set(truth))
    metrics = summarise(confusion, [], "oos")
    assert metrics["accuracy"] == pytest.approx(accuracy_score(truth, predicted))
    for average in ("macro", "weighted"):
        expected = f1_score(truth, predicted, labels=labels, average=average, zero_division=0)
        assert metrics[f"{average}_f1"] == pytest.approx(expected)
    report: Any = classification_report(truth, predicted, labels=labels, output_dict=True, zero_division=0)
    assert metrics["per_intent"] == [
        {
            "intent": label,
            "examples": report[label]["support"],
            "predicted": predicted.count(label),
            "precision": pytest.approx(report[label]["precision"]),
            "recall": pytest.approx(report[label]["recall"]),
            "f1": pytest.approx(report[label]["f1-score"]),
        }
        for label in labels
    ]
    inside = [(intent, taken) for intent, taken in zip(truth, predicted, strict=True) if intent != "oos"]
    if "oos" in labels and inside:
        assert metrics["in_scope_accuracy"] == pytest.approx(accuracy_score(*zip(*inside, strict=True)))
        assert metrics["out_of_scope_recall"] == pytest.approx(report["oos"]["recall"])


@settings(deadline=None)
@given(confusions)
def test_the_interval_holds_the_accuracy(confusion: dict[tuple[str, str], int]) -> None:
    metrics = summarise(confusion, [], "")
    low, high = metrics["accuracy_interval"]
    assert 0 <= low <= metrics["accuracy"] + 1e-12 and metrics["accuracy"] - 1e-12 <= high <= 1 and low < high


def test_the_most_frequent_mistakes_come_first_and_ties_in_the_order_of_names() -> None:
    assert frequent_confusions({("b", "a"): 1, ("a", "c"): 1, ("a", "b"): 1, ("c", "a"): 2, ("c", "c"): 6}, 3) == [
        {"intent": "c", "predicted": "a", "examples": 2, "share": 0.25},
        {"intent": "a", "predicted": "b", "examples": 1, "share": 0.5},
        {"intent": "a", "predicted": "c", "examples": 1, "share": 0.5},
    ]
