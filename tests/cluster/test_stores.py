"""Python's side of S3 and Azure Blob Storage, on real servers: whole files, whole directories, leases."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from preprocessing import lease, replacement, storage
from preprocessing.filesystems import HadoopSettings, open_store

pytestmark = pytest.mark.cluster

ADDER = """
import json, sys
from preprocessing import lease, storage
base, settings = sys.argv[1], json.loads(sys.stdin.read())
storage.use_hadoop_configuration(settings)
lease.POLL_SECONDS = 0.05
for _ in range(5):
    with storage.lease(f"{base}/out", wait=60):
        before = int(storage.read_text(f"{base}/count"))
        storage.write_text(f"{base}/count", str(before + 1))
"""

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


def secrets(server: Any) -> dict[str, str]:
    """The driver's Hadoop settings with the credentials, as they reach a Python process."""
    if server.kind == "s3":
        return {"fs.s3a.access.key": server.key, "fs.s3a.secret.key": server.secret}
    return {"fs.azure.account.key.devstoreaccount1.dfs.core.windows.net": server.secret}


@pytest.fixture
def base(server: Any, request: pytest.FixtureRequest) -> Iterator[str]:
    """A place of the test's own on the store, reached with the driver's settings."""
    storage.use_hadoop_configuration({**server.settings, **secrets(server)})
    yield f"{server.base}/{request.node.originalname}"
    storage.use_hadoop_configuration({})


def names(server: Any, base: str) -> list[str]:
    """What an independent client finds there, without the server's own marks of directories."""
    place = f"{base.rpartition('/')[2]}/"
    return sorted(name.removeprefix(place) for name in server.objects() if name.startswith(place))


@pytest.mark.parametrize("name", ["plain", "deep/하나 둘 #?%20+.txt"])
def test_files_are_whole_and_created_once(server: Any, base: str, name: str) -> None:
    assert not storage.exists(f"{base}/{name}")
    assert storage.create(f"{base}/{name}", b"1") and not storage.create(f"{base}/{name}", b"2")
    assert storage.read_bytes(f"{base}/{name}") == b"1"
    storage.write_text(f"{base}/{name}", "주문")
    assert storage.read_text(f"{base}/{name}") == "주문" and storage.exists(f"{base}/{name}")
    assert storage.matching(f"{base}/{name[:4]}*{'/*' if '/' in name else ''}") == [f"{base}/{name}"]
    with pytest.raises(FileNotFoundError):
        storage.read_bytes(f"{base}/absent")
    storage.remove(base)
    storage.remove(base)
    assert names(server, base) == []


def test_what_others_write_is_seen_at_once(server: Any, base: str) -> None:
    place = base.rpartition("/")[2]
    for number in range(3):
        server.put(f"{place}/{number}", b"")
        assert storage.files_below(base) == [str(known) for known in range(number + 1)]
        assert len(storage.matching(f"{base}/*")) == number + 1


def test_directories_travel_both_ways(server: Any, base: str, tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "큰 것").write_bytes(os.urandom(12_000_000))
    (tmp_path / "manifest.json").write_text("{}")
    storage.upload(tmp_path, f"{base}/a")
    server.put(f"{base.rpartition('/')[2]}/ab", b"not below a")
    assert storage.files_below(f"{base}/a") == ["manifest.json", "sub/큰 것"]
    storage.download(f"{base}/a", tmp_path / "back")
    storage.download(f"{base}/a/manifest.json", tmp_path / "file")
    assert (tmp_path / "back/sub/큰 것").read_bytes() == (tmp_path / "sub" / "큰 것").read_bytes()
    assert (tmp_path / "file").read_text() == "{}"


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
            states.append(names(server, base))
            return act(*args, **kwargs)

        monkeypatch.setattr(filesystem, verb, watched)
    storage.replace_directory(f"{base}/new", f"{base}/old")
    assert names(server, base) == ["old/a", "old/deep/b", "old/manifest.json"]
    assert storage.read_text(f"{base}/old/a") == "new/a"
    *before, last, _ = states  # the note goes before what it names
    assert len(before) == 3 and not any("old/manifest.json" in state for state in before)
    assert {"old/a", "old/deep/b", "old/manifest.json"} < {*last} and "new/manifest.json" in last


def test_what_a_killed_process_left_is_recovered(server: Any, base: str) -> None:
    for name in ("out.tmp-1/x", "out.lease.other", "outer.tmp-1/x", "out/x"):
        storage.write_text(f"{base}/{name}", "")
    with storage.lease(f"{base}/out"), pytest.raises(ValueError, match="is being written by"):
        storage.lease(f"{base}/out").__enter__()
    assert names(server, base) == ["out/x", "outer.tmp-1/x"]


