"""The models of a server: each loaded in a process of its own when somebody asks for it, and freed when nobody does.

All of it runs in the event loop's thread, except what waits: loading, and closing.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field

from vlmcli.errors import Cancelled, VlmError
from vlmcli.runners.awaited import Awaited
from vlmcli.server.wrong import Wrong
from vlmcli.values import Event, Failed, Last, ModelFiles, Request, Runner

log = logging.getLogger("vlmcli.server")

TICK = 1.0
"""Seconds between two looks for models that nobody uses."""
TURN = 5.0
"""Seconds that a request waits for another model's to end. After that, new ones for the other model wait for it."""


@dataclass(eq=False, kw_only=True)
class Hosted(Awaited):
    """A model that is loaded, or being loaded.

    Attributes:
        files: which.
        keep: seconds that it is kept after its last request; below zero for ever.
    """

    files: ModelFiles
    keep: float

    async def ask(self, request: Request) -> AsyncGenerator[Event, None]:
        """As `Awaited.ask`. Raises Wrong."""
        try:
            async with aclosing(super().ask(request)) as events:
                async for event in events:
                    yield event
        except VlmError as error:  # it has closed itself
            self.is_broken = True
            log.error("%s: %s", self.files.name, error)
            raise Wrong("the model has just failed", "try again", status=503, code="model_failed", after=1) from None


@dataclass(eq=False)
class _Waits:
    """A request that waits for a model."""

    name: str
    since: float = field(default_factory=time.monotonic)


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
        self.models = dict(models)
        """All models that are served, by their names."""
        self._open = open
        self._most, self._keep_alive = most, keep_alive
        self._hosted: dict[str, Hosted] = {}
        self._changed = asyncio.Condition()
        self._waiting: list[_Waits] = []  # in the order they came
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

    def add(self, files: ModelFiles) -> None:
        """Serve another model, too."""
        self.models.setdefault(files.name, files)

    @property
    def loaded(self) -> Mapping[str, Hosted]:
        """The models that are loaded, by their names."""
        return self._hosted

    @asynccontextmanager
    async def taken(self, name: str, keep: float | None = None) -> AsyncIterator[Hosted]:
        """A model, loaded if it is not, and kept as long as it is used. Waits for room. Raises VlmError.

        Afterwards it is kept for so many seconds; None leaves that as it was.
        """
        hosted = await self._take(name)
        if keep is not None:
            hosted.keep = keep
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
        waits = _Waits(name)
        async with self._changed:
            try:
                while (hosted := await self._had(name, waits)) is None:
                    if waits not in self._waiting:
                        self._waiting.append(waits)
                    await self._changed.wait()
            finally:
                if waits in self._waiting:
                    self._waiting.remove(waits)
                    self._changed.notify_all()
            hosted.users += 1
            return hosted

    async def _had(self, name: str, waits: _Waits) -> Hosted | None:
        """A model, loaded now if there is room; None where others are to end first."""
        if self.is_closed:
            raise Wrong("the server is stopping", "try again later", status=503, code="stopping")
        hosted = self._hosted.get(name)
        if hosted is not None and not hosted.is_broken:
            return None if self._must_yield(waits) else hosted
        if hosted is not None:
            if hosted.users:
                return None
            await self._free(name)
        elif len(self._hosted) >= self._most:
            idle = [one for one, its in self._hosted.items() if not its.users]
            if not idle or self._must_yield(waits):
                return None
            await self._free(min(idle, key=lambda one: self._hosted[one].used))
        log.info("loading %s", name)
        files = self.models[name]
        hosted = self._hosted[name] = Hosted(runner=self._open(files), files=files, keep=self._keep_alive)
        hosted.listen()
        return hosted

    def _must_yield(self, waits: _Waits) -> bool:
        """Whether somebody has waited for another model for so long that it is their turn."""
        for other in self._waiting:
            if other is waits:
                return False
            if other.name != waits.name and other.name not in self._hosted:
                return time.monotonic() - other.since > TURN
        return False

    async def unload(self, name: str) -> None:
        """Free a model, unless somebody uses it."""
        async with self._changed:
            hosted = self._hosted.get(name)
            if hosted is not None and not hosted.users:
                await self._free(name)
                self._changed.notify_all()

    async def _free(self, name: str) -> None:
        log.info("freeing %s", name)
        hosted = self._hosted.pop(name, None)
        if hosted is not None:
            await asyncio.to_thread(hosted.runner.close)

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
