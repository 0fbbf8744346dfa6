"""Which client HDFS is used with, under which address, without a cluster."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from preprocessing import storage
from preprocessing.hdfs import _as_tokens_say, log_in


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    yield
    storage.use_hadoop_configuration({})


def test_libhdfs_is_used_where_asked_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("JAVA_HOME", "ARROW_LIBHDFS_DIR", "HADOOP_HOME"):
        monkeypatch.setenv(name, str(tmp_path))
    storage.use_hadoop_configuration({"parley.hdfs.client": "libhdfs"})
    with pytest.raises(storage.StoreError, match=r"libhdfs, but Unable to load lib.* set JAVA_HOME, ARROW_LIBHDFS_DIR"):
        storage.write_text("hdfs://localhost:1/file", "")


@pytest.mark.parametrize("uri, settings, expected", [
    ("hdfs://localhost:8020/a #?%20/b", {}, "hdfs://127.0.0.1:8020/a #?%20/b"),
    ("hdfs://localhost:8020/a", {"hadoop.security.token.service.use_ip": "false"}, "hdfs://localhost:8020/a"),
    ("hdfs://parley/a", {}, "hdfs://parley/a"),
    ("hdfs://no-such-host.invalid:8020/a", {}, "hdfs://no-such-host.invalid:8020/a"),
])  # fmt: skip
def test_a_name_node_is_called_as_in_its_tokens(
    monkeypatch: pytest.MonkeyPatch, uri: str, settings: dict[str, str], expected: str
) -> None:
    monkeypatch.delenv("HADOOP_TOKEN_FILE_LOCATION", raising=False)
    assert _as_tokens_say(uri, settings) == uri
    monkeypatch.setenv("HADOOP_TOKEN_FILE_LOCATION", "tokens")
    assert _as_tokens_say(uri, settings) == expected


def test_a_keytab_is_used_apart_from_the_users_tickets(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("KRB5_CLIENT_KTNAME", "KRB5CCNAME"):
        monkeypatch.setenv(name, "the user's")
    log_in("file:///home/me/me.keytab")
    assert os.environ["KRB5_CLIENT_KTNAME"] == "/home/me/me.keytab" and os.environ["KRB5CCNAME"].startswith("MEMORY:")
