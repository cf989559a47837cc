"""Whose time it is: every moment of the engine's thread is spent on a request, or on none.

The time since the last look is booked at each look, so that nothing is counted twice and nothing is lost between two
steps. It knows stages and seconds; who had them is the loop's to know.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from vlmcli.values import Timings


@dataclass
class Spent:
    """Seconds that a request has had of the engine's thread, and of the time before there was one, by stage."""

    start: float = 0.0
    load: float = 0.0
    picture: float = 0.0
    restore: float = 0.0
    encode: float = 0.0
    prefill: float = 0.0
    generate: float = 0.0
    other: float = 0.0

    def timings(self, wait: float = 0.0) -> Timings:
        """As values that can be handed on; `wait` is the time of others."""
        return Timings(**vars(self), wait=wait)


class Ledger:
    """Books the time of the engine's thread.

    Attributes:
        idle: seconds without any request, since one came last.
    """

    def __init__(self, reading: Callable[[], float]) -> None:
        """The clock starts. `reading`: seconds that were spent until now on reading what earlier commands have kept."""
        self.idle = 0.0
        self._reading = reading
        self._read = reading()
        self._last = time.monotonic()

    def lap(self) -> tuple[float, float]:
        """Seconds since the last look: those of reading what was kept, and the others."""
        now, read = time.monotonic(), self._reading()
        whole, restored = now - self._last, read - self._read
        self._last, self._read = now, read
        return min(restored, whole), max(0.0, whole - restored)

    def book(self, spent: Spent, stage: str) -> None:
        """The time since the last look was a stage of this request's, but for what was read from the disk."""
        restored, seconds = self.lap()
        spent.restore += restored
        setattr(spent, stage, getattr(spent, stage) + seconds)

    def book_idle(self) -> None:
        """There was no request in that time."""
        self.idle += sum(self.lap())

    @property
    def running(self) -> float:
        """Seconds since the last look, which stay unbooked."""
        return time.monotonic() - self._last
