"""The evaluation report: one HTML page for whoever decides about a model and whoever has to improve it."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from jobs import plots
from jobs.formats import breakable, count, decimals, milliseconds, percent, shorten, unbroken
from jobs.matrix import confusion_matrix

RELIABLE_F1 = 0.9


def render_report(
    metrics: Mapping[str, Any], history: Sequence[Mapping[str, float]], lineage: Mapping[str, str]
) -> str:
    """One self-contained HTML page: no request leaves it, no script is needed to read it."""
    return render_page(
        "report.html.j2",
        metrics=metrics,
        history=history,
        lineage=lineage,
        subtitle=[text for label, text in lineage.items() if label.lower() in ("model", "dataset", "trained at")],
        headline=headline(metrics),
        remarks=remarks(metrics),
        figures=key_figures(metrics),
        curves=learning_curves(history),
        lowest=lowest_validation_loss(history),
        reliability=reliability_diagram(metrics),
        bias=confidence_bias(metrics["calibration"]),
        matrix=confusion_matrix(metrics),
        intents=sorted(metrics["per_intent"], key=lambda row: (row["f1"] is None, row["f1"] or 0, row["intent"])),
        slices=[(title_of(name, metrics), rows) for name, rows in metrics["slices"].items() if rows],
    )


def render_page(template: str, **values: Any) -> str:
    """The page that a template of this folder makes of the values, ready to be written."""
    page = environment().get_template(template).render(**values)
    # A cut-off emoji leaves half a surrogate pair behind, which no file can hold.
    return page.encode("utf-8", "replace").decode("utf-8")


def environment() -> Environment:
    """The template environment: everything escaped, a misspelt name an error."""
    # autoescape=True rather than select_autoescape, which does not know the ending .j2
    jinja = Environment(
        loader=PackageLoader("jobs", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    jinja.filters.update(percent=percent, count=count, decimals=decimals, breakable=breakable, shorten=shorten)
    jinja.filters["unbroken"] = unbroken
    return jinja


def headline(metrics: Mapping[str, Any]) -> str:
    """The result in one sentence."""
    low, high = (f"{100 * bound:.1f}" for bound in metrics["accuracy_interval"])
    return (
        f"The model names the right intent for {percent(metrics['accuracy'])} of {count(metrics['examples'])} "
        f"test utterances (95 % interval {low} to {high})."
    )


def remarks(metrics: Mapping[str, Any]) -> list[str]:
    """What to know besides the headline, one sentence each."""
    sentences = []
    if metrics["out_of_scope_recall"] is not None:
        sentences.append(
            f"It recognises {percent(metrics['out_of_scope_recall'])} of the utterances that fit no intent, "
            f"and is right about {percent(metrics['in_scope_accuracy'])} of the others."
        )
    unknown, rejected = metrics.get("unknown_intents"), metrics.get("rejected")
    if unknown:
        sentences.append(
            f"{count(sum(unknown.values()))} utterances are of {count(len(unknown))} intents that the model does not "
            f"know, such as “{shorten(min(unknown), 48)}”; they count as wrong."
        )
    if rejected:
        reasons = ", ".join(f"{name} {count(rows)}" for name, rows in sorted(rejected.items()))
        sentences.append(
            f"{count(sum(rejected.values()))} rows of the table are no examples and are left out: {reasons}."
        )
    rated = [row for row in metrics["per_intent"] if row["f1"] is not None]
    if rated:
        good = sum(row["f1"] >= RELIABLE_F1 for row in rated)
        worst = min(rated, key=lambda row: row["f1"])
        sentences.append(
            f"{count(good)} of {count(len(rated))} intents reach an F1 of {100 * RELIABLE_F1:.0f} %; "
            f"the weakest is “{shorten(worst['intent'], 48)}” at {percent(worst['f1'])}."
        )
    if metrics["confusions"]:
        top = metrics["confusions"][0]
        sentences.append(
            f"Its most frequent mistake is to take “{shorten(top['intent'], 48)}” for "
            f"“{shorten(top['predicted'], 48)}”: {percent(top['share'])} of that intent’s utterances."
        )
    return sentences


def key_figures(metrics: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Name, value and meaning of each key figure that the evaluation could compute."""
    named = (
        ("Accuracy", "accuracy", "utterances named right"),
        ("Macro F1", "macro_f1", "every intent counts the same"),
        ("Weighted F1", "weighted_f1", "intents count by their examples"),
        ("In-scope accuracy", "in_scope_accuracy", "utterances that fit an intent"),
        ("Out-of-scope recall", "out_of_scope_recall", "found, of those that fit none"),
        ("Calibration error", "expected_calibration_error", "between confidence and accuracy"),
    )
    shares = [(name, percent(metrics[key]), note) for name, key, note in named if metrics[key] is not None]
    ranks = [
        (f"Top-{rank} accuracy", percent(share), f"the right intent is among the first {rank}")
        for rank, share in metrics["top_k_accuracy"].items()
        if rank != "1"
    ]
    return [*shares, *ranks, ("Latency", milliseconds(metrics["latency"]["median_milliseconds"]), _slow(metrics))]


