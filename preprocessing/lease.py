"""Leases: an output directory is written by one process at a time, on any store."""

import contextlib
import glob
import json
import logging
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from preprocessing.errors import UserError
from preprocessing.files import create, read_text, remove, write_json
from preprocessing.filesystems import open_store
from preprocessing.replacement import is_between, recover

log = logging.getLogger(__name__)

LEASE_SECONDS = 60  # a lease that was not renewed for so long belongs to a process that is gone
RENEWAL_SECONDS = 10
POLL_SECONDS = 0.5  # between two looks at the lease of a living holder


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
    first, deadline, waiting = f"{uri.rstrip('/')}.lease", time.monotonic() + wait, False
    while True:
        held, file = _last_lease(first)
        if held and _holder_is_alive(held):
            if time.monotonic() >= deadline:
                raise UserError(
                    f"{uri} is being written by process {held['pid']} on {held['host']}: "
                    "wait for it, or choose another path"
                )
            if not waiting:
                waiting = True
                log.info("waiting for process %s on %s, which is writing %s", held["pid"], held["host"], uri)
            time.sleep(POLL_SECONDS)
        elif create(file, json.dumps({**own, "renewed": time.time()}).encode()):
            last = _last_lease(first)[0]
            if last and last["id"] == own["id"]:
                return file
            remove(file)  # it follows a lease that was given back meanwhile


@contextlib.contextmanager
def lease(uri: str, wait: float = 0) -> Iterator[None]:
    """Holds the output directory `uri` for one process.

    Raises UserError where another one is writing it, and still is after `wait` seconds, and where a store would take
    its path for a pattern: to remove `out[1]` would remove `out1`.
    """
    if not uri.startswith("file:") and glob.has_magic(uri.partition("://")[2]):
        raise UserError(f"{uri} has one of * ? [ in it, which stores take for a pattern: choose another path")
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
        recover(uri)
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


def mended(uri: str) -> bool:
    """Whether a killed writer, or one still at it, had left the output at `uri` between old and new; one is whole now.

    For readers that find nothing there. Raises UserError where its writer does not end.
    """
    if not is_between(uri):
        return False
    with lease(uri, wait=LEASE_SECONDS):
        return True
