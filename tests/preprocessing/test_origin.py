"""A dataset is known to be made of the same: the corpus' files, the settings, the inherited words, the code."""

import dataclasses
import json
import os
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from preprocessing.config import CorpusConfig, DatasetConfig
from preprocessing.origin import FILES, changed, made_of
from preprocessing.pipeline import build_dataset

pytestmark = pytest.mark.spark


class Made:
    """A dataset of forty utterances in two files, made anew for what a test changes."""

    def __init__(self, spark: SparkSession, directory: Path) -> None:
        self.spark, self.directory = spark, directory
        rows = [json.dumps({"text": f"{word} {n}", "intent": word}) for word in ("pay", "track") for n in range(20)]
        (directory / "corpus").mkdir()
        for name, part in (("a.json", rows[::2]), ("b.json", rows[1::2])):
            (directory / "corpus" / name).write_text("\n".join(part))
        self.corpus = CorpusConfig(path=(f"{directory}/corpus",))
        self.config = DatasetConfig(path=str(directory / "dataset"), min_count=1, files_per_split=1)
        build_dataset(spark, self.corpus, self.config)

    def changed(self, corpus: dict[str, Any] | None = None, **config: Any) -> list[str] | None:
        """What would now be made of something else."""
        asked = dataclasses.replace(self.corpus, **corpus or {}), dataclasses.replace(self.config, **config)
        return changed(Path(self.config.path).as_uri(), made_of(self.spark, *asked))


@pytest.fixture
def made(spark: SparkSession, tmp_path: Path) -> Made:
    return Made(spark, tmp_path)


def test_the_same_corpus_and_settings_are_the_same(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    assert made.changed() == []
    monkeypatch.chdir(made.directory)
    assert made.changed(corpus={"path": ("corpus",)}) == []  # said in another way
    assert made.changed(path=str(made.directory / "elsewhere")) == []  # as the dataset knows no place of its own
    assert changed((made.directory / "nothing").as_uri(), {}) is None


def test_every_setting_that_differs_is_named(made: Made) -> None:
    differing = made.changed(corpus={"intent": "label"}, max_tokens=12, mask=True)
    assert differing == ["corpus.intent", "dataset.max_tokens", "dataset.mask"]


def test_a_file_that_is_written_again_added_or_removed_is_another_corpus(made: Made) -> None:
    first, second = (made.directory / "corpus" / name for name in ("a.json", "b.json"))
    before = first.stat()
    os.utime(first, ns=(before.st_atime_ns, before.st_mtime_ns + 10**9))
    assert made.changed() == [FILES]
    os.utime(first, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert made.changed() == []
    (made.directory / "corpus" / "c.json").write_text('{"text": "pay now", "intent": "pay"}')
    assert made.changed() == [FILES]
    (made.directory / "corpus" / "c.json").unlink()
    (made.directory / "corpus" / "_SUCCESS").touch()  # which no reader reads
    assert made.changed() == []
    second.unlink()
    assert made.changed() == [FILES]


def test_a_corpus_that_nobody_can_list_is_never_the_same(made: Made) -> None:
    assert made.changed(corpus={"path": (f"{made.directory}/gone",)}) == ["corpus.path", FILES]
    made.spark.read.json(f"{made.directory}/corpus").createOrReplaceTempView("turns_of_origin")
    table, target = CorpusConfig(path=("turns_of_origin",), format="table"), f"{made.directory}/of-table"
    config = dataclasses.replace(made.config, path=target)
    build_dataset(made.spark, table, config)
    assert changed(f"file://{target}", made_of(made.spark, table, config)) == [FILES]


def test_other_inherited_words_other_code_and_other_versions_are_named(made: Made) -> None:
    old = made.directory / "old"
    build_dataset(made.spark, made.corpus, dataclasses.replace(made.config, path=str(old)))
    heir = dataclasses.replace(made.config, vocabulary=str(old))
    build_dataset(made.spark, made.corpus, heir)
    assert made.changed(vocabulary=str(old)) == []
    words = old / "vocabulary.txt"
    words.write_text(words.read_text() + "yesterday\n")
    assert made.changed(vocabulary=str(old)) == ["inherited words"]
    file = Path(made.config.path) / "manifest.json"
    manifest = json.loads(file.read_text())
    manifest["made_of"] |= {"the code of Parley": "0", "versions": {"pyspark": "3.5.9"}}
    file.write_text(json.dumps(manifest))
    assert made.changed(vocabulary=str(old)) == ["inherited words", "the code of Parley", "versions"]
    file.write_text(json.dumps({**manifest, "made_of": {}}))  # by a Parley that did not note it yet
    assert {FILES, "dataset.max_tokens"} <= set(made.changed() or ())
