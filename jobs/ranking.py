"""The settings of a comparison in order, and whether chance explains that one is behind the best.

Chance has two sources: which seed a model began with, and which utterances happen to be in the validation split. A
setting is worse only where neither explains it: Welch's t-test over the accuracies of the seeds, and McNemar's exact
test (with several seeds: the sign test) over the same rows. The number of settings is not corrected for.
"""

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from scipy import stats

SIGNIFICANCE = 0.05  # two-sided: nobody knew beforehand which setting would be the best
CONFIDENCE = 0.95


def summarise(label: str, values: Mapping[str, Any], trials: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """One line of the comparison: the figures of a setting over the seeds that were trained."""
    accuracies = [trial["validation_accuracy"] for trial in trials]
    return {
        "setting": label,
        "values": dict(values),
        "accuracy": statistics.fmean(accuracies),
        "accuracy_interval": interval(accuracies, trials[0]["validation_examples"]),
        "test_accuracy": statistics.fmean(trial["test_accuracy"] for trial in trials),
        "examples_per_second": statistics.median(trial["examples_per_second"] for trial in trials),
        "process_seconds": statistics.fmean(trial["process_seconds"] for trial in trials),
        "megabytes": statistics.fmean(trial["megabytes"] for trial in trials),
        "milliseconds": statistics.median(trial["milliseconds"] for trial in trials),
        "trials": [dict(trial) for trial in trials],
    }


def interval(accuracies: Sequence[float], examples: int) -> list[float]:
    """The mean's 95 % interval: Student's over several seeds; of one seed that of its share of right rows (Wilson)."""
    if len(accuracies) == 1:
        found = stats.binomtest(round(accuracies[0] * examples), examples).proportion_ci(CONFIDENCE, "wilson")
        return [float(found.low), float(found.high)]
    mean, spread = statistics.fmean(accuracies), statistics.stdev(accuracies)
    half = float(stats.t.ppf((1 + CONFIDENCE) / 2, len(accuracies) - 1)) * spread / math.sqrt(len(accuracies))
    return [max(mean - half, 0.0), min(mean + half, 1.0)]


def in_order(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The best setting first; of equally good ones the cheapest."""
    return sorted(rows, key=lambda row: (-row["accuracy"], row["process_seconds"], row["setting"]))


def against_best(best: Mapping[str, Any], other: Mapping[str, Any], better: int, worse: int) -> dict[str, Any]:
    """What the tests say, `better` rows being right with more seeds of `best`, `worse` with more of `other`."""
    p_seeds = seeds_p(*[[trial["validation_accuracy"] for trial in row["trials"]] for row in (best, other)])
    p_rows = float(stats.binomtest(better, better + worse).pvalue) if better + worse else 1.0
    chance = max(p_rows, p_seeds or 0.0) >= SIGNIFICANCE
    return {"only_best_right": better, "only_this_right": worse, "p_rows": p_rows, "p_seeds": p_seeds, "chance": chance}


def seeds_p(one: Sequence[float], other: Sequence[float]) -> float | None:
    """Welch's two-sided p of two groups of seeds; None where a single seed says nothing of the others."""
    if min(len(one), len(other)) == 1:
        return None
    groups = [(statistics.fmean(group), statistics.stdev(group), len(group)) for group in (one, other)]
    if not any(spread for _, spread, _ in groups):  # the seed decides nothing
        return 1.0 if groups[0][0] == groups[1][0] else 0.0
    return float(stats.ttest_ind_from_stats(*groups[0], *groups[1], equal_var=False).pvalue)
