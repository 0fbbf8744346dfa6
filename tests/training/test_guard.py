"""Whom the driver takes for frozen, from the signs of life that reach it."""

import _thread
import itertools
import mmap
import socket
import threading
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest

import training.guard
import training.watch
from training.board import NUMBER, Board, Gone
from training.guard import Guard
from training.mailbox import Mailbox, post
from training.watch import SAVING, STARTING, Watch, _busy

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
        guard = Guard(mailbox, lambda: None, {})

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
    beat(1, f"{STARTING}, reading train/part-00000.parquet")
    assert not guarded(0.05).stopped


def test_a_rank_that_has_started_says_so_at_once(
    guarded: Callable[[float], Guard], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else one that freezes before its next sign would be taken for one that starts, with which patience is longer."""
    monkeypatch.setattr(training.watch, "BEAT_SECONDS", 1e6)
    watch = Watch("file:///nowhere", 0, 600)
    guard = guarded(0.05)
    assert guard.doing[0] == STARTING and not guard.stopped
    watch.now(f"{STARTING}, reading train/part-00000.parquet", patient=True)  # which goes on as it began
    assert not guarded(0.05).stopped
    watch.now("waiting for all ranks", patient=True)
    guarded(0.05)
    watch.close()
    assert guard.doing[0] == "waiting for all ranks" and guard.stopped


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


def test_a_rank_that_waits_for_another_is_not_busy() -> None:
    ours, theirs = socket.socketpair()
    board, over = Board(1, 2, mmap.mmap(-1, 4096), [ours]), threading.Event()

    def exchange() -> None:
        with pytest.raises(Gone):
            board.combine([np.zeros(1)])
        over.set()

    before = len(_busy())
    _thread.start_new_thread(exchange, ())  # of which Python's threading knows nothing, like TensorFlow's
    assert theirs.recv(NUMBER.size) == NUMBER.pack(1)  # it has come, and waits for rank 0
    assert len(_busy()) == before
    theirs.close()
    over.wait()
