"""Numbers and times of turns: what is read as which number, and what becomes of a turn that has none."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from preprocessing.config import CorpusConfig, DatasetConfig
from preprocessing.pipeline import build_dataset
from preprocessing.schema import SPLITS, TURN, conform
from preprocessing.transforms import without_lost_turns
from preprocessing.turns import hashed_turn, turn_number

pytestmark = pytest.mark.spark

HALF_PAST_TEN = 1_709_289_000_000_000  # 2024-03-01, in microseconds
NUMBERS: dict[Any, int | None] = {
    "3": 3, " 3 ": 3, "-1": -1, "3.0": 3, "1.709289E9": 1_709_289_000, "1709289000123": 1_709_289_000_123,
    "1709289000123.0": 1_709_289_000_123, "9223372036854775807": 2**63 - 1, "2024": 2024,
    "2024-03-01T10:30:00": HALF_PAST_TEN, "2024-03-01 10:30:00.000007": HALF_PAST_TEN + 7,
    "2024-03-01T10:30:00+09:00": HALF_PAST_TEN - 9 * 3600 * 10**6, " 2024-03-01T10:30:00Z ": HALF_PAST_TEN,
    "1.5": None, "third": None, "": None, None: None, "10:30:00": None, "01.03.2024": None, "NaN": None,
    "9223372036854775808": None,
}  # fmt: skip


def test_numbers_and_times_are_numbers_and_nothing_else_is(spark: SparkSession) -> None:
    frame = spark.createDataFrame([(text,) for text in NUMBERS], "`the turn` string")
    found = frame.select("the turn", turn_number("the turn").alias("number")).collect()
    assert {row["the turn"]: row.number for row in found} == NUMBERS


def test_columns_of_any_type_hold_turns(spark: SparkSession) -> None:
    columns = "3 a, 3L b, 3.0D c, 3.50D d, 1.7092890001e9D e, timestamp'2024-03-01 10:30:00.000007' f, "
    columns += "date'2024-03-01' g, true h, decimal(3) i, named_struct('a', 3) j, 4000000000 k, '4000000000' l"
    frame = spark.sql(f"select {columns}")
    found = {name: frame.select(F.col(name).alias("turn")).transform(conform, TURN).first() for name in frame.columns}
    assert {name: row.turn for name, row in found.items() if row} == {
        "a": 3, "b": 3, "c": 3, "d": None, "e": None, "f": HALF_PAST_TEN + 7, "g": 1_709_251_200_000_000, "h": None,
        "i": 3, "j": None, "k": 4_000_000_000, "l": 4_000_000_000,
    }  # fmt: skip


def test_a_small_number_has_the_hash_that_it_had_as_an_int(spark: SparkSession) -> None:
    frame = spark.sql("select 'd' dialog_id, explode(array(7L, -7L, 4294967303L, null)) turn")
    before = F.xxhash64("dialog_id", F.expr("try_cast(turn as int)"))
    found = frame.select("turn", before.alias("before"), F.xxhash64("dialog_id", *hashed_turn()).alias("now")).collect()
    assert [row.turn for row in found if row.before == row.now] == [7, -7, None]
    assert len({row.now for row in found}) == 4


def test_only_what_would_be_read_in_a_dialog_needs_a_turn(spark: SparkSession) -> None:
    rows = [
        ("d", 1, None), ("d", None, None), ("d", None, "context"), ("d", None, "no text"), (None, None, None),
        ("d", 1, "context"),
    ]  # fmt: skip
    frame = spark.createDataFrame(rows, "dialog_id string, turn long, reason string")
    found = [row.reason for row in frame.transform(without_lost_turns).collect()]
    assert found == [None, "no turn", "no turn", "no text", None, "context"]


def test_a_corpus_whose_turns_are_times_has_its_dialogs_in_order(spark: SparkSession, tmp_path: Path) -> None:
    """By text each answer would come before its question; two rows of some other column's values are left out."""
    rows = []
    for number in range(60):
        start = {"d": f"d{number}", "intent": None, "speaker": "agent"}
        rows += [
            start | {"t": f"2024-03-01T10:{number:02}:09.5Z", "text": "you want what ?"},
            start | {"t": f"2024-03-01T10:{number:02}:10Z", "text": "a car", "intent": "rent", "speaker": "user"},
            start | {"t": f"2024-03-01T10:{number:02}:11Z", "text": "a bike", "intent": "ride", "speaker": "user"},
        ]
    rows += [rows[0] | {"t": "soon"}, rows[1] | {"t": "10:30"}]
    (tmp_path / "corpus.json").write_text("\n".join(map(json.dumps, rows)))
    corpus = CorpusConfig(path=(f"{tmp_path}/corpus.json",), dialog_id="d", turn="t", speaker="speaker")

    def built(name: str, turns: int) -> list[dict[str, Any]]:
        config = DatasetConfig(path=f"{tmp_path}/{name}", context_turns=turns, files_per_split=1)
        manifest = build_dataset(spark, corpus, config)
        assert (manifest.rows_in, manifest.rejected) == (182, {"no turn": 2} if turns else {})
        assert sum(map(manifest.rows, SPLITS)) == (120 if turns else 121)
        return [row for split in SPLITS for row in pq.read_table(f"{tmp_path}/{name}/{split}").to_pylist()]

    read = Counter((*row["context"], row["text"]) for row in built("context", 2))
    assert read == {("", "you want what ?", "a car"): 60, ("you want what ?", "a car", "a bike"): 60}
    first = [row for row in built("alone", 0) if row["dialog_id"] == "d30" and row["text"] == "a car"]
    assert [row["turn"] for row in first] == [HALF_PAST_TEN + 10_000_000]
    rejected = pq.read_table(tmp_path / "context/rejected").to_pylist()
    assert sorted((row["dialog_id"], row["turn"], row["text"]) for row in rejected) == [
        ("d0", None, "a car"), ("d0", None, "you want what ?")
    ]  # fmt: skip
