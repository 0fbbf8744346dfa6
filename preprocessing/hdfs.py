"""HDFS from a Python process: which client, under which address, and what to do where it does not let us in."""

import os
import socket
from collections.abc import Mapping
from typing import Any

import fsspec
from fsspec import AbstractFileSystem
from fsspec.implementations.arrow import HadoopFileSystem

# A name node that does not answer shows within a minute; hdfs-native and Hadoop try for 3 minutes by default.
HDFS_DEFAULTS = {"dfs.client.failover.max.attempts": "6"}
TOKENS = "HADOOP_TOKEN_FILE_LOCATION"  # YARN sets it in every container


class Libhdfs(HadoopFileSystem):  # type: ignore[misc]
    """HDFS through pyarrow and Hadoop's own libhdfs, which starts a JVM inside the process."""

    def mv(self, path1: str, path2: str, overwrite: bool = False, **kwargs: Any) -> None:
        """Renames; pyarrow would delete what is at the target, so look first."""
        if not overwrite and self.exists(path2):
            raise FileExistsError(path2)
        super().mv(path1, path2)


def open_hdfs(uri: str, settings: Mapping[str, str]) -> tuple[AbstractFileSystem, str]:
    """The file system that serves `uri`, and the path on it."""
    options = HDFS_DEFAULTS | {
        name: value for name, value in settings.items() if not name.startswith(("fs.s3a.", "fs.azure."))
    }
    if settings.get("parley.hdfs.client") == "libhdfs":
        _, authority, path = _parts(uri)
        host, _, port = authority.partition(":")
        return Libhdfs(host or "default", int(port or 0), extra_conf=options), path
    return fsspec.core.url_to_fs(_as_tokens_say(uri, settings), **options)


def log_in(keytab: str) -> None:
    """Lets this process take its tickets from a keytab, whatever tickets the user has; libgssapi renews them."""
    os.environ["KRB5_CLIENT_KTNAME"] = keytab.removeprefix("file://")
    os.environ["KRB5CCNAME"] = "MEMORY:parley"


def remedy(error: Exception) -> str | None:
    """What is wrong and what to do, for errors that only HDFS has; None for others."""
    line = str(error)
    if "Unable to load lib" in line:
        return (
            f"parley.hdfs.client is libhdfs, but {line}: set JAVA_HOME, ARROW_LIBHDFS_DIR and "
            'CLASSPATH="$(hadoop classpath --glob)" on this node, or leave the setting out'
        )
    if any(name in line for name in ("GSSAPIError", "NoSASLMechanism", "SASLError", "libgssapi")):
        said = line.rsplit('"', 2)[-2] if line.count('"') > 1 else line
        file = os.environ.get(TOKENS)
        tokens = f"{TOKENS} is {file}: no valid token for this name node there" if file else f"{TOKENS} is not set"
        return f"HDFS asks for Kerberos ({said}): run kinit, or give spark-submit --principal and --keytab; {tokens}"
    return None


def _parts(uri: str) -> tuple[str, str, str]:
    scheme, _, rest = uri.partition("://")
    authority, _, path = rest.partition("/")
    return scheme, authority, f"/{path}"


def _as_tokens_say(uri: str, settings: Mapping[str, str]) -> str:
    """The URI with its host's address: Hadoop's tokens have a single name node's so, and hdfs-native compares text."""
    scheme, authority, path = _parts(uri)
    host, _, port = authority.partition(":")
    if TOKENS not in os.environ or not port or settings.get("hadoop.security.token.service.use_ip") == "false":
        return uri
    try:
        return f"{scheme}://{socket.gethostbyname(host)}:{port}{path}"
    except OSError:
        return uri
