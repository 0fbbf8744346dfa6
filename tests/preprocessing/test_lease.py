"""Leases: one writer at a time, also where holders die, freeze or live on another machine."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from preprocessing import storage
from preprocessing.errors import UserError

HOLDER = """
import sys
from preprocessing.storage import lease
with lease(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.read()
"""
ADDER = """
import sys, threading
from pathlib import Path
from preprocessing import lease, storage
lease.POLL_SECONDS = 0.001
count = Path(sys.argv[1], "count")
def add():
    for _ in range(10):
        with storage.lease(f"{sys.argv[1]}/out", wait=60):
            before = int(count.read_text())
            count.write_text(str(before + 1))
threads = [threading.Thread(target=add) for _ in range(2)]
for thread in threads: thread.start()
for thread in threads: thread.join()
"""
ROOT = Path(__file__).parents[2]


def tree(directory: Path) -> dict[str, str]:
    """Path -> content of all files below."""
    return {str(file.relative_to(directory)): file.read_text() for file in directory.rglob("*") if file.is_file()}


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen]:
    """Another process that holds the lease of `tmp_path/out`."""
    command = [sys.executable, "-c", HOLDER, str(tmp_path / "out")]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_lease_restores_what_a_killed_process_had_retired(tmp_path: Path) -> None:
    for name in ("out.old-1/a", "out.tmp-2/b", "out.rejected/c", "outer.tmp-3/d"):
        storage.write_text(f"{tmp_path}/{name}", name)
    with storage.lease(f"{tmp_path}/out"):
        pass
    assert tree(tmp_path) == {name: old for name, old in (
        ("out/a", "out.old-1/a"), ("out.rejected/c", "out.rejected/c"), ("outer.tmp-3/d", "outer.tmp-3/d")
    )}  # fmt: skip


def test_a_lease_removes_the_retired_directory_once_the_new_one_stands(tmp_path: Path) -> None:
    for name in ("out.old-1/a", "out/a"):
        storage.write_text(f"{tmp_path}/{name}", name)
    with storage.lease(f"{tmp_path}/out"):
        pass
    assert tree(tmp_path) == {"out/a": "out/a"}


@pytest.mark.parametrize("name", ["out[1]", "out*", "{out}"])
def test_a_lease_recovers_a_directory_whose_name_looks_like_a_glob(tmp_path: Path, name: str) -> None:
    for file in (f"{name}.old-1/a", f"{name}.tmp-1/a", "out1.tmp-1/a"):
        storage.write_text(f"{tmp_path}/{file}", "")
    with storage.lease(f"{tmp_path}/{name}"):
        pass
    assert tree(tmp_path) == {f"{name}/a": "", "out1.tmp-1/a": ""}


def test_the_lease_goes_with_its_holder_even_after_a_failure(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), storage.lease(f"{tmp_path}/out/"):
        assert list(tree(tmp_path)) == ["out.lease"]
        raise ZeroDivisionError
    assert tree(tmp_path) == {}


def test_no_process_takes_its_own_lease_twice(tmp_path: Path) -> None:
    with storage.lease(f"{tmp_path}/out"):
        with pytest.raises(UserError, match="is being written by process"), storage.lease(f"{tmp_path}/out"):
            raise AssertionError("both hold it")
        assert list(tree(tmp_path)) == ["out.lease"]


def test_a_lease_is_refused_while_its_holder_lives(tmp_path: Path, holder: subprocess.Popen) -> None:
    storage.write_text(f"{tmp_path}/out.tmp-1/half", "being written")
    before = tree(tmp_path)
    with pytest.raises(UserError) as refusal, storage.lease(f"{tmp_path}/out"):
        raise AssertionError("both hold it")
    assert str(refusal.value) == (
        f"{tmp_path}/out is being written by process {holder.pid} on {os.uname().nodename}: "
        "wait for it, or choose another path"
    )
    assert tree(tmp_path).keys() == before.keys()


def test_the_lease_of_a_killed_process_is_taken_over(tmp_path: Path, holder: subprocess.Popen) -> None:
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert json.loads((tmp_path / "out.lease").read_text())["pid"] == holder.pid
    with storage.lease(f"{tmp_path}/out"):
        with pytest.raises(UserError, match=f"process {os.getpid()} "), storage.lease(f"{tmp_path}/out"):
            raise AssertionError("both hold it")
    assert tree(tmp_path) == {}


def test_a_lease_is_waited_for(tmp_path: Path, holder: subprocess.Popen) -> None:
    threading.Timer(1, holder.kill).start()
    with storage.lease(f"{tmp_path}/out", wait=30):
        assert holder.wait(10) == -signal.SIGKILL
    began = time.monotonic()
    with storage.lease(f"{tmp_path}/out"), pytest.raises(UserError), storage.lease(f"{tmp_path}/out", wait=1):
        raise AssertionError("both hold it")
    assert 1 <= time.monotonic() - began < 3


def test_a_dead_lease_is_taken_over_by_one_of_several_at_a_time(tmp_path: Path, holder: subprocess.Popen) -> None:
    """Each one adds 1 to a number without any other protection: two at once would lose an addition."""
    holder.kill()
    holder.wait()
    (tmp_path / "count").write_text("0")
    with subprocess.Popen([sys.executable, "-c", ADDER, str(tmp_path)], cwd=ROOT, text=True) as one:
        with subprocess.Popen([sys.executable, "-c", ADDER, str(tmp_path)], cwd=ROOT, text=True) as other:
            assert (one.wait(), other.wait()) == (0, 0)
    assert tree(tmp_path) == {"count": "40"}


def test_who_stood_still_too_long_leaves_the_lease_to_its_new_holder(
    tmp_path: Path,
) -> None:
    first = storage.lease(f"{tmp_path}/out")
    first.__enter__()
    held = json.loads((tmp_path / "out.lease").read_text())
    storage.write_json(f"{tmp_path}/out.lease", {**held, "renewed": 0})
    with storage.lease(f"{tmp_path}/out"):
        first.__exit__(None, None, None)
        with pytest.raises(UserError), storage.lease(f"{tmp_path}/out"):
            raise AssertionError("both hold it")
    assert tree(tmp_path) == {}


@pytest.mark.parametrize(("age_seconds", "refused"), [(30, True), (90, False)])
def test_a_lease_of_another_machine_ends_when_it_is_not_renewed(
    tmp_path: Path, age_seconds: int, refused: bool
) -> None:
    held = {"host": "elsewhere", "pid": 1, "id": "x", "renewed": time.time() - age_seconds}
    storage.write_json(f"{tmp_path}/out.lease", held)
    try:
        with storage.lease(f"{tmp_path}/out"):
            assert not refused
    except UserError:
        assert refused


def test_a_path_that_a_store_takes_for_a_pattern_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^s3a://bucket/out\[1\] has one of .* choose another path"):
        with storage.lease("s3a://bucket/out[1]"):
            pass
    with storage.lease(f"file://{tmp_path}/out[1]"):  # a local disk does not
        pass
