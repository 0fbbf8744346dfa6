"""What chance explains: the tests against scipy's own, on figures where the answer is known."""

from typing import Any

import pytest
from scipy import stats

from jobs.ranking import against_best, in_order, interval, seeds_p, summarise


def setting(label: str, accuracies: list[float], cost: float = 1.0) -> dict[str, Any]:
    trials = [
        {"validation_accuracy": accuracy, "validation_examples": 1000, "test_accuracy": 0.5, "examples_per_second": 9.0,
         "process_seconds": cost, "megabytes": 2.0, "milliseconds": 3.0}
        for accuracy in accuracies
    ]  # fmt: skip
    return summarise(label, {"model.architecture": label}, trials)


def test_the_interval_of_a_mean_is_students() -> None:
    accuracies = [0.90, 0.91, 0.93]
    low, high = stats.t.interval(0.95, 2, loc=sum(accuracies) / 3, scale=stats.sem(accuracies))
    assert interval(accuracies, 1000) == pytest.approx([low, high])
    assert interval([0.9, 0.9], 1000) == pytest.approx([0.9, 0.9])
    assert interval([0.99, 0.90], 1000)[1] == 1.0


def test_one_seed_has_the_interval_of_its_rows() -> None:
    assert interval([0.9], 1000) == pytest.approx([0.8799, 0.9171], abs=1e-4)


def test_the_best_comes_first_and_the_cheaper_of_equals() -> None:
    rows = [setting("a", [0.8], 1), setting("b", [0.9], 5), setting("c", [0.9], 2)]
    assert [row["setting"] for row in in_order(rows)] == ["c", "b", "a"]


def test_seeds_are_compared_as_scipy_does() -> None:
    one, other = [0.91, 0.92, 0.93], [0.90, 0.88, 0.91, 0.89]
    assert seeds_p(one, other) == pytest.approx(stats.ttest_ind(one, other, equal_var=False).pvalue)
    assert seeds_p([0.9, 0.9], [0.8, 0.8]) == 0.0 and seeds_p([0.9, 0.9], [0.9, 0.9]) == 1.0
    assert seeds_p([0.9], [0.8, 0.7]) is None
    assert 0 < (seeds_p([0.9, 0.9], [0.8, 0.81]) or 0) < 0.05


@pytest.mark.parametrize(
    ("best", "other", "better", "worse", "chance"),
    [
        ([0.91, 0.92, 0.93], [0.85, 0.86, 0.87], 90, 20, False),  # neither seeds nor rows explain it
        ([0.91, 0.92, 0.93], [0.85, 0.86, 0.87], 9, 4, True),  # so few rows differ
        ([0.91, 0.97, 0.93], [0.85, 0.98, 0.87], 90, 20, True),  # one seed would have it the other way round
        ([0.92], [0.86], 90, 20, False),  # one seed: only the rows can tell
        ([0.92], [0.92], 0, 0, True),
    ],
)
def test_a_difference_is_real_only_where_nothing_explains_it(
    best: list[float], other: list[float], better: int, worse: int, chance: bool
) -> None:
    said = against_best(setting("best", best), setting("other", other), better, worse)
    assert said["chance"] is chance
    assert said["p_rows"] == (pytest.approx(stats.binomtest(better, better + worse).pvalue) if better else 1.0)