def killed(server: Any, out: str, version: str, steps: int) -> int:
    """The exit code of a process that puts three files in the place of `out`, and is killed after so many steps."""
    settings = json.dumps({**server.settings, **secrets(server)})
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
    states = [left for _, _, left, _ in seen]
    assert [name for name in states[2] if ".tmp-" not in name] == [".lease", ".replacing", "/old"]  # half removed
    assert [name for name in states[5] if ".tmp-" not in name] == [
        ".lease",
        ".replacing",
        "/a",
        "/deep/b",
    ]  # half there
    assert [found for *_, found in seen] == [{"/a": "old", "/manifest.json": "old", "/old": "old"}] + [whole("new")] * 9


def test_a_reader_and_the_next_writer_find_the_new_one_after_kills(server: Any, base: str) -> None:
    out = f"{base}/out"
    assert [killed(server, out, "1", steps=5), killed(server, out, "2", steps=5)] == [
        -9,
        -9,
    ]  # the other kills a mender
    assert not storage.exists(f"{out}/manifest.json") and storage.mended(out) and not storage.mended(out)
    assert contents(out) in (whole("1"), whole("2"))
    assert killed(server, out, "3", steps=4) == -9
    assert killed(server, out, "4", steps=99) == 0
    assert contents(out) == whole("4")


def test_a_note_whose_directory_is_gone_takes_nothing_with_it(server: Any, base: str) -> None:
    storage.write_text(f"{base}/out/a", "all there is")
    storage.write_text(f"{base}/out.replacing", f"{base}/out.tmp-1")
    assert storage.mended(f"{base}/out")
    assert names(server, base) == ["out/a"]


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
        assert names(server, base) == ["out.lease", "out/a", "out/b", "out/manifest.json"]


def test_a_slash_at_the_end_costs_nothing(server: Any, base: str) -> None:
    """What lies beside the output as it is made would lie in it, and be removed with the old one."""
    out = storage.absolute(f"{base}/out/")
    for name in ("", ".tmp-1"):
        storage.write_text(f"{out}{name}/manifest.json", f"of {name}")
    storage.replace_directory(f"{out}.tmp-1", out)
    assert contents(f"{base}/out") == {"/manifest.json": "of .tmp-1"}
    assert storage.absolute(f"{server.base}/") == server.base


def test_one_process_at_a_time_takes_over_a_dead_lease(server: Any, base: str) -> None:
    dead = {"host": "elsewhere", "pid": 1, "id": "f" * 32, "renewed": time.time() - lease.LEASE_SECONDS}
    storage.write_json(f"{base}/out.lease", dead)
    storage.write_text(f"{base}/count", "0")
    settings = json.dumps({**server.settings, **secrets(server)})

    def add(_: int) -> int:
        command = [sys.executable, "-c", ADDER, base]
        return subprocess.run(command, input=settings, text=True, check=True, timeout=120).returncode

    with ThreadPoolExecutor(3) as threads:
        assert list(threads.map(add, range(3))) == [0, 0, 0]
    assert storage.read_text(f"{base}/count") == "15"
    assert names(server, base) == ["count"]


def test_settings_are_not_printed(server: Any) -> None:
    assert server.secret not in repr(HadoopSettings(secrets(server)))
    assert server.secret not in f"{HadoopSettings(secrets(server))}"


def test_a_store_that_refuses_is_named_in_a_line(server: Any, base: str) -> None:
    wrong = {name: server.secret[::-1].lstrip("=") + "==" for name in secrets(server) if "access" not in name}
    storage.use_hadoop_configuration({**server.settings, **secrets(server), **wrong})
    for act in (storage.read_text, lambda uri: storage.write_text(uri, ""), lambda uri: storage.create(uri, b"")):
        with pytest.raises(storage.StoreError, match=f"cannot use {server.base}.*credentials right") as refusal:
            act(f"{server.base}/x")
        assert server.secret not in str(refusal.value) and "\n" not in str(refusal.value)
    storage.use_hadoop_configuration({**server.settings, **secrets(server)})
    with pytest.raises(storage.StoreError, match="does not exist"):
        storage.create(f"{server.base.replace('parley', 'nowhere')}/x", b"")


def test_the_environment_alone_is_enough(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    if server.kind == "s3":
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.port}")
        environment = server.environment
    else:
        address = f"http://127.0.0.1:{server.port}/devstoreaccount1"
        account = f"AccountName=devstoreaccount1;AccountKey={server.secret};BlobEndpoint={address}"
        environment = {"AZURE_STORAGE_CONNECTION_STRING": account}
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    open_store(server.base)[0].clear_instance_cache()
    storage.write_text(f"{server.base}/environment", "1")
    assert server.objects()["environment"] == b"1"
