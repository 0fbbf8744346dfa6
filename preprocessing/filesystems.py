"""The file system of a URI, with the settings that reach it: the only module that knows fsspec's kinds of store."""

import os
import sys
from collections.abc import Mapping

import fsspec
from fsspec import AbstractFileSystem

_hadoop: dict[str, str] = {}  # this process' Hadoop settings, from the driver


def use_hadoop_configuration(settings: Mapping[str, str]) -> None:
    """Makes this process reach hdfs:// as the driver does, also where it has no Hadoop configuration of its own."""
    _hadoop.clear()
    _hadoop.update(settings)


def open_store(uri: str) -> tuple[AbstractFileSystem, str]:
    """The file system that serves `uri`, and the path on it."""
    if uri.startswith(("hdfs://", "viewfs://")):
        if uri.startswith("hdfs:///") and _hadoop.get("fs.defaultFS", "").startswith("hdfs://"):
            uri = _hadoop["fs.defaultFS"].rstrip("/") + uri.removeprefix("hdfs://")
        filesystem, path = fsspec.core.url_to_fs(uri, **_hadoop)
    else:
        filesystem, path = fsspec.core.url_to_fs(uri)
    return filesystem, path


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
