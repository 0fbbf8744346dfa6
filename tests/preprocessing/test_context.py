"""Context: which turns an input holds, in which order, cut on which side."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from preprocessing.config import CorpusConfig, DatasetConfig
from preprocessing.context import require_dialogs, table_with_context, with_context, with_inputs
from preprocessing.errors import UserError

TURNS = [
    ("a", 0, "USER", "book a table"),
    ("a", 1, "SYSTEM", "where"),
    ("a", 2, "customer", "in Seoul"),
    ("b", 1, "agent", "hello"),
    ("b", 2, None, "hi there you"),
    (None, 0, "user", "no dialog"),
    (None, 1, "user", "none either"),
]
COLUMNS = "dialog_id string, turn int, speaker string, text string"
SPOKEN = st.tuples(st.sampled_from(["USER", "agent", None]), st.lists(st.sampled_from("abc"), max_size=4))


def inputs(spark: SparkSession, count: int, max_tokens: int) -> dict[str, str]:
    """By text, what the model reads."""
    turns = spark.createDataFrame(TURNS, COLUMNS).withColumn("tokens", F.col("text"))
    found = turns.transform(with_context, count).transform(with_inputs, max_tokens).collect()
    return {row.text: row.tokens for row in found}


@pytest.mark.spark
def test_turns_stand_from_old_to_new_behind_their_speakers(spark: SparkSession) -> None:
    assert inputs(spark, 2, 20) == {
        "book a table": "<user> book a table",
        "where": "<user> book a table <user> where",
        "in Seoul": "<user> book a table <agent> where <user> in Seoul",
        "hello": "<user> hello",
        "hi there you": "<agent> hello <user> hi there you",
        "no dialog": "<user> no dialog",
        "none either": "<user> none either",
    }
    assert inputs(spark, 1, 20)["in Seoul"] == "<agent> where <user> in Seoul"


@pytest.mark.spark
def test_a_turn_that_stands_there_twice_is_not_its_own_context(spark: SparkSession) -> None:
    """Once for each of its intents, or written twice; as context of what follows it counts once."""
    rows = [
        ("a", 0, "user", "book"),
        ("a", 1, "agent", "where"),
        *3 * [("a", 2, "user", "Seoul")],
        ("a", 3, "user", "no"),
    ]
    turns = spark.createDataFrame(rows, COLUMNS).withColumn("tokens", F.col("text"))
    found = turns.transform(with_context, 2).transform(with_inputs, 20)
    assert found._jdf.queryExecution().executedPlan().toString().count("Exchange") == 1  # all of it in one shuffle
    assert sorted(row.tokens for row in found.collect()) == sorted([
        "<user> book", "<user> book <user> where", *3 * ["<user> book <agent> where <user> Seoul"],
        "<agent> where <user> Seoul <user> no",
    ])  # fmt: skip


@pytest.mark.spark
def test_of_one_number_the_user_speaks_first_and_turns_without_a_number_are_nobodys(spark: SparkSession) -> None:
    """A question and its answer that have one number, as in corpora that count exchanges; times are far apart."""
    rows = [
        ("a", 1, "agent", "all fine"), ("a", 1, "user", "hm"), ("a", 1, "agent", "hm"), ("a", 1, "user", "is it ?"),
        ("a", 2, "user", "so"), ("a", None, "user", "when"), ("a", None, "agent", "never"),
        ("b", 2**53 + 1, "user", "later"), ("b", 2**53, "user", "then"),
    ]  # fmt: skip
    turns = spark.createDataFrame(rows, COLUMNS.replace("int", "long")).withColumn("tokens", F.col("text"))

    def read(frame: DataFrame) -> list[str]:
        return sorted(row.tokens for row in frame.transform(with_context, 4).transform(with_inputs, 30).collect())

    assert read(turns) == read(turns.orderBy(F.desc("text"))) == sorted([
        "<user> hm", "<user> hm <user> is it ?", "<user> hm <user> is it ? <user> all fine",
        "<user> hm <user> is it ? <agent> all fine <user> hm",
        "<user> hm <user> is it ? <agent> all fine <agent> hm <user> so",
        "<user> when", "<user> never", "<user> then", "<user> then <user> later",
    ])  # fmt: skip


@pytest.mark.spark
def test_the_oldest_words_go_first_and_the_utterance_keeps_its_first(spark: SparkSession) -> None:
    assert inputs(spark, 2, 7)["in Seoul"] == "a table <agent> where <user> in Seoul"
    assert inputs(spark, 2, 3)["in Seoul"] == "<user> in Seoul"
    assert inputs(spark, 2, 2)["hi there you"] == "<user> hi"


def model_input(dialog: list[tuple[str | None, list[str]]], place: int, count: int, max_tokens: int) -> list[str]:
    """What the rule in context.py makes of a dialog's turn, said once more without Spark."""
    marks = {"USER": "<user>", "agent": "<agent>", None: "<user>"}
    before = dialog[max(place - count, 0) : place]
    past = [word for speaker, words in before if words for word in (marks[speaker], *words)]
    said = ["<user>", *dialog[place][1][: max_tokens - 1]]
    return [*past[len(past) - min(len(past), max_tokens - len(said)) :], *said]


