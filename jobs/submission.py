"""How a submission ended, for submit.sh: the job's own word, or else what spark-submit said, in one line."""

import re
import sys
from pathlib import Path

from jobs.result import take_result
from training.failures import remedy

EXCEPTION = re.compile(
    r'^\s*(?:Exception in thread "[^"]*" |Caused by: )?((?:[\w$]+\.)+[\w$]*(?:Exception|Error)): (.+)$'
)
DIAGNOSTICS = re.compile(r"^\s*(?:diagnostics: |.*Diagnostics: )(.*\S)")
OURS = "parley: "


def explain(said: str) -> str:
    """One line: the cause that spark-submit's output ends with, and what to do."""
    lines = said.splitlines()
    causes = [f"{match[1].rpartition('.')[2]}: {match[2]}" for line in lines if (match := EXCEPTION.match(line))]
    told = [match[1] for line in lines if (match := DIAGNOSTICS.match(line)) and match[1] != "N/A"]
    ends = [*causes[-1:], *told[-1:]]
    if not ends:
        return "spark-submit failed without saying why: see its output above"
    line = next((end for end in ends if remedy(end)), ends[-1])
    return f"{' '.join(line.split())}{remedy(line)}"


def main(status: int, said: str, result: str = "") -> int:
    """The exit code of a submission; says why it failed where the job could not.

    `status` is spark-submit's own, `said` what it printed, `result` the URI where a job in cluster mode leaves its end.
    """
    left = take_result(result) if result and "Submitted application" in said else None
    if left is not None:
        code, message = left
    else:
        code = status or (1 if result else 0)  # a driver that left no word has not ended well
        told = any(line.startswith(OURS) for line in said.splitlines())
        message = explain(said) if code and not told else ""
    if message:
        sys.stderr.write(f"{OURS}{message}\n")
    return code


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), Path(sys.argv[2]).read_text("utf-8", "replace"), *sys.argv[3:]))
