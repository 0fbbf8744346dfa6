"""A finished directory takes the place of an output, whenever the process that does it may be killed.

A store that renames keeps the old one, as `OUTPUT.old-*`, until the new one stands. An object store copies, and has
neither for that time: a note, `OUTPUT.replacing`, written before anything is removed, says what is copied, and goes
when all is there. Whoever writes the output next begins with `recover`.
"""

import glob
import time
import uuid

from preprocessing.files import exists, files_below, manifest_last, read_text, remove, write_text
from preprocessing.filesystems import StoreError, explained, open_store, renames

ARRIVAL_SECONDS = 600  # for a copy that the store still makes when it has answered, as Azure may


@explained
def replace_directory(source: str, target: str) -> None:
    """Puts the finished directory `source` in the place of `target`."""
    filesystem, old = open_store(target)
    if not renames(filesystem):
        if not files_below(source):
            raise FileNotFoundError(source)
        write_text(_note(target), source)
        _copy_into_place(source, target)
        return
    retired = f"{target.rstrip('/')}.old-{uuid.uuid4().hex[:8]}"
    if filesystem.exists(old):
        filesystem.mv(old, open_store(retired)[1], recursive=True)
    filesystem.makedirs(filesystem._parent(old), exist_ok=True)
    filesystem.mv(open_store(source)[1], old, recursive=True)
    remove(retired)


@explained
def is_between(uri: str) -> bool:
    """Whether the output at `uri` is neither the old one nor the new one, as its writer is at it or was killed."""
    filesystem, path = open_store(uri)
    if not renames(filesystem):
        return exists(_note(uri))
    return not filesystem.exists(path) and bool(filesystem.glob(f"{glob.escape(path)}.old-*"))


@explained
def recover(uri: str) -> None:
    """Makes the output at `uri` whole, the old one or the new one, and removes what else a killed process left."""
    filesystem, path = open_store(uri)
    if not renames(filesystem) and exists(_note(uri)):
        source = read_text(_note(uri))
        if files_below(source):
            _copy_into_place(source, uri)
        else:  # somebody tidied up: what is at `uri` is all there is
            remove(_note(uri))
    literal = glob.escape(path)
    for retired in sorted(filesystem.glob(f"{literal}.old-*")):
        if filesystem.exists(path):
            filesystem.rm(retired, recursive=True)
        else:
            filesystem.mv(retired, path, recursive=True)
    for temporary in filesystem.glob(f"{literal}.tmp-*"):
        filesystem.rm(temporary, recursive=True)


def _note(uri: str) -> str:
    return f"{uri.rstrip('/')}.replacing"


def _copy_into_place(source: str, target: str) -> None:
    """Ends what the note says, however much of it is done: the manifest is copied last, then note and `source` go."""
    remove(target)
    names = manifest_last(files_below(source))
    for part in (names[:-1], names[-1:]):
        _copy(source, target, part)
    remove(_note(target))
    remove(source)


def _copy(source: str, target: str, names: list[str]) -> None:
    """Copies files, and returns when all their bytes have arrived."""
    if not names:
        return
    filesystem, old = open_store(target)
    new = open_store(source)[1]
    filesystem.copy([f"{new}/{name}" for name in names], [f"{old}/{name}" for name in names])
    expected, deadline = _sizes(source), time.monotonic() + ARRIVAL_SECONDS
    while absent := _differing(names, expected, _sizes(target)):
        if time.monotonic() > deadline:
            raise StoreError(
                f"{len(absent)} of {len(names)} files copied from {source} did not arrive in {target} within "
                f"{ARRIVAL_SECONDS} s, {absent[0]} first: run the job again, which goes on with the copy"
            )
        time.sleep(1)


def _differing(names: list[str], expected: dict[str, int], found: dict[str, int]) -> list[str]:
    return [name for name in names if found.get(name) != expected[name]]


def _sizes(uri: str) -> dict[str, int]:
    """Bytes of each file below `uri`, by its path there."""
    filesystem, path = open_store(uri)
    found = filesystem.find(path, detail=True)
    return {str(name)[len(path.rstrip("/")) + 1 :]: int(facts["size"]) for name, facts in found.items()}
