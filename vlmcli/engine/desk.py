"""Where any thread leaves requests and collects events, and one thread works: ids, cancelling, time limits.

A request is open from `submit` until its last event has been sent; afterwards no event of it is sent. What the engine's
thread computes in C is announced with `enter` and `leave`, so that another thread can abort it through the native flag.
It knows requests by their ids and time limits only: no model, no tokens, no pictures.
"""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field

from vlmcli import room
from vlmcli.engine.native import AbortFlag
from vlmcli.errors import Cancelled, NativeError, RequestError, TimedOut, VlmError
from vlmcli.values import Delta, Event, Failed, Last, Notice, Progress, Request, Started, events_of


@dataclass(frozen=True)
class Submit:
    """A request to be answered under this id; it came `at` that time of `time.monotonic`."""

    id: int
    request: Request
    at: float = field(default=0.0, compare=False)


@dataclass(frozen=True)
class Cancel:
    """An open request was ended from outside; its last event has been sent already."""

    id: int


@dataclass(frozen=True)
class Close:
    """The engine is to close: no message comes after this one."""


Message = Submit | Cancel | Close

PROGRESS_SECONDS = 0.05
"""Between two reports of a stage's progress: a small model has a dozen in that time, and nobody sees them all."""


class Desk:
    """The inbox and the outbox of an engine, and which requests are open.

    Attributes:
        flag: aborts what runs in C.
        pulse: counts up whenever a native call begins, ends or reports; if it stands still for long, the call is stuck.
        is_awaited: whether somebody waits for the model to be loaded, before any request.
        broken: why no request can be answered any more, if that is so; `submit` raises it once the desk is closed.
    """

    def __init__(self) -> None:
        self.flag = AbortFlag()
        self.pulse = 0
        self.is_awaited = False
        self.broken: VlmError | None = None
        self._inbox: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self._ahead: deque[Message] = deque()  # read from the inbox, and not yet taken
        self._outbox: queue.SimpleQueue[Event | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._open: set[int] = set()  # ids that have not ended
        self._next_id = 0
        self._busy: frozenset[int] = frozenset()  # ids in the native call that runs now
        self._busy_since = 0.0
        self._left: dict[int, float] = {}  # seconds that requests with a timeout have left
        self._shown: dict[int, tuple[str, float]] = {}  # stages whose progress was reported, and when
        self._watcher: threading.Thread | None = None
        self._closing = False

    # ------------------------------------------------------------------------------------------ any thread

    def submit(self, request: Request) -> int:
        """Take a request; its events carry the id returned. Raises RequestError, or `broken`, when it is closed."""
        with self._lock:
            if self._closing:
                raise self.broken or RequestError("the engine is closed")
            id = self._next_id
            self._next_id += 1
            self._open.add(id)
            if request.timeout is not None:
                self._left[id] = request.timeout
                if self._watcher is None:
                    self._watcher = threading.Thread(target=self._watch, name="vlm-watcher", daemon=True)
                    self._watcher.start()
            self._inbox.put(Submit(id, request, time.monotonic()))
        return id

    def cancel(self, id: int) -> None:
        """End a request: `Failed(id, Cancelled())` is sent at once, and what it has in C is aborted."""
        self._stop(id, Cancelled())

    def _stop(self, id: int, error: VlmError) -> None:
        with self._lock:
            if id not in self._open:
                return
            self._forget(id)
            self._outbox.put(Failed(id, error))
            self._inbox.put(Cancel(id))
            if id in self._busy:
                self.flag.set()

    def _watch(self) -> None:
        """End what a long native call has no time left for; short calls are added up in `leave`."""
        while not self._closing:
            time.sleep(0.05)
            with self._lock:
                now = time.monotonic() - self._busy_since
                late = [id for id in self._busy if now > self._left.get(id, now)]
            for id in late:
                self._stop(id, _too_late())

    def events(self) -> Iterator[Event]:
        """All events as they come; ends when the desk is shut."""
        return events_of(self._outbox)

    def close(self) -> None:
        """Ask the engine's thread to end, and abort what it runs."""
        with self._lock:
            self._closing = True
            self._inbox.put(Close())
            self.flag.set()

    # ------------------------------------------------------------------------------------------ engine's thread

    @property
    def closing(self) -> bool:
        """Whether the engine is to close, or has closed."""
        return self._closing

    def read(self, wait: bool) -> Message | None:
        """The next message; None where there is none, unless it waits for one."""
        if self._ahead:
            return self._ahead.popleft()
        try:
            return self._inbox.get(block=wait)
        except queue.Empty:
            return None

    def first(self, seconds: float) -> Request | None:
        """The request that is read next, which stays where it is; waits so long for a message. None without one."""
        if not self._ahead:
            with suppress(queue.Empty):
                self._ahead.append(self._inbox.get(timeout=seconds))
        message = self._ahead[0] if self._ahead else None
        return message.request if isinstance(message, Submit) else None

    def is_open(self, id: int) -> bool:
        """Whether the request has not ended."""
        return id in self._open

    def beat(self) -> None:
        """A native call moves: count `pulse` up."""
        self.pulse += 1

    def enter(self, ids: Iterable[int]) -> bool:
        """Before a call into C for these requests: from here on a cancel of one aborts it. False if one has ended."""
        busy = frozenset(ids)
        with self._lock:
            self.pulse += 1
            if self._closing or not busy <= self._open:
                return False
            self._busy, self._busy_since = busy, time.monotonic()
            self.flag.clear()
            return True

    def leave(self) -> None:
        """After that call: the time it took counts against those requests' limits, and ends what has none left."""
        with self._lock:
            self.pulse += 1
            seconds = time.monotonic() - self._busy_since
            for id in self._busy & self._left.keys():
                self._left[id] -= seconds
            late = [id for id in self._busy if self._left.get(id, 1.0) <= 0]
            self._busy = frozenset()
        for id in late:
            self._stop(id, _too_late())

    def is_due(self, id: int, stage: str) -> bool:
        """Whether a request's progress is to be reported now: a stage's first is, then one every so often."""
        now, (last, at) = time.monotonic(), self._shown.get(id, ("", 0.0))
        if stage == last and now - at < PROGRESS_SECONDS:
            return False
        with self._lock:
            if id in self._open:
                self._shown[id] = stage, now
        return True

    def send(self, event: Started | Progress | Notice | Delta) -> None:
        """Send an event that is not a request's last, unless that request has ended."""
        with self._lock:
            if event.id is None or event.id in self._open:
                self._outbox.put(event)

    def end(self, event: Last) -> None:
        """Send a request's last event, unless it has had one."""
        with self._lock:
            if event.id not in self._open:
                return
            self._forget(event.id)
            self._outbox.put(event)

    def refuse(self, error: VlmError) -> None:
        """Fail every request there is, and every one that comes until the desk is closed."""
        with self._lock:
            left = sorted(self._open)
        self._fail_all(left, error)
        while not isinstance(message := self.read(wait=True), Close):
            if isinstance(message, Submit):
                self.end(Failed(message.id, error))

    def shut(self, error: VlmError) -> None:
        """Take no more requests, fail those that are left, and end `events`."""
        with self._lock:
            self._closing = True
            left = sorted(self._open)
        self._fail_all(left, error)
        self._outbox.put(None)

    def _forget(self, id: int) -> None:
        """A request has ended; the lock is held."""
        self._open.discard(id)
        self._left.pop(id, None)
        self._shown.pop(id, None)

    def _fail_all(self, ids: Iterable[int], error: VlmError) -> None:
        for id in ids:
            self.end(Failed(id, error))


def _too_late() -> TimedOut:
    return TimedOut("no answer within the time limit", "allow more seconds with --timeout")


def internal(bug: Exception) -> NativeError:
    """What users are told of an exception that nobody expected."""
    if room.is_out(bug):
        return NativeError(f"the engine ran out of memory ({str(bug) or type(bug).__name__})", room.HINT)
    return NativeError(f"the engine failed ({type(bug).__name__}: {bug})", "please report this")
