"""Files and directories on any store, by URI, for Python processes: the only module that knows fsspec.

Spark reads and writes the same URIs through Hadoop's file systems.
"""

import contextlib
import glob
import hashlib
import json
import os
import socket
import sys
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import fsspec
from fsspec import AbstractFileSystem

from preprocessing.errors import UserError

LEASE_SECONDS = 60  # a lease that was not renewed for so long belongs to a process that is gone
RENEWAL_SECONDS = 10


def absolute(path: str) -> str:
    """The URI of `path`; a path without a scheme means a local file."""
    return (
        path if "://" in path else f"file://{os.path.abspath(path)}"
    )  # not quoted: neither fsspec nor Hadoop unquotes


_hadoop: dict[str, str] = {}  # this process' Hadoop settings, from the driver


def use_hadoop_configuration(settings: Mapping[str, str]) -> None:
    """Makes this process reach hdfs:// as the driver does, also where it has no Hadoop configuration of its own."""
    _hadoop.clear()
    _hadoop.update(settings)


def open_store(uri: str) -> tuple[AbstractFileSystem, str]:
    """The file system that serves `uri`, and the path on it."""
    if uri.startswith(("hdfs://", "viewfs://")):
        if uri.startswith("hdfs:///") and _hadoop.get("fs.defaultFS", "").startswith("hdfs://"):
            uri = _hadoop["fs.defaultFS"].rstrip("/") + uri.removeprefix("hdfs://")
        filesystem, path = fsspec.core.url_to_fs(uri, **_hadoop)
    else:
        filesystem, path = fsspec.core.url_to_fs(uri)
    return filesystem, path


def _forget_hdfs_clients() -> None:
    """Before a fork: fsspec clears its cache in the child, where a client would wait for threads that are not there."""
    if hdfs := sys.modules.get("hdfs_native.fsspec"):
        for kind in (hdfs.HdfsFileSystem, hdfs.ViewfsFileSystem):
            kind.clear_instance_cache()


os.register_at_fork(before=_forget_hdfs_clients)


def _renames(filesystem: AbstractFileSystem) -> bool:
    """Whether a rename is one step: not on object stores, where it copies and a single PUT is whole already."""
    protocols = (filesystem.protocol,) if isinstance(filesystem.protocol, str) else filesystem.protocol
    return bool({"file", "hdfs", "viewfs"} & set(protocols))


def exists(uri: str) -> bool:
    """Whether there is a file or directory."""
    filesystem, path = open_store(uri)
    return bool(filesystem.exists(path))


def read_bytes(uri: str) -> bytes:
    """The content of a file. Raises FileNotFoundError."""
    filesystem, path = open_store(uri)
    return bytes(filesystem.cat_file(path))


def read_text(uri: str) -> str:
    """The content of a UTF-8 file. Raises FileNotFoundError."""
    return read_bytes(uri).decode()


def write_bytes(uri: str, content: bytes) -> None:
    """Writes a file as a whole: readers see the old content or the new, never half of it."""
    filesystem, path = open_store(uri)
    if not _renames(filesystem):
        filesystem.pipe_file(path, content)
        return
    temporary = f"{path}.tmp-{uuid.uuid4().hex[:8]}"
    filesystem.makedirs(filesystem._parent(path), exist_ok=True)
    filesystem.pipe_file(temporary, content)
    filesystem.mv(temporary, path, overwrite=True)


def write_text(uri: str, content: str) -> None:
    """Writes a UTF-8 file as a whole."""
    write_bytes(uri, content.encode())


def write_json(uri: str, content: Any) -> None:
    """Writes a readable JSON file as a whole."""
    write_text(uri, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def remove(uri: str) -> None:
    """Removes a file or a directory with all it holds; nothing if there is none."""
    filesystem, path = open_store(uri)
    with contextlib.suppress(FileNotFoundError):
        filesystem.rm(path, recursive=True)


def files_below(uri: str) -> list[str]:
    """Paths, relative to `uri` and sorted, of all files below it."""
    filesystem, path = open_store(uri)
    return sorted(str(found)[len(path.rstrip("/")) + 1 :] for found in filesystem.find(path))


def matching(pattern: str) -> list[str]:
    """URIs, sorted, of the files that match a glob."""
    filesystem, path = open_store(pattern)
    return sorted(filesystem.unstrip_protocol(found) for found in filesystem.glob(path))


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


def upload(source: Path, uri: str) -> None:
    """Copies a local directory to `uri`, `manifest.json` last: until it is there, the directory does not exist."""
    filesystem, path = open_store(uri)
    names = sorted(str(found.relative_to(source)) for found in source.rglob("*") if found.is_file())
    for name in sorted(names, key=lambda name: name == "manifest.json"):
        filesystem.makedirs(filesystem._parent(f"{path}/{name}"), exist_ok=True)
        filesystem.put_file(str(source / name), f"{path}/{name}")


def replace_directory(source: str, target: str) -> None:
    """Puts the finished directory `source` in the place of `target`, which is kept until the new one stands."""
    filesystem, old = open_store(target)
    retired = f"{old}.old-{uuid.uuid4().hex[:8]}"
    if filesystem.exists(old):
        filesystem.mv(old, retired, recursive=True)
    filesystem.makedirs(filesystem._parent(old), exist_ok=True)
    filesystem.mv(open_store(source)[1], old, recursive=True)
    if filesystem.exists(retired):
        filesystem.rm(retired, recursive=True)


def _recover(uri: str) -> None:
    """Undoes what a killed process left beside `uri`: a retired directory returns, temporary ones go."""
    filesystem, path = open_store(uri)
    literal = glob.escape(path)
    for retired in sorted(filesystem.glob(f"{literal}.old-*")):
        if filesystem.exists(path):
            filesystem.rm(retired, recursive=True)
        else:
            filesystem.mv(retired, path, recursive=True)
    for temporary in filesystem.glob(f"{literal}.tmp-*"):
        filesystem.rm(temporary, recursive=True)


def _holder_is_alive(held: dict[str, Any]) -> bool:
    """Whether the process that wrote a lease still runs: it renews it; on this machine its pid tells at once."""
    fresh = bool(time.time() - held["renewed"] < LEASE_SECONDS)
    return fresh and (held["host"] != socket.gethostname() or os.path.exists(f"/proc/{held['pid']}"))


@contextlib.contextmanager
def lease(uri: str) -> Iterator[None]:
    """Holds the output directory `uri` for one process; raises UserError where another one is writing it."""
    own = {"host": socket.gethostname(), "pid": os.getpid(), "id": uuid.uuid4().hex}
    file = f"{uri.rstrip('/')}.lease"
    if exists(file):
        held = json.loads(read_text(file))
        if _holder_is_alive(held):
            raise UserError(
                f"{uri} is being written by process {held['pid']} on {held['host']}: "
                "wait for it, or choose another path"
            )
    write_json(file, {**own, "renewed": time.time()})
    if json.loads(read_text(file))["id"] != own["id"]:
        raise UserError(f"{uri} was taken by another process at the same moment: wait for it, or choose another path")
    done = threading.Event()

    def renew() -> None:
        while not done.wait(RENEWAL_SECONDS):
            with contextlib.suppress(OSError):  # a store that hiccups: the next renewal will tell
                write_json(file, {**own, "renewed": time.time()})

    thread = threading.Thread(target=renew, name="lease", daemon=True)
    thread.start()
    try:
        _recover(uri)
        yield
    finally:
        done.set()
        thread.join()
        remove(file)


def sha256(content: bytes) -> str:
    """Checksum in hexadecimal."""
    return hashlib.sha256(content).hexdigest()
