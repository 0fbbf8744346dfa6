"""Before training: what would make it fail is found on the driver and on every executor within a minute, and named.

Nothing is held: no lease, no file that stays, no slot after it returns.
"""

import contextlib
import functools
import json
import logging
import secrets
import threading
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pyspark import BarrierTaskContext, SparkContext

from preprocessing import storage
from preprocessing.errors import ClusterError, UserError
from training.failures import explain, task_failures
from training.network import Card, Listener, reach_all
from training.survey import check_gpus, check_stores, check_versions, common_interface, found_versions

log = logging.getLogger(__name__)

SECONDS = 50  # for executors to come, and to answer
UNPACKING_SECONDS = 180  # more, where each node first fetches and unpacks the archive with the environment


@dataclass(frozen=True)
class Question:
    """What every executor is asked."""

    inputs: Sequence[str]  # URIs of directories with a manifest
    outputs: Sequence[str]  # URIs to be written
    driver: Card = field(repr=False)
    hadoop: Mapping[str, str] = field(repr=False)


def check_driver(context: SparkContext, inputs: Sequence[str], outputs: Sequence[str]) -> None:
    """What the driver can tell alone: Spark's settings, and its own way to the stores. Raises as `check_executors`."""
    check_settings(context)
    check_stores(inputs, outputs)


def check_executors(
    context: SparkContext, processes: int, inputs: Sequence[str], outputs: Sequence[str], hadoop: Mapping[str, str]
) -> str:
    """The network interface that driver and all ranks share; raises UserError or ClusterError with host and remedy."""
    began = time.monotonic()
    seconds = patience(context)
    wait_for_slots(context, processes, seconds)
    listener = Listener(secrets.token_hex(16))
    try:
        question = Question(inputs, outputs, listener.card(), hadoop)
        answers = _ask(context, processes, question, began + seconds)
    finally:
        listener.close()
    check_versions(answers)
    for answer in answers:
        if answer["problem"]:
            raise ClusterError(answer["problem"])
    check_gpus(answers)
    interface = common_interface(answers)
    log.info(
        "preflight: %d slots with %d GPUs on %s, versions equal, stores writable, network %s (%.0f s)",
        processes, sum(len(answer["gpus"]) for answer in answers),
        ", ".join(sorted({answer["host"] for answer in answers})), interface, time.monotonic() - began,
    )  # fmt: skip
    return interface


def check_settings(context: SparkContext) -> None:
    """Raises UserError where Spark may take ranks away, or run one twice."""
    conf = context.getConf()
    for key, harm in (
        (
            "spark.dynamicAllocation.enabled",
            "Spark would take executors away from a training that needs them to the end",
        ),
        ("spark.speculation", "Spark would start a second copy of a slow rank, which cannot join"),
    ):
        if conf.get(key, "false").lower() == "true" and not is_local(context):
            raise UserError(f"{key} is true: {harm}; submit with --conf {key}=false")


def is_local(context: SparkContext) -> bool:
    """Whether driver and executor are one process."""
    master = context.master or ""
    return master.startswith("local") and not master.startswith("local-cluster")


def patience(context: SparkContext) -> int:
    """Seconds in which executors can be expected to answer."""
    archives = context.getConf().get("spark.yarn.dist.archives") or context.getConf().get("spark.archives")
    return SECONDS + (UNPACKING_SECONDS if archives else 0)


def threads_of_a_task(context: SparkContext) -> int:
    """How many cores Spark gives each task, and so each rank."""
    return int(context.getConf().get("spark.task.cpus", "1"))


def count_slots(context: SparkContext) -> int:
    """How many tasks Spark can run at once, GPUs included."""
    scheduler = context._jsc.sc()
    return int(scheduler.maxNumConcurrentTasks(scheduler.resourceProfileManager().defaultResourceProfile()))


