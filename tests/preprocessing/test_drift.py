"""The population stability index against figures worked out by hand, and what is compared at all."""

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from preprocessing import drift
from preprocessing.errors import UserError


def split(intents: dict[str, int], lengths: dict[str, int], tokens: int, known: int) -> dict[str, Any]:
    return {"intents": intents, "lengths": lengths, "coverage": {"tokens": tokens, "known_tokens": known}}


def profile(**changes: Any) -> dict[str, Any]:
    """60 examples of a, 40 of b; 70 of up to 4 tokens, 30 of 5 or 6; of 100 words outside training 95 are known."""
    return {
        "version": 1, "tokenizer": "words", "max_tokens": 24,
        "splits": {
            "train": split({"a": 50, "b": 30}, {"1": 20, "4": 50, "6": 10}, 10, 0),
            "validation": split({"a": 5, "b": 5}, {"5": 10}, 40, 38),
            "test": split({"a": 5, "b": 5}, {"5": 5, "6": 5}, 60, 57),
        },
    } | changes  # fmt: skip


def test_the_index_is_the_sum_over_bins_of_difference_times_logarithm() -> None:
    # (0.5 - 0.2) ln(0.5 / 0.2) + (0.3 - 0.3) ln 1 + (0.2 - 0.5) ln(0.2 / 0.5) = 2 * 0.3 * 0.916291
    found = drift.stability({"a": 20, "b": 30, "c": 50}, {"a": 500, "b": 300, "c": 200})
    assert found["index"] == pytest.approx(0.549774, abs=1e-6)
    assert found["by_chance"] == pytest.approx(2 * (1 / 100 + 1 / 1000))


def test_an_empty_bin_counts_with_a_ten_thousandth() -> None:
    # a: (0.5 - 1) ln 0.5 = 0.346574; b: (0.5 - 0.0001) ln 5000 = 0.4999 * 8.517193 = 4.257745
    assert drift.stability({"a": 10}, {"a": 5, "b": 5})["index"] == pytest.approx(4.604318, abs=1e-6)
    assert drift.stability({"a": 10, "b": 0}, {"a": 99})["index"] == 0


def test_a_dataset_has_not_drifted_from_itself() -> None:
    found = drift.measure_drift(profile(), profile(), "old")
    assert [found[key]["index"] for key in drift.MEASURES] == [0, 0, 0]
    assert (found["reference"], found["new_intents"], found["vanished_intents"]) == ("old", {}, {})


def test_intents_lengths_and_unknown_words_are_compared_over_all_splits() -> None:
    after = profile()
    after["splits"] = {
        "train": split({"a": 20, "c": 40}, {"4": 30, "5": 30}, 0, 0),
        "validation": split({"a": 10}, {"30": 10}, 100, 80),
        "test": split({"a": 30}, {"7": 20, "8": 10}, 100, 100),
    }
    found = drift.measure_drift(profile(max_tokens=8), after, "old")
    assert (found["new_intents"], found["vanished_intents"]) == ({"c": 40}, {"b": 40})
    # a stays at 0.6; b: (0.4 - 0.0001) ln 4000 = 0.3999 * 8.294050 = 3.316790; c the same
    assert found["intents"]["index"] == pytest.approx(2 * 3.316790, abs=1e-5)
    assert [(row["bin"], row["before"], row["after"]) for row in found["movers"]] == [
        ("b", 0.4, 0.0), ("c", 0.0, 0.4), ("a", 0.6, 0.6)
    ]  # fmt: skip
    # what the shorter dataset cut at 8 may have been longer: both have one bin for 7 and more
    assert [(row["bin"], row["before"], row["after"]) for row in found["lengths"]["bins"]] == [
        ("1-4", 0.7, 0.3), ("5-6", 0.3, 0.3), ("7 or more", 0.0, 0.4)
    ]  # fmt: skip
    # words outside training: 95 of 100 known, then 180 of 200: 0.05 ln(0.95 / 0.9) + 0.05 ln 2 = 0.037361
    assert found["unknown_words"]["index"] == pytest.approx(0.037361, abs=1e-6)


def test_other_tokenizers_are_compared_by_intents_alone() -> None:
    found = drift.measure_drift(profile(), profile(tokenizer="characters"), "old")
    assert [key for key in drift.MEASURES if key in found] == ["intents"]


@pytest.mark.parametrize(
    ("shares", "level", "line"),
    [
        ({"a": 60, "b": 40}, "INFO", "drift since old: intents 0.000 (population stability index); new intents: none; "
                                     "vanished: none"),
        ({"a": 60, "d": 30, **dict.fromkeys("efghijk", 1)}, "WARNING",
         "drift since old: intents 6.133 (population stability index: above 0.25 is another population); "
         "new intents: d, e, f, g, h and 3 more; vanished: b"),
    ],
)  # fmt: skip
def test_one_line_is_logged_a_warning_where_the_index_is_large(
    shares: dict[str, int], level: str, line: str, caplog: pytest.LogCaptureFixture
) -> None:
    after = profile(tokenizer="characters")
    after["splits"] = dict.fromkeys(("validation", "test"), split({}, {}, 0, 0)) | {"train": split(shares, {}, 0, 0)}
    with caplog.at_level(logging.INFO):
        drift.report(drift.measure_drift(profile(), after, "old"))
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [(level, line)]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "has no profile.json: name the directory of an earlier dataset"),
        ("{", "has a profile.json that is not JSON (Expecting property name enclosed in double quotes: line 1 column 2 "
              "(char 1)): name another dataset"),
        ("[]", "has a profile of version None, not 1: preprocess it again, or name another dataset"),
        ('{"rows_in": 3}', "has a profile of version None, not 1: preprocess it again, or name another dataset"),
    ],
)  # fmt: skip
def test_a_reference_without_a_profile_is_refused(tmp_path: Path, content: str | None, message: str) -> None:
    if content is not None:
        (tmp_path / "profile.json").write_text(content)
    with pytest.raises(UserError) as error:
        drift.read_reference(str(tmp_path))
    assert str(error.value) == f"dataset.reference = {tmp_path} {message}"


def test_a_reference_is_read_as_it_was_written(tmp_path: Path) -> None:
    (tmp_path / "profile.json").write_text(json.dumps(profile()))
    assert drift.read_reference(str(tmp_path)) == profile()
