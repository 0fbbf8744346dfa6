"""Storage on a real HDFS: whole writes, leases, directories swapped."""

import subprocess
import sys

import pytest

pytestmark = pytest.mark.cluster


def run(hadoop: dict[str, str], program: str) -> None:
    """Runs a program in a process of its own: the client reads its configuration once."""
    lines = ["from preprocessing import storage", "base = 'hdfs:///tmp/storage'", *program.strip().splitlines()]
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(lines)], env=hadoop, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_a_file_is_replaced_as_a_whole(hadoop: dict[str, str]) -> None:
    run(hadoop, """
storage.write_text(f"{base}/a/file", "one")
storage.write_text(f"{base}/a/file", "두번째")
assert storage.read_text(f"{base}/a/file") == "두번째"
assert storage.files_below(f"{base}/a") == ["file"], storage.files_below(f"{base}/a")
""")  # fmt: skip


def test_a_directory_is_swapped_and_its_lease_kept(hadoop: dict[str, str]) -> None:
    run(hadoop, """
storage.write_text(f"{base}/b/old", "old")
storage.write_text(f"{base}/next/new", "new")
with storage.lease(f"{base}/b"):
    try:
        with storage.lease(f"{base}/b"):
            raise SystemExit("two leases on one directory")
    except ValueError as error:
        assert "is being written by process" in str(error)
    storage.replace_directory(f"{base}/next", f"{base}/b")
assert storage.files_below(f"{base}/b") == ["new"]
assert storage.matching(f"{base}/b.*") == [] and not storage.exists(f"{base}/next")
storage.write_text(f"{base}/b.old-1/new", "put aside by a process that was killed")
storage.remove(f"{base}/b")
assert storage.mended(f"{base}/b") and not storage.mended(f"{base}/b")
assert storage.files_below(f"{base}/b") == ["new"] and storage.matching(f"{base}/b.*") == []
""")  # fmt: skip


def test_directories_travel_both_ways(hadoop: dict[str, str]) -> None:
    run(hadoop, """
import pathlib, tempfile
here = pathlib.Path(tempfile.mkdtemp())
(here / "sub").mkdir()
(here / "sub" / "data").write_bytes(bytes(3_000_000))
(here / "manifest.json").write_text("{}")
storage.upload(here, f"{base}/c")
storage.download(f"{base}/c", here / "back")
assert (here / "back" / "sub" / "data").read_bytes() == bytes(3_000_000)
assert storage.files_below(f"{base}/c") == ["manifest.json", "sub/data"]
storage.remove(f"{base}/c")
assert not storage.exists(f"{base}/c")
""")  # fmt: skip


def test_one_of_several_takes_over_from_a_dead_process(hadoop: dict[str, str]) -> None:
    run(hadoop, """
import threading
from preprocessing import lease
assert [storage.create(f"{base}/d/file", content) for content in (b"1", b"2")] == [True, False]
assert storage.read_bytes(f"{base}/d/file") == b"1" and storage.files_below(f"{base}/d") == ["file"]
storage.write_json(f"{base}/d/out.lease", {"host": "elsewhere", "pid": 1, "id": "f" * 32, "renewed": 0})
storage.write_text(f"{base}/d/count", "0")
def add():
    for _ in range(5):
        with storage.lease(f"{base}/d/out", wait=60):
            before = int(storage.read_text(f"{base}/d/count"))
            storage.write_text(f"{base}/d/count", str(before + 1))
lease.POLL_SECONDS = 0.01
threads = [threading.Thread(target=add) for _ in range(4)]
for thread in threads: thread.start()
for thread in threads: thread.join()
assert storage.read_text(f"{base}/d/count") == "20", storage.read_text(f"{base}/d/count")
assert storage.files_below(f"{base}/d") == ["count", "file"], storage.files_below(f"{base}/d")
""")  # fmt: skip


def test_a_name_service_is_found_by_the_drivers_settings(hadoop: dict[str, str]) -> None:
    run(hadoop, """
import os
provider = "org.apache.hadoop.hdfs.server.namenode.ha.ConfiguredFailoverProxyProvider"
storage.use_hadoop_configuration({
    "fs.defaultFS": "hdfs://parley", "dfs.nameservices": "parley", "dfs.ha.namenodes.parley": "dead,alive",
    "dfs.namenode.rpc-address.parley.dead": "127.0.0.1:1",
    "dfs.namenode.rpc-address.parley.alive": f"127.0.0.1:{os.environ['PARLEY_CLUSTER_PORT_BASE']}",
    "dfs.client.failover.proxy.provider.parley": provider,
})
storage.write_text("hdfs://parley/tmp/storage/service", "found")
assert storage.read_text("hdfs:///tmp/storage/service") == "found"
""")  # fmt: skip
