"""The registry where nothing can be renamed: on S3 and Azure Blob Storage, real servers."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from preprocessing import storage
from preprocessing.errors import UserError
from training import registry
from training.artifact import VERSION, check_model, model_checksum
from training.registry import RegistryConfig

pytestmark = pytest.mark.cluster


@pytest.fixture
def config(base: str) -> RegistryConfig:
    """A registry of the test's own on the store."""
    return RegistryConfig(path=base, version="current")


def write_model(directory: Path, words: str) -> str:
    """URI of a model directory as the registry sees one: files, and a manifest with their checksums."""
    (directory / "saved_model").mkdir(parents=True)
    (directory / "saved_model" / "saved_model.pb").write_bytes(words.encode() * 1000)
    files = {"saved_model/saved_model.pb": storage.sha256(words.encode() * 1000)}
    (directory / "manifest.json").write_text(json.dumps({"kind": "model", "version": VERSION, "files": files}))
    return directory.as_uri()


def test_versions_the_pointer_and_the_history(config: RegistryConfig, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nothing is published"):
        registry.resolve("", config)
    home, models = config.uri, [write_model(tmp_path / words, words) for words in ("one", "two")]
    for number, model in enumerate(models, 1):
        with storage.lease(home):
            assert registry.add_version(home, model, {"checksum": model_checksum(model)}) == number
            registry.make_current(home, number)
        assert registry.resolve("", config) == registry.version_uri(home, number)
        check_model(registry.resolve("", config))
        assert registry.find_version(home, model_checksum(model)) == number
    registry.make_current(home, 1)
    assert [entry["version"] for entry in registry.history(home)] == [1, 2, 1]
    storage.remove(f"{registry.version_uri(home, 2)}/manifest.json")  # as of a publisher that was killed
    assert registry.versions(home) == [1]
    assert registry.add_version(home, models[1], {"checksum": model_checksum(models[1])}) == 3


def test_publishers_at_once_get_versions_of_their_own(config: RegistryConfig, tmp_path: Path) -> None:
    models = [write_model(tmp_path / f"m{number}", f"words {number}") for number in range(8)]

    def add(model: str) -> int:
        return registry.add_version(config.uri, model, {"checksum": model_checksum(model)})

    with ThreadPoolExecutor(8) as pool:
        numbers = list(pool.map(add, models))
    assert sorted(numbers) == registry.versions(config.uri) == list(range(1, 9))
    for number, model in zip(numbers, models, strict=True):
        uri = registry.version_uri(config.uri, number)
        check_model(uri)
        assert model_checksum(uri) == model_checksum(model)
