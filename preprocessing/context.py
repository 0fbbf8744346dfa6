"""Context: the turns before an utterance, of both speakers, as a model with `dataset.context_turns` reads them.

An input is then `<agent> where to ? <user> to Seoul`: the turns from the oldest to the newest, the utterance last, each
behind the mark of its speaker. The utterance keeps its first words, the context its last, `max_tokens` in all.
`training/layers.py` lays out the same in the saved model.
"""

import functools

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F
from pyspark.sql.types import ArrayType, StringType, StructField

from preprocessing.config import CorpusConfig, DatasetConfig
from preprocessing.corpora import WITH_DIALOGS
from preprocessing.errors import UserError
from preprocessing.schema import USER_SPEAKERS
from preprocessing.turns import turn_number
from preprocessing.vocabulary import AGENT, AGENT_MARK, USER, USER_MARK

CONTEXT = (  # what examples then have besides, one entry for each of `context_turns` turns, the oldest first
    StructField("context", ArrayType(StringType())),   # texts, "" before the dialog's first turn
    StructField("speakers", ArrayType(StringType())),  # USER or AGENT
)  # fmt: skip
CONTEXT_COLUMNS = tuple(field.name for field in CONTEXT)
DIALOG, LATER, AGAIN, ONCE = "_dialog", "_later", "_again", "_once"  # columns that nobody has
ORDER = ("turn", LATER, "text")  # within a dialog


def has_dialogs(corpus: CorpusConfig) -> bool:
    """Whether the corpus tells which dialog a row belongs to."""
    return bool(corpus.dialog_id) or corpus.format in WITH_DIALOGS


def require_dialogs(corpus: CorpusConfig, config: DatasetConfig) -> None:
    """Raises UserError where context is asked of a corpus whose dialogs are not told apart."""
    missing = [key for key in ("dialog_id", "turn") if not getattr(corpus, key)]
    if config.context_turns and missing and corpus.format not in WITH_DIALOGS:
        raise UserError(
            f"dataset.context_turns = {config.context_turns} needs {' and '.join(f'corpus.{key}' for key in missing)}: "
            "name the columns that hold them, or set dataset.context_turns to 0"
        )


def speaker_kind(speaker: Column) -> Column:
    """USER or AGENT; who is not named is a user."""
    known = F.lower(F.trim(speaker)).isin(*USER_SPEAKERS)
    return F.when(F.coalesce(known, F.lit(True)), USER).otherwise(AGENT)


def with_context(turns: DataFrame, count: int) -> DataFrame:
    """Each turn with `context` and `speakers` [count]: the texts before it in its dialog.

    Turns outside a dialog, or with no place in it, have none and are nobody's. Of one number the user's stand before
    the agent's, and these in the order of their texts. Where the turns have `tokens`, also `context_tokens` [count],
    the tokens of those texts, a string each. Rows of the same turn with the same text and speaker, which are one
    turn under two intents or written twice, have the same turns before them.
    """
    alone = F.col("dialog_id").isNull() | F.col("turn").isNull()
    dialog = F.when(alone, F.xxhash64("text").cast("string")).otherwise(F.col("dialog_id"))  # not all in one place
    order = Window.partitionBy(DIALOG).orderBy(*ORDER)
    again = functools.reduce(Column.__and__, [F.lag(name).over(order) == F.col(name) for name in ORDER])
    said = {"context": F.col("text"), "speakers": speaker_kind(F.col("speaker"))}
    none = {"context": F.lit(""), "speakers": F.lit(USER)}
    if "tokens" in turns.columns:
        said["context_tokens"], none["context_tokens"] = F.col("tokens"), F.lit("")
    spoken = F.struct(*[value.alias(name) for name, value in said.items()])
    placed = turns.withColumns({DIALOG: dialog, LATER: speaker_kind(F.col("speaker")) == AGENT})
    marked = placed.withColumn(AGAIN, F.coalesce(again, F.lit(False)))
    marked = marked.withColumn(ONCE, F.when(~F.col(AGAIN), spoken))

    def before(back: int) -> Column:
        return F.expr(f"lag({ONCE}, {back}) IGNORE NULLS OVER (PARTITION BY {DIALOG} ORDER BY {', '.join(ORDER)})")

    lagged = [F.when(F.col(AGAIN), before(back + 1)).otherwise(before(back)) for back in range(count, 0, -1)]
    added = {
        name: F.array(*[F.when(alone, nothing).otherwise(F.coalesce(turn[name], nothing)) for turn in lagged])
        for name, nothing in none.items()
    }
    return marked.withColumns(added).drop(DIALOG, LATER, AGAIN, ONCE)


def table_with_context(
    table: DataFrame, count: int, text: Column, dialog_id: str, turn: str, speaker: str
) -> DataFrame:
    """A table with `context` and `speakers` [count], made from its own dialogs unless it has them.

    Raises UserError where it lacks a column that tells the dialogs' turns.
    """
    if {*CONTEXT_COLUMNS} <= {*table.columns}:
        return table
    if missing := [name for name in (dialog_id, turn, speaker) if name not in table.columns]:
        raise UserError(
            f"the model reads {count} turns before each text, but the table has no column {' and no '.join(missing)}; "
            f"it has {', '.join(table.columns)}: name them with corpus.dialog_id, corpus.turn and corpus.speaker"
        )
    turns = table.select(
        F.struct("*").alias("row"),
        F.col(f"`{dialog_id}`").cast("string").alias("dialog_id"),
        turn_number(turn).alias("turn"),
        F.col(f"`{speaker}`").alias("speaker"),
        F.coalesce(text, F.lit("")).alias("text"),
    )
    return turns.transform(with_context, count).select("row.*", *CONTEXT_COLUMNS)


def is_lost(table: DataFrame, dialog_id: str, turn: str) -> Column:
    """Whether a row is of a dialog and nothing says which turn of it, where `table_with_context` looks at that."""
    if {*CONTEXT_COLUMNS} <= {*table.columns}:
        return F.lit(False)
    return F.col(f"`{dialog_id}`").isNotNull() & turn_number(turn).isNull()


def with_inputs(turns: DataFrame, max_tokens: int) -> DataFrame:
    """`tokens` of the utterance and its context together, marks and all, at most `max_tokens`."""

    def words(tokens: Column) -> Column:
        return F.when(tokens != "", F.split(tokens, " ")).otherwise(F.array())

    def behind_mark(segment: Column) -> Column:
        mark = F.when(segment["speakers"] == USER, USER_MARK).otherwise(AGENT_MARK)
        return F.when(segment["context_tokens"] != "", F.concat_ws(" ", mark, segment["context_tokens"]))

    spoken = F.concat_ws(" ", F.transform(F.arrays_zip("speakers", "context_tokens"), behind_mark))  # without nulls
    said = F.concat(F.array(F.lit(USER_MARK)), F.slice(words(F.col("tokens")), 1, max_tokens - 1))
    room = F.lit(max_tokens) - F.size(said)
    past = words(spoken)
    kept = F.slice(past, F.greatest(F.size(past) - room, F.lit(0)) + 1, F.greatest(room, F.lit(0)))
    return turns.withColumn("tokens", F.array_join(F.concat(kept, said), " ")).drop("context_tokens")
