"""Requests through the queue, their pictures, and a model: what all protocols have in common."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, replace

from vlmcli.errors import Cancelled, VlmError
from vlmcli.server.asked import Asked
from vlmcli.server.figures import Figures
from vlmcli.server.pool import Pool
from vlmcli.server.seen import Given, Reader
from vlmcli.server.wrong import Wrong, from_error
from vlmcli.tasks.decide import grey
from vlmcli.values import Answer, Delta, Done, Failed, Measured, Message, ModelFiles, Picture, Request, Started

_ANY = Request((Message("user", (grey(), "?")),), measure=True)
"""A request that a model must be loaded for, and that it does nothing else for."""

log = logging.getLogger("vlmcli.server")


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
    async def place(self, *, waits: bool = False) -> AsyncIterator[None]:
        """A place in the queue, at once or after others. Raises Wrong where there is none, or the server stops."""
        while waits and self.under_way >= self.limits.queue and not self.is_stopping:
            self._ended.clear()
            await self._ended.wait()
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
        return await self._reader.read(given)

    async def requested(self, asked: Asked) -> Request:
        """A request with its pictures, within the limits. Raises Wrong."""
        pictures = await self.pictures(asked.given)
        return replace(
            asked.request,
            messages=asked.messages(pictures),
            max_tokens=min(asked.request.max_tokens, self.limits.tokens),
            timeout=self.limits.seconds,
        )

    async def events(
        self, name: str, request: Request, keep: float | None = None
    ) -> AsyncGenerator[Started | Delta | Answer, None]:
        """What comes of a request that has a place in the queue: pieces, and the whole answer last. Raises Wrong.

        `keep` is that of `Pool.taken`.
        """
        async with self.pool.taken(name, keep) as hosted, aclosing(hosted.ask(request)) as events:
            async for event in events:
                if isinstance(event, Failed):
                    raise _told(event.error, self.files(name))
                if isinstance(event, Done):
                    self.figures.answered(event.answer)
                    yield event.answer
                elif isinstance(event, Started | Delta):
                    yield event

    async def answer(self, name: str, request: Request, keep: float | None = None) -> Answer:
        """The whole answer to a request that has a place in the queue. Raises Wrong."""
        async with aclosing(self.events(name, request, keep)) as events:
            async for event in events:
                if isinstance(event, Answer):
                    return event
        raise Wrong("the engine gave no answer", "try again", status=500, code="server_error")

    async def answers(self, name: str, requests: Sequence[Request], keep: float | None = None) -> list[Answer]:
        """The answers to requests that have one place in the queue, and are answered together. Raises Wrong."""
        tasks = [asyncio.ensure_future(self.answer(name, request, keep)) for request in requests]
        try:
            return list(await asyncio.gather(*tasks))
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def measured(self, name: str, request: Request) -> Measured:
        """How much of the context a request would take, which has a place in the queue. Raises Wrong."""
        async with self.pool.taken(name) as hosted, aclosing(hosted.ask(replace(request, measure=True))) as events:
            async for event in events:
                if isinstance(event, Failed):
                    raise _told(event.error, self.files(name))
                if isinstance(event, Measured):
                    return event
        raise Wrong("the engine gave no answer", "try again", status=500, code="server_error")

    async def loaded(self, name: str, keep: float | None) -> None:
        """Load a model, and wait until it can be asked. Raises Wrong."""
        async with aclosing(self.events(name, _ANY, keep)) as events:
            async for _ in events:
                pass

    def files(self, name: str) -> ModelFiles:
        """A model that is served."""
        return self.pool.models[name]


def _told(error: VlmError, files: ModelFiles) -> Wrong:
    """An engine's error without its paths; one that was cancelled here, and not by its client, is the server's."""
    if isinstance(error, Cancelled):
        return Wrong("the server is stopping", "try again later", status=503, code="stopping")
    if error.http_status >= 500:
        log.error("%s: %s", files.name, error)
    folders = {f"{file.parent.absolute()}{os.sep}" for file in (files.model, files.projector)}
    return from_error(error, "messages" if error.http_status == 400 else "", folders)
