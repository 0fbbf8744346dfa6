"""Whom the driver takes for frozen, from the signs of life that reach it."""

import itertools
import threading
import time
from collections.abc import Callable, Iterator

import pytest

import training.guard
from training.guard import Guard
from training.mailbox import Mailbox, post
from training.watch import SAVING, STARTING

pytestmark = pytest.mark.horovod


@pytest.fixture
def guarded(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[float], Guard]]:
    """guarded(between) gives a guard that looked for two seconds, so often, and misses a rank after one."""
    from horovod.runner import gloo_run

    mailbox = Mailbox()
    with mailbox.open():
        port = gloo_run.RendezvousServer(0).start()
        monkeypatch.setenv("HOROVOD_GLOO_RENDEZVOUS_ADDR", "127.0.0.1")
        monkeypatch.setenv("HOROVOD_GLOO_RENDEZVOUS_PORT", str(port))
        monkeypatch.setattr(training.guard, "SILENT_SECONDS", 1.0)
        guard = Guard(mailbox, lambda: None)

        def looking(between: float) -> Guard:
            for _ in range(round(2 / between)):
                guard.look(None)
                time.sleep(between)
            return guard

        yield looking


def beat(rank: int, doing: str = "epoch 1, validation", over: bool = False, number: int = 1) -> None:
    post(f"alive-{rank}", {"rank": rank, "host": f"node{rank}", "number": number, "doing": doing, "over": over})


def test_a_rank_that_gives_no_more_signs_stands_still_whatever_it_did(
    guarded: Callable[[float], Guard], caplog: pytest.LogCaptureFixture
) -> None:
    beat(0, over=True)
    beat(1)
    assert guarded(0.05).stopped
    assert "ending all ranks: rank 1 on node1 gives no sign of life" in caplog.text


def test_ranks_that_are_done_and_ranks_that_start_are_not_missed(guarded: Callable[[float], Guard]) -> None:
    beat(0, over=True)
    beat(1, STARTING)
    assert not guarded(0.05).stopped


def test_a_driver_that_stood_still_itself_blames_nobody(guarded: Callable[[float], Guard]) -> None:
    beat(0)
    assert not guarded(0.6).stopped


def test_while_rank_0_keeps_what_is_done_it_is_not_ended_for_the_sake_of_another(
    guarded: Callable[[float], Guard],
) -> None:
    beat(1)
    over = threading.Event()

    def keep() -> None:
        for number in itertools.count():
            beat(0, f"epoch 1, {SAVING} 7", number=number)
            if over.wait(0.1):
                return

    thread = threading.Thread(target=keep)
    thread.start()
    try:
        assert not guarded(0.05).stopped
    finally:
        over.set()
        thread.join()
    beat(0, "epoch 1, step 8 of 9", over=True)
    assert guarded(0.05).stopped
