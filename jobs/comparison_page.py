"""The comparison's page: comparison.json for whoever has to choose a model, and for whoever doubts the choice."""

import math
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
from markupsafe import Markup
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter, StrMethodFormatter

from jobs.formats import count, decimals, percent, shorten
from jobs.plots import BLUE, MUTED, STYLE, WARM, inline
from jobs.report import render_page

DRAWN = 20  # settings; the page's table has all
LABEL_WIDTH = 30
CHANCE, WORSE, BEST = "no worse than chance explains", "worse", "best"


def render_comparison(comparison: Mapping[str, Any]) -> str:
    """One self-contained HTML page: no request leaves it, no script is needed to read it."""
    rows = comparison["settings"]
    return render_page(
        "comparison.html.j2",
        comparison=comparison,
        rows=rows,
        verdicts=[verdict(row) for row in rows],
        headline=headline(comparison),
        remarks=remarks(comparison),
        figures=key_figures(comparison),
        intervals=Markup(intervals(rows[:DRAWN], "Validation accuracy of each setting, with its 95 % interval.")),
        costs=Markup(costs(rows[:DRAWN], "Validation accuracy of each setting by what its training costs.")),
        trials=[(row["setting"], trial) for row in rows for trial in row["trials"]],
        lineage=lineage(comparison),
        p_value=p_value,
    )


def verdict(row: Mapping[str, Any]) -> str:
    """What the tests say of a setting."""
    if "against_best" not in row:
        return BEST
    return CHANCE if row["against_best"]["chance"] else WORSE


def headline(comparison: Mapping[str, Any]) -> str:
    """The result in one sentence."""
    best, seeds = comparison["settings"][0], len(comparison["settings"][0]["trials"])
    low, high = (f"{100 * bound:.1f}" for bound in best["accuracy_interval"])
    mean = "with one seed" if seeds == 1 else f"on average over {seeds} seeds"
    return (
        f"“{shorten(best['setting'], 60)}” names the right intent for {percent(best['accuracy'])} of "
        f"{count(comparison['validation_examples'])} validation utterances {mean} (95 % interval {low} to {high})."
    )


def remarks(comparison: Mapping[str, Any]) -> list[str]:
    """What to know besides the headline, one sentence each."""
    best, *others = comparison["settings"]
    equal = [row for row in others if row["against_best"]["chance"]]
    sentences = []
    if others and not equal:
        sentences.append("Every other setting is behind it by more than chance explains.")
    if equal:
        named = ", ".join(f"“{shorten(row['setting'], 40)}”" for row in equal[:4])
        more = f" and {len(equal) - 4} more" if len(equal) > 4 else ""
        sentences.append(f"No worse than chance explains: {named}{more}.")
        cheapest = min(equal, key=lambda row: row["process_seconds"])
        if cheapest["process_seconds"] < best["process_seconds"]:
            share = percent(cheapest["process_seconds"] / best["process_seconds"])
            sentences.append(
                f"Of these, “{shorten(cheapest['setting'], 40)}” trains for {share} of the best one’s cost."
            )
    if len(comparison["seeds"]) == 1:
        sentences.append("With one seed, nothing tells how much of a difference is the seed’s.")
    if failed := len(comparison["failed"]):
        sentences.append(f"{count(failed)} trial{'s' if failed > 1 else ''} failed; the reasons are below.")
    return sentences


