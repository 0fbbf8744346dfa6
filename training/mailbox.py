"""What ranks tell the driver past the store, which may be what failed: by the server where Horovod's ranks meet."""

import contextlib
import http.client
import json
import os
from collections.abc import Iterator
from typing import Any, TypeVar, get_type_hints

SCOPE = "parley"
Message = TypeVar("Message")
SECONDS = 5  # for the driver to take a message


def has_driver() -> bool:
    """Whether Horovod started this process, and so there is a driver to be told."""
    return "HOROVOD_GLOO_RENDEZVOUS_ADDR" in os.environ


def post(name: str, content: Any) -> None:
    """Leaves a message with the driver in the place of the last one of this name; nothing where the driver is gone."""
    address, port = (os.environ[f"HOROVOD_GLOO_RENDEZVOUS_{part}"] for part in ("ADDR", "PORT"))
    connection = http.client.HTTPConnection(address, int(port), timeout=SECONDS)
    with contextlib.closing(connection), contextlib.suppress(OSError, http.client.HTTPException):
        connection.request("PUT", f"/{SCOPE}/{name}", json.dumps(content))
        connection.getresponse()


class Mailbox:
    """The driver's end: what the ranks of the attempt under way said, and never those of an earlier one."""

    def __init__(self) -> None:
        self.servers: list[Any] = []
        self.current: Any = None

    def clear(self) -> None:
        """Before an attempt: what comes to the servers of earlier ones is read no more."""
        self.current = None

    def read(self, kind: str, message: type[Message]) -> list[Message]:
        """The last message of each name that begins with `kind`; what others than ranks may have put there is none."""
        httpd = getattr(self.current, "_httpd", None)
        if not httpd:
            return []
        with httpd.cache_lock:
            messages = dict(httpd.cache.get(SCOPE, {}))
        fields, found = get_type_hints(message), []
        for name, content in sorted(messages.items()):
            with contextlib.suppress(ValueError):
                said = json.loads(content) if name.startswith(kind) else None
                if isinstance(said, dict) and {key: type(value) for key, value in said.items()} == fields:
                    found.append(message(**said))
        return found

    @contextlib.contextmanager
    def open(self) -> Iterator[None]:
        """The block in which Horovod starts its servers, which it leaves, a thread and a port each; here they end."""
        from horovod.runner import gloo_run

        original = gloo_run.RendezvousServer

        def started(verbose: int) -> Any:
            self.current = original(verbose)
            self.servers.append(self.current)
            return self.current

        gloo_run.RendezvousServer = started
        try:
            yield
        finally:
            gloo_run.RendezvousServer = original
            for server in self.servers:
                server.stop()
                server._httpd.server_close()
