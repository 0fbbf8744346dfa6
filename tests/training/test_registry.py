"""Versions and the pointer to one of them: whole or not there, whoever is killed and whoever competes."""

import json
import multiprocessing
import os
from pathlib import Path
from typing import Any

import pytest

from preprocessing import storage
from preprocessing.errors import UserError
from training import registry
from training.artifact import VERSION, check_model, model_checksum
from training.registry import RegistryConfig


def write_model(directory: Path, words: str) -> str:
    """URI of a model directory as the registry sees one: files, and a manifest with their checksums."""
    (directory / "saved_model").mkdir(parents=True)
    (directory / "saved_model" / "saved_model.pb").write_bytes(words.encode() * 1000)
    (directory / "vocabulary.txt").write_text(words)
    files = {
        str(file.relative_to(directory)): storage.sha256(file.read_bytes())
        for file in directory.rglob("*")
        if file.is_file()
    }
    manifest = {"kind": "model", "version": VERSION, "out_of_scope": "", "files": files}
    (directory / "manifest.json").write_text(json.dumps(manifest))
    return directory.as_uri()


@pytest.fixture
def home(tmp_path: Path) -> str:
    return (tmp_path / "registry" / "intents").as_uri()


def publish(home: str, model: str) -> int:
    number = registry.add_version(home, model, {"checksum": model_checksum(model)})
    registry.make_current(home, number)
    return number


def resolved(tmp_path: Path, version: str) -> str:
    return registry.resolve("run", RegistryConfig(path=str(tmp_path / "registry"), version=version))


def refusal(tmp_path: Path, version: str) -> str:
    with pytest.raises(UserError) as error:
        resolved(tmp_path, version)
    return str(error.value)


def test_a_version_is_the_model_byte_for_byte(tmp_path: Path, home: str) -> None:
    model = write_model(tmp_path / "run" / "model", "one")
    assert publish(home, model) == 1
    published = registry.version_uri(home, 1)
    check_model(published)
    assert model_checksum(published) == model_checksum(model)
    assert set(storage.files_below(published)) == {*storage.files_below(model), "publication.json"}
    assert resolved(tmp_path, "current") == resolved(tmp_path, "1") == published
    assert registry.version_of(published) == "1"
    assert registry.version_of(model) == f"run:{model_checksum(model)[:12]}"
    pointer = json.loads(storage.read_text(f"{home}/current.json"))
    assert (pointer["version"], pointer["checksum"]) == (1, model_checksum(model))


def test_without_a_version_the_model_is_the_runs(tmp_path: Path) -> None:
    assert registry.resolve(str(tmp_path / "run"), RegistryConfig()) == f"{(tmp_path / 'run').as_uri()}/model"
    with pytest.raises(UserError, match=r"training.path is empty"):
        registry.resolve("", RegistryConfig())


def test_rolling_back_is_another_entry_of_the_history(tmp_path: Path, home: str) -> None:
    for words in ("one", "two", "three"):
        publish(home, write_model(tmp_path / words, words))
    registry.make_current(home, 1)
    assert resolved(tmp_path, "current") == registry.version_uri(home, 1)
    assert [entry["version"] for entry in registry.history(home)] == [1, 2, 3, 1]
    assert registry.versions(home) == [1, 2, 3]
    times = [entry["published_at"] for entry in registry.history(home)]
    assert times == sorted(times)


def test_a_version_that_is_not_there_is_named_with_those_that_are(tmp_path: Path, home: str) -> None:
    assert refusal(tmp_path, "current") == (
        f"nothing is published in {home}: run publish, or leave registry.version empty"
    )
    assert refusal(tmp_path, "7") == (
        f"registry.version names version 7, which is not in {home}: there is none; run publish"
    )
    publish(home, write_model(tmp_path / "one", "one"))
    publish(home, write_model(tmp_path / "two", "two"))
    assert refusal(tmp_path, "7") == (
        f"registry.version names version 7, which is not in {home}: there are 1, 2; "
        "name one of them with registry.version"
    )
    with pytest.raises(UserError, match=r"registry.version names version 7"):
        registry.make_current(home, 7)
    assert registry.current_version(home) == 2


def test_a_pointer_to_a_missing_version_is_said_and_mended_by_rolling_back(tmp_path: Path, home: str) -> None:
    for words in ("one", "two"):
        publish(home, write_model(tmp_path / words, words))
    storage.remove(registry.version_uri(home, 2))
    assert refusal(tmp_path, "current").startswith("current.json names version 2, which is not in")
    registry.make_current(home, 1)
    assert resolved(tmp_path, "current") == registry.version_uri(home, 1)


