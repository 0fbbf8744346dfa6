"""Copies with a typing error: what such an error is, and who gets one."""

import json
import random
import unicodedata
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyspark.sql import SparkSession

from preprocessing.config import CorpusConfig, DatasetConfig
from preprocessing.pipeline import build_dataset
from preprocessing.tokenizers import tokenize
from preprocessing.typos import typo

texts = st.text(st.sampled_from("aBz 가힣각1'!카ー") | st.characters(exclude_categories=["Cs"]), max_size=12)


def typos_of(text: str) -> set[str]:
    return {typo(text, random.Random(seed)) for seed in range(500)}


def test_latin_letters_are_swapped_left_out_doubled_or_missed() -> None:
    assert typos_of("gO") == {"Og", "O", "ggO", "fO", "hO", "gOO", "gI", "gP"}
    assert typos_of("oO") == {"O", "ooO", "oOO", "iO", "pO", "oI", "oP"}  # what changes places differs
    assert typos_of("a b") == {"aa b", "s b", "a bb", "a v", "a n"}  # nothing is left out that would be missing


def test_a_syllable_has_one_other_jamo() -> None:
    assert typos_of("각") == {"깍", "객", "가", "갂"}
    for found in typos_of("힣"):
        one, other = unicodedata.normalize("NFD", "힣"), unicodedata.normalize("NFD", found)
        assert len(one) == len(other) == 3 and sum(a != b for a, b in zip(one, other, strict=True)) == 1


def test_what_masking_left_and_other_scripts_stay() -> None:
    assert typos_of("<email> 12 <number> カード") == {"<email> 12 <number> カード"}
    assert all(found.startswith("<url> ") for found in typos_of("<url> go"))


@settings(deadline=None)
@given(texts, st.integers())
def test_no_error_takes_away_a_texts_last_token(text: str, seed: int) -> None:
    one, other = tokenize(pa.array([text, typo(text, random.Random(seed))]), "words").to_pylist()
    assert bool(one) == bool(other)


@pytest.mark.spark
def test_a_share_of_the_training_examples_has_a_copy_and_no_row_is_counted_twice(
    spark: SparkSession, tmp_path: Path
) -> None:
    said = {"refund": "give me my money back", "취소": "주문을 취소하고 싶어요"}
    rows = [
        {"d": f"d{number}", "text": f"{said[intent]} {number}", "intent": intent}
        for number in range(300)
        for intent in said
    ]
    (tmp_path / "corpus.json").write_text("\n".join(map(json.dumps, [*rows, {"d": "x", "text": "no intent"}])))
    corpus = CorpusConfig(path=(str(tmp_path / "corpus.json"),), dialog_id="d")
    found = {}
    for name, share in (("plain", 0.0), ("typos", 0.25), ("again", 0.25)):
        config = DatasetConfig(path=str(tmp_path / name), files_per_split=2, min_count=1, typos=share)
        manifest = build_dataset(spark, corpus, config)
        splits = ("train", "validation", "test")
        found[name] = {split: pq.read_table(tmp_path / name / split).to_pylist() for split in splits}
    assert (manifest.rows_in, manifest.rejected) == (601, {"no intent": 1})
    assert found["typos"] == found["again"]
    for split in ("validation", "test"):
        assert Counter(map(str, found["typos"][split])) == Counter(map(str, found["plain"][split]))
    copies = Counter(map(str, found["typos"]["train"])) - Counter(map(str, found["plain"]["train"]))
    originals = {(row["dialog_id"], row["intent"]): row for row in found["plain"]["train"]}
    assert copies.total() == manifest.augmented == len(found["typos"]["train"]) - len(found["plain"]["train"])
    assert copies.total() == pytest.approx(0.25 * len(originals), rel=0.3)
    for row in found["typos"]["train"]:
        original = originals[row["dialog_id"], row["intent"]]
        assert abs(len(row["text"]) - len(original["text"])) <= 1 and row["label_id"] == original["label_id"]
        if row["text"] == original["text"]:
            assert row == original
