"""A secured HDFS and YARN for tests: Hadoop's small KDC, and servers that ask everybody who they are."""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from xml.sax.saxutils import escape

import pytest

HERE = Path(__file__).parent
JAVA = str(Path(shutil.which("java") or "/").resolve().parents[1])
SERVER, USER, REALM = "hdfs/localhost", "me", "EXAMPLE.COM"


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def hadoop_jars() -> str:
    """The directory of Hadoop's jars, fetched if need be."""
    fetch = HERE.parents[2] / "scripts" / "cluster" / "fetch_hadoop.sh"
    return subprocess.run([fetch], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


def minikdc_jars() -> str:
    """The directory of MiniKdc's jars (5 MB), fetched if need be."""
    cache = Path(os.environ.get("PARLEY_CACHE") or Path(os.environ.get("XDG_CACHE_HOME", "~/.cache"), "parley"))
    jars = cache.expanduser() / "minikdc-3.4.3"
    if not (jars / ".complete").exists():
        goal = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"
        options = ["-B", "-q", "--strict-checksums", "-f", str(HERE / "pom.xml")]
        subprocess.run(["mvn", *options, goal, "-DincludeScope=runtime", f"-DoutputDirectory={jars}"], check=True)
        (jars / ".complete").touch()
    return str(jars)


class SecuredHadoop:
    """HDFS, and YARN if need be, behind Kerberos: all on free ports of this machine, below one directory."""

    def __init__(self, directory: Path) -> None:
        self.directory, self.conf = directory, directory / "conf"
        self.krb5, self.keytab = directory / "krb5.conf", directory / "keytab"
        self.ticket = directory / "ticket"  # the user's ticket cache
        self.port, self.web, self.yarn = free_port(), free_port(), free_port()
        self.processes: list[subprocess.Popen] = []
        server = f"{SERVER}@{REALM}"
        self.settings = {  # what clients need
            "fs.defaultFS": f"hdfs://localhost:{self.port}",
            "hadoop.security.authentication": "kerberos",
            "dfs.namenode.kerberos.principal": server,
            "dfs.data.transfer.protection": "privacy", "hadoop.rpc.protection": "privacy",
            "yarn.resourcemanager.principal": server,
            **{f"yarn.resourcemanager.{name}address": f"localhost:{free_port()}" for name in ("", "scheduler.")},
        }  # fmt: skip
        self.daemons = {
            **self.settings,
            "hadoop.security.authorization": "true", "hadoop.tmp.dir": str(directory / "tmp"),
            "dfs.namenode.keytab.file": str(self.keytab), "dfs.datanode.keytab.file": str(self.keytab),
            "dfs.datanode.kerberos.principal": server, "dfs.block.access.token.enable": "true",
            "dfs.web.authentication.kerberos.principal": server,
            "dfs.web.authentication.kerberos.keytab": str(self.keytab),
            # Ports below 1024, or certificates for the web pages, would be needed otherwise.
            "ignore.secure.ports.for.testing": "true",
            "dfs.permissions.enabled": "false",
            "dfs.namenode.http-address": f"127.0.0.1:{self.web}", "dfs.replication": "1",
            "dfs.datanode.hostname": "localhost", "dfs.namenode.safemode.extension": "0",
            "yarn.resourcemanager.keytab": str(self.keytab), "yarn.nodemanager.keytab": str(self.keytab),
            "yarn.nodemanager.principal": server, "yarn.resourcemanager.webapp.address": f"127.0.0.1:{self.yarn}",
            "yarn.resourcemanager.resource-tracker.address": f"localhost:{free_port()}",
            "yarn.resourcemanager.admin.address": "localhost:0", "yarn.timeline-service.enabled": "false",
            "yarn.nodemanager.local-dirs": str(directory / "nodemanager"),
            "yarn.nodemanager.log-dirs": str(directory / "containers"),
            "yarn.nodemanager.resource.memory-mb": "5120", "yarn.scheduler.minimum-allocation-mb": "128",
            "yarn.nodemanager.vmem-check-enabled": "false", "yarn.resourcemanager.am.max-attempts": "1",
            "yarn.nodemanager.disk-health-checker.max-disk-utilization-per-disk-percentage": "99",
            **{f"yarn.nodemanager.{name}address": "localhost:0" for name in ("", "localizer.", "webapp.")},
            **{f"dfs.datanode.{name}address": "127.0.0.1:0" for name in ("", "ipc.", "http.")},
        }  # fmt: skip

    def start(self) -> None:
        """Returns when a file can be written."""
        self.jars = hadoop_jars()  # installs Maven too, if need be
        self._start_kdc()
        write_settings(self.conf, self.settings)
        write_settings(self.directory / "servers", self.daemons)
        for file in ("log4j.properties", "capacity-scheduler.xml"):
            shutil.copy(HERE.parents[2] / "scripts" / "cluster" / file, self.directory / "servers")
        namenode = "org.apache.hadoop.hdfs.server.namenode.NameNode"
        self.java("format", namenode, "-format", "-nonInteractive").wait(60)
        self.java("namenode", namenode)
        self.java("datanode", "org.apache.hadoop.hdfs.server.datanode.DataNode")
        page = f"http://127.0.0.1:{self.web}/jmx?qry=Hadoop:service=NameNode,name=FSNamesystemState"
        self._until(lambda: '"NumLiveDataNodes" : 1,' in fetched(page))

    def start_yarn(self) -> None:
        """Returns when jobs can be submitted."""
        servers = "org.apache.hadoop.yarn.server"
        self.java("resourcemanager", f"{servers}.resourcemanager.ResourceManager")
        self.java("nodemanager", f"{servers}.nodemanager.NodeManager", HADOOP_CONF_DIR=str(self.conf), JAVA_HOME=JAVA)
        page = f"http://127.0.0.1:{self.yarn}/ws/v1/cluster/metrics"
        self._until(lambda: '"activeNodes":1,' in fetched(page))

    def stop(self) -> None:
        """Ends all servers."""
        for process in self.processes:
            process.kill()
            process.wait()

    def java(
        self, name: str, program: str, *arguments: str, jars: str = "", conf: str = "", **environment: str
    ) -> subprocess.Popen:
        """A started Java program, whose output goes to a file of that name; it is ended with the servers."""
        options = [
            "--add-opens=java.base/java.lang=ALL-UNNAMED",
            "-Xmx256m",
            "-XX:+UseSerialGC",
            "-XX:TieredStopAtLevel=1",
            f"-Djava.security.krb5.conf={self.krb5}",
        ]
        classes = f"{conf or self.directory / 'servers'}:{jars or self.jars}/*"
        with (self.directory / f"{name}.log").open("w") as log:
            process = subprocess.Popen(
                ["java", *options, "-cp", classes, program, *arguments],
                stdout=log, stderr=log, cwd=self.directory, env={**os.environ, **environment},
            )  # fmt: skip
        self.processes.append(process)
        return process

    def environment(self, **own: str) -> dict[str, str]:
        """That of a process with no ticket and no Hadoop configuration of its own."""
        bare = {name: value for name, value in os.environ.items() if not name.startswith(("HADOOP_", "KRB5"))}
        return {**bare, "KRB5_CONFIG": str(self.krb5), "KRB5CCNAME": str(self.directory / "none"), **own}

    def token(self, name: str, **settings: str) -> Path:
        """A file with a delegation token of HDFS, for which the settings are added to those of clients."""
        write_settings(self.directory / name, {**self.settings, **settings})
        file = self.directory / f"{name}.token"
        program = "org.apache.hadoop.hdfs.tools.DelegationTokenFetcher"
        conf = str(self.directory / name)
        fetch = self.java(name, program, "--renewer", USER, str(file), conf=conf, KRB5CCNAME=str(self.ticket))
        assert fetch.wait(60) == 0 and file.exists(), (self.directory / f"{name}.log").read_text()
        return file

    def _start_kdc(self) -> None:
        work = self.directory / "kdc"
        work.mkdir()
        (work / "properties").write_text("kdc.bind.address=127.0.0.1\nkdc.port=0\n")
        arguments = [str(work), str(work / "properties"), str(self.keytab), USER, SERVER]
        self.java("kdc", "org.apache.hadoop.minikdc.MiniKdc", *arguments, jars=minikdc_jars())
        self._until(lambda: "kill <PID>" in (self.directory / "kdc.log").read_text())
        # localhost is called so in the tickets too, whatever /etc/hosts says of its address
        names = "[libdefaults]\n    dns_canonicalize_hostname = false\n    rdns = false\n"
        self.krb5.write_text((work / "krb5.conf").read_text().replace("[libdefaults]\n", names))

    def _until(self, ready: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 120
        while not ready():
            for process in self.processes:
                assert process.poll() in (None, 0), sorted(self.directory.glob("*.log"))
            assert time.monotonic() < deadline, self.directory
            time.sleep(0.2)


def write_settings(folder: Path, settings: dict[str, str]) -> None:
    """A configuration directory of Hadoop with these settings."""
    folder.mkdir()
    lines = [
        f"<property><name>{name}</name><value>{escape(value)}</value></property>" for name, value in settings.items()
    ]
    for file in ("core-site.xml", "hdfs-site.xml", "yarn-site.xml"):  # each is read after the defaults of its kind
        (folder / file).write_text("<configuration>" + "".join(lines) + "</configuration>")


def fetched(page: str) -> str:
    """The text of a web page; empty where nobody answers."""
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(page, timeout=5) as answer:
            return str(answer.read().decode())
    except OSError:
        return ""


@pytest.fixture(scope="session")
def hdfs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredHadoop]:
    """A running one, and a ticket of its user."""
    hdfs = SecuredHadoop(tmp_path_factory.mktemp("kerberos"))
    try:
        hdfs.start()
        first = "from preprocessing import storage; storage.exists('hdfs:///tmp')"
        keytab = {"KRB5_CLIENT_KTNAME": str(hdfs.keytab), "KRB5CCNAME": str(hdfs.ticket)}
        own = hdfs.environment(HADOOP_CONF_DIR=str(hdfs.conf), **keytab)
        subprocess.run([sys.executable, "-c", first], env=own, check=True)
        yield hdfs
    finally:
        hdfs.stop()
