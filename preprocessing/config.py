"""What a user can set about the corpus and the dataset: sections `corpus`, `dataset`, `word_vectors`, `generator`."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from preprocessing.errors import UserError
from preprocessing.tokenizers import TOKENIZERS

FORMATS = ("json", "csv", "tsv", "parquet", "orc", "text", "table", "clinc150", "3i4k", "sgd")

SPLIT_BY = ("hash", "date")


def require(condition: bool, key: str, wanted: str, found: object) -> None:
    """Raises UserError, naming the key and both sides, unless `condition` holds."""
    if not condition:
        raise UserError(f"{key} must be {wanted}, found {found!r}: change it in the configuration or with --set")


@dataclass(frozen=True)
class CorpusConfig:
    """Where raw dialogs are, and which of their fields means what; "" where the corpus has no such field.

    A field in a record within the record has a dotted path: `payload.message.text`.
    """

    path: tuple[str, ...] = ()  # URIs, globs or, with format "table", names of tables
    format: str = "json"
    options: Mapping[str, str] = field(default_factory=dict)  # passed to Spark's reader
    text: str = "text"
    intent: str = "intent"
    dialog_id: str = ""
    turn: str = ""
    speaker: str = ""
    split: str = ""
    language: str = ""
    slice: str = ""  # channel, product, region: evaluate tells the accuracy for each of its values
    date: str = ""  # when the turn was said, for dataset.split_by = "date"

    def __post_init__(self) -> None:
        require(self.format in FORMATS, "corpus.format", f"one of {' '.join(FORMATS)}", self.format)
        require(bool(self.text), "corpus.text", "the name of the column with the utterance", self.text)


@dataclass(frozen=True)
class DatasetConfig:
    """How raw dialogs become examples."""

    path: str = ""
    tokenizer: str = "words"
    max_tokens: int = 24  # of an utterance; what follows is cut off
    max_characters: int = 2_000  # of an utterance; a longer one is rejected
    mask: bool = False  # all that is written has <url>, <email>, <number>, and hashes for dialog ids
    vocabulary_size: int = 20_000  # words, besides padding and unknown
    context_turns: int = 0  # turns before the utterance that the model reads too, of both speakers
    min_count: int = 2  # times a word must occur in the training split
    vocabulary: str = ""  # URI of an older dataset or model whose words and labels keep their ids, for a warm start
    validation_fraction: float = 0.1  # of the dialogs, where the corpus has no such split of its own
    test_fraction: float = 0.1
    split_by: str = "hash"  # of the dialog, which new data does not move; or "date": the newest dialogs test
    split_salt: str = "parley"  # of the hash; another one moves every dialog
    out_of_scope: str = ""  # the intent that means none of the others
    files_per_split: int = 8  # with fewer than training.processes some of these have nothing to do
    max_rejected_fraction: float = 0.05
    duplicates: str = "keep"  # or "train": validation has no text of training, test none of either
    reference: str = ""  # URI of an earlier dataset, to measure the drift since then; "current": the published model's
    typos: float = 0.0  # share of the training examples that get a copy with one typing error

    def __post_init__(self) -> None:
        names = " ".join(TOKENIZERS)
        require(self.tokenizer in TOKENIZERS, "dataset.tokenizer", f"one of {names}", self.tokenizer)
        require(self.duplicates in ("keep", "train"), "dataset.duplicates", "one of keep train", self.duplicates)
        for key in ("max_tokens", "max_characters", "vocabulary_size", "min_count", "files_per_split"):
            require(getattr(self, key) >= 1, f"dataset.{key}", "at least 1", getattr(self, key))
        require(self.context_turns >= 0, "dataset.context_turns", "at least 0", self.context_turns)
        least = 2 if self.context_turns else 1  # a mark and a word
        require(self.max_tokens >= least, "dataset.max_tokens", f"at least {least}", self.max_tokens)
        for key in ("validation_fraction", "test_fraction"):
            require(0 < getattr(self, key) < 0.5, f"dataset.{key}", "between 0 and 0.5", getattr(self, key))
        require(0 <= self.typos <= 1, "dataset.typos", "between 0 and 1", self.typos)
        require(self.split_by in SPLIT_BY, "dataset.split_by", f"one of {' '.join(SPLIT_BY)}", self.split_by)
        share = self.max_rejected_fraction
        require(0 <= share <= 1, "dataset.max_rejected_fraction", "between 0 and 1", share)


@dataclass(frozen=True)
class WordVectorsConfig:
    """The word vectors that `jobs.word_vectors` learns from the corpus."""

    path: str = ""
    size: int = 128  # dimensions; model.embedding_size of a model that begins with them
    window: int = 5  # words to either side that a word is learnt from
    min_count: int = 5  # times a word must occur
    epochs: int = 5
    seed: int = 1

    def __post_init__(self) -> None:
        for key in ("size", "window", "min_count", "epochs"):
            require(getattr(self, key) >= 1, f"word_vectors.{key}", "at least 1", getattr(self, key))


@dataclass(frozen=True)
class GeneratorConfig:
    """The corpus that `jobs.generate` writes to `corpus.path`."""

    rows: int = 100_000  # dialog turns of both speakers
    seed: int = 1
    broken_fraction: float = 0.002  # of the rows, to have something to reject

    def __post_init__(self) -> None:
        require(self.rows >= 1_000, "generator.rows", "at least 1000", self.rows)
        require(0 <= self.broken_fraction < 1, "generator.broken_fraction", "from 0 to below 1", self.broken_fraction)
