"""HDFS behind Kerberos, with a real KDC: Python processes with a ticket, a keytab, a delegation token, or nothing."""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.cluster

ROOT = Path(__file__).parents[3]
PROGRAM = """
import json, sys
from preprocessing import storage
from preprocessing.filesystems import open_store
base, settings = sys.argv[1], json.loads(sys.argv[2])
storage.use_hadoop_configuration(settings)
with storage.lease(f"{base}/out"):
    storage.write_text(f"{base}/next/file", "주문" * 100_000)
    storage.replace_directory(f"{base}/next", f"{base}/out")
assert storage.read_text(f"{base}/out/file") == "주문" * 100_000
assert storage.files_below(f"{base}/out") == ["file"]
filesystem, path = open_store(f"{base}/out/file")
print(filesystem.info(path)["owner"])
storage.remove(base)
"""


def python(hdfs: Any, settings: dict[str, str] | None = None, **own: str) -> subprocess.CompletedProcess[str]:
    """A process of its own that used storage with a driver's settings."""
    words = [sys.executable, "-c", PROGRAM, "hdfs:///tmp/a", json.dumps({**hdfs.settings, **(settings or {})})]
    return subprocess.run(words, env=hdfs.environment(**own), capture_output=True, text=True, check=False, timeout=120)


def test_a_ticket_is_enough(hdfs: Any) -> None:
    done = python(hdfs, KRB5CCNAME=str(hdfs.ticket))
    assert done.stdout == "me\n", done.stderr


@pytest.mark.parametrize("by_address", ["true", "false"])
def test_a_delegation_token_is_enough(hdfs: Any, by_address: str) -> None:
    how = {"hadoop.security.token.service.use_ip": by_address}
    token = hdfs.token(f"address-{by_address}", **how)
    done = python(hdfs, settings=how, HADOOP_TOKEN_FILE_LOCATION=str(token))
    assert done.stdout == "me\n", done.stderr


def test_a_delegation_token_of_a_name_service_is_enough(hdfs: Any) -> None:
    service = {
        "fs.defaultFS": "hdfs://parley", "dfs.nameservices": "parley", "dfs.ha.namenodes.parley": "dead,alive",
        "dfs.namenode.rpc-address.parley.dead": "localhost:1",
        "dfs.namenode.rpc-address.parley.alive": f"localhost:{hdfs.port}",
        "dfs.client.failover.proxy.provider.parley":
            "org.apache.hadoop.hdfs.server.namenode.ha.ConfiguredFailoverProxyProvider",
    }  # fmt: skip
    token = hdfs.token("service", **service)
    done = python(hdfs, settings=service, HADOOP_TOKEN_FILE_LOCATION=str(token))
    assert done.stdout == "me\n", done.stderr


@pytest.mark.parametrize("tokens", [{}, {"HADOOP_TOKEN_FILE_LOCATION": "absent"}], ids=["none", "absent"])
def test_without_ticket_and_token_it_says_what_to_do(hdfs: Any, tokens: dict[str, str]) -> None:
    began = time.monotonic()
    done = python(hdfs, **tokens)
    last = done.stderr.strip().splitlines()[-1]
    assert done.returncode and time.monotonic() - began < 60
    assert "HDFS asks for Kerberos (No credentials were supplied" in last and "run kinit, or give" in last
    assert ("absent: no valid token" if tokens else "HADOOP_TOKEN_FILE_LOCATION is not set") in last


def test_jobs_with_principal_and_keytab_need_no_ticket(hdfs: Any, tmp_path: Path) -> None:
    """Both ways of deployment on a secured YARN: the driver logs in, containers have their token."""
    hdfs.start_yarn()
    java = f"JDK_JAVA_OPTIONS=-Djava.security.krb5.conf={hdfs.krb5}"
    options = ["--principal", "me@EXAMPLE.COM", "--keytab", str(hdfs.keytab), "--num-executors", "1"]
    options += ["--conf", f"spark.yarn.appMasterEnv.{java}", "--conf", f"spark.executorEnv.{java}"]
    name, _, value = java.partition("=")
    own = {"HADOOP_CONF_DIR": str(hdfs.conf), "SPARK_OPTIONS": " ".join(options), name: value}
    words = [str(ROOT / "scripts" / "submit.sh"), "generate", "--config", str(ROOT / "conf" / "yarn.toml")]
    words += ["--set", "generator.rows=2000"]
    for mode in ("cluster", "client"):
        done = subprocess.run(
            words, env=hdfs.environment(PARLEY_DEPLOY_MODE=mode, **own),
            cwd=tmp_path, capture_output=True, text=True, check=False, timeout=300,
        )  # fmt: skip
        assert done.returncode == 0, (mode, done.stderr[-3000:])
