"""The models of a server: each loaded in a process of its own when somebody asks for it, and freed when nobody does.

All of it runs in the event loop's thread, except what waits: loading, and closing. A runner's events are taken in a
thread, and put into the queue of the request that they belong to.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from vlmcli.errors import Cancelled, ModelError, VlmError
from vlmcli.server.wrong import Wrong
from vlmcli.values import Event, Failed, Last, ModelFiles, Request, Runner

log = logging.getLogger("vlmcli.server")

TICK = 1.0
"""Seconds between two looks for models that nobody uses."""


@dataclass
class Hosted:
    """A model that is loaded, or being loaded.

    Attributes:
        files: which.
        runner: answers its requests.
        users: requests that are under way, or about to be.
        used: when the last one ended, as `time.monotonic` counts.
        keep: seconds that it is kept after that; below zero for ever.
    """

    files: ModelFiles
    runner: Runner
    keep: float
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

    def _happened(self, event: Event) -> None:
        if event.id is None:
            return
        waiting = self._queues.get(event.id)
        if isinstance(event, Failed) and isinstance(event.error, ModelError):
            self.is_broken = True
        if waiting is not None:
            waiting.put_nowait(event)

    async def ask(self, request: Request) -> AsyncGenerator[Event, None]:
        """The events of a request, to the last. It is cancelled when the iteration is left earlier."""
        id = self.runner.submit(request)
        queue = self._queues[id] = asyncio.Queue()
        ended = False
        try:
            while not ended:
                event = await queue.get()
                ended = isinstance(event, Last)
                yield event
        finally:
            del self._queues[id]
            if not ended:
                self.runner.cancel(id)


class Pool:
    """Models by their names, of which so many are loaded at a time."""

    def __init__(
        self,
        models: Mapping[str, ModelFiles],
        open: Callable[[ModelFiles], Runner],
        *,
        most: int,
        keep_alive: float,
    ) -> None:
        """Load nothing yet.

        Args:
            models: all that may be asked for; the first is that of whoever names none.
            open: makes what answers; returns at once.
            most: that are loaded at a time.
            keep_alive: seconds that one is kept when nobody uses it; below zero for ever.
        """
        self.models = models
        self._open = open
        self._most, self._keep_alive = most, keep_alive
        self._hosted: dict[str, Hosted] = {}
        self._changed = asyncio.Condition()
        self._sweeper: asyncio.Task[None] | None = None
        self.is_closed = False

    def name_of(self, wanted: str) -> str:
        """The name of a model that is served. Raises Wrong for another."""
        if not wanted:
            return next(iter(self.models))
        for name in (wanted, wanted.removesuffix(":latest")):
            if name in self.models:
                return name
        raise Wrong(
            f"the model {wanted!r} is not served here", f"use {', '.join(self.models)}",
            param="model", status=404, code="model_not_found",
        )  # fmt: skip

    @property
    def loaded(self) -> Mapping[str, Hosted]:
        """The models that are loaded, by their names."""
        return self._hosted

    @asynccontextmanager
    async def taken(self, name: str) -> AsyncIterator[Hosted]:
        """A model, loaded if it is not, and kept as long as it is used. Waits for room. Raises VlmError."""
        hosted = await self._take(name)
        try:
            yield hosted
        finally:
            hosted.users -= 1
            hosted.used = time.monotonic()
            if hosted.is_broken and self._hosted.get(name) is hosted and not hosted.users:
                await self._free(name)
            async with self._changed:
                self._changed.notify_all()

    async def _take(self, name: str) -> Hosted:
        async with self._changed:
            while True:
                if self.is_closed:
                    raise Wrong("the server is stopping", "try again later", status=503, code="stopping")
                hosted = self._hosted.get(name)
                if hosted is not None and not hosted.is_broken:
                    break
                if len(self._hosted) >= self._most and name not in self._hosted:
                    idle = [one for one, its in self._hosted.items() if not its.users]
                    if not idle:
                        await self._changed.wait()
                        continue
                    await self._free(min(idle, key=lambda one: self._hosted[one].used))
                elif hosted is not None:  # broken
                    if hosted.users:
                        await self._changed.wait()
                        continue
                    await self._free(name)
                log.info("loading %s", name)
                hosted = self._hosted[name] = Hosted(self.models[name], self._open(self.models[name]), self._keep_alive)
                hosted.listen(asyncio.get_running_loop())
                break
            hosted.users += 1
            return hosted

    async def unload(self, name: str) -> None:
        """Free a model, unless somebody uses it."""
        async with self._changed:
            hosted = self._hosted.get(name)
            if hosted is not None and not hosted.users:
                await self._free(name)
                self._changed.notify_all()

    async def _free(self, name: str) -> None:
        log.info("freeing %s", name)
        await asyncio.to_thread(self._hosted.pop(name).runner.close)

    def start(self) -> None:
        """Begin to free models that nobody uses."""
        self._sweeper = asyncio.create_task(self._sweep())

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(TICK)
            now = time.monotonic()
            for name, hosted in list(self._hosted.items()):
                if not hosted.users and 0 <= hosted.keep <= now - hosted.used:
                    await self.unload(name)

    async def close(self) -> None:
        """End everything that is under way, and free all models."""
        self.is_closed = True
        if self._sweeper is not None:
            self._sweeper.cancel()
        async with self._changed:
            self._changed.notify_all()
        for name in list(self._hosted):
            await self._free(name)


def outcome(event: Event) -> VlmError | None:
    """Why a request has failed, by its last event; None where it has not."""
    if isinstance(event, Failed):
        return event.error
    return Cancelled() if not isinstance(event, Last) else None
