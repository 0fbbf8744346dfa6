"""Where the corpus keeps what the configuration asks for: columns and nested fields, by name or dotted path."""

import difflib
from collections.abc import Iterator

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import ArrayType, DataType, StringType, StructField, StructType

from preprocessing.config import CorpusConfig
from preprocessing.errors import UserError
from preprocessing.schema import SEVERAL

MALFORMED = "_malformed"

# section `corpus`, keys that name a column -> the column of TURN
ROLES = ("text", "intent", "dialog_id", "turn", "speaker", "split", "language", "slice", "date")
NAMED = 50  # fields of the corpus that a message lists

Path = tuple[str, ...]  # names of the fields from the record down


def wanted(corpus: CorpusConfig) -> dict[str, str]:
    """Role -> name of its field, of the roles that the configuration names."""
    return {role: getattr(corpus, role) for role in ROLES if getattr(corpus, role)}


def path_to(name: str, record: StructType) -> Path | None:
    """The way to a field by name or dotted path; a field whose own name holds the dots comes first."""
    if name in record.names:
        return (name,)
    for dot in reversed([place for place, letter in enumerate(name) if letter == "."]):
        head, tail = name[:dot], name[dot + 1 :]
        below = record[head].dataType if head in record.names else None
        if isinstance(below, StructType) and (path := path_to(tail, below)):
            return (head, *path)
    return None


def type_at(path: Path, record: StructType) -> DataType:
    """The type of the field that `path_to` found."""
    found: DataType = record
    for name in path:
        assert isinstance(found, StructType)
        found = found[name].dataType
    return found


def strings_at(paths: list[Path]) -> list[StructField]:
    """Fields, nested as the paths are, that have a string at the end of each path."""
    heads = dict.fromkeys(path[0] for path in paths)
    below = {head: [path[1:] for path in paths if path[0] == head and path[1:]] for head in heads}
    return [
        StructField(head, StructType(strings_at(deeper)) if deeper else StringType()) for head, deeper in below.items()
    ]


def is_table(kind: DataType) -> bool:
    """Whether one row holds many records here."""
    return isinstance(kind, ArrayType) and isinstance(kind.elementType, StructType | ArrayType)


def column_at(path: Path) -> Column:
    """The field as a column."""
    return F.col(".".join(f"`{name.replace('`', '``')}`" for name in path))


def role_columns(corpus: CorpusConfig, records: DataFrame) -> list[Column]:
    """One column for each role that the configuration names; and the malformed record, where the format has one."""
    named = wanted(corpus)
    if corpus.format == "text" and "intent" not in records.columns:
        named.pop("intent", None)  # plain text has utterances only
    columns = []
    for role, name in named.items():
        path = path_to(name, records.schema)
        if path is None or is_table(type_at(path, records.schema)):
            raise _missing(corpus, role, name, records.schema)
        column = column_at(path)
        if role == "intent":
            column = _one_intent(column, type_at(path, records.schema), corpus.format)
        columns.append(column.alias(role))
    return columns + ([F.col(MALFORMED).alias("malformed")] if MALFORMED in records.columns else [])


def _one_intent(column: Column, kind: DataType, form: str) -> Column:
    """The intent of a column of intents, or of lists of them: those that differ stand between SEVERAL."""
    if isinstance(kind, ArrayType):
        intents = column
    elif form == "json":  # read as strings, whatever they were
        intents = F.when(F.startswith(column, F.lit("[")), F.from_json(column, ArrayType(StringType())))
    else:
        return column
    names = F.filter(F.transform(intents, lambda intent: F.trim(intent.cast("string"))), lambda intent: intent != "")
    joined = F.array_join(F.array_distinct(names), SEVERAL)
    return joined if isinstance(kind, ArrayType) else F.coalesce(joined, column)


def _names(record: StructType, prefix: str = "") -> Iterator[str]:
    """Dotted paths of all fields that a role can name."""
    for field in record:
        if isinstance(field.dataType, StructType):
            yield from _names(field.dataType, f"{prefix}{field.name}.")
        elif prefix + field.name != MALFORMED:
            yield prefix + field.name


def _missing(corpus: CorpusConfig, role: str, name: str, record: StructType) -> UserError:
    found = list(_names(record))
    if not found:
        return UserError(
            f"corpus.path {list(corpus.path)} holds no rows with columns: "
            f"check the path and corpus.format = '{corpus.format}'"
        )
    parts = name.split(".")
    for above in (".".join(parts[:end]) for end in range(1, len(parts) + 1)):
        path = path_to(above, record)
        if path and isinstance(type_at(path, record), ArrayType):
            return UserError(
                f"corpus.{role} = '{name}': '{above}' is a list of records, and a row must be one turn: "
                "write one row for each of them (in Spark: explode), then preprocess that"
            )
    near = difflib.get_close_matches(name, found, 1) or difflib.get_close_matches(role, found, 1)
    hint = f"did you mean '{near[0]}'?" if near else f"set corpus.{role} to one of them"
    more = f" and {len(found) - NAMED} more" if len(found) > NAMED else ""
    listed = ", ".join(found[:NAMED]) + more
    return UserError(f"corpus.{role} = '{name}': the corpus has no such column; it has {listed}: {hint}")
