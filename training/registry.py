"""Where published models are: `<name>/versions/<n>/`, and `<name>/current.json`, which says what is in use.

A version is there once its manifest.json is, which is written last; it never changes, its number is never used again.
Only current.json changes, in one write; what it said before is kept in `<name>/history/`. So a reader that follows it
finds a whole model on any store, also where nothing can be renamed.
"""

import datetime
import json
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from preprocessing import storage
from preprocessing.config import require
from preprocessing.errors import UserError
from training.artifact import check_model, fetch_model, model_checksum

CURRENT = "current"
PUBLICATION = "publication.json"  # in a version: who published it, when, and what its report said


@dataclass(frozen=True)
class RegistryConfig:
    """Section `registry`: where published models go, and which of them the jobs use."""

    path: str = ""
    name: str = "intents"  # of the models that replace each other
    version: str = ""  # "": the model in training.path; "current", or a number
    keep_versions: int = 0  # the newest ones, and the current one; 0: all

    def __post_init__(self) -> None:
        plain = re.fullmatch(r"\w[\w.-]*", self.name) is not None
        require(plain, "registry.name", "the name of a directory: letters, digits, '_', '-' and '.'", self.name)
        known = self.version in ("", CURRENT) or re.fullmatch(r"[1-9][0-9]*", self.version) is not None
        require(known, "registry.version", "empty, 'current' or a number", self.version)
        require(self.keep_versions >= 0, "registry.keep_versions", "at least 0", self.keep_versions)

    @property
    def uri(self) -> str:
        """The directory of all versions. Raises UserError where the section does not say where it is."""
        if not self.path:
            raise UserError("registry.path is empty: say where published models are, with --set registry.path=URI")
        return f"{storage.absolute(self.path).rstrip('/')}/{self.name}"


def resolve(run: str, config: RegistryConfig) -> str:
    """URI of the version that the section names, or else of the training run's model. Raises UserError without one."""
    if not config.version:
        return model_of(run)
    number = current_version(config.uri) if config.version == CURRENT else int(config.version)
    if number is None:
        raise UserError(f"nothing is published in {config.uri}: run publish, or leave registry.version empty")
    require_version(config.uri, number, "registry.version")
    return version_uri(config.uri, number)


def model_of(run: str) -> str:
    """URI of the model that a training run wrote."""
    if not run:
        raise UserError("training.path is empty: say where the trained model is, with --set training.path=URI")
    return f"{storage.absolute(run)}/model"


def version_of(model: str) -> str:
    """What a model's predictions are signed with: its number in the registry, or "run:" and part of its checksum."""
    try:
        return str(json.loads(storage.read_text(f"{model}/{PUBLICATION}"))["version"])
    except FileNotFoundError:
        return f"run:{model_checksum(model)[:12]}"


def version_uri(registry: str, number: int) -> str:
    """The directory of one version."""
    return f"{registry}/versions/{number}"


def versions(registry: str) -> list[int]:
    """Numbers of the versions that are there whole, in order."""
    found = (name.split("/") for name in storage.files_below(f"{registry}/versions"))
    return sorted(int(parts[0]) for parts in found if parts[1:] == ["manifest.json"])


def require_version(registry: str, number: int, named_by: str) -> None:
    """Raises UserError, naming the versions that there are, unless `number` is one of them."""
    if number in (known := versions(registry)):
        return
    there = f"there are {', '.join(map(str, known))}" if known else "there is none"
    say = "run publish" if not known else "name one of them with registry.version"
    raise UserError(f"{named_by} names version {number}, which is not in {registry}: {there}; {say}")


def read_pointer(registry: str) -> dict[str, Any] | None:
    """What current.json says: version, checksum, published_at; None before the first version."""
    try:
        pointer: dict[str, Any] = json.loads(storage.read_text(f"{registry}/{CURRENT}.json"))
    except FileNotFoundError:
        return None
    return pointer


def current_version(registry: str) -> int | None:
    """The version in use; None before the first one. Raises UserError where the pointer's version is not there."""
    pointer = read_pointer(registry)
    if pointer is None:
        return None
    number = int(pointer["version"])
    require_version(registry, number, f"{CURRENT}.json")
    if model_checksum(version_uri(registry, number)) != pointer["checksum"]:
        raise UserError(
            f"version {number} of {registry} is not the model that was published: run publish with registry.version "
            f"set to one that is whole (there are {', '.join(map(str, versions(registry)))})"
        )
    return number


def history(registry: str) -> list[dict[str, Any]]:
    """Everything that current.json ever said, the oldest first, what it says now last."""
    files = [name for name in storage.files_below(f"{registry}/history") if name.endswith(".json")]
    said = [json.loads(storage.read_text(f"{registry}/history/{name}")) for name in files]
    latest = read_pointer(registry)
    return [*said, latest] if latest is not None and latest not in said else said


def find_version(registry: str, checksum: str) -> int | None:
    """The version that is the model of this checksum, if it was published."""
    return next((n for n in versions(registry) if model_checksum(version_uri(registry, n)) == checksum), None)


def add_version(registry: str, model: str, publication: dict[str, Any]) -> int:
    """Copies the model, checked, to a new version, its manifest.json last; returns the number."""
    with tempfile.TemporaryDirectory(prefix="parley-model-") as temporary:
        directory = Path(temporary)
        fetch_model(model, directory)
        manifest = directory / "manifest.json"
        content = manifest.read_bytes()
        if storage.sha256(content) != publication["checksum"]:
            raise UserError(f"{model} was replaced while it was published: run evaluate and publish again")
        manifest.unlink()
        number = _claim(registry, publication)
        uri = version_uri(registry, number)
        storage.upload(directory, uri)
        storage.write_bytes(f"{uri}/manifest.json", content)
    return number


def _claim(registry: str, publication: dict[str, Any]) -> int:
    """Creates the publication.json of the next version, also after what is half there; nobody else gets its number."""
    taken = {name.split("/")[0] for name in storage.files_below(f"{registry}/versions")}
    number = max((int(name) for name in taken if name.isdigit()), default=0)
    created = False
    while not created:
        number += 1
        content = json.dumps({"version": number, **publication}, indent=2, ensure_ascii=False) + "\n"
        created = storage.create(f"{version_uri(registry, number)}/{PUBLICATION}", content.encode())
    return number


def make_current(registry: str, number: int) -> None:
    """Points current.json at a version, checked, and keeps what it said before. Call it under the registry's lease."""
    require_version(registry, number, "registry.version")
    uri = version_uri(registry, number)
    check_model(uri)
    if before := read_pointer(registry):
        name = before["published_at"].replace(":", "")  # which no file on HDFS may have
        storage.write_json(f"{registry}/history/{name}.json", before)
    pointer = {"version": number, "checksum": model_checksum(uri), "published_at": now()}
    storage.write_json(f"{registry}/{CURRENT}.json", pointer)


def remove_old(registry: str, kept: int) -> list[int]:
    """Removes all versions but the newest `kept` and the current one; returns their numbers. Call it under the lease.

    The newest number stays, so that none is used again; history/ still tells when the others were in use.
    """
    if not kept:
        return []
    current = current_version(registry)
    old = [number for number in versions(registry)[:-kept] if number != current]
    for number in old:
        storage.remove(f"{version_uri(registry, number)}/manifest.json")  # without which nobody sees the rest
        storage.remove(version_uri(registry, number))
    return old


def now() -> str:
    """The time, in UTC, to the microsecond."""
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
