"""Answers on their way to a client: whole ones and streams, both of which end when the client leaves. Pure ASGI."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Coroutine, Mapping
from contextlib import suppress
from typing import Any, TypeVar

from starlette.responses import Response

from vlmcli.server.guard import Receive, Scope, Send
from vlmcli.server.wrong import Wrong

T = TypeVar("T")
BEAT_SECONDS = 15.0
"""After so long without a piece, a stream of events gets a comment, so that nobody on the way takes it for dead."""


async def _gone(receive: Receive) -> None:
    """Wait until the client has left."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def unless_gone(receive: Receive, work: Coroutine[Any, Any, T]) -> T:
    """What comes of some work, which is cancelled when the client leaves. Raises Wrong then."""
    task, gone = asyncio.ensure_future(work), asyncio.ensure_future(_gone(receive))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        raise Wrong("the client has left", status=499, code="left")
    finally:
        for one in (task, gone):
            if not one.done():
                one.cancel()
                with suppress(asyncio.CancelledError, Exception):
                    await one


class Streamed(Response):
    """Pieces that are sent as they come; their generator is closed when the client leaves."""

    def __init__(self, pieces: AsyncGenerator[bytes, None], media_type: str, beat: bytes = b"") -> None:
        """`beat` is sent where nothing else is for long; empty for nothing."""
        self._pieces, self._beat = pieces, beat
        self.status_code, self.background = 200, None
        self.raw_headers = [
            (b"content-type", media_type.encode()),
            (b"cache-control", b"no-store"),
            (b"x-accel-buffering", b"no"),
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send all pieces."""
        gone = asyncio.ensure_future(_gone(receive))
        piece: asyncio.Future[bytes] | None = None
        try:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            while not gone.done():
                piece = piece or asyncio.ensure_future(anext(self._pieces))
                both: set[asyncio.Future[Any]] = {piece, gone}
                await asyncio.wait(both, timeout=BEAT_SECONDS, return_when=asyncio.FIRST_COMPLETED)
                if piece.done():
                    try:
                        data = piece.result()
                    except StopAsyncIteration:
                        await send({"type": "http.response.body", "body": b"", "more_body": False})
                        return
                    piece = None
                    await send({"type": "http.response.body", "body": data, "more_body": True})
                elif not gone.done() and self._beat:
                    await send({"type": "http.response.body", "body": self._beat, "more_body": True})
        finally:
            for one in (piece, gone):
                if one is not None and not one.done():
                    one.cancel()
                    with suppress(asyncio.CancelledError, StopAsyncIteration, Exception):
                        await one
            await self._pieces.aclose()


def sse(value: Mapping[str, Any], event: str = "") -> bytes:
    """A server-sent event (html.spec.whatwg.org, server-sent events)."""
    head = f"event: {event}\n" if event else ""
    return f"{head}data: {json.dumps(value, ensure_ascii=False)}\n\n".encode()


def line(value: Mapping[str, Any]) -> bytes:
    """A line of NDJSON."""
    return json.dumps(value, ensure_ascii=False).encode() + b"\n"


DONE = b"data: [DONE]\n\n"
"""The end of OpenAI's streams."""
BEAT = b": still working\n\n"
