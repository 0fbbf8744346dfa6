"""What a process tells of itself before training, and whether all that were asked agree; knows no Spark."""

import collections
import socket
import uuid
from collections.abc import Sequence
from typing import Any

from preprocessing import storage
from preprocessing.errors import ClusterError, UserError
from preprocessing.manifest import read_manifest
from preprocessing.versions import code_checksum, versions

Answer = dict[str, Any]  # host, versions, gpus, problem, reached: see preflight.answer_all


def found_versions() -> dict[str, str]:
    """Versions here, our code's among them; TensorFlow's under one name, as a driver may have the one without GPUs."""
    found = versions()
    tensorflow = found.pop("tensorflow-cpu", None)
    return {"tensorflow": tensorflow or "missing", **found, "code of Parley": code_checksum()}


def check_stores(inputs: Sequence[str], outputs: Sequence[str]) -> None:
    """Reads the manifests of `inputs`, writes and renames beside `outputs`; raises UserError or ClusterError."""
    for uri in inputs:
        try:
            read_manifest(uri)
        except UserError:
            raise
        except Exception as error:  # whatever a store's library raises
            raise _store_error("read", uri, error) from error
    for uri in outputs:
        probe = f"{uri.rstrip('/')}.preflight-{uuid.uuid4().hex[:8]}"
        try:
            storage.write_text(probe, socket.gethostname())  # where a store renames, this does
            storage.remove(probe)
        except Exception as error:
            raise _store_error("write", uri, error) from error


def _store_error(verb: str, uri: str, error: Exception) -> ClusterError:
    cause = error.__cause__ or error  # what the store's own client said
    lines = str(cause).strip().splitlines() or ["no reason given"]
    return ClusterError(
        f"{socket.gethostname()} cannot {verb} {uri}: {type(cause).__name__}: {lines[0]}: "
        "is the store up, are its address and the credentials right, and may this user do it?"
    )


def check_versions(answers: Sequence[Answer]) -> None:
    """Raises UserError where a host has other versions than the driver."""
    own = found_versions()
    for answer in answers:
        theirs = answer["versions"]
        differing = [
            f"{name} {theirs.get(name, 'missing')} (here {own.get(name, 'missing')})"
            for name in sorted({*own, *theirs})
            if own.get(name) != theirs.get(name)
        ]
        if differing:
            raise UserError(
                f"{answer['host']} has {', '.join(differing)}: give driver and executors the same environment "
                "(scripts/pack_environment.sh), or correct PYSPARK_PYTHON"
            )


def check_gpus(answers: Sequence[Answer]) -> None:
    """Raises UserError where Spark gave two tasks of a host the same GPU."""
    given = collections.Counter((answer["host"], gpu) for answer in answers for gpu in answer["gpus"][:1])
    for (host, gpu), tasks in given.items():
        if tasks > 1:
            raise UserError(
                f"{host} gave GPU {gpu} to {tasks} tasks: its discovery script must print the GPUs of this worker only "
                "(spark.executor.resource.gpu.discoveryScript; ours is scripts/discover_gpus.sh)"
            )


def common_interface(answers: Sequence[Answer]) -> str:
    """The interface through which all reach each other and the driver; the loopback one where all share a host."""
    common = set.intersection(*(set(names) for answer in answers for names in answer["reached"].values()))
    if common:
        return "lo" if "lo" in common else min(common)
    alone = [
        f"{answer['host']} and {other} do not reach each other"
        for answer in answers
        for other, names in answer["reached"].items()
        if not names
    ]
    cause = "; ".join(alone[:3]) or "each pair of hosts has another interface in common"
    raise ClusterError(
        f"no network interface that driver and executors share: {cause}: open the ports from 1024 up between them, "
        "and give the interface the same name on every host"
    )
