"""Versions of the packages that decide what comes out."""

import platform
from importlib import metadata

PACKAGES = ("parley", "pyspark", "pyarrow", "numpy", "tensorflow", "tensorflow-cpu", "keras", "horovod", "petastorm")


def versions() -> dict[str, str]:
    """Name -> version of Python and of those PACKAGES that are installed here."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found
