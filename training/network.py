"""Through which network interfaces processes reach each other, tried for real; knows no Spark."""

import hmac
import json
import socket
import socketserver
import threading
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

CONNECT_SECONDS = 3.0  # a firewall that drops packets never answers
ANSWER_SECONDS = 10.0  # the other side tries all interfaces of this one before it answers
LARGEST = 65536  # bytes of a card or an answer

Card = Mapping[str, Any]  # host, port, addresses: {interface: IPv4 address}, token


def addresses() -> dict[str, str]:
    """The IPv4 address of each network interface here; Horovod uses no IPv6."""
    import psutil

    return {
        name: entry.address
        for name, entries in psutil.net_if_addrs().items()
        for entry in entries
        if entry.family == socket.AF_INET
    }


class _Answer(socketserver.StreamRequestHandler):
    """Says to a caller with the right token through which of its own interfaces it is reached from here."""

    timeout = ANSWER_SECONDS

    def handle(self) -> None:
        caller = json.loads(self.rfile.readline(LARGEST))
        if hmac.compare_digest(str(caller["token"]), self.server.token):  # type: ignore[attr-defined]
            self.wfile.write(json.dumps(sorted(_open(caller))).encode() + b"\n")


class Listener(socketserver.ThreadingTCPServer):
    """Answers callers, on a free port of every interface, until it is closed."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, token: str) -> None:
        super().__init__(("0.0.0.0", 0), _Answer)
        self.token = token
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True).start()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Nothing: connections that are only tried open and close without a word."""

    def card(self) -> Card:
        """How others find this process."""
        return {
            "host": socket.gethostname(), "port": self.server_address[1], "addresses": addresses(), "token": self.token,
        }  # fmt: skip

    def close(self) -> None:
        """Ends it."""
        self.shutdown()
        self.server_close()


def _open(card: Card) -> set[str]:
    """The interfaces of `card` at which its port takes a connection from here."""

    def opens(address: str) -> bool:
        try:
            socket.create_connection((address, card["port"]), timeout=CONNECT_SECONDS).close()
        except OSError:
            return False
        return True

    names = list(card["addresses"])
    with ThreadPoolExecutor(max(len(names), 1)) as pool:
        return {name for name, good in zip(names, pool.map(opens, card["addresses"].values()), strict=True) if good}


def reach(own: Card, other: Card) -> set[str]:
    """The names of interfaces through which both reach each other: Horovod wants the same name everywhere."""

    def both_ways(name: str) -> bool:
        try:
            with socket.create_connection((other["addresses"][name], other["port"]), CONNECT_SECONDS) as connection:
                connection.settimeout(ANSWER_SECONDS)
                connection.sendall(json.dumps(dict(own)).encode() + b"\n")
                with connection.makefile("rb") as answer:
                    return name in json.loads(answer.readline(LARGEST) or b"[]")
        except (OSError, ValueError):
            return False

    names = list(other["addresses"])
    with ThreadPoolExecutor(max(len(names), 1)) as pool:
        return {name for name, good in zip(names, pool.map(both_ways, names), strict=True) if good}


def reach_all(own: Card, others: Iterable[Card]) -> dict[str, list[str]]:
    """`host:port` of each of the others -> names of interfaces through which it and this process reach each other."""
    others = list(others)
    with ThreadPoolExecutor(16) as pool:
        found = pool.map(lambda other: sorted(reach(own, other)), others)
        return {f"{other['host']}:{other['port']}": names for other, names in zip(others, found, strict=True)}
