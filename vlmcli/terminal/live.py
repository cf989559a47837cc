"""The line at the end of a terminal that is drawn over itself, and its heartbeat.

A line is either passing (what is going on right now; it goes when anything is written) or lasting (how far a run is;
it stays below whatever is written until the run ends). Where stderr is no terminal, a lasting line is said every
`RUN_SECONDS` instead, also while nothing happens. Knows a stream and its columns. Does not know what a line says.
"""

from __future__ import annotations

import threading
import time
import unicodedata
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import TextIO

from vlmcli.terminal.door import one_line, written_in
from vlmcli.terminal.streams import can_redraw, terminal_width

RUN_SECONDS = 10.0
"""Between two lines about a run, where no terminal shows a live one."""

BEAT = 0.1
"""Seconds between two looks at whether the line has changed."""

MARGIN = 3
"""Columns that stay empty: a terminal may wrap at the last one, and shows ^C behind the line."""

_HIDE, _SHOW, _ERASE = "\x1b[?25l", "\x1b[?25h", "\r\x1b[2K"

_SPINNER = "\u280b\u2819\u2839\u2838\u283c\u2834\u2826\u2827\u2807\u280f"


def cells(text: str) -> int:
    """How many columns of a terminal a text takes."""
    marks = ("Mn", "Me", "Cf")
    return sum(
        0 if unicodedata.category(letter) in marks else 2 if unicodedata.east_asian_width(letter) in "WF" else 1
        for letter in text
    )


def cut(text: str, columns: int, *, middle: bool = False) -> str:
    """A text that takes so many columns at most. What is left out is "...", at the end or in the middle."""
    if cells(text) <= columns:
        return text
    if columns <= 3:
        return "..."[: max(0, columns)]
    tail = ""
    if middle:
        room, at = (columns - 3) * 2 // 3, len(text)
        while cells(text[at - 1 :]) <= room:
            at -= 1
        tail = text[at:]
    room, at = columns - 3 - cells(tail), 0
    while cells(text[: at + 1]) <= room:
        at += 1
    return f"{text[:at]}...{tail}"


class LiveLine:
    """One command's line on stderr.

    Whoever writes to the terminal does it under the `lock`, between the two texts of `around`, in one piece with them
    where it can: then nobody ever sees the terminal without a lasting line.

    Attributes:
        lock: for all that is written to the terminal, from the heartbeat's thread too.
        lasts: whether the line stays.
        redraws: whether stderr is a terminal that can draw a line over itself.
    """

    def __init__(self, stream: TextIO, write: Callable[[str], None], say: Callable[[str], None]) -> None:
        """`stream` is stderr. `write` writes codes to it, and `say` a line of text."""
        self.lock = threading.RLock()
        self.lasts = False
        self._stream, self._write, self._say = stream, write, say
        self.redraws = can_redraw(stream)
        self._text: Callable[[int], str] | None = None
        self._shown: str | None = None  # what is on the terminal now
        self._hidden = False  # the cursor is
        self._is_open = False  # what was written last has not ended its line
        self._asides: deque[str] = deque()
        self._ended: threading.Event | None = None  # of the thread's work
        self._rests_until = 0.0
        self._is_unread: Callable[[], bool] = lambda: False

    def passing(self, text: str) -> None:
        """Show what is going on, until anything is written."""
        with self.lock:
            if self.lasts or not self.redraws:
                return
            self._text, self._is_open = lambda columns: cut(f"{self._spinner()} {text}", columns), False
            self._draw()
            if self._ended is None:
                self._begin()

    def last(self, text: Callable[[int], str]) -> None:
        """Show this from now on, below whatever is written. It is called with the columns there are, 0 for any."""
        with self.lock:
            self.end()
            self._text, self.lasts, self._is_open = text, True, False
            if self.redraws:
                self._draw()
            self._begin()

    def end(self) -> bool:
        """Take the line away. Returns whether there was one on the terminal."""
        with self.lock:
            was = self._shown is not None
            with suppress(OSError):
                self._write(self._gone())
            self._tell_asides()
            return was

    def aside(self, text: str) -> None:
        """Say something soon. Safe in a signal handler, which may have interrupted somebody who writes."""
        self._asides.append(text)

    def around(self, text: str) -> tuple[str, str]:
        """What must be written before and behind a text on this terminal, so that the line is not in its way."""
        self._is_open = not text.endswith("\n")
        if not self.lasts or not self.redraws:
            return "" if self.lasts else self._gone(), ""
        before, self._shown = "" if self._shown is None else _ERASE, None
        return before, "" if self._is_open else self._drawn()

    def make_room(self, is_unread: Callable[[], bool]) -> None:
        """Take a lasting line away for a moment: what is now written into a pipe may come out on this terminal.

        Args:
            is_unread: whether that has not been read yet, or nobody reads the pipe any more. The line stays away then.
        """
        with self.lock:
            if self._shown is not None and self.lasts:
                self._shown = None
                with suppress(OSError):
                    self._write(_ERASE)
            self._rests_until, self._is_unread = time.monotonic() + BEAT, is_unread

    # ------------------------------------------------------------------------------------------ drawing

    def _spinner(self) -> str:
        if not (self._stream.encoding or "").lower().startswith("utf"):
            return "|/-\\"[int(time.monotonic() / 0.12) % 4]
        return _SPINNER[int(time.monotonic() / 0.08) % len(_SPINNER)]

    def _line(self) -> str:
        columns = max(1, (terminal_width(self._stream) or 80) - MARGIN)
        return cut(written_in(one_line(self._text(columns)), self._stream.encoding), columns) if self._text else ""

    def _drawn(self) -> str:
        """What draws the line over itself; the cursor is hidden as long as it is there."""
        hide, self._hidden = "" if self._hidden else _HIDE, True
        self._shown = self._line()
        return f"{hide}{_ERASE}{self._shown}"

    def _gone(self) -> str:
        """What takes the line away for good."""
        if self._ended is not None:
            self._ended.set()
        codes = (_SHOW if self._hidden else "") + ("" if self._shown is None else _ERASE)
        self._text, self.lasts, self._shown, self._ended, self._hidden = None, False, None, None, False
        return codes

    def _draw(self) -> None:
        if self._is_unread():
            self._rests_until = time.monotonic() + BEAT
        if time.monotonic() < self._rests_until:
            return
        if not self._is_open and self._line() != self._shown:
            with suppress(OSError):
                self._write(self._drawn())

    # ------------------------------------------------------------------------------------------ the thread

    def _begin(self) -> None:
        self._ended = threading.Event()
        threading.Thread(target=self._beat, args=(self._ended,), name="vlm-live-line", daemon=True).start()

    def _beat(self, ended: threading.Event) -> None:
        said = time.monotonic()
        while not ended.wait(BEAT):
            with self.lock:
                if ended.is_set():
                    return
                self._tell_asides()
                if self.redraws:
                    self._draw()
                elif time.monotonic() - said >= RUN_SECONDS and self._text is not None:
                    said = time.monotonic()
                    self._say(self._text(0))

    def _tell_asides(self) -> None:
        while self._asides:
            self._say(self._asides.popleft())
