"""The file system of a URI, with the settings that reach it: the only module that knows the kinds of store."""

import errno
import functools
import os
import re
import socket
import sys
from collections.abc import Callable, Mapping
from typing import Any, ParamSpec, TypeVar

import fsspec
from fsspec import AbstractFileSystem

from preprocessing.errors import ClusterError
from preprocessing.hdfs import open_hdfs, remedy

JAVA_STACK = re.compile(r"\n|\\n\\tat ")  # also as hdfs-native quotes it
P = ParamSpec("P")
R = TypeVar("R")


class StoreError(ClusterError, OSError):
    """A store cannot be reached, or refuses: one line with host, cause and remedy."""


class HadoopSettings(dict[str, str]):
    """Hadoop's settings by name; printed it shows no value, as some are secret."""

    def __repr__(self) -> str:
        return f"<{len(self)} Hadoop settings>"


_hadoop = HadoopSettings()  # this process' Hadoop settings, from the driver


def use_hadoop_configuration(settings: Mapping[str, str]) -> None:
    """Makes this process reach stores as the driver does, also where it has no Hadoop configuration of its own."""
    _hadoop.clear()
    _hadoop.update(settings)


def open_store(uri: str) -> tuple[AbstractFileSystem, str]:
    """The file system that serves `uri`, and the path on it."""
    scheme, _, rest = uri.partition("://")
    authority = rest.split("/")[0]
    if scheme in ("hdfs", "viewfs"):
        if not authority and _hadoop.get("fs.defaultFS", "").startswith("hdfs://"):
            uri = f"{_hadoop['fs.defaultFS'].rstrip('/')}{rest}"
        return open_hdfs(uri, _hadoop)
    if scheme in ("s3", "s3a"):  # a listing that is kept would not show what others write
        return fsspec.core.url_to_fs(uri, use_listings_cache=False, **_s3_options(authority))
    if scheme in ("abfs", "abfss"):
        filesystem, path = fsspec.core.url_to_fs(
            uri, use_listings_cache=False, **_azure_options(scheme, authority.partition("@")[2])
        )
        retries = filesystem.service_client._config.retry_policy  # 90 s without a word where nobody listens
        retries.total_retries, retries.initial_backoff = 2, 1
        return filesystem, path
    return fsspec.core.url_to_fs(uri)


def _s3_options(bucket: str) -> dict[str, Any]:
    """What s3fs takes for the settings of S3A; what is not set, botocore finds in the environment or on the node."""

    def setting(name: str) -> str | None:
        return _hadoop.get(f"fs.s3a.bucket.{bucket}.{name}") or _hadoop.get(f"fs.s3a.{name}") or None

    endpoint, region = setting("endpoint"), setting("endpoint.region")
    if endpoint == "s3.amazonaws.com":
        endpoint = None
    if endpoint and "://" not in endpoint:
        endpoint = f"{'http' if setting('connection.ssl.enabled') == 'false' else 'https'}://{endpoint}"
    by_path = setting("path.style.access") == "true"
    return {
        "endpoint_url": endpoint,
        "key": setting("access.key"), "secret": setting("secret.key"), "token": setting("session.token"),
        "client_kwargs": {"region_name": region} if region else {},
        "config_kwargs": {"s3": {"addressing_style": "path"}} if by_path else {},
    }  # fmt: skip


def _azure_options(scheme: str, host: str) -> dict[str, Any]:
    """What adlfs takes for the settings of ABFS; without a key it asks the environment or the node for an identity."""
    account = host.split(".")[0]
    key = _hadoop.get(f"fs.azure.account.key.{host}") or _hadoop.get("fs.azure.account.key")
    endpoint = _hadoop.get("fs.azure.abfs.endpoint")
    if key and endpoint:
        plain = scheme == "abfs" and _hadoop.get("fs.azure.always.use.https") == "false"
        address = f"{'http' if plain else 'https'}://{endpoint}/{account}"
        return {"connection_string": f"AccountName={account};AccountKey={key};BlobEndpoint={address}"}
    found = {"account_name": account, "account_key": key}
    return {name: value for name, value in found.items() if value} | ({} if key else {"anon": False})


def _forget_hdfs_clients() -> None:
    """Before a fork: fsspec clears its cache in the child, where a client would wait for threads that are not there."""
    if hdfs := sys.modules.get("hdfs_native.fsspec"):
        for kind in (hdfs.HdfsFileSystem, hdfs.ViewfsFileSystem):
            kind.clear_instance_cache()


os.register_at_fork(before=_forget_hdfs_clients)


def renames(filesystem: AbstractFileSystem) -> bool:
    """Whether a rename is one step: not on object stores, where it copies and a single PUT is whole already."""
    protocols = (filesystem.protocol,) if isinstance(filesystem.protocol, str) else filesystem.protocol
    return bool({"file", "hdfs", "viewfs"} & set(protocols))


def _full(error: Exception, line: str) -> str:
    """What to do about a full disk; nothing where it is something else."""
    full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
    return f"OSError: {line}: make room there, or choose another place" if full else ""


def explained(function: Callable[P, R]) -> Callable[P, R]:
    """The function, whose first argument is a URI, raising StoreError for what only a store's own client knows."""
    ours = (StoreError, TypeError, ValueError, FileExistsError, NotADirectoryError, IsADirectoryError)

    @functools.wraps(function)
    def asked(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except ours:
            raise
        except Exception as error:
            line = JAVA_STACK.split(str(error).strip())[0] or "no reason given"
            if isinstance(error, FileNotFoundError) and "bucket does not exist" not in line:
                raise
            advice = _full(error, line) or remedy(error)
            if not advice:
                asked = "is the store up, are its address and the credentials right, and may this user do it?"
                advice = f"{type(error).__name__}: {line}: {asked}"
            raise StoreError(f"{socket.gethostname()} cannot use {args[0]}: {advice}") from error

    return asked
