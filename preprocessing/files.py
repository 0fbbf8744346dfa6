"""Files on any store, by URI: each is whole or not there."""

import contextlib
import hashlib
import json
import os
import uuid
from collections.abc import Iterable
from typing import Any

from fsspec.implementations.local import LocalFileSystem

from preprocessing.filesystems import explained, open_store, renames

MANIFEST = "manifest.json"  # what makes an output exist: written last, removed first


@explained
def exists(uri: str) -> bool:
    """Whether there is a file or directory."""
    filesystem, path = open_store(uri)
    return bool(filesystem.exists(path))


@explained
def read_bytes(uri: str) -> bytes:
    """The content of a file. Raises FileNotFoundError."""
    filesystem, path = open_store(uri)
    return bytes(filesystem.cat_file(path))


def read_text(uri: str) -> str:
    """The content of a UTF-8 file. Raises FileNotFoundError."""
    return read_bytes(uri).decode()


@explained
def write_bytes(uri: str, content: bytes) -> None:
    """Writes a file as a whole: readers see the old content or the new, never half of it."""
    filesystem, path = open_store(uri)
    if not renames(filesystem):
        filesystem.pipe_file(path, content)
        return
    temporary = f"{path}.tmp-{uuid.uuid4().hex[:8]}"
    filesystem.makedirs(filesystem._parent(path), exist_ok=True)
    try:
        filesystem.pipe_file(temporary, content)
        filesystem.mv(temporary, path, overwrite=True)
    except Exception:
        with contextlib.suppress(Exception):  # half a file on a full disk takes the room that is left
            filesystem.rm_file(temporary)
        raise


@explained
def create(uri: str, content: bytes) -> bool:
    """Writes a file that is not there yet, as a whole; False where there is one: of several writers one succeeds."""
    filesystem, path = open_store(uri)
    temporary = f"{path}.tmp-{uuid.uuid4().hex[:8]}"
    try:
        if not renames(filesystem):
            filesystem.pipe_file(path, content, mode="create")
            return True
        filesystem.makedirs(filesystem._parent(path), exist_ok=True)
        filesystem.pipe_file(temporary, content)
        if isinstance(filesystem, LocalFileSystem):
            os.link(temporary, path)  # a rename would replace what is there
            os.unlink(temporary)
        else:
            filesystem.mv(temporary, path, overwrite=False)
    except FileExistsError:
        if renames(filesystem):
            filesystem.rm_file(temporary)
        return False
    return True


def write_text(uri: str, content: str) -> None:
    """Writes a UTF-8 file as a whole."""
    write_bytes(uri, content.encode())


def write_json(uri: str, content: Any) -> None:
    """Writes a readable JSON file as a whole."""
    write_text(uri, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


@explained
def remove(uri: str) -> None:
    """Removes a file or a directory with all it holds, its manifest first; nothing if there is none."""
    filesystem, path = open_store(uri)
    with contextlib.suppress(FileNotFoundError):
        if not filesystem.isfile(path):  # HDFS refuses a path below a file as something one may not do
            with contextlib.suppress(FileNotFoundError):
                filesystem.rm_file(f"{path.rstrip('/')}/{MANIFEST}")
        filesystem.rm(path, recursive=True)


@explained
def files_below(uri: str) -> list[str]:
    """Paths, relative to `uri` and sorted, of all files below it."""
    filesystem, path = open_store(uri)
    found = [str(name)[len(path.rstrip("/")) + 1 :] for name in filesystem.find(path)]
    return sorted(name for name in found if name and not name.endswith("/"))  # S3A marks directories so


def manifest_last(names: Iterable[str]) -> list[str]:
    """The paths sorted, but for the one by which a directory exists."""
    return sorted(names, key=lambda name: (name == MANIFEST, name))


def sha256(content: bytes) -> str:
    """Checksum in hexadecimal."""
    return hashlib.sha256(content).hexdigest()
