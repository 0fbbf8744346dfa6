"""Python's side of S3 and Azure Blob Storage, on real servers: files, directories, leases, refusals."""

import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from preprocessing import lease, storage
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
    assert server.names(base) == []


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


def test_what_a_killed_process_left_is_recovered(server: Any, base: str) -> None:
    for name in ("out.tmp-1/x", "out.lease.other", "outer.tmp-1/x", "out/x"):
        storage.write_text(f"{base}/{name}", "")
    with storage.lease(f"{base}/out"), pytest.raises(ValueError, match="is being written by"):
        storage.lease(f"{base}/out").__enter__()
    assert server.names(base) == ["out/x", "outer.tmp-1/x"]


def test_one_process_at_a_time_takes_over_a_dead_lease(server: Any, base: str) -> None:
    dead = {"host": "elsewhere", "pid": 1, "id": "f" * 32, "renewed": time.time() - lease.LEASE_SECONDS}
    storage.write_json(f"{base}/out.lease", dead)
    storage.write_text(f"{base}/count", "0")
    settings = json.dumps({**server.settings, **server.secrets})

    def add(_: int) -> int:
        command = [sys.executable, "-c", ADDER, base]
        return subprocess.run(command, input=settings, text=True, check=True, timeout=120).returncode

    with ThreadPoolExecutor(3) as threads:
        assert list(threads.map(add, range(3))) == [0, 0, 0]
    assert storage.read_text(f"{base}/count") == "15"
    assert server.names(base) == ["count"]


def test_settings_are_not_printed(server: Any) -> None:
    assert server.secret not in repr(HadoopSettings(server.secrets))
    assert server.secret not in f"{HadoopSettings(server.secrets)}"


def test_a_store_that_refuses_is_named_in_a_line(server: Any, base: str) -> None:
    wrong = {name: server.secret[::-1].lstrip("=") + "==" for name in server.secrets if "access" not in name}
    storage.use_hadoop_configuration({**server.settings, **server.secrets, **wrong})
    for act in (storage.read_text, lambda uri: storage.write_text(uri, ""), lambda uri: storage.create(uri, b"")):
        with pytest.raises(storage.StoreError, match=f"cannot use {server.base}.*credentials right") as refusal:
            act(f"{server.base}/x")
        assert server.secret not in str(refusal.value) and "\n" not in str(refusal.value)
    storage.use_hadoop_configuration({**server.settings, **server.secrets})
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
