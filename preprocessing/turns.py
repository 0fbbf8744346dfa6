"""Where in its dialog a turn stands: the number or the time that the corpus gives it, as one 64-bit number; times."""

from pyspark.sql import Column
from pyspark.sql import functions as F


def turn_number(name: str) -> Column:
    """The column as a long: a whole number, also one written as 1.0 or 1e3, or the microseconds since 1970 of a time.

    Null for anything else.
    """
    text = f"trim(cast(`{name.replace('`', '``')}` as string))"
    decimal = f"try_cast({text} as decimal(38, 9))"
    whole = f"if({decimal} = floor({decimal}), try_cast({decimal} as bigint), null)"
    return F.coalesce(F.expr(f"coalesce(try_cast({text} as bigint), {whole})"), F.unix_micros(time_of(text)))


def time_of(text: str) -> Column:
    """The timestamp, its day included, that the text of an SQL expression holds; null for anything else.

    To a time of day alone Spark would give today's date.
    """
    return F.when(F.expr(text).rlike("^[+-]?[0-9]{4}"), F.expr(f"try_cast({text} as timestamp)"))


def hashed_turn() -> tuple[Column, Column]:
    """`turn` for xxhash64, which passes over nulls: as an int where it is one, as it always was, else as a long."""
    narrow = F.expr("try_cast(turn as int)")
    return narrow, F.when(narrow.isNull(), F.col("turn"))
