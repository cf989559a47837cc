"""What standard streams can do and take: widths, files behind them, writing all or nothing.

Knows streams of text and the system's files. Does not know what is written to them, nor colours or Markdown.
"""

from __future__ import annotations

import array
import errno
import io
import os
import select
import signal
import stat
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import IO, TextIO

from vlmcli import settings
from vlmcli.records.held import Held, name_of

QUIET_SECONDS = 5.0
"""Between two lines about one file or one question, where no terminal shows a live one."""


def terminal_width(stream: IO[str]) -> int:
    """Of the terminal that a stream is; 0 where it is none. rich would look at stdin's first."""
    with suppress(OSError, ValueError):
        return os.get_terminal_size(stream.fileno()).columns
    return 0


def can_redraw(stream: IO[str]) -> bool:
    """Whether a stream is a terminal that obeys the codes with which a line is drawn over itself."""
    if not stream.isatty():
        return False
    if sys.platform == "win32":
        from rich.console import Console

        return not Console(file=stream).legacy_windows
    return settings.variables().get("TERM", "").lower() not in ("dumb", "unknown")


def has_colours(stream: IO[str]) -> bool:
    """Whether text may be coloured there: on a terminal that obeys such codes, unless the user wants none."""
    return can_redraw(stream) and settings.wants_colours()


def are_one_terminal(one: TextIO, other: TextIO) -> bool:
    """Whether two streams write to the same terminal, in the same encoding."""
    try:
        files = [os.fstat(stream.fileno()).st_rdev for stream in (one, other) if stream.isatty()]
    except (OSError, ValueError):
        return False
    return len(files) == 2 and files[0] == files[1] and one.encoding == other.encoding


def columns() -> int:
    """Of the terminal that stdout is; 80 where it is none."""
    return (terminal_width(sys.stdout) if sys.stdout is not None else 0) or 80


def file_descriptor(stream: TextIO) -> int | None:
    """The file behind a stream that is no terminal; None for a terminal, and for what is no file of the system's."""
    try:
        return None if stream.isatty() else stream.fileno()
    except (OSError, ValueError):
        return None


class OutputFile:
    """What a stream that is no terminal goes to: a file, a pipe, a device."""

    def __init__(self, file: int) -> None:
        """`file` is its descriptor. What others do to a regular file from now on is noticed."""
        self._file = file
        self._held = Held(file, name_of(file) or Path("stdout"), by_name=False) if self._is_regular() else None
        self._began = False

    def _is_regular(self) -> bool:
        try:
            return stat.S_ISREG(os.fstat(self._file).st_mode)
        except OSError:
            return False

    @property
    def is_pipe(self) -> bool:
        """Whether another program reads it."""
        try:
            return stat.S_ISFIFO(os.fstat(self._file).st_mode)
        except OSError:
            return False

    def is_unread(self) -> bool:
        """Whether it is a pipe with something in it that nobody has read yet, or that nobody reads any more.

        False where that cannot be known without writing.
        """
        if sys.platform == "win32":
            return False
        import fcntl
        import termios

        waiting = array.array("i", [0])
        with suppress(OSError):
            fcntl.ioctl(self._file, termios.FIONREAD, waiting)
        if waiting[0]:
            return True
        look = select.poll()
        look.register(self._file, 0)
        return any(event & (select.POLLERR | select.POLLHUP) for _, event in look.poll(0))

    def write(self, data: bytes) -> None:
        """Write all of it, or, into a regular file that has no room, nothing: half a line would be taken for one.

        Raises OSError, and VlmError as `check` does.
        """
        start = os.fstat(self._file).st_size if self._held is not None else -1
        if self._held is not None:
            if not self._began:
                self._held.size, self._began = start, True
            self._held.check()
        view = memoryview(data)
        try:
            while view:
                view = view[os.write(self._file, view) :]
        except OSError:
            if start >= 0 and os.fstat(self._file).st_size == start + len(data) - len(view):
                os.ftruncate(self._file, start)
                os.lseek(self._file, start, os.SEEK_SET)
            raise
        if self._held is not None:  # by the place behind what was written: it may have been shortened since
            self._held.size = max(start, os.lseek(self._file, 0, os.SEEK_CUR))

    def check(self) -> None:
        """Raise VlmError where a file that was written to has been removed or shortened since; it says what is left."""
        if self._held is not None and self._began:
            self._held.check()


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Let Ctrl-C wait until the block is done, which must not be left half done."""
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
