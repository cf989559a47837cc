"""A runner for an event loop: the events of each request come to whoever awaits them.

They are taken in a thread, and put into the queue of the request that they belong to. All else runs in the loop's
thread.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncGenerator
from contextlib import suppress
from dataclasses import dataclass, field

from vlmcli.errors import ModelError, NativeError
from vlmcli.values import Event, Failed, Last, Request, Runner


@dataclass(eq=False)
class Awaited:
    """A runner, and who waits for its events.

    Attributes:
        runner: answers.
        users: requests that are under way, or about to be.
        used: when the last one ended, as `time.monotonic` counts.
        is_broken: whether another one is to be opened in its place.
    """

    runner: Runner
    users: int = 0
    used: float = field(default_factory=time.monotonic)
    is_broken: bool = False
    _queues: dict[int, asyncio.Queue[Event]] = field(default_factory=dict)

    def listen(self) -> None:
        """Take the runner's events for the loop that runs now, until the runner is closed."""
        loop = asyncio.get_running_loop()
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

    async def ask(self, request: Request) -> AsyncGenerator[Event, None]:
        """The events of a request to the last, and those of loading meanwhile.

        It is cancelled when the iteration is left earlier. Raises VlmError where the runner has closed itself.
        """
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
