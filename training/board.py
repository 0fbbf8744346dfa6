"""Memory in which the ranks of one machine hand each other what a step exchanges.

Horovod's own thread looks once a millisecond whether all ranks have come, and takes a third of a core for that; here
the rank that comes last wakes the others. The memory has no name and the sockets none in a file system, so nobody who
is killed leaves any of it behind; and as a killed process' sockets close, the others notice.
"""

import contextlib
import math
import mmap
import os
import socket
import struct
from collections.abc import Callable, Generator, Sequence
from itertools import accumulate, pairwise

import numpy as np

GONE = "a rank on this machine is gone"
SECONDS = 20.0  # for the ranks to meet, once all of them have come so far
NUMBER = struct.Struct("<q")
PLACES = 2  # of each rank: while one exchange is still read, the next is written


class Gone(RuntimeError):
    """Another rank does not take part any more."""


class Board:
    """What each rank writes all can read; rank 0 has a socket to each of the others, and these one to it.

    All ranks call the same of its functions in the same order.
    """

    def __init__(self, rank: int, ranks: int, memory: mmap.mmap, peers: Sequence[socket.socket]) -> None:
        self.places = np.frombuffer(memory, np.uint8).reshape(PLACES, ranks, -1)
        self.rank, self.peers, self.turn = rank, peers, 0
        for peer in peers:
            peer.settimeout(None)

    def combine(self, whole: Sequence[np.ndarray], rows: Sequence[np.ndarray] = ()) -> list[np.ndarray]:
        """The sums of `whole` over all ranks; then of each of `rows` those of all ranks, rank by rank.

        `whole` are of one type, and so are `rows`; all ranks give parts of the same shapes, but for the number of rows.
        Raises Gone.
        """
        places = self.places[self.turn % PLACES]
        begin = NUMBER.size * len(rows)
        places[self.rank, :begin].view(np.int64)[:] = [len(part) for part in rows]
        end = _write(places[self.rank], begin, whole)
        _write(places[self.rank], end, rows)
        self._meet()
        first, second, *others = (place[begin:end].view(whole[0].dtype) for place in places)
        total = first + second
        for numbers in others:
            total += numbers
        received = [_rows_at(place, end, rows) for place in places]
        return [*_cut(total, [part.shape for part in whole]), *map(np.concatenate, zip(*received, strict=True))]

    def of_first(self, own: np.ndarray) -> np.ndarray:
        """What rank 0 has in the place of `own`. Raises Gone."""
        place = self.places[self.turn % PLACES, 0]
        if self.rank == 0:
            _write(place, 0, [own])
        self._meet()
        return place[: own.nbytes].view(own.dtype).reshape(own.shape).copy()

    def _meet(self) -> None:
        """Returns when all ranks have come to this turn."""
        self.turn += 1
        try:
            if self.rank:
                self._tell()
            for peer in self.peers:
                said = peer.recv(NUMBER.size, socket.MSG_WAITALL)
                if said != NUMBER.pack(self.turn):
                    raise ConnectionError(f"exchange {self.turn}, but it says {said!r}")
            if not self.rank:
                self._tell()
        except OSError as error:
            self.close()  # so that the others need not wait for what this one does next
            raise Gone(GONE) from error

    def _tell(self) -> None:
        for peer in self.peers:
            peer.sendall(NUMBER.pack(self.turn))

    def close(self) -> None:
        """The others' next exchange fails."""
        for peer in self.peers:
            peer.close()


def _write(place: np.ndarray, begin: int, parts: Sequence[np.ndarray]) -> int:
    """Copies the parts to a place, one behind the other, and returns where they end."""
    for part in parts:
        place[begin : begin + part.nbytes].view(part.dtype)[:] = part.ravel()
        begin += part.nbytes
    return begin


def _rows_at(place: np.ndarray, begin: int, like: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Another rank's rows, which begin there."""
    if not like:
        return []
    counts = place[: NUMBER.size * len(like)].view(np.int64).tolist()
    shapes = [(count, *part.shape[1:]) for count, part in zip(counts, like, strict=True)]
    end = begin + sum(map(math.prod, shapes)) * like[0].itemsize
    return _cut(place[begin:end].view(like[0].dtype), shapes)


def _cut(flat: np.ndarray, shapes: Sequence[tuple[int, ...]]) -> list[np.ndarray]:
    """Arrays of these shapes, which lie one behind the other."""
    ends = accumulate(map(math.prod, shapes), initial=0)
    return [flat[begin:end].reshape(shape) for (begin, end), shape in zip(pairwise(ends), shapes, strict=True)]


Stages = Generator[Board | None]


def open_board(name: str, rank: int, ranks: int, size: int, total: Callable[[int], int]) -> Board | None:
    """The board of all ranks, for so many bytes of each; None where they are not on one machine, or not one user's.

    `name` is of this training alone; `total` gives the sum of a number over all ranks, who all call this together.
    """
    stages = _invite(name, ranks, size) if rank == 0 else _visit(name, rank, ranks, size)
    board = None
    for _ in range(3):
        try:
            board, done = next(stages), 1
        except OSError:
            done = 0
        if total(done) < ranks:
            stages.close()
            if board:
                board.close()
            return None
    return board


def _invite(name: str, ranks: int, size: int) -> Stages:
    """Rank 0: listens; lets the others come; hands them the memory."""
    peers: list[socket.socket] = []
    with contextlib.ExitStack() as opened:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(f"\0parley-{name}")
            listener.listen(ranks)
            yield None
            yield None
            file = os.memfd_create("parley")
            opened.callback(os.close, file)
            os.ftruncate(file, PLACES * ranks * size)  # only what is written takes room
            listener.settimeout(SECONDS)
            while len(peers) < ranks - 1:
                peer = opened.enter_context(listener.accept()[0])
                if _is_ours(peer):
                    socket.send_fds(peer, [b"\0"], [file])
                    peers.append(peer)
            memory = mmap.mmap(file, PLACES * ranks * size)
        opened.pop_all()  # they are the board's
        os.close(file)
    yield Board(0, ranks, memory, peers)


def _visit(name: str, rank: int, ranks: int, size: int) -> Stages:
    """Another rank: waits until rank 0 listens; comes; gets the memory."""
    with contextlib.ExitStack() as opened:
        peer = opened.enter_context(socket.socket(socket.AF_UNIX))
        peer.settimeout(SECONDS)
        yield None
        peer.connect(f"\0parley-{name}")
        if not _is_ours(peer):
            raise PermissionError("another user's process has this name")
        yield None
        _, files, _, _ = socket.recv_fds(peer, 1, 1)
        if not files:
            raise ConnectionError("rank 0 is gone")
        try:
            memory = mmap.mmap(files[0], PLACES * ranks * size)
        finally:
            os.close(files[0])
        opened.pop_all()  # it is the board's
    yield Board(rank, ranks, memory, [peer])


def _is_ours(peer: socket.socket) -> bool:
    """Whether the other end is a process of the same user."""
    _, user, _ = struct.unpack("3i", peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i")))
    return bool(user == os.getuid())
