"""TensorFlow without what it says to everybody on standard error when it is imported."""

import contextlib
import os
from collections.abc import Iterator


@contextlib.contextmanager
def silent_stderr() -> Iterator[None]:
    """Turns the file descriptor itself away: TensorFlow's greeting comes before it reads any setting for its log."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def import_tensorflow() -> None:
    """Imports TensorFlow, silently; what goes wrong is still raised."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # what matters is raised anyway
    with silent_stderr():
        import tensorflow  # noqa: F401