def _slow(metrics: Mapping[str, Any]) -> str:
    latency = metrics["latency"]
    slow = milliseconds(latency["percentile_95_milliseconds"])
    return f"for one utterance, the median of {count(latency['texts'])}; 95 % within {slow}"


def title_of(name: str, metrics: Mapping[str, Any]) -> str:
    """What the values of this slice are, in the corpus' own word where the user named the column."""
    return str(metrics["slice_column"]) if name == "slice" else name


def learning_curves(history: Sequence[Mapping[str, float]]) -> list[tuple[str, Markup]]:
    """Caption and drawing of the loss and of the accuracy, where they were measured."""
    drawings = []
    for measure in ("loss", "accuracy"):
        if all(math.isnan(value) for key in (measure, f"validation_{measure}") for value in plots.finite(history, key)):
            continue
        pairs = (("training", history[-1].get(measure)), ("validation", history[-1].get(f"validation_{measure}")))
        form = percent if measure == "accuracy" else decimals
        ends = ", ".join(f"{name} {form(value)}" for name, value in pairs)
        title = f"{measure.capitalize()} by epoch; in the last one: {ends}."
        drawings.append((title, Markup(plots.learning_curve(history, measure, title))))
    return drawings


def lowest_validation_loss(history: Sequence[Mapping[str, float]]) -> Mapping[str, float] | None:
    """The epoch with the lowest validation loss, if any was measured."""
    losses = plots.finite(history, "validation_loss")
    measured = [(loss, index) for index, loss in enumerate(losses) if not math.isnan(loss)]
    return history[min(measured)[1]] if measured else None


def reliability_diagram(metrics: Mapping[str, Any]) -> Markup | None:
    """Drawing of the calibration; nothing without a filled bin."""
    if not any(row["examples"] for row in metrics["calibration"]):
        return None
    error = percent(metrics["expected_calibration_error"])
    title = f"Accuracy at each level of confidence; expected calibration error {error}."
    return Markup(plots.reliability(metrics["calibration"], title))


def confidence_bias(calibration: Sequence[Mapping[str, Any]]) -> str:
    """A sentence on whether the model is too sure or not sure enough; empty without examples."""
    bins = [row for row in calibration if row["examples"]]
    examples = sum(row["examples"] for row in bins)
    if not examples:
        return ""
    gap = sum(row["examples"] * (row["confidence"] - row["accuracy"]) for row in bins) / examples
    if abs(gap) < 0.005:
        return "On average the model is as sure as it is right, to within half a percentage point."
    direction = "surer than it is right" if gap > 0 else "less sure than it is right"
    return f"On average the model is {100 * abs(gap):.1f} percentage points {direction}."
