"""The model that answers: found and opened when the first call needs it, and freed when nobody has asked for a while.

A runner's events are taken in a thread, and put into the queue of the request that they belong to. All else runs in
the event loop's thread.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from vlmcli.errors import ModelError, NativeError, VlmError
from vlmcli.values import Answer, Delta, Done, Event, Failed, Last, ModelFiles, Progress, Request, Runner, Started

log = logging.getLogger("vlmcli.mcp")

TICK = 1.0
"""Seconds between two looks whether anybody uses the model."""
Tell = Callable[[float, str], Awaitable[None]]
"""Takes the share of a call that is done, 0 to 1, and what is done now."""
_STAGES = {"load": (0.0, 0.2, "loading the model"), "encode": (0.2, 0.4, "looking at the picture"),
           "prefill": (0.6, 0.2, "reading")}  # fmt: skip
"""Of each stage: the share at which it begins, the share that it takes, and its name."""


@dataclass(eq=False)
class _Opened:
    """A runner, and who waits for its events.

    Attributes:
        runner: answers.
        users: calls that it answers.
        used: when the last one ended, as `time.monotonic` counts.
        is_broken: whether another one is to be opened for the next call.
    """

    runner: Runner
    users: int = 0
    used: float = field(default_factory=time.monotonic)
    is_broken: bool = False
    _queues: dict[int, asyncio.Queue[Event]] = field(default_factory=dict)

    def listen(self, loop: asyncio.AbstractEventLoop) -> None:
        """Take the runner's events, until it is closed."""
        threading.Thread(target=self._listen, args=(loop,), name="vlm-events", daemon=True).start()

    def _listen(self, loop: asyncio.AbstractEventLoop) -> None:
        for event in self.runner.events():
            with suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(self._happened, event)
        self.is_broken = True  # closed, by us or by itself

    def _happened(self, event: Event) -> None:
        if isinstance(event, Failed) and isinstance(event.error, ModelError | NativeError):
            self.is_broken = True  # or may be: opening it again is the way to know
        if event.id is None:  # the model is being loaded, for all
            for queue in self._queues.values():
                queue.put_nowait(event)
        elif event.id in self._queues:
            self._queues[event.id].put_nowait(event)

    async def answer(self, request: Request, tell: Tell) -> Answer:
        """The answer to a request, which is cancelled when nobody waits for it any more. Raises VlmError."""
        id = self.runner.submit(request)
        queue = self._queues[id] = asyncio.Queue()
        ended, pieces = False, 0
        try:
            while True:
                event = await queue.get()
                ended = isinstance(event, Last)
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
        finally:
            del self._queues[id]
            if not ended:
                self.runner.cancel(id)


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
        self._opened: _Opened | None = None

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
            each = [asyncio.ensure_future(opened.answer(one, telling(n))) for n, one in enumerate(requests)]
            try:
                return list(await asyncio.gather(*each))
            finally:
                for one in each:
                    one.cancel()

    @asynccontextmanager
    async def _taken(self) -> AsyncIterator[_Opened]:
        async with self._lock:
            opened = self._opened
            if opened is None or opened.is_broken:
                files = await self._found()
                log.info("opening %s", files.name)
                opened = self._opened = _Opened(await asyncio.to_thread(self._open, files))
                opened.listen(asyncio.get_running_loop())
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

    async def _free(self, opened: _Opened) -> None:
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
