"""Versions of the packages, and of our own code, that decide what comes out."""

import functools
import hashlib
import platform
from importlib import metadata, resources

PACKAGES = (
    "parley", "pyspark", "pyarrow", "numpy", "pandas", "tensorflow", "tensorflow-cpu", "keras", "horovod", "petastorm",
)  # fmt: skip
OURS = ("jobs", "preprocessing", "training")


def versions() -> dict[str, str]:
    """Name -> version of Python and of those PACKAGES that are installed here."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


@functools.cache
def code_checksum() -> str:
    """Twelve hexadecimal digits that change with any line of our packages, wherever they are imported from."""
    digest = hashlib.sha256()
    for package in OURS:
        for module in sorted(resources.files(package).iterdir(), key=lambda file: file.name):
            if module.name.endswith(".py"):
                digest.update(f"{package}/{module.name}\0".encode() + module.read_bytes())
    return digest.hexdigest()[:12]
