"""One connection of HTTP: how long it may take, and how many there may be. uvicorn bounds neither.

A client that sends a byte now and then, or reads none of its answer, would hold a connection, and a place in the queue,
for as long as it likes. Bodies have a time of their own (`guard`).
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

from vlmcli.server.wrong import Wrong, as_openai

HEAD_SECONDS = 20.0
"""In which the line and the headers of a request must have come, from its first byte on."""
STALLED_SECONDS = 30.0
"""After which a client that reads nothing of its answer is left."""


class Connection(H11Protocol):
    """uvicorn's, with bounds.

    Attributes:
        most: connections at a time; others are answered with 503.
    """

    most = 192

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._head: asyncio.TimerHandle | None = None
        self._stalled: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a connection, unless there are too many."""
        super().connection_made(transport)
        if len(self.connections) > self.most:
            wrong = Wrong("there are too many connections", "try again later", status=503, code="too_many_connections")
            transport.write(_answer(b"503 Service Unavailable", wrong))
            transport.close()
            return
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the times."""
        for timer in (self._head, self._stalled):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what has come; a request whose head is not whole has only so much time."""
        if self.transport.is_closing():
            return
        super().data_received(data)
        if self.cycle is None or self.cycle.response_complete:
            self._expect_head()
        elif self._head is not None:
            self._head.cancel()
            self._head = None

    def _expect_head(self) -> None:
        if self._head is None:
            self._head = self.loop.call_later(HEAD_SECONDS, self.transport.abort)

    def pause_writing(self) -> None:
        """The client does not read: wait, but not for ever."""
        super().pause_writing()
        self._stalled = self.loop.call_later(STALLED_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        """It reads again."""
        if self._stalled is not None:
            self._stalled.cancel()
        super().resume_writing()

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP in the shape of all errors, unless an answer is on its way."""
        if self.cycle is not None and not self.cycle.response_complete:
            started, self.cycle.disconnected = self.cycle.response_started, True
            self.cycle.message_event.set()
        else:
            started = str(self.conn.our_state) != "IDLE"  # as h11 calls it
        if not started:
            self.transport.write(_answer(b"400 Bad Request", Wrong("the request is not valid HTTP/1.1")))
        self.transport.close()


def _answer(status: bytes, wrong: Wrong) -> bytes:
    """A whole answer, for a connection that is closed behind it."""
    body = json.dumps(as_openai(wrong)).encode()
    head = b"HTTP/1.1 %b\r\ncontent-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n"
    return head % (status, len(body)) + body
