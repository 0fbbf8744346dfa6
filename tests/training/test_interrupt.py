"""What is kept of ranks that end, and said while Horovod's threads find that what they talk to was ended."""

import socket
import socketserver
import threading
from collections.abc import Iterator

import pytest

from training.interrupt import Interrupt
from training.quiet import quiet_task


def run(interrupt: Interrupt, error: Exception) -> None:
    def target(raised: Exception) -> None:
        raise raised

    thread = threading.Thread(target=interrupt.run_thread, args=(target, error))
    thread.start()
    thread.join()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_thread_says_only_what_nobody_expects(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(threading, "excepthook", lambda args: said.append(str(args.exc_value)))
    interrupt = Interrupt()
    run(interrupt, ConnectionRefusedError("refused"))
    run(interrupt, RuntimeError("Job 3 cancelled part of cancelled job group"))
    assert said == ["refused"]
    interrupt.requested.set()
    run(interrupt, ConnectionRefusedError("refused again"))
    assert said == ["refused"]


@pytest.mark.horovod
def test_exit_codes_are_kept_of_ranks_that_were_not_told_to_end() -> None:
    from horovod.runner.common.util.hosts import SlotInfo

    interrupt, codes = Interrupt(), [0, 137, None, -1, 143]

    def execute(_: str, slot: SlotInfo, __: object) -> tuple[int | None, float]:
        return codes[slot.rank], 1.0

    for rank, code in enumerate(codes):
        if code == 143:
            interrupt.end_processes()
        assert interrupt.run_rank(execute, "", SlotInfo("here", rank, rank, 0, 5, 5, 1), []) == (code, 1.0)
    assert interrupt.ended == {1: 137, 2: None, 3: None}  # of two of them nobody could tell it


def test_the_service_of_a_task_says_nothing_of_a_neighbour_that_is_gone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Asked(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            raise ConnectionRefusedError("the neighbour is gone")

    def answer_once(index: int, rows: Iterator[int]) -> Iterator[int]:
        with socketserver.TCPServer(("127.0.0.1", 0), Asked) as server:
            with socket.create_connection(server.server_address):
                server.handle_request()
        yield from (index, *rows)

    assert list(answer_once(1, iter([2, 3]))) == [1, 2, 3]
    assert "the neighbour is gone" in capsys.readouterr().err
    monkeypatch.setattr(socketserver.BaseServer, "handle_error", socketserver.BaseServer.handle_error)  # undone later
    assert list(quiet_task(answer_once, 1, iter([2, 3]))) == [1, 2, 3]
    assert capsys.readouterr().err == ""
