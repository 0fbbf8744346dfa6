"""A directory of S3 or Azure Blob Storage in the place of another, on real servers, by processes that are killed."""

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from preprocessing import replacement, storage
from preprocessing.filesystems import open_store

pytestmark = pytest.mark.cluster

KILLED = """
import asyncio, json, os, signal, sys
from preprocessing import storage
from preprocessing.filesystems import open_store
out, version, last = sys.argv[1], sys.argv[2], int(sys.argv[3])
storage.use_hadoop_configuration(json.loads(sys.stdin.read()))
filesystem, done, copying = open_store(out)[0], [], asyncio.Lock()
write, remove, remove_all, copy = filesystem.pipe_file, filesystem.rm_file, filesystem.rm, filesystem._cp_file

def step(where):
    if ".lease" not in where:
        done.append(where)
    return len(done) > last

def die():
    os.kill(os.getpid(), signal.SIGKILL)

def dying_write(where, *args, **kwargs):
    return die() if step(where) else write(where, *args, **kwargs)

def dying_remove(where):
    return die() if step(where) else remove(where)

def dying_remove_all(where, recursive):
    if step(where):  # on the way through a directory
        remove(filesystem.find(where)[0])
        die()
    remove_all(where, recursive=recursive)

async def dying_copy(source, target, **kwargs):
    async with copying:
        return die() if step(target) else await copy(source, target, **kwargs)

with storage.lease(out):
    for name in ("a", "deep/b", "manifest.json"):
        storage.write_text(f"{out}.tmp-1/{name}", version)
    filesystem.pipe_file, filesystem.rm_file, filesystem.rm = dying_write, dying_remove, dying_remove_all
    filesystem._cp_file = dying_copy
    storage.replace_directory(f"{out}.tmp-1", out)
"""


def test_a_directory_is_replaced_with_no_manifest_meanwhile(
    server: Any, base: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("old/manifest.json", "old/a", "old/old", "new/manifest.json", "new/a", "new/deep/b"):
        storage.write_text(f"{base}/{name}", name)
    states = []
    filesystem = open_store(base)[0]
    for verb in ("copy", "rm"):
        act = getattr(filesystem, verb)

        def watched(*args: Any, act: Any = act, **kwargs: Any) -> Any:
            states.append(server.names(base))
            return act(*args, **kwargs)

        monkeypatch.setattr(filesystem, verb, watched)
    storage.replace_directory(f"{base}/new", f"{base}/old")
    assert server.names(base) == ["old/a", "old/deep/b", "old/manifest.json"]
    assert storage.read_text(f"{base}/old/a") == "new/a"
    *before, last, _ = states  # the note goes before what it names
    assert len(before) == 3 and not any("old/manifest.json" in state for state in before)
    assert {"old/a", "old/deep/b", "old/manifest.json"} < {*last} and "new/manifest.json" in last


def killed(server: Any, out: str, version: str, steps: int) -> int:
    """The exit code of a process that puts three files in the place of `out`, and is killed after so many steps."""
    settings = json.dumps({**server.settings, **server.secrets})
    command = [sys.executable, "-c", KILLED, out, version, str(steps)]
    return subprocess.run(command, input=settings, text=True, check=False, timeout=120).returncode


def contents(out: str) -> dict[str, str]:
    """Path -> content of all that is at `out` and beside it."""
    beside, _, name = out.rpartition("/")
    return {found.removeprefix(name): storage.read_text(f"{beside}/{found}") for found in storage.files_below(beside)}


def whole(version: str) -> dict[str, str]:
    return {"/a": version, "/deep/b": version, "/manifest.json": version}


def test_a_swap_that_is_killed_at_any_step_loses_nothing(server: Any, base: str) -> None:
    """Nine steps: the note; the old manifest, the rest; three copies, the manifest last; the note again; the source."""

    def swap(steps: int) -> tuple[int, bool, dict[str, str], dict[str, str]]:
        out = f"{base}/{steps}/out"
        for name in ("a", "manifest.json", "old"):
            storage.write_text(f"{out}/{name}", "old")
        code, between = killed(server, out, "new", steps), replacement.is_between(out)
        left = contents(out)
        with storage.lease(out):
            pass
        return code, between, left, contents(out)

    with ThreadPoolExecutor(2) as threads:
        seen = list(threads.map(swap, range(10)))
    assert [code for code, *_ in seen] == [-9] * 9 + [0]
    assert [between for _, between, *_ in seen] == [False, *[True] * 5, *[False] * 4]
    half_removed, half_there = ([name for name in seen[steps][2] if ".tmp-" not in name] for steps in (2, 5))
    assert half_removed == [".lease", ".replacing", "/old"]
    assert half_there == [".lease", ".replacing", "/a", "/deep/b"]
    assert [found for *_, found in seen] == [{"/a": "old", "/manifest.json": "old", "/old": "old"}] + [whole("new")] * 9


def test_a_reader_and_the_next_writer_find_the_new_one_after_kills(server: Any, base: str) -> None:
    out = f"{base}/out"
    assert killed(server, out, "1", steps=5) == -9
    assert killed(server, out, "2", steps=5) == -9  # as it mends what the first one left
    assert not storage.exists(f"{out}/manifest.json") and storage.mended(out) and not storage.mended(out)
    assert contents(out) in (whole("1"), whole("2"))
    assert killed(server, out, "3", steps=4) == -9
    assert killed(server, out, "4", steps=99) == 0
    assert contents(out) == whole("4")


def test_a_note_whose_directory_is_gone_takes_nothing_with_it(server: Any, base: str) -> None:
    storage.write_text(f"{base}/out/a", "all there is")
    storage.write_text(f"{base}/out.replacing", f"{base}/out.tmp-1")
    assert storage.mended(f"{base}/out")
    assert server.names(base) == ["out/a"]


def test_files_that_do_not_arrive_leave_their_source(server: Any, base: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replacement, "ARRIVAL_SECONDS", 0)
    for name in ("a", "b", "manifest.json"):
        storage.write_text(f"{base}/out.tmp-1/{name}", name)
    filesystem = open_store(base)[0]
    with monkeypatch.context() as slow:
        slow.setattr(filesystem, "copy", lambda sources, targets: filesystem.cp_file(sources[0], targets[0]))
        with pytest.raises(storage.StoreError, match=r"1 of 2 files copied from .* did not arrive in .*, b first"):
            storage.replace_directory(f"{base}/out.tmp-1", f"{base}/out")
    with storage.lease(f"{base}/out"):
        assert server.names(base) == ["out.lease", "out/a", "out/b", "out/manifest.json"]


def test_a_slash_at_the_end_costs_nothing(server: Any, base: str) -> None:
    """What lies beside the output as it is made would lie in it, and be removed with the old one."""
    out = storage.absolute(f"{base}/out/")
    for name in ("", ".tmp-1"):
        storage.write_text(f"{out}{name}/manifest.json", f"of {name}")
    storage.replace_directory(f"{out}.tmp-1", out)
    assert contents(f"{base}/out") == {"/manifest.json": "of .tmp-1"}
    assert storage.absolute(f"{server.base}/") == server.base
