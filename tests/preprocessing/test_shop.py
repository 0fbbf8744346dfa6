"""The built-in corpus: exact, repeatable, varied, broken where it is asked to be."""

import json
import re
from collections import Counter, defaultdict
from typing import Any

import pytest
from pyspark.sql import SparkSession

from preprocessing import shop

pytestmark = pytest.mark.spark


def _lines(spark: SparkSession, rows: int, seed: int, broken: float = 0.0, partitions: int = 2) -> list[str]:
    return [row.value for row in shop.shop_dialogs(spark, rows, seed, broken, partitions).collect()]


@pytest.fixture(scope="module")
def turns(spark: SparkSession) -> list[dict[str, Any]]:
    return [json.loads(line) for line in _lines(spark, 20_000, 1)]


@pytest.mark.parametrize("rows", [1_000, 1_036, 1_037, 1_042])  # 1,036: all dialogs whole; 1,042: one more, whole
def test_as_many_lines_as_asked_for(spark: SparkSession, rows: int) -> None:
    turns = [json.loads(line) for line in _lines(spark, rows, 1)]
    assert len(turns) == rows
    assert len({(turn["dialog_id"], turn["turn"]) for turn in turns}) == rows


def test_lines_do_not_depend_on_partitions(spark: SparkSession) -> None:
    one, three = (Counter(_lines(spark, 1_500, 7, 0.01, partitions)) for partitions in (1, 3))
    assert one == three


def test_a_dialog_does_not_depend_on_how_many_there_are(spark: SparkSession) -> None:
    few, many = (Counter(_lines(spark, rows, 7, 0.01)) for rows in (1_000, 1_500))
    assert not few - many


def test_another_seed_gives_other_dialogs(spark: SparkSession) -> None:
    texts = [{json.loads(line)["text"] for line in _lines(spark, 1_000, seed)} for seed in (1, 2)]
    assert len(texts[0] & texts[1]) < len(texts[0]) / 2


def test_dialogs_run_in_order_in_one_language(turns: list[dict[str, Any]]) -> None:
    dialogs = defaultdict(list)
    for turn in turns:
        dialogs[turn["dialog_id"]].append(turn)
    for dialog in list(dialogs.values())[:-1]:
        assert [turn["turn"] for turn in dialog] == list(range(len(dialog)))
        assert 3 <= len(dialog) <= 10
        assert len({turn["language"] for turn in dialog}) == 1
        assert {turn["speaker"] for turn in dialog} == {"user", "agent"}


def test_only_users_have_intents(turns: list[dict[str, Any]]) -> None:
    assert {turn["speaker"] for turn in turns if turn["intent"] is None} == {"agent"}
    assert {turn["speaker"] for turn in turns if turn["intent"]} == {"user"}


def test_many_intents_in_both_languages_and_a_few_make_up_half(turns: list[dict[str, Any]]) -> None:
    for language in ("en", "ko"):
        intents = Counter(turn["intent"] for turn in turns if turn["language"] == language and turn["intent"])
        assert len(intents) >= 31
        assert "out_of_scope" in intents
        assert sum(count for _, count in intents.most_common(8)) > intents.total() / 2
        assert min(intents.values()) < 0.003 * intents.total()
    english = sum(turn["language"] == "en" for turn in turns) / len(turns)
    assert english == pytest.approx(0.55, abs=0.03)


def test_texts_are_written_out(turns: list[dict[str, Any]]) -> None:
    for turn in turns:
        assert turn["text"] == " ".join(turn["text"].split()) != ""
        if turn["speaker"] == "agent":  # customers type faces such as :(
            assert not set(turn["text"]) & set("{}()|<>#"), turn["text"]


def test_a_text_can_have_more_than_one_intent(turns: list[dict[str, Any]]) -> None:
    intents = defaultdict(set)
    for turn in turns:
        if turn["intent"]:
            intents[turn["language"], turn["text"].lower().strip("?.! ")].add(turn["intent"])
    assert {"order_status", "delivery_time"} <= intents["en", "where is it"]
    for language in ("en", "ko"):
        assert sum(text[0] == language and len(found) > 1 for text, found in intents.items()) >= 10


def test_a_dialog_keeps_to_its_item_and_order(turns: list[dict[str, Any]]) -> None:
    orders = defaultdict(set)
    for turn in turns:
        if turn["speaker"] == "agent" and turn["text"].startswith("Order "):
            orders[turn["dialog_id"]].add(turn["text"].split()[1])
    assert len(orders) > 20
    assert {len(found) for found in orders.values()} == {1}


def test_broken_lines_have_the_share_asked_for_and_come_in_every_kind(spark: SparkSession) -> None:
    lines = _lines(spark, 20_000, 3, 0.05)
    assert len(lines) == 20_000
    kinds = Counter(_fault(line) for line in lines)
    assert 1 - kinds.pop("") / len(lines) == pytest.approx(0.05, abs=0.008)
    assert set(kinds) == {"cut off", "no JSON", "no text", "empty text", "blank text", "null intent", "no intent"}


def test_breaking_lines_leaves_the_others_as_they_were(spark: SparkSession) -> None:
    whole = Counter(_lines(spark, 2_000, 3))
    good = Counter(line for line in _lines(spark, 2_000, 3, 0.05) if not _fault(line))
    assert good and not good - whole


def _fault(line: str) -> str:
    try:
        turn = json.loads(line)
    except ValueError:
        return "cut off" if line.startswith("{") else "no JSON"
    if not turn.get("text", "").strip():
        return "no text" if "text" not in turn else "blank text" if turn["text"] else "empty text"
    if turn["speaker"] == "user" and not turn.get("intent"):
        return "null intent" if "intent" in turn else "no intent"
    return ""


def test_korean_particles_follow_the_syllable_before() -> None:
    for expected in ("셔츠를 셔츠로", "지갑을 지갑으로", "양말을 양말로", "XL를 XL로"):
        word = expected.split()[0][:-1]
        assert shop._render(shop._compiled(f"{word}<을/를> {word}<으로/로>", {}), lambda: 0.0, {}) == expected


@pytest.mark.parametrize("template", ["a (b", "a) b", "a | b", "a {colour}", "(a (b|c)", "(a {colour}|b)"])
def test_a_faulty_template_is_named(template: str) -> None:
    with pytest.raises(ValueError, match=re.escape(repr(template))):
        shop._compiled(template, {})
