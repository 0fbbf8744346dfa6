"""The dataset's page: profile.json, leaks.json and drift.json for people, as profile.html beside them."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from jobs import plots
from jobs.formats import count, percent, shorten
from jobs.report import render_page
from preprocessing import storage
from preprocessing.drift import LARGE, MEASURES, MODERATE
from preprocessing.layout import buckets_for
from preprocessing.profile import FEW
from preprocessing.schema import SPLITS

FATES = {"train": "training", "validation": "validation", "test": "test"}


def write_page(uri: str) -> None:
    """Writes profile.html from the other files of the dataset at `uri`; it may be written anew at any time."""
    profile, leaks = (json.loads(storage.read_text(f"{uri}/{name}.json")) for name in ("profile", "leaks"))
    drift = json.loads(storage.read_text(f"{uri}/drift.json")) if storage.exists(f"{uri}/drift.json") else None
    storage.write_text(f"{uri}/profile.html", render_profile(profile, leaks, drift))


def render_profile(profile: Mapping[str, Any], leaks: Mapping[str, Any], drift: Mapping[str, Any] | None) -> str:
    """One self-contained HTML page: no request leaves it, no script is needed to read it."""
    return render_page(
        "profile.html.j2",
        profile=profile,
        leaks=leaks,
        drift=drift,
        names=FATES,
        few=FEW,
        examples=examples(profile),
        headline=headline(profile),
        remarks=remarks(profile, leaks, drift),
        figures=key_figures(profile),
        drawings=drawings(profile, drift),
        intents=intents(profile),
        languages=languages(profile),
        indices=indices(drift) if drift else [],
        lineage=lineage(profile, drift),
    )


def examples(profile: Mapping[str, Any]) -> int:
    """Examples of all splits."""
    return sum(profile["splits"][split]["examples"] for split in SPLITS)


def headline(profile: Mapping[str, Any]) -> str:
    """The result in one sentence."""
    return (
        f"{count(profile['rows_in'])} rows became {count(examples(profile))} examples "
        f"of {count(len(profile['splits']['train']['intents']))} intents."
    )


def remarks(profile: Mapping[str, Any], leaks: Mapping[str, Any], drift: Mapping[str, Any] | None) -> list[str]:
    """What to know besides the headline, one sentence each."""
    sentences = []
    if profile["rejected"]:
        reason, rows = max(profile["rejected"].items(), key=lambda entry: entry[1])
        share = percent(sum(profile["rejected"].values()) / profile["rows_in"])
        sentences.append(f"{share} of the rows are rejected, most of them ({count(rows)}) for “{reason}”.")
    test = profile["splits"]["test"]["examples"]
    copied = leaks["several_splits"]["of_training"]["test"]
    if copied:
        sentences.append(f"{percent(copied / test)} of the test examples have a text that occurs in training too.")
    if mixed := leaks["several_intents"]["texts"]:
        share = percent(leaks["several_intents"]["examples"] / examples(profile))
        texts = "1 text stands" if mixed == 1 else f"{count(mixed)} texts stand"
        sentences.append(f"{texts} under several intents, {share} of the examples.")
    if small := profile["small_intents"]:
        named = f"“{shorten(small[0]['intent'], 48)}”"
        others = f" and {count(len(small) - 1)} more" if len(small) > 1 else ""
        sentences.append(f"Too small to be learnt or measured: {named}{others}.")
    if drift:
        worst = max((drift[key]["index"], name) for key, name in MEASURES.items() if key in drift)
        sentences.append(f"Against the reference, {worst[1]} moved most: index {worst[0]:.3f}, {verdict(worst[0])}.")
    return sentences


def verdict(index: float) -> str:
    """The customary reading of a population stability index."""
    if index > LARGE:
        return "another population"
    return "shifted" if index > MODERATE else "stable"


def key_figures(profile: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Name, value and meaning of each key figure."""
    test = profile["splits"]["test"]["coverage"]
    found = [
        ("Examples", count(examples(profile)), "utterances with an intent"),
        ("Intents", count(len(profile["splits"]["train"]["intents"])), "of the training split"),
        ("Vocabulary", count(profile["vocabulary_size"]), "words, the special ones included"),
        ("Words known in test", percent(test["known_tokens_fraction"]), "of all words said there"),
        ("Rejected", percent(sum(profile["rejected"].values()) / profile["rows_in"]), "of all rows"),
    ]
    if profile["dialogs"]:
        found.insert(1, ("Dialogs", count(profile["dialogs"]), "with turns of both speakers"))
    return found