def test_another_model_in_the_place_of_a_version_is_refused(tmp_path: Path, home: str) -> None:
    publish(home, write_model(tmp_path / "one", "one"))
    storage.remove(registry.version_uri(home, 1))
    storage.download(write_model(tmp_path / "two", "two"), tmp_path / "registry" / "intents" / "versions" / "1")
    assert "version 1 of" in (said := refusal(tmp_path, "current")) and "is not the model that was published" in said


@pytest.mark.parametrize("damage", ["lost", "changed"])
def test_a_damaged_version_does_not_become_current(tmp_path: Path, home: str, damage: str) -> None:
    for words in ("one", "two"):
        publish(home, write_model(tmp_path / words, words))
    file = tmp_path / "registry" / "intents" / "versions" / "1" / "vocabulary.txt"
    file.unlink() if damage == "lost" else file.write_text("others")
    with pytest.raises(UserError, match=r"versions/1/vocabulary.txt is damaged or missing"):
        registry.make_current(home, 1)
    assert registry.current_version(home) == 2


def test_a_model_that_was_replaced_after_it_was_judged_is_not_published(tmp_path: Path, home: str) -> None:
    model = write_model(tmp_path / "one", "one")
    with pytest.raises(UserError, match=r"was replaced while it was published"):
        registry.add_version(home, model, {"checksum": "of the one before"})
    assert registry.versions(home) == []


class Killed(BaseException):
    """The process is gone: nothing catches it."""


def die_at_writing(monkeypatch: pytest.MonkeyPatch, dies_at: str) -> None:
    """From now on this process dies as it writes the file of that name."""

    def dying(write: Any) -> Any:
        def die_or_write(uri: str, content: Any) -> None:
            if uri.endswith(dies_at):
                raise Killed
            write(uri, content)

        return die_or_write

    for name in ("write_bytes", "write_json"):
        monkeypatch.setattr(storage, name, dying(getattr(storage, name)))


@pytest.mark.parametrize(("dies_at", "there", "next_number"), [("manifest.json", [1], 3), ("current.json", [1, 2], 3)])
def test_a_publisher_that_is_killed_changes_nothing_for_readers(
    tmp_path: Path, home: str, monkeypatch: pytest.MonkeyPatch, dies_at: str, there: list[int], next_number: int
) -> None:
    publish(home, write_model(tmp_path / "one", "one"))
    two = write_model(tmp_path / "two", "two")
    with monkeypatch.context() as patch, pytest.raises(Killed):
        die_at_writing(patch, dies_at)
        publish(home, two)
    assert registry.versions(home) == there
    assert resolved(tmp_path, "current") == registry.version_uri(home, 1)
    assert [entry["version"] for entry in registry.history(home)] == [1]
    assert (registry.find_version(home, model_checksum(two)) is not None) == (2 in there)
    assert publish(home, write_model(tmp_path / "three", "three")) == next_number
    assert [entry["version"] for entry in registry.history(home)] == [1, next_number]


def publish_all(home: str, models: list[str], gate: Any) -> None:
    gate.wait()
    for model in models:
        registry.add_version(home, model, {"checksum": model_checksum(model), "by": os.getpid()})


def test_publishers_at_once_get_versions_of_their_own(tmp_path: Path, home: str) -> None:
    """Even without the lease, as where a publisher stood still for so long that another one took it over."""
    models = [write_model(tmp_path / f"m{number}", f"words {number}") for number in range(20)]
    fork = multiprocessing.get_context("spawn")
    gate = fork.Barrier(2)
    workers = [fork.Process(target=publish_all, args=(home, models[part::2], gate)) for part in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0]
    assert registry.versions(home) == list(range(1, 21))
    for number in range(1, 21):
        check_model(registry.version_uri(home, number))
    published = {model_checksum(registry.version_uri(home, number)) for number in range(1, 21)}
    assert published == {model_checksum(model) for model in models}
    writers = [
        json.loads(storage.read_text(f"{registry.version_uri(home, number)}/publication.json"))["by"]
        for number in range(1, 21)
    ]
    assert len(set(writers)) == 2


def test_old_versions_go_but_the_current_one_and_the_numbers_stay(tmp_path: Path, home: str) -> None:
    for words in ("one", "two", "three", "four"):
        publish(home, write_model(tmp_path / words, words))
    assert registry.remove_old(home, 0) == []
    registry.make_current(home, 1)
    assert registry.remove_old(home, 2) == [2]
    assert registry.versions(home) == [1, 3, 4] and storage.files_below(registry.version_uri(home, 2)) == []
    check_model(resolved(tmp_path, "current"))
    assert "version 2, which is not in" in refusal(tmp_path, "2")
    assert publish(home, write_model(tmp_path / "five", "five")) == 5
    assert registry.remove_old(home, 1) == [1, 3, 4]
    assert [entry["version"] for entry in registry.history(home)] == [1, 2, 3, 4, 1, 5]
