"""What the counts of a corpus say of it."""

import logging
from collections import Counter

import pytest

from preprocessing.census import Census, report


def test_intents_too_small_to_split_are_named_in_one_line(caplog: pytest.LogCaptureFixture) -> None:
    few = {f"few{number:02}": 1 for number in range(9)}
    examples = {
        "train": Counter({"lost": 9, "track": 9, "pay": 9, "three": 1, "two": 1, **few}),
        "validation": Counter({"lost": 1, "pay": 1, "three": 1, "two": 1}),
        "test": Counter({"lost": 1, "track": 1, "three": 1}),
    }
    census = Census(99, 0, Counter(), examples, {}, sorted(examples["train"]), [])
    assert census.scarce == [*few, "pay", "track", "two"]
    with caplog.at_level(logging.WARNING, "preprocessing.census"):
        report(census)
    assert [record.getMessage() for record in caplog.records] == [
        f"12 intents have fewer than 3 examples in all, or none in one of the splits: {', '.join(few)}, pay and 2 more"
    ]
