"""How a job ended, left on storage: for submit.sh in cluster mode, where nobody passes the exit code on."""

import json
import os
import sys
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


def take_result(uri: str) -> tuple[int, str]:
    """The exit code and the line that a job left, which are then removed; 1 where it could not leave any."""
    try:
        result = json.loads(storage.read_text(uri))
    except FileNotFoundError:
        return 1, "the driver ended without a word: read its log with yarn logs, or in the resource manager's pages"
    storage.remove(uri)
    return int(result["code"]), str(result["message"])


if __name__ == "__main__":
    code, message = take_result(sys.argv[1])
    if message:
        sys.stderr.write(f"parley: {message}\n")
    sys.exit(code)
