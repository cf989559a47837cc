"""Requests through the queue, their pictures, and a model: what all protocols have in common."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, replace

from vlmcli.errors import Cancelled, VlmError
from vlmcli.server.asked import Asked
from vlmcli.server.figures import Figures
from vlmcli.server.pool import Pool
from vlmcli.server.seen import Given, Reader
from vlmcli.server.wrong import Wrong, from_error
from vlmcli.values import Answer, Delta, Done, Failed, ModelFiles, Picture, Request, Started


@dataclass(frozen=True)
class Limits:
    """What a client may ask for.

    Attributes:
        body: bytes of a request.
        body_seconds: in which it must have come.
        queue: requests that are under way or wait, of all clients.
        tokens: of an answer at most.
        seconds: of computing one.
        pictures: of a request.
        megapixels: of a picture.
    """

    body: int = 64 * 10**6
    body_seconds: float = 60.0
    queue: int = 64
    tokens: int = 8192
    seconds: float = 600.0
    pictures: int = 16
    megapixels: float = 100.0


class Service:
    """Answers what protocols have read.

    Attributes:
        pool: the models.
        limits: what a client may ask for.
        figures: what is counted.
        under_way: requests that have not ended.
        is_stopping: whether new ones are refused.
    """

    def __init__(self, pool: Pool, reader: Reader, limits: Limits, figures: Figures) -> None:
        self.pool, self.limits, self.figures = pool, limits, figures
        self._reader = reader
        self.under_way = 0
        self.is_stopping = False
        self._ended = asyncio.Event()
        self._seconds = 1.0  # of a request, as they have been lately

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """A place in the queue. Raises Wrong where there is none, or the server is stopping."""
        if self.is_stopping:
            raise Wrong("the server is stopping", "try again later", status=503, code="stopping", after=5)
        if self.under_way >= self.limits.queue:
            wait = max(1, min(60, round(self._seconds)))
            raise Wrong(
                f"{self.under_way} requests are waiting already", "try again later",
                status=429, code="queue_full", after=wait,
            )  # fmt: skip
        self.under_way += 1
        self.figures.under_way.set(self.under_way)
        began = time.monotonic()
        try:
            yield
        finally:
            self._seconds += 0.1 * (time.monotonic() - began - self._seconds)
            self.under_way -= 1
            self.figures.under_way.set(self.under_way)
            self._ended.set()

    async def drained(self) -> None:
        """Refuse new requests, and wait until none is under way."""
        self.is_stopping = True
        while self.under_way:
            self._ended.clear()
            await self._ended.wait()

    async def pictures(self, given: list[Given]) -> list[Picture]:
        """The pictures of a request. Raises Wrong."""
        if not given:
            return []
        return await asyncio.get_running_loop().run_in_executor(self._reader.pool, self._reader.read, given)

    async def requested(self, asked: Asked) -> Request:
        """A request with its pictures, within the limits. Raises Wrong."""
        pictures = await self.pictures(asked.given)
        return replace(
            asked.request,
            messages=asked.messages(pictures),
            max_tokens=min(asked.request.max_tokens, self.limits.tokens),
            timeout=self.limits.seconds,
        )

    async def events(self, name: str, request: Request) -> AsyncGenerator[Started | Delta | Answer, None]:
        """What comes of a request that has a place in the queue: pieces, and the whole answer last. Raises Wrong."""
        async with self.pool.taken(name) as hosted, aclosing(hosted.ask(request)) as events:
            async for event in events:
                if isinstance(event, Failed):
                    raise _told(event.error)
                if isinstance(event, Done):
                    self.figures.answered(event.answer)
                    yield event.answer
                elif isinstance(event, Started | Delta):
                    yield event

    async def answer(self, name: str, request: Request) -> Answer:
        """The whole answer to a request that has a place in the queue. Raises Wrong."""
        async with aclosing(self.events(name, request)) as events:
            async for event in events:
                if isinstance(event, Answer):
                    return event
        raise Wrong("the engine gave no answer", "try again", status=500, code="server_error")

    def files(self, name: str) -> ModelFiles:
        """A model that is served."""
        return self.pool.models[name]


def _told(error: VlmError) -> Wrong:
    """An engine's error; one that was cancelled here, and not by its client, is the server's."""
    if isinstance(error, Cancelled):
        return Wrong("the server is stopping", "try again later", status=503, code="stopping")
    return from_error(error, "messages" if error.http_status == 400 else "")
