"""How a job ended, left on storage: for submit.sh in cluster mode, where nobody passes the exit code on."""

import json
import os
from pathlib import Path

from preprocessing import storage

VARIABLE = "PARLEY_RESULT"  # URI of the file; submit.sh sets it
SHIPPED = Path("__spark_conf__/__hadoop_conf__")  # the submitter's Hadoop configuration, in a YARN container


def leave_result(code: int, message: str) -> None:
    """Leaves the exit code and the line of a job that ended, where somebody asked for it."""
    if VARIABLE in os.environ:
        if SHIPPED.is_dir():  # a job may fail before a session tells where the name node is
            os.environ.setdefault("HADOOP_CONF_DIR", str(SHIPPED.absolute()))
        storage.write_json(os.environ[VARIABLE], {"code": code, "message": message})


def take_result(uri: str) -> tuple[int, str] | None:
    """The exit code and the line that a job left, which are then removed; None where it could not leave any."""
    try:
        result = json.loads(storage.read_text(uri))
        storage.remove(uri)
    except Exception:  # no such file, or no such store: what spark-submit said tells why
        return None
    return int(result["code"]), str(result["message"])
