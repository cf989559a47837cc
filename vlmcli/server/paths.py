"""What the handlers of all protocols have in common: bodies, errors as answers, and answers in pieces."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Iterator
from contextlib import aclosing
from typing import Any, Protocol, TypeVar

from starlette.requests import Request
from starlette.responses import Response

from vlmcli.errors import VlmError
from vlmcli.server.asked import Asked
from vlmcli.server.body import Body
from vlmcli.server.guard import body_of, refused
from vlmcli.server.sending import Streamed, unless_gone
from vlmcli.server.service import Service
from vlmcli.server.wrong import Wrong, from_error
from vlmcli.values import Answer, Delta, Started

log = logging.getLogger("vlmcli.server")

CONVERSATIONS = {"/v1/responses": "input", "/v1/decisions": "input", "/v1/systemone": "images"}
"""The fields that hold a conversation and its pictures, where they are not called messages."""
Handler = Callable[[Request], Awaitable[Response]]
Pieces = AsyncGenerator[bytes, None]
Values = Iterable[dict[str, Any]]
T = TypeVar("T")
LARGE = 1 << 20
"""Bytes of a body that is read in a thread."""
_COMPILED = re.compile(rb'"(json_schema|response_format|format|regex|grammar)"')
"""Names of fields whose values are compiled."""


class Told(Protocol):
    """An answer on its way to a client, as the objects of a protocol."""

    def first(self, rows: int, /) -> Iterator[dict[str, Any]]:
        """What is sent when the model begins with a prompt of so many rows."""

    def more(self, delta: Delta) -> Iterator[dict[str, Any]]:
        """The next piece of the answer."""

    def last(self, answer: Answer) -> Iterator[dict[str, Any]]:
        """The end of the answer, and what was used."""

    def failed(self, wrong: Wrong) -> Iterator[dict[str, Any]]:
        """Why the answer ends here."""


class Paths:
    """Handlers of one server."""

    def __init__(self, service: Service) -> None:
        self.service = service

    def told(self, handler: Handler) -> Handler:
        """A handler whose errors are answers, and whose requests are counted."""

        async def counted(request: Request) -> Response:
            began, endpoint = time.monotonic(), request.scope["endpoint"]
            path = next((one.path for one in request.app.routes if one.endpoint is endpoint), "")
            try:
                response = await handler(request)
            except VlmError as error:
                wrong = from_error(error)
                if wrong.param == "messages":  # as the service calls a conversation
                    wrong.param = CONVERSATIONS.get(path, wrong.param)
                response = refused(wrong, path)
            except Exception:
                log.exception("%s failed", path)
                response = refused(
                    Wrong("the server failed", "start it with -v to see why", status=500, code="server_error"), path
                )
            figures = self.service.figures
            figures.requests.labels(path, str(response.status_code)).inc()
            figures.seconds.labels(path).observe(time.monotonic() - began)
            return response

        return counted

    async def body(self, request: Request) -> Body:
        """The object that a request has sent. Raises Wrong."""
        return await self.read(request, lambda body: body)

    async def read(self, request: Request, parse: Callable[[Body], T]) -> T:
        """What a request asks for, as `parse` reads its body. Raises Wrong.

        A schema may take a second to be compiled, in which others are answered.
        """
        length = request.headers.get("content-length", "")
        data = await body_of(request.receive, length, self.service.limits.body)
        if len(data) < LARGE and not _COMPILED.search(data):
            return parse(Body.read(data))
        return await asyncio.to_thread(lambda: parse(Body.read(data)))

    async def answer(self, asked: Asked, name: str) -> Answer:
        """The whole answer to what was asked of a model. Raises Wrong."""
        async with self.service.place():
            return await self.service.answer(name, await self.service.requested(asked), asked.keep)

    async def pieces(self, asked: Asked, name: str, told: Told, encode: Callable[[dict[str, Any]], bytes]) -> Pieces:
        """An answer piece by piece. What is wrong before the model begins is raised, later it is told in the stream."""
        is_begun = False
        try:
            async with self.service.place():
                request = await self.service.requested(asked)
                async with aclosing(self.service.events(name, request, asked.keep)) as events:
                    async for event in events:
                        if not is_begun:
                            is_begun = True
                            for piece in told.first(event.rows if isinstance(event, Started) else 0):
                                yield encode(piece)
                        for piece in _pieces(event, told):
                            yield encode(piece)
        except VlmError as error:
            if not is_begun:
                raise
            for piece in told.failed(from_error(error)):
                yield encode(piece)
        except Exception:
            if not is_begun:
                raise
            log.exception("a stream failed")
            for piece in told.failed(_failure()):
                yield encode(piece)


def _failure() -> Wrong:
    return Wrong("the server failed", "start it with -v to see why", status=500, code="server_error")


def _pieces(event: object, told: Told) -> Values:
    if isinstance(event, Delta):
        return told.more(event)
    return told.last(event) if isinstance(event, Answer) else ()


async def begun(request: Request, pieces: Pieces, media_type: str, beat: bytes = b"") -> Response:
    """A stream whose first piece has come: what is wrong before that is an answer with a status of its own."""
    first = await unless_gone(request.receive, anext(pieces))

    async def all_pieces() -> Pieces:
        async with aclosing(pieces):
            yield first
            async for piece in pieces:
                yield piece

    return Streamed(all_pieces(), media_type, beat)
