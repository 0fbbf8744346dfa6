"""Files and directories on any store, by URI, for Python processes: whole writes, whole directories, leases.

Spark reads and writes the same URIs through Hadoop's file systems.
"""

import contextlib
import glob
import hashlib
import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fsspec.implementations.local import LocalFileSystem

from preprocessing.errors import UserError
from preprocessing.filesystems import open_store, renames
from preprocessing.filesystems import use_hadoop_configuration as use_hadoop_configuration

LEASE_SECONDS = 60  # a lease that was not renewed for so long belongs to a process that is gone
RENEWAL_SECONDS = 10
POLL_SECONDS = 0.5  # between two looks at the lease of a living holder


def absolute(path: str) -> str:
    """The URI of `path`; a path without a scheme means a local file."""
    return (
        path if "://" in path else f"file://{os.path.abspath(path)}"
    )  # not quoted: neither fsspec nor Hadoop unquotes


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
    if not renames(filesystem):
        filesystem.pipe_file(path, content)
        return
    temporary = f"{path}.tmp-{uuid.uuid4().hex[:8]}"
    filesystem.makedirs(filesystem._parent(path), exist_ok=True)
    filesystem.pipe_file(temporary, content)
    filesystem.mv(temporary, path, overwrite=True)


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
    if time.time() - held["renewed"] >= LEASE_SECONDS:
        return False
    if held["host"] != socket.gethostname():
        return True
    try:
        return bool(Path(f"/proc/{held['pid']}/cmdline").read_bytes())  # empty where only its exit code is left
    except OSError:
        return False


def _last_lease(file: str) -> tuple[dict[str, Any] | None, str]:
    """The lease in force, or None, and the name of the one that would follow it.

    Who takes over from a dead holder creates the file that is named for that holder's lease: only one process can.
    """
    held, following = None, file
    while True:
        try:
            held = json.loads(read_text(following))
        except FileNotFoundError:
            return held, following
        following = f"{file}.{held['id']}"


def _acquire(uri: str, own: dict[str, Any], wait: float) -> str:
    """Takes the lease of `uri`, and returns its file. Raises UserError where a living process keeps it."""
    first, deadline = f"{uri.rstrip('/')}.lease", time.monotonic() + wait
    while True:
        held, file = _last_lease(first)
        if held and _holder_is_alive(held):
            if time.monotonic() >= deadline:
                raise UserError(
                    f"{uri} is being written by process {held['pid']} on {held['host']}: "
                    "wait for it, or choose another path"
                )
            time.sleep(POLL_SECONDS)
        elif create(file, json.dumps({**own, "renewed": time.time()}).encode()):
            last = _last_lease(first)[0]
            if last and last["id"] == own["id"]:
                return file
            remove(file)  # it follows a lease that was given back meanwhile


@contextlib.contextmanager
def lease(uri: str, wait: float = 0) -> Iterator[None]:
    """Holds the output directory `uri` for one process.

    Raises UserError where another one is writing it, and still is after `wait` seconds.
    """
    own = {"host": socket.gethostname(), "pid": os.getpid(), "id": uuid.uuid4().hex}
    first, file = f"{uri.rstrip('/')}.lease", _acquire(uri, own, wait)
    done = threading.Event()

    def in_force() -> bool:  # it is not where this process stood still for so long that another one took over
        last = _last_lease(first)[0]
        return last is not None and last["id"] == own["id"]

    def renew() -> None:
        while not done.wait(RENEWAL_SECONDS):
            with contextlib.suppress(OSError):  # a store that hiccups: the next renewal will tell
                if in_force():
                    write_json(file, {**own, "renewed": time.time()})

    thread = threading.Thread(target=renew, name="lease", daemon=True)
    thread.start()
    try:
        _recover(uri)
        yield
    finally:
        done.set()
        thread.join()
        if in_force():
            filesystem, path = open_store(first)
            others = filesystem.glob(f"{glob.escape(path)}.*")
            for name in (path, *others):  # the first one first: that gives it back
                if ".tmp-" not in name[len(path) :]:  # what others are about to create
                    with contextlib.suppress(FileNotFoundError):
                        filesystem.rm_file(name)


def sha256(content: bytes) -> str:
    """Checksum in hexadecimal."""
    return hashlib.sha256(content).hexdigest()
