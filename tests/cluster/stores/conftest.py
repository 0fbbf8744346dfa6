"""Real servers of object stores, one of each kind in turn for the tests of a file."""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from preprocessing import storage


class Server:
    """A real server of an object store on a free port of this machine, which keeps its objects in memory."""

    kind: str
    secret: str

    def __init__(self, directory: Path) -> None:
        self.log = directory / f"{self.kind}.log"
        self.process: subprocess.Popen | None = None
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]

    def start(self) -> None:
        """Returns when the server answers and has the bucket, or container, `parley`."""
        with self.log.open("a") as log:
            self.process = subprocess.Popen(self.command(), stdout=log, stderr=log, cwd=self.log.parent)
        deadline = time.monotonic() + 60
        while socket.socket().connect_ex(("127.0.0.1", self.port)):
            assert self.process.poll() is None and time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.1)
        self.create("parley")

    def names(self, base: str) -> list[str]:
        """What lies at a URI, as the server's own client finds it."""
        place = f"{base.rpartition('/')[2]}/"
        return sorted(name.removeprefix(place) for name in self.objects() if name.startswith(place))

    def stop(self) -> None:
        """Ends the server, and forgets its objects."""
        assert self.process
        self.process.kill()
        self.process.wait()


class S3(Server):
    """moto's server, which verifies signatures with the key of a user who may do everything in S3."""

    kind, base = "s3", "s3a://parley"
    key = secret = "none"  # until the server has started

    def command(self) -> list[str]:
        return [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self.port)]

    @property
    def environment(self) -> dict[str, str]:
        return {"AWS_ACCESS_KEY_ID": self.key, "AWS_SECRET_ACCESS_KEY": self.secret}

    @property
    def settings(self) -> dict[str, str]:
        return {
            "fs.s3a.endpoint": f"http://127.0.0.1:{self.port}", "fs.s3a.path.style.access": "true",
            "fs.s3a.endpoint.region": "us-east-1",
        }  # fmt: skip

    @property
    def secrets(self) -> dict[str, str]:
        """The credentials as Hadoop's settings, as they reach a Python process from the driver."""
        return {"fs.s3a.access.key": self.key, "fs.s3a.secret.key": self.secret}

    def _client(self, service: str = "s3") -> Any:
        import boto3

        return boto3.client(
            service, endpoint_url=f"http://127.0.0.1:{self.port}", region_name="us-east-1",
            aws_access_key_id=self.key, aws_secret_access_key=self.secret,
        )  # fmt: skip

    def create(self, bucket: str) -> None:
        iam, everything = self._client("iam"), {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}
        iam.create_user(UserName="tests")
        policy = json.dumps({"Version": "2012-10-17", "Statement": everything})
        iam.put_user_policy(UserName="tests", PolicyName="s3", PolicyDocument=policy)
        created = iam.create_access_key(UserName="tests")["AccessKey"]
        self.key, self.secret = created["AccessKeyId"], created["SecretAccessKey"]
        verify = f"http://127.0.0.1:{self.port}/moto-api/reset-auth"  # from here on, every request
        urllib.request.urlopen(urllib.request.Request(verify, b"0", {"Content-Type": "text/plain"})).close()
        self._client().create_bucket(Bucket=bucket)

    def put(self, name: str, content: bytes) -> None:
        self._client().put_object(Bucket="parley", Key=name, Body=content)

    def objects(self) -> dict[str, bytes]:
        """Name and content of everything that is stored."""
        client = self._client()
        pages = client.get_paginator("list_objects_v2").paginate(Bucket="parley")
        names = [entry["Key"] for page in pages for entry in page.get("Contents", [])]
        return {name: client.get_object(Bucket="parley", Key=name)["Body"].read() for name in names}


class Azure(Server):
    """Azurite: signatures are verified, with the one account and key that it has by default and all the world knows."""

    kind = "azure"
    secret = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
    base = "abfs://parley@devstoreaccount1.dfs.core.windows.net"
    version = "3.35.0"  # the last that runs on Node 20

    def command(self) -> list[str]:
        cache = Path(os.environ.get("PARLEY_CACHE") or Path(os.environ.get("XDG_CACHE_HOME", "~/.cache"), "parley"))
        home = cache.expanduser() / f"azurite-{self.version}"
        program = home / "node_modules" / ".bin" / "azurite-blob"
        if not program.exists():
            home.parent.mkdir(parents=True, exist_ok=True)
            fresh = tempfile.mkdtemp(prefix=f"{home.name}.tmp-", dir=home.parent)
            npm = ["npm", "install", "--no-audit", "--no-fund", "--prefix", fresh, f"azurite@{self.version}"]
            try:
                subprocess.run(npm, check=True, stdout=sys.stderr)
                with contextlib.suppress(OSError):  # another worker's is there by now
                    os.rename(fresh, home)
            finally:
                shutil.rmtree(fresh, ignore_errors=True)
        options = ["--inMemoryPersistence", "--skipApiVersionCheck", "--disableTelemetry", "--silent"]
        return [str(program), *options, "--blobHost", "127.0.0.1", "--blobPort", str(self.port)]

    @property
    def environment(self) -> dict[str, str]:
        return {"AZURE_STORAGE_ACCOUNT_NAME": "devstoreaccount1", "AZURE_STORAGE_ACCOUNT_KEY": self.secret}

    @property
    def settings(self) -> dict[str, str]:
        return {"fs.azure.abfs.endpoint": f"127.0.0.1:{self.port}", "fs.azure.always.use.https": "false"}

    @property
    def secrets(self) -> dict[str, str]:
        """The credentials as Hadoop's settings, as they reach a Python process from the driver."""
        return {"fs.azure.account.key.devstoreaccount1.dfs.core.windows.net": self.secret}

    def _container(self, name: str = "parley") -> Any:
        from azure.storage.blob import BlobServiceClient

        url = f"http://127.0.0.1:{self.port}/devstoreaccount1"
        return BlobServiceClient(url, credential=self.secret).get_container_client(name)

    def create(self, container: str) -> None:
        self._container(container).create_container()

    def put(self, name: str, content: bytes) -> None:
        self._container().upload_blob(name, content, overwrite=True)

    def objects(self) -> dict[str, bytes]:
        """Name and content of everything that is stored."""
        container = self._container()
        return {blob.name: container.download_blob(blob.name).readall() for blob in container.list_blobs()}


@pytest.fixture(scope="module", params=[S3, Azure], ids=["s3", "azure"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A running server, of each kind in turn, for the tests of one file."""
    server = request.param(tmp_path_factory.mktemp(request.param.kind))
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture
def base(server: Any, request: pytest.FixtureRequest) -> Iterator[str]:
    """A place of the test's own on the store, reached with the driver's settings."""
    storage.use_hadoop_configuration({**server.settings, **server.secrets})
    yield f"{server.base}/{request.node.originalname}"
    storage.use_hadoop_configuration({})