def key_figures(comparison: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Name, value and meaning of the best setting's figures."""
    best = comparison["settings"][0]
    return [
        ("Validation accuracy", percent(best["accuracy"]), "what it was chosen by"),
        ("Test accuracy", percent(best["test_accuracy"]), "not used for choosing"),
        ("Speed", count(best["examples_per_second"]), "examples a second in training"),
        ("Cost", decimals(best["process_seconds"], ",.1f"), "process-seconds of training"),
        ("Size", decimals(best["megabytes"], ".1f"), "MB of saved model"),
        ("Latency", decimals(best["milliseconds"], ".2f"), "ms for one utterance alone"),
    ]


def intervals(rows: Sequence[Mapping[str, Any]], title: str) -> str:
    """SVG of each setting's mean accuracy with its interval, and of its seeds as small dots; the best on top."""
    with matplotlib.rc_context({**STYLE, "svg.hashsalt": "intervals"}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")  # the page's font has them
        figure = Figure(figsize=(9.4, 0.42 * len(rows) + 0.8), layout="constrained")
        axes = figure.subplots()
        for place, row in enumerate(rows):
            colour = MUTED if verdict(row) == WORSE else BLUE
            axes.plot(row["accuracy_interval"], [place, place], color=colour, linewidth=1.4)
            seeds = [trial["validation_accuracy"] for trial in row["trials"]]
            axes.plot(seeds, [place] * len(seeds), "o", color=WARM, markersize=2.6, zorder=3)
            axes.plot([row["accuracy"]], [place], "D", color=colour, markersize=5.5)
        axes.set_yticks(range(len(rows)), [shorten(row["setting"], LABEL_WIDTH) for row in rows])
        for label in axes.get_yticklabels():
            label.set_parse_math(False)  # a dollar sign is one
        axes.set_ylim(len(rows) - 0.5, -0.5)
        # Intervals of two seeds may reach from 0 to 1: the means are what the axis has to tell apart.
        axes.set_xlim(*span(rows))
        axes.xaxis.set_major_formatter(PercentFormatter(1.0, symbol=" %"))
        axes.set_xlabel("validation accuracy")
        axes.tick_params(axis="y", length=0, labelcolor=MUTED)
        axes.spines["left"].set_visible(False)
        axes.grid(axis="x")
        return inline(figure, "intervals", title).replace('class="plot"', 'class="plot wide"', 1)


def span(rows: Sequence[Mapping[str, Any]]) -> tuple[float, float]:
    """Ends of the axis: all seeds and means, and intervals as far as twice their width to either side."""
    values = [trial["validation_accuracy"] for row in rows for trial in row["trials"]]
    low, high = min(values), max(values)
    room = max(high - low, 0.01)
    ends = [bound for row in rows for bound in row["accuracy_interval"]]
    return max(min(ends), low - room, 0.0) - 0.04 * room, min(max(ends), high + room, 1.0) + 0.04 * room


def costs(rows: Sequence[Mapping[str, Any]], title: str) -> str:
    """SVG of accuracy by process-seconds, a numbered dot for each setting."""
    with matplotlib.rc_context({**STYLE, "svg.hashsalt": "costs"}):
        figure = Figure(figsize=(4.7, 3.4), layout="constrained")
        axes = figure.subplots()
        for place, row in enumerate(rows, 1):
            colour = MUTED if verdict(row) == WORSE else BLUE
            at = (row["process_seconds"], row["accuracy"])
            axes.plot(*at, "D", color=colour, markersize=5)
            axes.annotate(str(place), at, xytext=(5, 4), textcoords="offset points", color=MUTED, fontsize=8)
        axes.margins(0.1)
        axes.set_xlim(left=0)
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,g}"))
        axes.yaxis.set_major_formatter(PercentFormatter(1.0, symbol=" %"))
        axes.set(xlabel="process-seconds of training", ylabel="validation accuracy")
        axes.grid()
        return inline(figure, "costs", title)


def lineage(comparison: Mapping[str, Any]) -> dict[str, str]:
    """The page's table of what was compared on what."""
    tried = sorted({key for row in comparison["settings"] for key in row["values"]})
    return {
        "Dataset": f"{comparison['dataset']} (fingerprint {comparison['fingerprint']})",
        "Winner": f"{comparison['winner']['run']} (seed {comparison['winner']['seed']})",
        "Tried": ", ".join(tried),
        "Seeds": ", ".join(map(str, comparison["seeds"])),
        "Processes": str(comparison["processes"]),
    }


def p_value(p: float | None) -> str:
    """A p-value, short."""
    if p is None or not math.isfinite(p):
        return decimals(None)
    return f"{p:.3f}" if p >= 0.001 else "<0.001"
