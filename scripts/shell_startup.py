"""What scripts/shell.sh puts into the PySpark shell; run by pyspark itself, after `spark` and `sc` are there."""

import os
import shlex

from jobs import evaluate, generate, preprocess, publish, score, train  # noqa: F401
from jobs.config import load_config  # noqa: F401
from jobs.shell import begin

config = begin(spark, shlex.split(os.environ["PARLEY_SHELL_ARGUMENTS"]))  # noqa: F821
if os.path.isfile(os.environ.get("PARLEY_PYTHONSTARTUP", "")):  # the user's own
    with open(os.environ["PARLEY_PYTHONSTARTUP"]) as file:
        exec(compile(file.read(), file.name, "exec"))
