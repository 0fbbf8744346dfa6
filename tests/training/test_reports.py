"""Which rank failed first, from what ranks left behind."""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import pytest

from training.board import GONE
from training.mailbox import Mailbox, post
from training.reports import (
    CAUSE,
    LEFT,
    WAITING,
    Report,
    describe_ranks,
    find_failure,
    kind_of,
    read_reports,
    report,
)

HOSTS = {0: "a", 1: "b", 2: "c"}
LAST = "epoch 2, step 3 of 9"


def said(rank: int, kind: str, time: float, final: bool = False) -> Report:
    return Report(rank, HOSTS[rank], "epoch 2, step 4 of 9", f"{kind} of {rank}", "its stack", kind, final, time)


def line(*reports: Report, ended: Mapping[int, int | None] = MappingProxyType({})) -> str:
    failure = find_failure(reports, HOSTS, ended, LAST)
    assert failure
    return failure.line


def test_a_rank_with_a_cause_of_its_own_comes_before_all_others() -> None:
    assert (
        line(said(0, LEFT, 1), said(1, WAITING, 2), said(2, CAUSE, 3))
        == "rank 2 on c, epoch 2, step 4 of 9: cause of 2"
    )
    assert line(said(2, CAUSE, 3), said(1, CAUSE, 2)).startswith("rank 1 on b")


def test_a_rank_that_is_gone_without_a_word_comes_before_those_that_missed_it() -> None:
    reports = said(0, LEFT, 1), said(2, WAITING, 2)
    assert line(*reports) == f"rank 1 on b gives no sign of life: it stands still; last seen: {LAST}"
    assert line(*reports, ended={0: 1}).startswith("rank 1 on b gives no sign of life")
    for code, how in (
        (137, "was killed, exit code 137"),
        (3, "ended with exit code 3: see its log"),
        (None, "is lost with its executor"),
    ):
        assert line(*reports, ended={0: 1, 1: code}) == f"rank 1 on b {how}; last seen: {LAST}"  # however late seen
    assert line(said(1, LEFT, 1), ended={2: 137, 1: 1, 0: 1}).startswith("rank 2 on c was killed")


def test_of_ranks_without_a_report_the_one_without_a_sign_of_life_is_named() -> None:
    failure = find_failure([], HOSTS, {}, LAST, [1])
    assert failure and failure.line.startswith("rank 1 on b gives no sign of life")


def test_where_all_only_waited_the_first_one_is_named() -> None:
    assert line(said(0, LEFT, 1), said(1, WAITING, 3), said(2, WAITING, 2)).startswith("rank 2 on c")


def test_where_no_rank_began_there_is_nothing_to_say() -> None:
    assert find_failure([], {}, {0: 137}, LAST) is None


def test_the_first_cause_decides_whether_it_would_come_again() -> None:
    failure = find_failure([said(0, CAUSE, 2), said(1, CAUSE, 1, final=True)], HOSTS, {}, LAST)
    assert failure and failure.final and failure.traceback == "its stack"


def test_horovods_word_that_others_are_gone_is_no_cause() -> None:
    assert kind_of("UnknownError: Horovod has been shut down. This was caused by") == LEFT
    assert kind_of(f"UnknownError: Gone: {GONE}") == LEFT
    assert kind_of("ArithmeticError: one too many") == CAUSE


def test_a_rank_without_a_driver_keeps_its_report_itself(tmp_path: Path) -> None:
    run = tmp_path.as_uri()
    report(run, 3, "starting", "OSError: full", "its stack", CAUSE)
    found = json.loads((tmp_path / "errors" / "rank-3.json").read_text())
    assert (found["rank"], found["doing"], found["error"], found["final"]) == (3, "starting", "OSError: full", False)


@pytest.mark.horovod
def test_what_ranks_tell_the_driver_is_that_of_the_attempt_under_way(monkeypatch: pytest.MonkeyPatch) -> None:
    from horovod.runner import gloo_run

    mailbox = Mailbox()
    with mailbox.open():
        servers = [gloo_run.RendezvousServer(0) for _ in range(2)]
        ports = [server.start() for server in servers]
        assert read_reports(mailbox) == []
        monkeypatch.setenv("HOROVOD_GLOO_RENDEZVOUS_ADDR", "127.0.0.1")
        for port, error in zip(ports, ("of before", "of now"), strict=True):
            monkeypatch.setenv("HOROVOD_GLOO_RENDEZVOUS_PORT", str(port))
            report("file:///nowhere", 1, "epoch 1", error, "its stack", CAUSE)
        post("alive-1", {"rank": 1})
        for stranger in ("x", ["x"], {"rank": 2}, {**dataclasses.asdict(said(2, CAUSE, 1.0)), "rank": "2"}):
            post("report-2", stranger)
            assert [found.rank for found in read_reports(mailbox)] == [1]
        assert [found.error for found in read_reports(mailbox)] == ["of now"]
        mailbox.clear()
        assert read_reports(mailbox) == []
    post("alive-1", {"rank": 1})  # to nobody


def test_where_ranks_compute_is_told_in_a_line_and_a_slow_kernel_on_a_gpu_is_no_good_news() -> None:
    ranks = [{"host": host, "device": "0", "kernel": "yes", "exchange": "Horovod"} for host in ("b", "a", "b")]
    told = "ranks: 1 on a, 2 on b; 3 GPUs; cuDNN LSTM: yes; gradients by Horovod"
    assert describe_ranks(ranks) == (told, True)
    line, fast = describe_ranks([*ranks, {**ranks[0], "host": "c", "device": "1", "kernel": "no (unrolled)"}])
    assert "4 GPUs; cuDNN LSTM: no (unrolled) or yes;" in line and not fast
    alone = {"host": "a", "device": "-1", "kernel": "", "exchange": ""}
    assert describe_ranks([alone]) == ("ranks: 1 on a; no GPU", True)
