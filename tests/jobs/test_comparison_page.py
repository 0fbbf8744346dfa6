"""The comparison's page says what comparison.json holds, whatever the settings are called, and stands alone."""

import re
from typing import Any

import pytest

from jobs.comparison_page import render_comparison
from jobs.ranking import against_best, in_order, summarise

SCRIPT = "<script>alert(1)</script>"
AWKWARD = "내.신경망:$x$_{"


def setting(label: str, accuracy: float, cost: float, seeds: int = 2) -> dict[str, Any]:
    trials = [
        {"name": f"{label}-{seed}", "seed": seed, "epochs": 4, "validation_accuracy": accuracy + seed / 1000,
         "validation_examples": 5000, "test_accuracy": accuracy - 0.1, "test_examples": 5000,
         "examples_per_second": 1234.5, "process_seconds": cost, "megabytes": 2.34, "milliseconds": 0.567}
        for seed in range(seeds)
    ]  # fmt: skip
    return summarise(label, {"model.architecture": label}, trials)


@pytest.fixture
def comparison() -> dict[str, Any]:
    rows = in_order([setting("lstm", 0.9131, 50), setting(SCRIPT, 0.9121, 12.5), setting(AWKWARD, 0.8, 8, seeds=1)])
    rows[1]["against_best"] = against_best(rows[0], rows[1], 60, 55)
    rows[2]["against_best"] = against_best(rows[0], rows[2], 500, 55)
    return {
        "dataset": f"hdfs:///{SCRIPT}", "fingerprint": "f00d", "validation_examples": 5000, "test_examples": 5000,
        "seeds": [0, 1], "processes": 2, "settings": rows,
        "failed": [{"setting": AWKWARD, "values": {}, "seed": 1, "epochs": 4, "reason": f"ValueError: {SCRIPT}"}],
        "stopped": [{"setting": SCRIPT, "epochs": 1, "accuracy": 0.25}],
        "winner": {"setting": "lstm", "run": "hdfs:///x", **rows[0]["trials"][1]},
    }  # fmt: skip


def text_of(page: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", page[page.index("<body>") :]))


def test_the_best_and_what_chance_explains(comparison: dict[str, Any]) -> None:
    text = text_of(render_comparison(comparison))
    assert "“lstm” names the right intent for 91.4 % of 5,000 validation utterances" in text
    assert "on average over 2 seeds" in text
    assert "No worse than chance explains: “&lt;script&gt;alert(1)&lt;/script&gt;”." in text
    assert "trains for 25.0 % of the best one’s cost" in text
    for figure in ("1,234", "50.0", "2.3", "0.57", "81.3 %", "1 of 2 seeds", "25.0 %", "ValueError"):
        assert figure in text, figure
    assert text.count(" no worse than chance explains ") == 2  # in both tables


@pytest.mark.browser
def test_a_browser_shows_it_whole_and_quietly(comparison: dict[str, Any], look_at: Any) -> None:
    look_at(render_comparison(comparison))


def test_names_and_reasons_stay_text(comparison: dict[str, Any]) -> None:
    page = render_comparison(comparison)
    assert "<script" not in page and page.count("&lt;script&gt;") > 6
    drawing = page[page.index("<svg") : page.index("</svg>")]
    assert f">{AWKWARD}<" in drawing  # where a dollar sign could begin a formula
    ids = re.findall(r'\bid="([^"]*)"', page)
    assert len(ids) == len(set(ids))
    assert not re.findall(r"https?://", re.sub(r'xmlns(:xlink)?="[^"]*"', "", page))


def test_the_page_is_the_same_each_time(comparison: dict[str, Any]) -> None:
    assert render_comparison(comparison) == render_comparison(comparison)


def test_a_single_setting_has_nothing_to_be_compared_with(comparison: dict[str, Any]) -> None:
    alone = {**comparison, "settings": comparison["settings"][:1], "failed": [], "stopped": [], "seeds": [0]}
    text = text_of(render_comparison(alone))
    assert "What failed" not in text and "stopped early" not in text and "Against “" not in text
    assert "With one seed, nothing tells" in text
