"""The confusion matrix of the most confused intents, as the report draws it."""

from collections.abc import Mapping, Sequence
from typing import Any

from jobs.formats import columns, shorten

INTENTS = 25


def confusion_matrix(metrics: Mapping[str, Any]) -> dict[str, Any] | None:
    """Labels and filled cells of the matrix of the most confused intents; nothing without confusions."""
    labels = matrix_order(metrics["confusions"])
    if not labels:
        return None
    place = {label: index for index, label in enumerate(labels)}
    cells = [
        {
            "row": place[pair["intent"]],
            "column": place[pair["predicted"]],
            "examples": pair["examples"],
            "share": pair["share"],
        }
        for pair in metrics["confusions"]
        if pair["intent"] in place and pair["predicted"] in place
    ]
    for row in metrics["per_intent"]:
        if row["intent"] in place and row["recall"] is not None:
            at = place[row["intent"]]
            cells.append(
                {"row": at, "column": at, "examples": round(row["recall"] * row["examples"]), "share": row["recall"]}
            )
    strongest = max((cell["share"] for cell in cells if cell["row"] != cell["column"]), default=1)
    widest = max(columns(shorten(label)) for label in labels)
    return {"labels": labels, "cells": cells, "strongest": strongest or 1, "widest": widest}


def matrix_order(confusions: Sequence[Mapping[str, Any]]) -> list[str]:
    """The most confused intents, each beside the one it is confused with."""
    order: list[str] = []
    for pair in confusions:
        new = [label for label in (pair["intent"], pair["predicted"]) if label not in order]
        if len(order) + len(new) > INTENTS:
            continue
        if len(new) == 1:
            known = pair["predicted"] if new[0] == pair["intent"] else pair["intent"]
            order.insert(order.index(known) + 1, new[0])
        else:
            order.extend(new)
    return order
