"""Files that are whole or not there, and output directories that one process at a time writes."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
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


def test_a_path_without_a_scheme_is_a_local_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert [storage.absolute(path) for path in ("a/../b c%20", "/x/y/", "s3://bucket/a/../b", "file:///x")] == [
        f"file://{tmp_path}/b c%20", "file:///x/y", "s3://bucket/a/../b", "file:///x"
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["plain.txt", "new/deep/한글 %20#?.txt"])
def test_what_is_written_is_read_back_and_nothing_else_is_left(tmp_path: Path, name: str) -> None:
    storage.write_text(f"{tmp_path}/{name}", "old")
    storage.write_text(storage.absolute(f"{tmp_path}/{name}"), "주문\n")
    assert tree(tmp_path) == {name: "주문\n"}
    assert storage.read_text(storage.absolute(f"{tmp_path}/{name}")) == "주문\n"


def test_a_reader_holds_on_to_the_old_file_while_a_new_one_is_written(tmp_path: Path) -> None:
    """A file that were overwritten in place would change under the reader."""
    storage.write_text(f"{tmp_path}/a", "old")
    with open(tmp_path / "a") as reader:
        storage.write_text(f"{tmp_path}/a", "new")
        assert (reader.read(), (tmp_path / "a").read_text()) == ("old", "new")


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    storage.write_text(f"{tmp_path}/a", "old")
    with pytest.raises(TypeError):
        storage.write_bytes(f"{tmp_path}/a", None)  # type: ignore[arg-type]
    assert (tmp_path / "a").read_text() == "old"


def test_json_is_readable_by_people(tmp_path: Path) -> None:
    storage.write_json(f"{tmp_path}/a.json", {"의도": 1})
    assert (tmp_path / "a.json").read_text() == '{\n  "의도": 1\n}\n'


def test_removing_what_is_not_there_is_no_error(tmp_path: Path) -> None:
    storage.write_text(f"{tmp_path}/a/b/c", "")
    for _ in range(2):
        storage.remove(f"{tmp_path}/a")
    assert not storage.exists(f"{tmp_path}/a")


def test_files_below_are_relative_and_sorted(tmp_path: Path) -> None:
    for name in ("b", "a/c", "a/b"):
        storage.write_text(f"{tmp_path}/x/{name}", "")
    assert storage.files_below(f"{tmp_path}/x") == storage.files_below(f"{tmp_path}/x/") == ["a/b", "a/c", "b"]


def test_a_directory_and_a_file_download(tmp_path: Path) -> None:
    storage.write_text(f"{tmp_path}/x/a/b", "1")
    storage.write_text(f"{tmp_path}/x/c", "2")
    storage.download(f"{tmp_path}/x", tmp_path / "y/z")
    storage.download(f"{tmp_path}/x/c", tmp_path / "file/c")
    assert tree(tmp_path / "y") == {"z/a/b": "1", "z/c": "2"}
    assert tree(tmp_path / "file") == {"c": "2"}


def test_the_manifest_is_uploaded_last(tmp_path: Path) -> None:
    source = tmp_path / "source"
    for name in ("manifest.json", "a.txt", "z/manifest.json", "z/z.txt"):
        storage.write_text(f"{source}/{name}", name)
    storage.upload(source, f"{tmp_path}/target")
    written = sorted(tree(tmp_path / "target"), key=lambda name: (tmp_path / "target" / name).stat().st_ctime_ns)
    assert tree(tmp_path / "target") == tree(source)
    assert written[-1] == "manifest.json"


def test_an_upload_that_breaks_off_leaves_no_manifest(tmp_path: Path) -> None:
    for name in ("manifest.json", "z/z.txt"):
        storage.write_text(f"{tmp_path}/source/{name}", name)
    storage.write_text(f"{tmp_path}/target/z", "a file where a directory has to be")
    with pytest.raises(OSError):
        storage.upload(tmp_path / "source", f"{tmp_path}/target")
    assert tree(tmp_path / "target") == {"z": "a file where a directory has to be"}


@pytest.mark.parametrize("before", [{}, {"old": "1", "manifest.json": "{}"}])
def test_a_directory_takes_the_place_of_another(tmp_path: Path, before: dict[str, str]) -> None:
    for name, content in before.items():
        storage.write_text(f"{tmp_path}/new/target/{name}", content)
    storage.write_text(f"{tmp_path}/source/a/b", "2")
    storage.replace_directory(f"{tmp_path}/source", f"{tmp_path}/new/target")
    assert tree(tmp_path) == {"new/target/a/b": "2"}


def test_a_replacement_that_fails_loses_nothing(tmp_path: Path) -> None:
    storage.write_text(f"{tmp_path}/target/a", "1")
    with pytest.raises(FileNotFoundError):
        storage.replace_directory(f"{tmp_path}/absent", f"{tmp_path}/target")
    with storage.lease(f"{tmp_path}/target"):
        assert tree(tmp_path / "target") == {"a": "1"}


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


def test_one_of_several_creates_a_file(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as threads:
        created = list(threads.map(lambda n: storage.create(f"{tmp_path}/a/b", str(n).encode()), range(8)))
    assert created.count(True) == 1
    assert tree(tmp_path) == {"a/b": str(created.index(True))}


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


def test_equal_content_has_the_known_checksum() -> None:
    assert storage.sha256(b"abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
