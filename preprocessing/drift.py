"""Drift: how far a dataset has moved from an earlier one, from their two profiles.

The population stability index of Siddiqi, Credit Risk Scorecards (2006): over bins, the sum of (after - before) *
ln(after / before) of their shares. Customary: below 0.1 stable, above 0.25 another population. Between samples of m
and n from one population it is not 0, but about (bins - 1) * (1/m + 1/n) (Yurdakul and Naranjo, 2020): `by_chance`.
"""

import json
import logging
import math
from collections import Counter
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from preprocessing import profile as profiles
from preprocessing import storage
from preprocessing.errors import UserError
from preprocessing.layout import BUCKETS
from preprocessing.schema import SPLITS

log = logging.getLogger(__name__)

MODERATE, LARGE = 0.1, 0.25  # population stability index
EPSILON = 1e-4  # the share that an empty bin counts with: the logarithm of 0 is infinite
MOVERS = 10  # intents listed
NAMED = 5  # intents in the log
MEASURES = {"intents": "intents", "lengths": "lengths", "unknown_words": "unknown words"}


def read_reference(uri: str) -> dict[str, Any]:
    """The profile of the dataset at `uri`. Raises UserError where there is none to compare with."""
    what = f"dataset.reference = {uri}"
    try:
        found = json.loads(storage.read_text(f"{storage.absolute(uri)}/profile.json"))
    except FileNotFoundError:
        raise UserError(f"{what} has no profile.json: name the directory of an earlier dataset") from None
    except ValueError as error:
        raise UserError(f"{what} has a profile.json that is not JSON ({error}): name another dataset") from None
    version = found.get("version") if isinstance(found, dict) else None
    if version != profiles.VERSION:
        raise UserError(
            f"{what} has a profile of version {version}, not {profiles.VERSION}: "
            "preprocess it again, or name another dataset"
        )
    return found


def measure_drift(before: Mapping[str, Any], after: Mapping[str, Any], reference: str) -> dict[str, Any]:
    """The content of drift.json: the index of each measure, new and vanished intents, and those that moved most."""
    old, new = _summed(before, "intents"), _summed(after, "intents")
    drift: dict[str, Any] = {
        "reference": reference,
        "moderate": MODERATE,
        "large": LARGE,
        "intents": stability(old, new),
    }
    if before["tokenizer"] == after["tokenizer"]:
        widest = min(before["max_tokens"], after["max_tokens"])
        lengths = [_binned(_summed(profile, "lengths"), widest) for profile in (before, after)]
        drift["lengths"] = {**stability(*lengths), "bins": _shares(*lengths)}
        words = [_words(profile) for profile in (before, after)]
        drift["unknown_words"] = {**stability(*words), "bins": _shares(*words)}
    moved = _shares(old, new)
    return {
        **drift,
        "new_intents": {intent: new[intent] for intent in sorted(new.keys() - old.keys())},
        "vanished_intents": {intent: old[intent] for intent in sorted(old.keys() - new.keys())},
        "movers": sorted(moved, key=lambda row: (-row["index"], row["bin"]))[:MOVERS],
    }


def stability(before: Mapping[str, int], after: Mapping[str, int]) -> dict[str, Any]:
    """The population stability index of two counts by bin, with what chance alone would give."""
    rows = _shares(before, after)
    chance = (len(rows) - 1) * sum(1 / max(sum(counts.values()), 1) for counts in (before, after))
    return {"index": round(sum(row["index"] for row in rows), 6), "by_chance": round(chance, 6)}


def _shares(before: Mapping[str, int], after: Mapping[str, int]) -> list[dict[str, Any]]:
    """For each bin its share before and after, and what it adds to the index."""
    totals = max(sum(before.values()), 1), max(sum(after.values()), 1)
    rows = []
    for name in dict.fromkeys([*before, *after]):
        shares = [counts.get(name, 0) / total for counts, total in zip((before, after), totals, strict=True)]
        low, high = (max(share, EPSILON) for share in shares)
        index = (high - low) * math.log(high / low)
        rows.append({"bin": name, "before": shares[0], "after": shares[1], "index": index})
    return rows


def _summed(profile: Mapping[str, Any], counted: str) -> Counter[str]:
    """Counts over all splits: how the examples are split is no drift."""
    return sum((Counter(profile["splits"][split][counted]) for split in SPLITS), Counter[str]())


def _binned(lengths: Mapping[str, int], widest: int) -> dict[str, int]:
    """Rows by the buckets of layout.py; the last one takes all that either dataset may have cut."""
    edges = [0, *[bucket for bucket in BUCKETS if bucket < widest]]
    names = [f"{low + 1}-{high}" for low, high in pairwise(edges)] + [f"{edges[-1] + 1} or more"]
    binned = dict.fromkeys(names, 0)
    for length, rows in lengths.items():
        binned[names[sum(int(length) > edge for edge in edges) - 1]] += rows
    return binned


def _words(profile: Mapping[str, Any]) -> dict[str, int]:
    """Tokens of validation and test that the dataset's own vocabulary knows or not: it was made from the others."""
    covered = [profile["splits"][split]["coverage"] for split in SPLITS[1:]]
    known = sum(row["known_tokens"] for row in covered)
    return {"known": known, "unknown": sum(row["tokens"] for row in covered) - known}


def report(drift: Mapping[str, Any]) -> None:
    """One line; a warning above LARGE."""
    indices = {name: drift[key]["index"] for key, name in MEASURES.items() if key in drift}
    told = ", ".join(f"{name} {index:.3f}" for name, index in indices.items())
    large = max(indices.values()) > LARGE
    log.log(
        logging.WARNING if large else logging.INFO,
        "drift since %s: %s (population stability index%s); new intents: %s; vanished: %s",
        drift["reference"], told, f": above {LARGE} is another population" if large else "",
        _some(drift["new_intents"]), _some(drift["vanished_intents"]),
    )  # fmt: skip


def _some(intents: Mapping[str, int]) -> str:
    more = f" and {len(intents) - NAMED} more" if len(intents) > NAMED else ""
    return ", ".join([*intents][:NAMED]) + more if intents else "none"
