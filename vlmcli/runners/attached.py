"""A model that another process of the user's keeps in memory, in the place of a child process with an engine.

To the worker it is a process that is loaded already. When it is gone, the worker starts one of its own.
"""

from __future__ import annotations

import queue
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import IO

from vlmcli.runners import frames, wire


@dataclass
class Attached:
    """A connection to it; its members are those of `process.Process`.

    Attributes:
        pid: the server's.
        connection: to it.
        source: what comes from it.
        writer: what goes to it.
        patience: seconds without a sign of life, while it is busy, after which it is given up.
    """

    pid: int
    connection: socket.socket
    source: IO[bytes]
    writer: frames.Writer
    patience: float
    heard: float = field(default_factory=time.monotonic)
    loaded: bool = True
    answered: bool = False
    retiring: bool = False
    shared: None = None
    grown_by: int = 0
    gone: threading.Event = field(default_factory=threading.Event)
    _outgoing: queue.SimpleQueue[object] = field(default_factory=queue.SimpleQueue)

    def __post_init__(self) -> None:
        threading.Thread(target=self._write, name="vlm-warm", daemon=True).start()

    def send(self, message: wire.ToEngine) -> None:
        """Put a message in line for it; returns at once."""
        self._outgoing.put(message)

    def send_pixels(self, need: int, data: bytes) -> None:
        """Hand over the pixels that it needs."""
        self.send(wire.Pixels(need, data=data))

    def finish(self) -> None:
        """Say that nothing more comes, once all messages are sent; returns at once."""
        self._outgoing.put(None)

    def receive(self) -> wire.FromEngine | None:
        """Wait for its next message; None when it is gone, or sent what is no message."""
        try:
            message: wire.FromEngine | None = frames.receive(self.source, wire.FromEngine)
        except frames.Garbled:
            return None
        self.heard = time.monotonic()
        return message

    def _write(self) -> None:
        with suppress(OSError, ValueError):
            while (message := self._outgoing.get()) is not None:
                self.writer.send(message)
        self._shut(socket.SHUT_WR)

    def holds(self, resident: int) -> None:
        """What it holds is the server's business."""

    def watch(self, is_busy: Callable[[], bool]) -> None:
        """Give it up when it is busy and gives no sign of life. Returns when it is gone: for a thread of its own."""
        pause = min(0.5, self.patience / 4)
        while not self.gone.wait(pause):
            if is_busy() and time.monotonic() - self.heard > self.patience:
                self._shut(socket.SHUT_RDWR)
                return

    def end(self) -> None:
        """End the connection; what was under way there is cancelled."""
        self.finish()
        self._shut(socket.SHUT_RDWR)
        self.gone.set()

    def bury(self) -> None:
        """Once `receive` has given None: end it."""
        self.end()
        self.connection.close()

    def _shut(self, how: int) -> None:
        with suppress(OSError):
            self.connection.shutdown(how)
