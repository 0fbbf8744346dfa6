"""Files and directories on any store, by URI, for Python processes.

Spark reads and writes the same URIs through Hadoop's file systems.
"""

import os
from pathlib import Path

from preprocessing.files import (
    create,
    exists,
    files_below,
    manifest_last,
    read_bytes,
    read_text,
    remove,
    sha256,
    write_bytes,
    write_json,
    write_text,
)
from preprocessing.filesystems import StoreError, explained, open_store, use_hadoop_configuration
from preprocessing.lease import lease, mended
from preprocessing.replacement import replace_directory

__all__ = [
    "StoreError", "absolute", "create", "download", "exists", "files_below", "lease", "matching", "mended",
    "read_bytes", "read_text", "remove", "replace_directory", "sha256", "size", "upload",
    "use_hadoop_configuration", "write_bytes", "write_json", "write_text",
]  # fmt: skip


def absolute(path: str) -> str:
    """The URI of `path`, no slash at its end; a path without a scheme means a local file."""
    if "://" not in path:
        return f"file://{os.path.abspath(path)}"  # not quoted: neither fsspec nor Hadoop unquotes
    return path.rstrip("/") if path.partition("://")[2].strip("/") else path  # what is beside it would be in it


@explained
def size(uri: str) -> int:
    """Bytes of all files below `uri`."""
    filesystem, path = open_store(uri)
    return int(filesystem.du(path))


@explained
def matching(pattern: str) -> list[str]:
    """URIs, sorted, of the files that match a glob; of the scheme, host and account that the glob has."""
    filesystem, path = open_store(absolute(pattern))
    scheme, _, rest = absolute(pattern).partition("://")
    root = f"{scheme}://{rest.split('/')[0]}"
    return sorted(f"{root}{found[found.index('/') :]}" for found in filesystem.glob(path))


@explained
def download(uri: str, target: Path) -> None:
    """Copies a file or a whole directory of any store to the local path `target`."""
    filesystem, path = open_store(uri)
    target.parent.mkdir(parents=True, exist_ok=True)
    if filesystem.isfile(path):
        filesystem.get_file(path, str(target))
        return
    for name in files_below(uri):
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        filesystem.get_file(f"{path.rstrip('/')}/{name}", str(target / name))


@explained
def upload_file(uri: str, source: Path) -> None:
    """Copies a local file to `uri`."""
    filesystem, path = open_store(uri)
    filesystem.makedirs(filesystem._parent(path), exist_ok=True)
    filesystem.put_file(str(source), path)


def upload(source: Path, uri: str) -> None:
    """Copies a local directory to `uri`, `manifest.json` last: until it is there, the directory does not exist."""
    for name in manifest_last(str(found.relative_to(source)) for found in source.rglob("*") if found.is_file()):
        upload_file(f"{uri.rstrip('/')}/{name}", source / name)
