"""Numbers and labels as the pages show them."""

import math
import re
import unicodedata

from markupsafe import Markup, escape

MISSING = "–"
LABEL_WIDTH = 22  # columns


def percent(value: float | None) -> str:
    """The share in percent; never rounded to all or nothing."""
    if value is None or not math.isfinite(value):
        return MISSING
    text = f"{100 * value:.1f} %"
    if text == "100.0 %" and value < 1:
        return ">99.9 %"
    return "<0.1 %" if text == "0.0 %" and value > 0 else text


def milliseconds(value: float) -> str:
    """The time with three digits."""
    return f"{value:,.{max(0, 2 - math.floor(math.log10(max(value, 0.01))))}f} ms"


def count(value: float | None) -> str:
    """The number with thousands set apart."""
    return MISSING if value is None or not math.isfinite(value) else f"{value:,.0f}"


def decimals(value: float | None, form: str = ".4f") -> str:
    """The number in the given format."""
    return MISSING if value is None or not math.isfinite(value) else format(value, form)


def breakable(label: object) -> Markup:
    """The escaped label, free to wrap where its words end."""
    # In the entities that escape() writes none of these characters occurs.
    return Markup(re.sub(r"(?<=\w)([_./:-])(?=\w)", r"\1<wbr>", str(escape(label))))


def unbroken(sentence: str) -> str:
    """The sentence with each unit held to its number."""
    return re.sub(r" (%|ms\b)", "\u00a0\\1", sentence)


def shorten(text: str, width: int = LABEL_WIDTH) -> str:
    """The text cut to a width in columns."""
    if columns(text) <= width:
        return text
    kept = next(index for index in range(len(text)) if columns(text[: index + 1]) >= width)
    return text[:kept].rstrip() + "…"


def columns(text: str) -> int:
    """The width of a text, in which Korean, Chinese and Japanese letters take two columns."""
    return sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in text)