def wait_for_slots(context: SparkContext, processes: int, seconds: int) -> None:
    """Returns when Spark can run `processes` tasks at once; raises when it cannot in time."""
    deadline = time.monotonic() + seconds
    while True:
        slots = count_slots(context)
        if slots >= processes:
            return
        if is_local(context):
            raise UserError(
                f"training.processes = {processes}, but {context.master} runs {slots} tasks at once: lower it, "
                "or give Spark more with --set spark.master=local[N]"
            )
        if time.monotonic() > deadline:
            raise ClusterError(
                f"training.processes = {processes}, but after {seconds} s {_executors(context)} offer {slots} slots "
                f"({_asked(context)}): lower it, ask Spark for more, or wait until the cluster has room"
            )
        time.sleep(0.5)


def _executors(context: SparkContext) -> str:
    infos = context._jsc.sc().statusTracker().getExecutorInfos()
    hosts = sorted({info.host() for info in infos})
    return f"{len(infos) - 1} executors of {context.master} (hosts, the driver's too: {', '.join(hosts)})"


def _asked(context: SparkContext) -> str:
    """The settings that decide how many slots there are."""
    keys = ("executor.instances", "executor.cores", "task.cpus", "task.resource.gpu.amount")
    return ", ".join(f"spark.{key} {context.getConf().get(f'spark.{key}', 'not set')}" for key in keys)


def _ask(context: SparkContext, processes: int, question: Question, deadline: float) -> list[dict[str, Any]]:
    """One answer from each of `processes` tasks that run at the same time, as ranks will."""
    group = f"parley.preflight.{uuid.uuid4().hex[:8]}"
    late = threading.Event()

    def give_up() -> None:
        late.set()
        context.cancelJobGroup(group)

    timer = threading.Timer(max(deadline - time.monotonic(), 10), give_up)
    timer.start()
    try:
        with _job_group(context, group):
            tasks = context.range(0, processes, numSlices=processes).barrier()
            return [
                json.loads(answer) for answer in tasks.mapPartitions(functools.partial(answer_all, question)).collect()
            ]
    except Exception as error:
        failures = task_failures(context, group)
        if late.is_set() and not failures:
            raise ClusterError(
                f"{_executors(context)} did not answer {processes} tasks in time: other work has "
                "their slots, or a host hangs; look at Spark's page of executors, and run this again"
            ) from None
        raise ClusterError(
            f"{'; '.join(failures) or explain(error)}: give every node the same environment "
            "(scripts/pack_environment.sh), or correct PYSPARK_PYTHON"
        ) from None
    finally:
        timer.cancel()


@contextlib.contextmanager
def _job_group(context: SparkContext, group: str) -> Iterator[None]:
    context.setJobGroup(group, "Parley's preflight", interruptOnCancel=True)
    try:
        yield
    finally:
        for key in ("spark.jobGroup.id", "spark.job.description", "spark.job.interruptOnCancel"):
            context.setLocalProperty(key, None)  # type: ignore[arg-type]


def answer_all(question: Question, rows: Iterable[Any]) -> Iterator[str]:
    """What one executor finds, as JSON; never raises, since Spark would try a failed barrier stage again."""
    barrier = BarrierTaskContext.get()
    storage.use_hadoop_configuration(question.hadoop)
    listener = Listener(question.driver["token"])
    try:
        own = listener.card()
        cards = [json.loads(card) for card in barrier.allGather(json.dumps(own))]
        gpus = barrier.resources().get("gpu")
        problem = ""
        try:
            check_stores(question.inputs, question.outputs)
        except (UserError, ClusterError) as error:
            problem = str(error)
        answer = {
            "host": own["host"],
            "versions": found_versions(),
            "gpus": list(gpus.addresses) if gpus else [],
            "problem": problem,
            "reached": reach_all(own, [question.driver, *[card for card in cards if card["port"] != own["port"]]]),
        }
        barrier.barrier()  # until all have tried to reach this one
    finally:
        listener.close()
    yield json.dumps(answer)
