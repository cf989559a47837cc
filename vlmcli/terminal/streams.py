"""What standard streams can do and take: widths, files behind them, writing all or nothing.

Knows streams of text and the system's files. Does not know what is written to them, nor colours or Markdown.
"""

from __future__ import annotations

import errno
import io
import os
import signal
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import IO, TextIO

QUIET_SECONDS = 5.0
"""Between two lines of progress, where no terminal shows a live one."""


def terminal_width(stream: IO[str]) -> int:
    """Of the terminal that a stream is; 0 where it is none. rich would look at stdin's first."""
    with suppress(OSError, ValueError):
        return os.get_terminal_size(stream.fileno()).columns
    return 0


def file_descriptor(stream: TextIO) -> int | None:
    """The file behind a stream that is no terminal; None for a terminal, and for what is no file of the system's."""
    try:
        return None if stream.isatty() else stream.fileno()
    except (OSError, ValueError):
        return None


def write_whole(file: int, data: bytes) -> None:
    """Write all of it, or, into a regular file that has no room, nothing: half a line would be taken for one."""
    there = os.fstat(file)
    start = there.st_size if stat.S_ISREG(there.st_mode) else -1
    view = memoryview(data)
    try:
        while view:
            view = view[os.write(file, view) :]
    except OSError:
        if start >= 0 and os.fstat(file).st_size == start + len(data) - len(view):
            os.ftruncate(file, start)
            os.lseek(file, start, os.SEEK_SET)
        raise


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Let Ctrl-C wait until the block is done: rich's live line cannot be begun or ended by half."""
    handler = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(handler):
        yield
        return
    came: list[FrameType | None] = []
    signal.signal(signal.SIGINT, lambda _, frame: came.append(frame))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
    if came:
        handler(signal.SIGINT, came[0])


class ClosedStream(io.StringIO):
    """A standard stream that somebody has closed."""

    def write(self, text: str) -> int:
        raise OSError(errno.EBADF, "it is closed")
