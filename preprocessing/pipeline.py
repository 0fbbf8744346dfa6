"""Raw dialogs to a training dataset: the whole of preprocessing, in reading order."""

import dataclasses
import logging
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

from pyspark import StorageLevel
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import IntegerType, LongType, StringType, StructField, StructType

from preprocessing import census as counting
from preprocessing import drift, encoding, leaks, origin, profile, splits, storage, transforms, typos
from preprocessing.config import CorpusConfig, DatasetConfig
from preprocessing.context import has_dialogs, require_dialogs, with_context
from preprocessing.errors import UserError
from preprocessing.hadoop import hadoop_configuration
from preprocessing.layout import SplitDescription, buckets_for, describe_splits, files_of, fingerprint
from preprocessing.manifest import DatasetManifest, write_manifest
from preprocessing.readers import has_own_splits, read_turns
from preprocessing.schema import SPLITS, TURN, conform
from preprocessing.tables import rejected, write_tables
from preprocessing.versions import versions
from preprocessing.vocabulary import MARKS, SPECIAL, Inherited, extended, read_inherited, write_lines

log = logging.getLogger(__name__)

TOKENS = [StructField("tokens", StringType()), StructField("num_tokens", IntegerType())]
TOKENISED = StructType([*TURN, *TOKENS])
COUNTS = StructType([StructField("word", StringType()), *[StructField(split, LongType()) for split in SPLITS]])


class Written(NamedTuple):
    """What was found in the turns as they were written."""

    census: counting.Census
    words: list[str]  # the vocabulary
    findings: profile.Findings
    rejected: int  # rows
    augmented: int  # examples that are copies of others


def build_dataset(
    spark: SparkSession,
    corpus: CorpusConfig,
    config: DatasetConfig,
    show: Callable[[str], None] = lambda uri: None,
    since: str | None = None,
) -> DatasetManifest:
    """Writes the dataset of a corpus to `config.path` and returns its manifest. Raises UserError.

    `show` gets the URI of the directory when all but the manifest is in it, and may add to it. `since` is the URI of
    the dataset that drift is measured against, where `config.reference` does not name it itself; "" for none.
    """
    if not config.path:
        raise UserError("dataset.path is empty: say where the dataset goes, with --set dataset.path=URI")
    require_dialogs(corpus, config)
    storage.use_hadoop_configuration(hadoop_configuration(spark))
    target = storage.absolute(config.path)
    since = config.reference if since is None else since
    reference = drift.read_reference(since) if since else None
    inherited = read_inherited(config.vocabulary, config.tokenizer, config.vocabulary_size)
    began = time.monotonic()
    with storage.lease(target):
        made_of = origin.made_of(spark, corpus, config)  # before it is read: what changes meanwhile is another corpus
        temporary = f"{target}.tmp-{uuid.uuid4().hex[:8]}"
        labelled, splitting = read_labelled(spark, corpus, config)
        turns = checked(labelled, splitting, config)
        written = _write_tables(turns, inherited, corpus, config, target, temporary)
        described = describe_splits(spark, temporary)
        _require_all(written, described)
        facts = profile.profile(written.census, written.findings, described, len(written.words), corpus, config)
        _write_profile(spark, facts, written.findings, since, reference, temporary)
        show(temporary)
        manifest = _write_facts(written, described, corpus, splitting, config, temporary, made_of)
        storage.replace_directory(temporary, target)
        storage.remove(f"{target}.rejected")  # of a job that was refused, perhaps with what is masked now
    log.info(
        "wrote %s examples in %d words of vocabulary and %d intents to %s (%.0f s, fingerprint %s)",
        " + ".join(f"{manifest.rows(split)} {split}" for split in SPLITS), manifest.vocabulary_size,
        manifest.num_labels, target, time.monotonic() - began, manifest.fingerprint,
    )  # fmt: skip
    return manifest


def _write_tables(
    turns: DataFrame, inherited: Inherited, corpus: CorpusConfig, config: DatasetConfig, target: str, uri: str
) -> Written:
    """Writes the examples of the checked turns, and the rejected rows, to `uri`; returns what was found on the way.

    Where too many are rejected, that is refused, and these rows are left beside `target`.
    """
    with (
        _kept(turns) as read,
        _kept(read if config.duplicates == "keep" else leaks.reject_duplicates(read)) as turns,
    ):
        census = _counted(turns, inherited.labels, corpus, config, target)
        known = turns.transform(transforms.with_known_intents, census.labels)
        with _kept(_word_counts(known, config)) as counts:
            words = _vocabulary(counts, inherited.words, config)
            findings = profile.find(known, counts, words)
        left = write_tables(known, words, census.labels, has_dialogs(corpus), config, uri)
        augmented = typos.chosen(turns, config.typos).count() if config.typos else 0
    return Written(census, words, findings, left, augmented)


@contextmanager
def _kept(frame: DataFrame) -> Iterator[DataFrame]:
    """The frame, computed once and kept on the workers' disks until the block ends."""
    try:
        yield frame.persist(StorageLevel.DISK_ONLY)
    finally:
        frame.unpersist()


def read_labelled(
    spark: SparkSession, corpus: CorpusConfig, config: DatasetConfig
) -> tuple[DataFrame, splits.Splitting]:
    """The turns of the corpus, their labels clean, and how they are to be split."""
    labelled = read_turns(spark, corpus).transform(transforms.with_clean_labels)
    present = splits.splits_present(labelled) if has_own_splits(corpus) else []
    return labelled, splits.plan_splits(labelled, present, corpus, config)


