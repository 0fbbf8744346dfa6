"""The dataset's manifest: written last, and all that training trusts."""

import dataclasses
import json
from dataclasses import dataclass, field
from typing import Any

from preprocessing import storage
from preprocessing.errors import UserError

VERSION = 1


@dataclass(frozen=True)
class DataFile:
    """One Parquet file: its path in the dataset and its rows by bucket of length."""

    path: str
    rows_per_bucket: tuple[int, ...]

    @property
    def rows(self) -> int:
        """Examples in the file."""
        return sum(self.rows_per_bucket)


@dataclass(frozen=True)
class DatasetManifest:
    """What a dataset holds and where it came from."""

    tokenizer: str
    max_tokens: int
    buckets: tuple[int, ...]  # widths: an example goes into the first that holds its tokens
    vocabulary_size: int  # with the special words
    num_labels: int
    out_of_scope: str
    splits: dict[str, tuple[DataFile, ...]]
    rows_in: int
    context_only: int
    rejected: dict[str, int]  # by reason
    fingerprint: str  # of the content: the same examples, words and labels give the same
    corpus: dict[str, Any] = field(default_factory=dict)
    splitting: dict[str, Any] = field(default_factory=dict)  # how dialogs came into their split
    vocabulary: str = ""  # URI of the older dataset or model whose words and labels keep their ids here
    versions: dict[str, str] = field(default_factory=dict)
    augmented: int = 0  # examples of train that are copies with a typing error; not among rows_in
    mask: bool = False  # are addresses and long numbers masked
    context_turns: int = 0
    slice: str = ""  # the corpus' name for the examples' column `slice`
    made_of: dict[str, Any] = field(default_factory=dict)  # settings, files, code: see origin.py
    kind: str = "dataset"
    version: int = VERSION

    def rows(self, split: str) -> int:
        """Examples in a split."""
        return sum(file.rows for file in self.splits[split])


def write_manifest(uri: str, manifest: DatasetManifest) -> None:
    """Writes the dataset's manifest.json."""
    storage.write_json(f"{uri}/manifest.json", dataclasses.asdict(manifest))


def read_manifest(uri: str) -> DatasetManifest:
    """The manifest of the dataset at `uri`. Raises UserError where there is none, or one of another version."""
    try:
        content = json.loads(storage.read_text(f"{uri}/manifest.json"))
    except FileNotFoundError:
        if storage.mended(uri):
            return read_manifest(uri)
        raise UserError(
            f"no dataset at {uri} (it has no manifest.json): run preprocess, or correct dataset.path"
        ) from None
    if content.get("kind") != "dataset" or content.get("version") != VERSION:
        raise UserError(
            f"{uri} holds a {content.get('kind')} of version {content.get('version')}, "
            f"not a dataset of version {VERSION}: run preprocess again"
        )
    splits = {
        split: tuple(DataFile(file["path"], tuple(file["rows_per_bucket"])) for file in files)
        for split, files in content["splits"].items()
    }
    return DatasetManifest(**{**content, "splits": splits, "buckets": tuple(content["buckets"])})


def manifest_checksum(uri: str) -> str:
    """What tells one dataset from another, also where the examples are equal: languages, settings, files."""
    return storage.sha256(storage.read_bytes(f"{uri}/manifest.json"))
