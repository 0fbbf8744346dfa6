"""Why a Spark job failed, in one line with the host: from Spark's own records, which its exceptions often leave out."""

import re
from collections.abc import Sequence
from typing import Any

from py4j.protocol import Py4JError
from pyspark import SparkContext

MOST = 1000  # tasks of a stage that are looked at
LOST_TASK = re.compile(r"Lost task \S+ in stage \S+ \(TID \d+\) \((\S+) executor \S+\): ")
JAVA_STACK = re.compile(r"\n\s+at ")

# What a line holds, and what to do about it.
REMEDIES = (
    ("unknown queue", "name a queue that there is, with SPARK_OPTIONS='--queue NAME'"),
    ("Connection refused|NoRouteToHost|UnknownHost|ConnectTimeout",
     "is the cluster up, and is HADOOP_CONF_DIR the one of this cluster?"),
    ("Permission denied|AccessControlException",
     "may this user write there? kinit or HADOOP_USER_NAME tells who it is"),
    ("File does not exist|FileNotFound|No such file",
     "correct the path; scripts/pack_environment.sh makes archives"),
    ("credentials|GSS initiate|Client cannot authenticate|SIMPLE authentication is not enabled",
     "run kinit, or submit with SPARK_OPTIONS='--principal NAME --keytab FILE'"),
    ("is above the max threshold", "ask for less memory, or let YARN hand out larger containers"),
    (r"beyond the '(PHYSICAL|VIRTUAL)' memory limit|memory limits|exit ?[cC]ode:? -?(137|143|104)",
     "give more memory: spark.executor.memoryOverhead for executors, spark.driver.memoryOverhead for the driver"),
)  # fmt: skip


def explain(error: BaseException, lost: Sequence[str] = ()) -> str:
    """One line: the cause at the bottom of an exception of Python, Spark, or Python inside Spark; and what to do.

    `lost` says which executors went meanwhile, and why: often the cause of what the exception says.
    """
    message = str(error)
    if java := getattr(error, "java_exception", None):  # py4j's own text puts its call before the cause
        message = str(java.getMessage() or java.toString())
    task = LOST_TASK.search(message)
    host = f"{task[1]}: " if task else ""
    line = host + _last_words(message[task.end() :] if task else message) or type(error).__name__
    line = "; ".join([line, *(loss for loss in lost if loss not in line)])
    return line + remedy(line)


def remedy(line: str) -> str:
    """What to do about a cause, to be put behind it; nothing where that is not known."""
    return next((f": {remedy}" for pattern, remedy in REMEDIES if re.search(pattern, line)), "")


def _last_words(message: str) -> str:
    """The exception itself, without Java's stack behind it and Python's traceback before it."""
    text = JAVA_STACK.split(message, maxsplit=1)[0].strip()
    lines = [line.strip() for line in text.splitlines() if line.strip()] or [""]
    return lines[-1] if "Traceback (most recent call last):" in text else lines[0]


def task_failures(context: SparkContext, group: str) -> list[str]:
    """`host: cause` of each failed task of a job group; the first failure first."""
    tracker, store = context.statusTracker(), _store(context)
    found = []
    for job in sorted(tracker.getJobIdsForGroup(group)):
        info = tracker.getJobInfo(job)
        for stage in sorted(info.stageIds if info else []):
            for attempt in range(store.lastStageAttempt(stage).attemptId() + 1):
                for task in _sequence(store.taskList(stage, attempt, MOST)):
                    if task.errorMessage().isDefined():
                        found.append(f"{task.host()}: {_last_words(task.errorMessage().get())}")
    return list(dict.fromkeys(found))


def lost_executors(context: SparkContext) -> list[str]:
    """`host: reason` of each executor that is gone, for example one that YARN killed for its memory."""
    try:
        executors = _sequence(_store(context).executorList(False))
    except (Py4JError, OSError):  # the JVM itself is gone
        return ["Spark's driver itself ended"]
    return [
        f"{executor.hostPort().partition(':')[0]}: {_last_words(executor.removeReason().get())}"
        for executor in executors
        if executor.removeReason().isDefined()
    ]


def _store(context: SparkContext) -> Any:
    """What Spark's own web pages are made from; it is kept without them too."""
    return context._jsc.sc().statusStore()


def _sequence(scala: Any) -> list[Any]:
    return [scala.apply(index) for index in range(scala.length())]
