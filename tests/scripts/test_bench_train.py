"""What bench-train's table says of a way that runs and of one that does not."""

import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
BENCH = ROOT / "scripts" / "bench"
MANIFEST = {
    "buckets": [4, 8], "max_tokens": 8, "num_labels": 2, "splits": {"train": [{"rows_per_bucket": [3, 1]}]},
}  # fmt: skip


@pytest.fixture
def train(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(BENCH)
    import train

    return train


def test_a_way_that_fails_says_why_in_its_row_and_the_table_goes_on(train):
    failing = "import sys; print('12.5'); sys.exit('TypeError: no | such thing')"
    way = train.Way("other", "another library", 2, lambda: train.said([sys.executable, "-c", failing]))
    rates = {("fit", 1): 10.0}
    assert train.row_of(way, rates, MANIFEST, 1e9) == [
        "another library", "2", "does not run: TypeError: no / such thing", "–", "–", "–", "–", "–", "–",
    ]  # fmt: skip
    assert rates == {("fit", 1): 10.0}


def test_an_environment_that_could_not_be_made_is_named(train):
    with pytest.raises(train.DoesNotRun, match="No such file or directory: /nowhere/bin/python"):
        train.said([Path("/nowhere/bin/python"), "-c", ""])


def test_a_row_compares_with_fit_with_the_bare_step_of_as_many_processes_and_with_one_process(train):
    working = "print('some words'); print(12.0)"
    way = train.Way("other", "another library", 2, lambda: train.said([sys.executable, "-c", working]), "packed")
    rates = {("fit", 1): 10.0, ("bare", 1): 48.0, ("bare", 2): 24.0, ("other", 1): 16.0}
    assert train.row_of(way, rates, MANIFEST, 1e9)[1:7] == ["2", "12", "1.20", "0.50", "0.75", "–"]
    assert rates["other", 2] == 12.0


def test_padding_counts_as_work_where_it_is_computed(train):
    last_layer = 6 * 128 * 2
    assert train.flops(MANIFEST, "padded") == 6 * 8 * 256 * 512 + last_layer
    assert train.flops(MANIFEST, "bucketed") == 6 * 5 * 256 * 512 + last_layer  # three of 4 tokens, one of 8


def test_pytorch_runs_with_the_same_spark_arrow_and_numpy_as_parley():
    pinned = dict(re.findall(r"^([\w-]+)==(\S+)", (BENCH / "pytorch.txt").read_text(), re.M))
    ours = dict(re.findall(r"^([\w-]+)==(\S+)", (ROOT / "constraints.txt").read_text(), re.M))
    assert "torch" in pinned
    for package in ("pyspark", "pyarrow", "numpy"):
        assert pinned[package] == ours[package]
