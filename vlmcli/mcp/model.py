"""The model that answers: found and opened when the first call needs it, freed when nobody has asked for a while."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing, asynccontextmanager

from vlmcli.errors import ModelError, NativeError, VlmError
from vlmcli.runners.awaited import Awaited
from vlmcli.values import Answer, Delta, Done, Failed, ModelFiles, Progress, Request, Runner, Started

log = logging.getLogger("vlmcli.mcp")

TICK = 1.0
"""Seconds between two looks whether anybody uses the model."""
Tell = Callable[[float, str], Awaitable[None]]
"""Takes the share of a call that is done, 0 to 1, and what is done now."""
_STAGES = {"load": (0.0, 0.2, "loading the model"), "encode": (0.2, 0.4, "looking at the picture"),
           "prefill": (0.6, 0.2, "reading")}  # fmt: skip
"""Of each stage: the share at which it begins, the share that it takes, and its name."""


async def _answer(opened: Awaited, request: Request, tell: Tell) -> Answer:
    """The answer to a request, which is cancelled when nobody waits for it any more. Raises VlmError."""
    pieces = 0
    async with aclosing(opened.ask(request)) as events:
        async for event in events:
            if isinstance(event, Done):
                return event.answer
            if isinstance(event, Failed):
                raise event.error
            if isinstance(event, Progress):
                begins, takes, name = _STAGES[event.stage]
                await tell(begins + takes * event.done, name)
            elif isinstance(event, Delta):
                pieces += 1
                await tell(0.8 + 0.2 * min(1.0, pieces / request.max_tokens), "answering")
            elif isinstance(event, Started):
                await tell(0.2, "looking at the picture")
    raise NativeError("the engine gave no answer", "ask again")


class Model:
    """The model of a process."""

    def __init__(self, find: Callable[[], ModelFiles], open: Callable[[ModelFiles], Runner], keep: float) -> None:
        """Open nothing yet.

        Args:
            find: finds the model's files. Raises VlmError. Called in a thread.
            open: opens them; returns at once.
            keep: seconds that the model stays in memory when nobody asks; below zero for ever.
        """
        self._find, self._open, self._keep = find, open, keep
        self._lock = asyncio.Lock()
        self._files: ModelFiles | None = None
        self._opened: Awaited | None = None

    async def files(self) -> ModelFiles:
        """The model's files. Raises VlmError, and tries again with the next call."""
        async with self._lock:
            return await self._found()

    async def _found(self) -> ModelFiles:
        if self._files is None:
            self._files = await asyncio.to_thread(self._find)
        return self._files

    async def answers(self, requests: Sequence[Request], tell: Tell) -> list[Answer]:
        """The answers to requests, which are asked together. Raises VlmError."""
        shares = [0.0] * len(requests)

        def telling(number: int) -> Tell:
            async def told(share: float, what: str) -> None:
                shares[number] = max(shares[number], share)
                await tell(sum(shares) / len(shares), what)

            return told

        async with self._taken() as opened:
            each = [asyncio.ensure_future(_answer(opened, one, telling(n))) for n, one in enumerate(requests)]
            try:
                return list(await asyncio.gather(*each))
            finally:
                for one in each:
                    one.cancel()

    @asynccontextmanager
    async def _taken(self) -> AsyncIterator[Awaited]:
        async with self._lock:
            opened = self._opened
            if opened is None or opened.is_broken:
                files = await self._found()
                log.info("opening %s", files.name)
                opened = self._opened = Awaited(await asyncio.to_thread(self._open, files))
                opened.listen()
            opened.users += 1
        try:
            yield opened
        except VlmError as error:
            if isinstance(error, ModelError | NativeError):
                opened.is_broken, self._files = True, None  # it may be another one next time
            raise
        finally:
            opened.users -= 1
            opened.used = time.monotonic()
            if opened.is_broken and not opened.users:
                await self._free(opened)

    async def _free(self, opened: Awaited) -> None:
        if self._opened is opened:
            self._opened = None
        await asyncio.to_thread(opened.runner.close)

    async def sweep(self) -> None:
        """Free the model whenever nobody has used it for long; for ever."""
        while True:
            await asyncio.sleep(TICK)
            opened = self._opened
            if opened is not None and not opened.users and 0 <= self._keep <= time.monotonic() - opened.used:
                log.info("freeing the model, which nobody uses")
                await self._free(opened)

    def close(self) -> None:
        """End all that is under way, and free the model."""
        if self._opened is not None:
            self._opened.runner.close()