def drawings(profile: Mapping[str, Any], drift: Mapping[str, Any] | None) -> dict[str, Markup]:
    """The plots by name; those for which there is something to draw."""
    splits = profile["splits"]
    rows = [(name, splits[split]["examples"]) for split, name in FATES.items()]
    rows += [("context only", profile["context_only"]), ("rejected", sum(profile["rejected"].values()))]
    lengths = _numbered(sum((Counter(splits[split]["lengths"]) for split in SPLITS), Counter[str]()))
    edges = buckets_for(profile["max_tokens"], _numbered(splits["train"]["lengths"]))[:-1]
    order = list(splits["train"]["intents"])
    counts = {name: [splits[split]["intents"].get(intent, 0) for intent in order] for split, name in FATES.items()}
    shares = {
        name: (splits[split]["coverage"]["known_types_fraction"], splits[split]["coverage"]["known_tokens_fraction"])
        for split, name in FATES.items()
    }
    drawn = {
        "fates": plots.fates(rows, "Rows by what became of them."),
        "lengths": plots.histogram(lengths, "lengths", "Examples by number of tokens.", "tokens", edges),
        "ranks": plots.ranks(counts, FEW, "Examples of each intent, the largest first."),
        "covered": plots.covered(shares, "Share of words that the vocabulary knows, by split."),
    }
    if profile["dialogs"]:
        turns = _numbered(profile["turns_per_dialog"])
        drawn["dialogs"] = plots.histogram(turns, "dialogs", "Dialogs by number of turns.", "turns")
    if drift and "lengths" in drift:
        drawn["moved"] = plots.before_and_after(drift["lengths"]["bins"], "Lengths in both datasets.")
    return {name: Markup(drawing) for name, drawing in drawn.items()}


def _numbered(counts: Mapping[str, int]) -> dict[int, int]:
    return {int(number): rows for number, rows in counts.items()}


def intents(profile: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Examples of each intent by split, the largest first, and whether they are too few."""
    splits = profile["splits"]
    small = {row["intent"] for row in profile["small_intents"]}
    return [
        {"intent": intent, "small": intent in small}
        | {split: splits[split]["intents"].get(intent, 0) for split in SPLITS}
        for intent in splits["train"]["intents"]
    ]


def languages(profile: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Examples of each language by split; none where the corpus does not tell it."""
    found = {split: profile["splits"][split]["languages"] for split in SPLITS}
    names = sorted(set().union(*found.values()), key=lambda name: -sum(found[split].get(name, 0) for split in SPLITS))
    if names == [""]:
        return []
    return [{"language": name, **{split: found[split].get(name, 0) for split in SPLITS}} for name in names]


def indices(drift: Mapping[str, Any]) -> list[tuple[str, float, float, str]]:
    """Measure, index, what chance alone would give, and the verdict."""
    return [
        (name, drift[key]["index"], drift[key]["by_chance"], verdict(drift[key]["index"]))
        for key, name in MEASURES.items()
        if key in drift
    ]


def lineage(profile: Mapping[str, Any], drift: Mapping[str, Any] | None) -> dict[str, str]:
    """The page's table of where the dataset comes from."""
    corpus: Sequence[str] = profile["corpus"]["path"]
    return {
        "Corpus": ", ".join(corpus),
        "Format": profile["corpus"]["format"],
        "Tokenizer": f"{profile['tokenizer']}, at most {profile['max_tokens']} tokens",
        **({"Reference": drift["reference"]} if drift else {}),
    }
