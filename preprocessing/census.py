"""Counts of the checked turns, and what they forbid: the only data that the driver sees besides the vocabulary."""

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from pyspark.sql import DataFrame, Row
from pyspark.sql import functions as F

from preprocessing.config import CorpusConfig, DatasetConfig
from preprocessing.errors import UserError
from preprocessing.leaks import DUPLICATES
from preprocessing.schema import SPLITS
from preprocessing.transforms import CONTEXT
from preprocessing.vocabulary import extended

log = logging.getLogger(__name__)

UNSEEN = "intent absent from training"
NAMED = 10  # intents named in a message
SCARCE = 3  # examples, so that each split can have one
MAX_INTENTS = 10_000  # of examples; more are texts or ids, and each would reach the driver
MAX_GROUPS = 10 * MAX_INTENTS  # of split, intent and language


@dataclass(frozen=True)
class Census:
    """Turns by what became of them."""

    rows_in: int
    context_only: int
    rejected: Counter[str]  # by reason
    examples: dict[str, Counter[str]]  # by split, by intent
    languages: dict[str, Counter[str]]  # by split, by language; "" where the corpus does not tell it
    labels: list[str]  # older ones in their places, then intents of the training split, sorted
    unseen: list[str]  # intents of the other splits that training lacks

    @property
    def rejected_fraction(self) -> float:
        """Share of all rows; what dataset.duplicates asked to leave out is no fault of the corpus."""
        asked = sum(self.rejected[reason] for reason in DUPLICATES)
        return (self.rejected.total() - asked) / max(self.rows_in, 1)

    @property
    def scarce(self) -> list[str]:
        """Intents too small to split: fewer than SCARCE examples in all, or none in one of the splits."""
        counts = {intent: [self.examples[split][intent] for split in SPLITS] for intent in self.labels}
        return [intent for intent, found in counts.items() if sum(found) < SCARCE or 0 in found]


def take_census(turns: DataFrame, old_labels: Sequence[str] = ()) -> Census:
    """Counts turns by split, intent and reason; an example of an intent that training lacks counts as rejected.

    Not so one of the older labels, which come first: a model that starts from the older one knows them.
    Raises UserError where the examples have so many intents or languages that they can be neither.
    """
    example = F.col("reason").isNull()  # what stands in the place of an intent in the other rows is nobody's business
    kinds = [F.when(example, F.col(name)).alias(name) for name in ("intent", "language")]
    # in one place before they are cut: else each partition sends the driver as many
    counted = turns.groupBy("split", "reason", *kinds).count().coalesce(1).limit(MAX_GROUPS + 1).collect()
    _refuse_too_many(counted)
    rejected: Counter[str] = Counter()
    examples: dict[str, Counter[str]] = {split: Counter() for split in SPLITS}
    for row in counted:
        if row.reason is None:
            examples[row.split][row.intent] += row["count"]
        else:
            rejected[row.reason] += row["count"]
    labels = extended(old_labels, sorted(examples["train"]))
    unseen = sorted(set().union(*examples.values()) - set(labels))
    languages: dict[str, Counter[str]] = {split: Counter() for split in SPLITS}
    known = {*labels}
    for row in counted:
        if row.reason is None and row.intent in known:
            languages[row.split][row.language or ""] += row["count"]
    for split in SPLITS:
        for intent in unseen:
            rejected[UNSEEN] += examples[split].pop(intent, 0)
    context_only = rejected.pop(CONTEXT, 0)
    rows_in = sum(row["count"] for row in counted)
    return Census(rows_in, context_only, +rejected, examples, languages, labels, unseen)


def _refuse_too_many(counted: Sequence[Row]) -> None:
    intents, languages = (len({row[name] for row in counted} - {None}) for name in ("intent", "language"))
    if len(counted) > MAX_GROUPS or intents > MAX_INTENTS:
        raise UserError(
            f"the examples have at least {intents} intents in corpus.intent and {languages} languages in "
            f"corpus.language; {MAX_INTENTS} intents, and {MAX_GROUPS} combinations of split, intent and language, are "
            "the most: name the columns that hold the intent and the language"
        )


def refuse_unusable(census: Census, corpus: CorpusConfig, config: DatasetConfig) -> None:
    """Raises UserError where no classifier can come out of such a corpus."""
    where = f"corpus.path {list(corpus.path)}"
    if census.rows_in == 0:
        raise UserError(f"{where} holds no rows: check the path and corpus.format = '{corpus.format}'")
    counts = sorted(census.rejected.items(), key=lambda found: (-found[1], found[0]))
    reasons = ", ".join(f"{reason} ({count})" for reason, count in counts) or "none"
    trained = sorted(census.examples["train"])
    if not trained:
        raise UserError(
            f"{where}: none of its {census.rows_in} rows is a training example; rejected: {reasons}: "
            "check corpus.text, corpus.intent and corpus.split"
        )
    if len(trained) < 2:
        raise UserError(
            f"{where} has one intent in training, '{trained[0]}': a classifier needs at least two; check corpus.intent"
        )
    if census.rejected_fraction > config.max_rejected_fraction:
        raise UserError(
            f"{census.rejected.total()} of {census.rows_in} rows are rejected, more than "
            f"dataset.max_rejected_fraction = {config.max_rejected_fraction:g}: {reasons}: "
            f"look at {config.path}.rejected, then mend the corpus or raise the limit"
        )
    empty = [split for split in SPLITS if not census.examples[split]]
    if empty:
        raise UserError(
            f"no examples in {' and '.join(empty)} of {where}: give more dialogs, "
            "or larger dataset.validation_fraction and dataset.test_fraction"
        )
    if config.out_of_scope and config.out_of_scope not in census.labels:
        raise UserError(
            f"dataset.out_of_scope = '{config.out_of_scope}' is no intent of the training split, "
            f"which has {_some(census.labels)}: correct it, or leave it empty"
        )


def refuse_unseen_intents(census: Census) -> None:
    """Raises UserError where the corpus' own validation or test split has intents that its training split lacks."""
    if census.examples["train"] and census.unseen:
        raise UserError(
            f"{census.rejected[UNSEEN]} examples of validation or test have intents absent from training: "
            f"{_some(census.unseen)}: add training examples, or leave corpus.split empty to have the dialogs split anew"
        )


def _some(intents: list[str]) -> str:
    more = f" and {len(intents) - NAMED} more" if len(intents) > NAMED else ""
    return ", ".join(intents[:NAMED]) + more


def report(census: Census) -> None:
    """One line a split, and one of what was left out."""
    for split in SPLITS:
        log.info("%s: %d examples of %d intents", split, census.examples[split].total(), len(census.examples[split]))
    if census.rejected:
        reasons = ", ".join(f"{reason} {count}" for reason, count in census.rejected.most_common())
        log.warning("%d of %d rows rejected: %s", census.rejected.total(), census.rows_in, reasons)
    if census.scarce:
        log.warning(
            "%d intents have fewer than %d examples in all, or none in one of the splits: %s",
            len(census.scarce), SCARCE, _some(census.scarce),
        )  # fmt: skip
