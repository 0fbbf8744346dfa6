"""Files and directories on any store, by URI, for Python processes.

Spark reads and writes the same URIs through Hadoop's file systems.
"""

import os
import uuid
from collections.abc import Iterable
from pathlib import Path

from preprocessing.files import (
    MANIFEST,
    create,
    exists,
    read_bytes,
    read_text,
    remove,
    sha256,
    write_bytes,
    write_json,
    write_text,
)
from preprocessing.filesystems import StoreError, explained, open_store, renames, use_hadoop_configuration
from preprocessing.lease import lease

__all__ = [
    "StoreError", "absolute", "create", "download", "exists", "files_below", "lease", "matching", "read_bytes",
    "read_text", "remove", "replace_directory", "sha256", "size", "upload", "use_hadoop_configuration", "write_bytes",
    "write_json", "write_text",
]  # fmt: skip


def absolute(path: str) -> str:
    """The URI of `path`; a path without a scheme means a local file."""
    return (
        path if "://" in path else f"file://{os.path.abspath(path)}"
    )  # not quoted: neither fsspec nor Hadoop unquotes


@explained
def files_below(uri: str) -> list[str]:
    """Paths, relative to `uri` and sorted, of all files below it."""
    filesystem, path = open_store(uri)
    found = [str(name)[len(path.rstrip("/")) + 1 :] for name in filesystem.find(path)]
    return sorted(name for name in found if name and not name.endswith("/"))  # S3A marks directories so


@explained
def size(uri: str) -> int:
    """Bytes of all files below `uri`."""
    filesystem, path = open_store(uri)
    return int(filesystem.du(path))


@explained
def matching(pattern: str) -> list[str]:
    """URIs, sorted, of the files that match a glob; of the scheme, host and account that the glob has."""
    filesystem, path = open_store(absolute(pattern))
    scheme, _, rest = absolute(pattern).partition("://")
    root = f"{scheme}://{rest.split('/')[0]}"
    return sorted(f"{root}{found[found.index('/') :]}" for found in filesystem.glob(path))


@explained
def download(uri: str, target: Path) -> None:
    """Copies a file or a whole directory of any store to the local path `target`."""
    filesystem, path = open_store(uri)
    target.parent.mkdir(parents=True, exist_ok=True)
    if filesystem.isfile(path):
        filesystem.get_file(path, str(target))
        return
    for name in files_below(uri):
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        filesystem.get_file(f"{path.rstrip('/')}/{name}", str(target / name))


def _manifest_last(names: Iterable[str]) -> list[str]:
    return sorted(names, key=lambda name: (name == MANIFEST, name))


@explained
def upload_file(uri: str, source: Path) -> None:
    """Copies a local file to `uri`."""
    filesystem, path = open_store(uri)
    filesystem.makedirs(filesystem._parent(path), exist_ok=True)
    filesystem.put_file(str(source), path)


def upload(source: Path, uri: str) -> None:
    """Copies a local directory to `uri`, `manifest.json` last: until it is there, the directory does not exist."""
    for name in _manifest_last(str(found.relative_to(source)) for found in source.rglob("*") if found.is_file()):
        upload_file(f"{uri.rstrip('/')}/{name}", source / name)


@explained
def replace_directory(source: str, target: str) -> None:
    """Puts the finished directory `source` in the place of `target`.

    Where a store renames, the old one is kept until the new one stands. An object store copies: for that time there
    is no manifest, hence no output, at `target`.
    """
    filesystem, old = open_store(target)
    new = open_store(source)[1]
    if not renames(filesystem):
        names = _manifest_last(files_below(source))
        if not names:
            raise FileNotFoundError(source)
        remove(target)
        for part in (names[:-1], names[-1:]):
            if part:
                filesystem.copy([f"{new}/{name}" for name in part], [f"{old}/{name}" for name in part])
        remove(source)
        return
    retired = f"{old}.old-{uuid.uuid4().hex[:8]}"
    if filesystem.exists(old):
        filesystem.mv(old, retired, recursive=True)
    filesystem.makedirs(filesystem._parent(old), exist_ok=True)
    filesystem.mv(new, old, recursive=True)
    if filesystem.exists(retired):
        filesystem.rm(retired, recursive=True)
