"""A server as a process: its sockets, its signals, and its end in order."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import signal
import socket
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from types import FrameType

import uvicorn

from vlmcli.errors import UsageError
from vlmcli.server.connection import Connection
from vlmcli.server.guard import App
from vlmcli.server.service import Service

GRACE = 3.0
"""Seconds that streams get to end after the second signal."""
IDLE = 15
"""Seconds that a connection is kept open without a request."""
SPARE = 128
"""Connections beside those whose requests are in the queue."""


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def listening(host: str, port: int, hint: str = "choose another --port or --host") -> socket.socket:
    """A socket that listens. Raises UsageError, with a hint what to do, where the address cannot be had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With the protocol's number: asyncio sends small pieces at once (TCP_NODELAY) only where it knows that it is TCP.
    found = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind((host.strip("[]"), port))
        found.listen(128)
    except (OSError, OverflowError, TypeError, ValueError) as error:  # the last two for what cannot be a name
        found.close()
        reason = getattr(error, "strerror", None) or str(error)
        raise UsageError(f"cannot listen on {host}:{port} ({reason})", hint) from None
    found.set_inheritable(False)
    return found


class _Server(uvicorn.Server):
    """uvicorn's, whose first signal lets what is under way be finished."""

    def __init__(self, config: uvicorn.Config, service: Service, tell: Callable[[str], None]) -> None:
        super().__init__(config)
        self._service, self._tell = service, tell
        self._draining: asyncio.Task[None] | None = None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop in order, at the second signal at once."""
        if self._draining is not None or not self._service.under_way:
            self.should_exit = True
            self.force_exit = self._draining is not None
            return
        count = self._service.under_way
        self._tell(f"finishing {count} request{'s' * (count > 1)}; Ctrl-C again stops at once")
        self._draining = asyncio.get_running_loop().create_task(self._drain())

    def leave(self) -> None:
        """Stop in order, unless it is stopping already."""
        if self._draining is None and not self.should_exit:
            self.handle_exit(signal.SIGTERM, None)

    async def _drain(self) -> None:
        await self._service.drained()
        self.should_exit = True


Beside = Callable[[Callable[[], None]], Coroutine[None, None, None]]
"""Runs beside a server, whose end it can begin by what it is called with."""


def serve(
    app: App,
    service: Service,
    sockets: Sequence[socket.socket],
    tell: Callable[[str], None],
    beside: Beside | None = None,
) -> None:
    """Serve until a signal ends it.

    Args:
        app: what answers.
        service: whose requests are finished first.
        sockets: that listen.
        tell: shows a line to whoever has started it.
        beside: runs meanwhile. What it raises is raised afterwards.
    """
    logging.getLogger("uvicorn").addHandler(logging.NullHandler())  # silent until -v, as the rest
    bounded = type("Bounded", (Connection,), {"most": service.limits.queue + SPARE})
    config = uvicorn.Config(
        app, log_config=None, access_log=False, lifespan="on", http=bounded, ws="none", loop="asyncio",
        timeout_keep_alive=IDLE, timeout_graceful_shutdown=int(GRACE), server_header=False, date_header=True,
        h11_max_incomplete_event_size=64 << 10, limit_concurrency=None, interface="asgi3", proxy_headers=False,
    )  # fmt: skip
    asyncio.run(_serve(_Server(config, service, tell), sockets, beside))


async def _serve(server: _Server, sockets: Sequence[socket.socket], beside: Beside | None) -> None:
    task = None if beside is None else asyncio.create_task(beside(server.leave))
    await server.serve(list(sockets))
    if task is not None:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
