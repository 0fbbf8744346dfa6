"""Line art of the reports: matplotlib figures as SVG that takes its colours and its font from the page."""

import io
import math
import re
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullFormatter, PercentFormatter, StrMethodFormatter

# Stand-ins that matplotlib can draw with; theme() swaps them for the page's own colours, which follow light and dark.
INK, MUTED, RULE, BLUE, WARM = "#010101", "#020202", "#030303", "#040404", "#050505"
VARIABLES = {INK: "--ink", MUTED: "--muted", RULE: "--rule", BLUE: "--blue", WARM: "--warm"}
THOUSANDS = StrMethodFormatter("{x:,.0f}")
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


def histogram(counts: Mapping[int, int], name: str, title: str, axis: str, edges: Sequence[int] = ()) -> str:
    """SVG of counts by whole numbers, with dashed lines after the `edges`."""
    with matplotlib.rc_context({**STYLE, "svg.hashsalt": name}):
        figure = Figure(figsize=(4.7, 2.8), layout="constrained")
        axes = figure.subplots()
        axes.bar(list(counts), list(counts.values()), width=0.82, color=BLUE)
        for edge in edges:
            axes.axvline(edge + 0.5, color=WARM, linewidth=1, linestyle=(0, (3, 2)))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        axes.yaxis.set_major_locator(MaxNLocator(nbins=5, integer=True, min_n_ticks=1))
        axes.yaxis.set_major_formatter(THOUSANDS)
        axes.set(xlabel=axis, xlim=(0.4, None))
        axes.grid(axis="y")
        return inline(figure, name, title)


def fates(rows: Sequence[tuple[str, int]], title: str) -> str:
    """SVG of a bar and a number for each fate of a row; the last one is the loss."""
    with matplotlib.rc_context({**STYLE, "svg.hashsalt": "fates"}):
        figure = Figure(figsize=(4.7, 0.34 * len(rows) + 0.2), layout="constrained")
        axes = figure.subplots()
        colours = [BLUE] * (len(rows) - 1) + [WARM]
        bars = axes.barh([name for name, _ in rows], [number for _, number in rows], height=0.62, color=colours)
        axes.bar_label(bars, [f"{number:,}" for _, number in rows], padding=4, color=MUTED)
        axes.invert_yaxis()
        axes.margins(x=0.2)  # room for the numbers
        axes.set_xticks([])
        axes.tick_params(axis="y", length=0)
        axes.spines[["bottom", "left"]].set_visible(False)
        return inline(figure, "fates", title)


def ranks(counts: Mapping[str, Sequence[int]], few: int, title: str) -> str:
    """SVG of examples by rank of the intent, on a logarithmic scale, a line a split; dashed where there are `few`."""
    with matplotlib.rc_context({**STYLE, "svg.hashsalt": "ranks"}):
        figure = Figure(figsize=(4.7, 3.0), layout="constrained")
        axes = figure.subplots()
        looks = ((BLUE, "solid"), (MUTED, (0, (4, 2))), (WARM, (0, (1, 1))))
        for (split, numbers), (colour, dashes) in zip(counts.items(), looks, strict=True):
            places = range(1, len(numbers) + 1)
            axes.plot(places, [number or math.nan for number in numbers], color=colour, linestyle=dashes, label=split)
        axes.axhline(few, color=MUTED, linewidth=0.8, linestyle=(0, (1, 2)))
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(THOUSANDS)
        axes.yaxis.set_minor_formatter(NullFormatter())
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        axes.set(xlabel="intents, the largest first", ylabel="examples", xlim=(0.5, None))
        axes.grid(axis="y")
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3, borderaxespad=0)
        return inline(figure, "ranks", title)


def covered(shares: Mapping[str, tuple[float, float]], title: str) -> str:
    """SVG of the known share of tokens and of different words, a row a split."""
    with matplotlib.rc_context({**STYLE, "svg.hashsalt": "covered"}):
        figure = Figure(figsize=(4.7, 1.9), layout="constrained")
        axes = figure.subplots()
        for index, (words, tokens) in enumerate(shares.values()):
            axes.plot([words, tokens], [index, index], color=RULE, linewidth=2)
        rows = range(len(shares))
        axes.plot([words for words, _ in shares.values()], rows, "o", markersize=6, color=WARM, label="different words")
        axes.plot(
            [tokens for _, tokens in shares.values()], rows, "D", markersize=6, color=BLUE, label="all words said"
        )
        axes.set_yticks(rows, list(shares))
        axes.set(xlim=(0, 1.02), ylim=(len(shares) - 0.5, -0.5))
        axes.xaxis.set_major_formatter(PercentFormatter(1.0, 0, " %"))
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        axes.grid(axis="x")
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, borderaxespad=0)
        return inline(figure, "covered", title)


def before_and_after(bins: Sequence[Mapping[str, Any]], title: str) -> str:
    """SVG of the shares of the bins in two datasets, side by side."""
    with matplotlib.rc_context({**STYLE, "svg.hashsalt": "moved"}):
        figure = Figure(figsize=(4.7, 2.8), layout="constrained")
        axes = figure.subplots()
        for key, label, shift, colour in (("before", "reference", -0.2, MUTED), ("after", "this dataset", 0.2, BLUE)):
            places = [index + shift for index in range(len(bins))]
            axes.bar(places, [row[key] for row in bins], width=0.38, color=colour, label=label)
        axes.set_xticks(range(len(bins)), [row["bin"].replace(" or more", "+") for row in bins], fontsize=8)
        axes.yaxis.set_major_formatter(PercentFormatter(1.0, 0, " %"))
        axes.set_xlabel("tokens")
        axes.grid(axis="y")
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, borderaxespad=0)
        return inline(figure, "moved", title)


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
