"""One runner for many threads: each question has a line of its own, with the events of its own requests."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from queue import SimpleQueue

from vlmcli.errors import RequestError
from vlmcli.values import Event, Last, Notice, Request, Runner, events_of

log = logging.getLogger("vlmcli")


class Shared:
    """A runner whose events are handed to the line that their requests came from."""

    def __init__(self, runner: Runner) -> None:
        """Take the runner's events from now on."""
        self.runner = runner
        self._lock = threading.Lock()
        self._lines: dict[int, SimpleQueue[Event | None]] = {}
        self._has_ended = False
        threading.Thread(target=self._listen, name="vlm-events", daemon=True).start()

    def line(self) -> Line:
        """A line for one question."""
        return Line(self)

    def submit(self, request: Request, line: SimpleQueue[Event | None]) -> int:
        """Take a request of a line. Raises RequestError where the runner has been closed."""
        with self._lock:  # its first event may come before its number is known here
            if self._has_ended:
                raise RequestError("the model is closed", "open it again")
            id = self.runner.submit(request)
            self._lines[id] = line
        return id

    def _listen(self) -> None:
        for event in self.runner.events():
            if event.id is None:
                if isinstance(event, Notice):
                    log.info("%s", event.text)
                continue
            with self._lock:
                line = self._lines.pop(event.id, None) if isinstance(event, Last) else self._lines.get(event.id)
            if line is not None:
                line.put(event)
        with self._lock:
            self._has_ended = True
            lines = {id(line): line for line in self._lines.values()}
        for line in lines.values():
            line.put(None)


class Line:
    """What one question sees of the runner. A `values.Runner`."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._events: SimpleQueue[Event | None] = SimpleQueue()

    def submit(self, request: Request) -> int:
        """Take a request; its events carry the id returned."""
        return self._shared.submit(request, self._events)

    def cancel(self, id: int) -> None:
        """End a request soon."""
        self._shared.runner.cancel(id)

    def events(self) -> Iterator[Event]:
        """The events of the line's own requests, until the runner is closed."""
        return events_of(self._events)

    def close(self) -> None:
        """The runner belongs to all lines, and stays open."""
