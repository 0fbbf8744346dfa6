"""What TensorFlow and Horovod say to everybody on standard error, and who asked them is told anyway, is not said."""

import contextlib
import os
import socketserver
from collections.abc import Callable, Iterator
from typing import Any


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


def quiet_task(mapper: Callable[..., Iterator[Any]], index: int, rows: Iterator[Any]) -> Iterator[Any]:
    """What Horovod's `mapper` gives in one of its Spark tasks, whose service keeps its tracebacks to itself.

    It answers the driver and the task before it. Where these or the task behind it were ended in the middle of that,
    as by Ctrl-C in a shell, its traceback would come between what is said there. Whoever asked gets no answer, and says
    that.
    """
    socketserver.BaseServer.handle_error = lambda *_: None  # type: ignore[method-assign]
    return mapper(index, rows)
