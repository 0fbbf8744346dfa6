"""Line art of the report: matplotlib figures as SVG that takes its colours and its font from the page."""

import io
import math
import re
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

# Stand-ins that matplotlib can draw with; theme() swaps them for the page's own colours, which follow light and dark.
INK, MUTED, RULE, BLUE, WARM = "#010101", "#020202", "#030303", "#040404", "#050505"
VARIABLES = {INK: "--ink", MUTED: "--muted", RULE: "--rule", BLUE: "--blue", WARM: "--warm"}
STYLE: dict[Any, Any] = {  # matplotlib types the keys as literals, which an open dict cannot promise
    "svg.fonttype": "none",  # text stays text: it can be selected, and read in the page's font
    "font.size": 9.5,
    "text.color": INK,
    "axes.labelcolor": MUTED,
    "axes.edgecolor": RULE,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.unicode_minus": False,
    "xtick.color": RULE,
    "ytick.color": RULE,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "grid.color": RULE,
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "legend.handlelength": 2.4,
    "lines.linewidth": 1.8,
    "lines.markersize": 3.5,
}


def learning_curve(history: Sequence[Mapping[str, float]], measure: str, title: str) -> str:
    """SVG of one measure over the epochs, for training and validation."""
    with matplotlib.rc_context({**STYLE, "svg.hashsalt": measure}):
        figure = Figure(figsize=(4.7, 3.0), layout="constrained")
        axes = figure.subplots()
        epochs = [row["epoch"] for row in history]
        # Dashes as well as colours tell the lines apart: for colour-blind readers and black-and-white prints.
        series = ((measure, "training", MUTED, (0, (4, 2))), (f"validation_{measure}", "validation", BLUE, "solid"))
        for key, label, colour, dashes in series:
            values = finite(history, key)
            if not all(math.isnan(value) for value in values):
                axes.plot(epochs, values, color=colour, linestyle=dashes, marker="o", label=label)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        axes.set_xlabel("epoch")
        axes.grid(axis="y")
        if measure == "accuracy":
            axes.yaxis.set_major_formatter(PercentFormatter(1.0, symbol=" %"))
        else:
            axes.set_ylim(bottom=0)
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, borderaxespad=0)
        return inline(figure, measure, title)


def reliability(calibration: Sequence[Mapping[str, Any]], title: str) -> str:
    """SVG of the accuracy at each confidence, over a histogram of the confidences."""
    bins = [row for row in calibration if row["examples"]]
    width = 1 / max(len(calibration), 1)
    lefts = [min(int(row["confidence"] / width), len(calibration) - 1) * width for row in bins]
    with matplotlib.rc_context({**STYLE, "svg.hashsalt": "reliability"}):
        figure = Figure(figsize=(4.7, 4.9), layout="constrained")
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
        upper.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle=(0, (4, 3)))
        upper.text(
            0.27,
            0.295,
            "perfectly calibrated",
            color=MUTED,
            rotation=45,
            rotation_mode="anchor",
            transform_rotates_text=True,
        )
        for row in bins:  # the stem is the gap that the calibration error averages
            upper.plot([row["confidence"]] * 2, [row["confidence"], row["accuracy"]], color=WARM, linewidth=1.2)
        upper.plot(
            [row["confidence"] for row in bins],
            [row["accuracy"] for row in bins],
            color=BLUE,
            marker="o",
            markersize=4.5,
        )
        lower.bar(lefts, [row["examples"] for row in bins], width=width * 0.92, align="edge", color=BLUE)
        percent_axes(upper, lower)
        for left, row in zip(lefts, bins, strict=True):
            lower.annotate(
                f"{row['examples']:,}",
                (left + width * 0.46, row["examples"]),
                xytext=(0, 2),
                color=MUTED,
                textcoords="offset points",
                ha="center",
                fontsize=7.5,
                annotation_clip=False,
            )
        return inline(figure, "reliability", title)


def percent_axes(upper: Axes, lower: Axes) -> None:
    """Scale and label the two panels of the reliability diagram."""
    upper.set(ylim=(0, 1.02), xlim=(0, 1), ylabel="accuracy")
    upper.yaxis.set_major_formatter(PercentFormatter(1.0, 0, " %"))
    upper.grid()
    lower.margins(y=0.25)  # room for the counts over the bars
    lower.set(xlabel="confidence in the named intent", ylabel="utterances")
    lower.xaxis.set_major_formatter(PercentFormatter(1.0, 0, " %"))
    lower.set_yticks([])
    lower.spines["left"].set_visible(False)


def finite(history: Sequence[Mapping[str, float | None]], key: str) -> list[float]:
    """The values of a column with NaN, which lines leave out, for what is missing or infinite."""
    values = (row.get(key) for row in history)
    return [math.nan if value is None or not math.isfinite(value) else float(value) for value in values]


def inline(figure: Figure, name: str, title: str) -> str:
    """The figure as an <svg> element that can stand in a page beside others."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"\s*<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)  # names addresses on the web
    # matplotlib numbers each figure's parts from 1, but an id has to be unique in the whole page
    svg = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{name}-", svg)
    view = re.search(r'viewBox="[^"]*"', svg)
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'class="plot" {view.group() if view else ""} role="img" aria-labelledby="{name}-title">\n'
        f' <title id="{name}-title">{escape(title)}</title>'
    )
    return theme(head + svg[svg.index(">") + 1 :])


def theme(svg: str) -> str:
    """The SVG in the page's colours and font."""
    svg = re.sub(r"font: ([\d.]+)px [^;\"]*", r"font-size: \1px", svg)
    for colour, variable in VARIABLES.items():
        svg = svg.replace(colour, f"var({variable})")
    return svg.strip()