@pytest.mark.spark
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(
    dialogs=st.lists(st.lists(SPOKEN, min_size=1, max_size=6), min_size=10, max_size=40),
    count=st.integers(1, 3),
    max_tokens=st.integers(1, 12),
)
def test_any_dialog_becomes_what_the_rule_says(
    spark: SparkSession, dialogs: list[list[tuple[str | None, list[str]]]], count: int, max_tokens: int
) -> None:
    rows = [
        (str(number), place, speaker, *[" ".join(words)] * 2)
        for number, dialog in enumerate(dialogs)
        for place, (speaker, words) in enumerate(dialog)
    ]
    turns = spark.createDataFrame(rows[::-1], f"{COLUMNS}, tokens string")
    found = turns.transform(with_context, count).transform(with_inputs, max_tokens).collect()
    assert {(row.dialog_id, row.turn): row.tokens for row in found} == {
        (str(number), place): " ".join(model_input(dialog, place, count, max_tokens))
        for number, dialog in enumerate(dialogs)
        for place in range(len(dialog))
    }


@pytest.mark.spark
def test_a_table_of_any_column_names_gets_the_turns_before(spark: SparkSession) -> None:
    table = spark.createDataFrame([(*turn[:1], str(turn[1]), *turn[2:], 7) for turn in TURNS],
                                  "chat string, number string, who string, said string, other int")  # fmt: skip
    found = table_with_context(table, 2, F.col("said"), "chat", "number", "who")
    assert found.columns == ["chat", "number", "who", "said", "other", "context", "speakers"]
    rows = {row.said: (row.context, row.speakers) for row in found.collect()}
    assert rows["in Seoul"] == (["book a table", "where"], ["user", "agent"])
    assert rows["hi there you"] == (["", "hello"], ["user", "agent"])
    assert rows["none either"] == (["", ""], ["user", "user"])
    assert table_with_context(found, 2, F.col("said"), "no", "no", "no") is found
    with pytest.raises(UserError, match=r"reads 2 turns .* no column dialog_id; it has chat, number"):
        table_with_context(table, 2, F.col("said"), "dialog_id", "number", "who")


def test_context_without_dialogs_is_refused() -> None:
    config = DatasetConfig(context_turns=2)
    with pytest.raises(UserError, match=r"context_turns = 2 needs corpus\.turn: name the columns"):
        require_dialogs(CorpusConfig(dialog_id="id"), config)
    require_dialogs(CorpusConfig(dialog_id="id", turn="n"), config)
    require_dialogs(CorpusConfig(), DatasetConfig())