def checked(turns: DataFrame, splitting: splits.Splitting, config: DatasetConfig) -> DataFrame:
    """TURN rows, their labels clean, with their split, their tokens, and the reason why they are no example."""
    tokenised = partial(encoding.add_tokens, tokenizer=config.tokenizer, mask=config.mask, salt=config.split_salt)
    turns = (
        turns
        .transform(splits.with_split, splitting)
        .transform(conform, TURN)
        .mapInArrow(tokenised, TOKENISED)
        .transform(transforms.with_reason, config.max_characters)
    )  # fmt: skip
    if config.mask:
        turns = turns.transform(transforms.with_masked_intents)
    if config.context_turns:
        turns = turns.transform(transforms.without_lost_turns).transform(with_context, config.context_turns)
    return turns.transform(leaks.with_tokens_hash)


def _counted(
    turns: DataFrame, old_labels: list[str], corpus: CorpusConfig, config: DatasetConfig, target: str
) -> counting.Census:
    """The census of the turns, after the checks; with too many rejected rows, these are left beside the dataset."""
    census = counting.take_census(turns, old_labels)
    counting.report(census)
    if census.rejected_fraction > config.max_rejected_fraction:
        known = turns.transform(transforms.with_known_intents, census.labels)
        rejected(known).write.mode("overwrite").parquet(f"{target}.rejected")
    if has_own_splits(corpus):
        counting.refuse_unseen_intents(census)
    counting.refuse_unusable(census, corpus, config)
    return census


def _word_counts(turns: DataFrame, config: DatasetConfig) -> DataFrame:
    """The words of all examples, their context included, with their count in each split."""
    read = F.col("reason").isNull()
    if config.context_turns:
        read = read | (F.col("reason") == transforms.CONTEXT)
    counts = turns.where(read).select("split", "tokens").mapInArrow(encoding.count_tokens, COUNTS)
    return counts.groupBy("word").agg(*[F.sum(split).alias(split) for split in SPLITS])


def _vocabulary(counts: DataFrame, old_words: list[str], config: DatasetConfig) -> list[str]:
    """The special words, the inherited ones, and the most frequent ones of the training split."""
    words = transforms.most_frequent(counts, config.vocabulary_size, config.min_count)
    if not words and not old_words:
        raise UserError(
            f"the vocabulary is empty: no word occurs dataset.min_count = {config.min_count} times "
            "in the training split: lower it, or check corpus.text"
        )
    marks = MARKS if config.context_turns else ()
    room = config.vocabulary_size + len({*old_words, *marks} & {*MARKS})
    return [*SPECIAL, *extended(old_words, [*marks, *words])[:room]]


def _require_all(written: Written, described: dict[str, SplitDescription]) -> None:
    """Raises RuntimeError unless every row that was read is an example or a rejected row that was written, or context.

    Of these the census counts those that are no context, so that the files must hold as many.
    """
    census = written.census
    counted = {split: census.examples[split].total() for split in SPLITS} | {"rejected": census.rejected.total()}
    found = {split: description.by_length().total() for split, description in described.items()}
    found |= {"train": found["train"] - written.augmented, "rejected": written.rejected}
    if found != counted:
        raise RuntimeError(
            f"of {census.rows_in} rows read {census.context_only} are context and {counted} were to be written, but "
            f"{found} were: rows were lost or doubled, and the dataset that stands is left as it was; run preprocess "
            "again, and where that comes again, report it"
        )


def _write_profile(
    spark: SparkSession, facts: dict[str, Any], findings: profile.Findings, reference_uri: str,
    reference: dict[str, Any] | None, uri: str,
) -> None:  # fmt: skip
    """The profile with some of the rejected rows, the leaks, and the drift since the reference."""
    leaks.report(findings.leaks)
    examples = profile.rejected_examples(spark.read.parquet(f"{uri}/rejected")) if facts["rejected"] else {}
    storage.write_json(f"{uri}/profile.json", {**facts, "rejected_examples": examples})
    storage.write_json(f"{uri}/leaks.json", findings.leaks)
    if reference:
        found = drift.measure_drift(reference, facts, reference_uri)
        drift.report(found)
        storage.write_json(f"{uri}/drift.json", found)


def _write_facts(
    written: Written, described: dict[str, SplitDescription], corpus: CorpusConfig, splitting: splits.Splitting,
    config: DatasetConfig, uri: str, made_of: dict[str, Any],
) -> DatasetManifest:  # fmt: skip
    """Vocabulary, labels and, last, the manifest, from the files as they were written."""
    census, words = written.census, written.words
    write_lines(f"{uri}/vocabulary.txt", words)
    write_lines(f"{uri}/labels.txt", census.labels)
    buckets = buckets_for(config.max_tokens, described["train"].by_length())
    manifest = DatasetManifest(
        tokenizer=config.tokenizer,
        max_tokens=config.max_tokens,
        buckets=buckets,
        vocabulary_size=len(words),
        num_labels=len(census.labels),
        out_of_scope=config.out_of_scope,
        splits={split: files_of(description, buckets) for split, description in described.items()},
        rows_in=census.rows_in,
        context_only=census.context_only,
        rejected=dict(census.rejected.most_common()),
        fingerprint=fingerprint(described, words, census.labels),
        corpus={"path": list(corpus.path), "format": corpus.format},
        splitting=dataclasses.asdict(splitting),
        vocabulary=config.vocabulary,
        versions=versions(),
        augmented=written.augmented,
        mask=config.mask,
        context_turns=config.context_turns,
        slice=corpus.slice,
        made_of=made_of,
    )
    write_manifest(uri, manifest)
    return manifest
