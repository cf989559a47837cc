r"""The one door of text to a terminal: whatever is not a code of ours is shown, and not obeyed.

Names, answers, logs, messages of libraries and of servers may hold what a terminal obeys (it retitles windows, writes
to clipboards, moves cursors) or what reorders a line for the eye. Each such letter becomes its JSON escape, `\u001b`
for ESC: it can be read and copied, two that differ look different, and JSON keeps its value.

While a command runs, `guard` puts a `Cleaned` in the place of the standard streams that people read. So tracebacks,
warnings, logging, the parser's help, and whatever else a library prints, come through here. Only this package asks for
the stream behind it (`raw`), to which it writes what it has cleaned, and codes of its own.

Knows letters and streams. Does not know what is written, nor when.
"""

from __future__ import annotations

import codecs
import io
import logging
import os
import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import IO, TextIO, cast

_OBEYED = re.compile(
    "["
    "\x00-\x08\x0b-\x1f"  # C0 but tab and newline
    "\x7f-\x9f"  # DEL and C1, in which the one letter U+009B begins what ESC [ does
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # Bidi_Control (Unicode, PropList.txt)
    "\u206a-\u206f"  # deprecated, and of their kind
    "\u2028\u2029"  # separators of lines and paragraphs
    "\ud800-\udfff"  # a name's bytes that are no UTF-8
    "]"
)
"""Not among them: joiners (U+200C, U+200D), variation selectors and marks, which letters and emoji are made of."""

_CODES = re.compile(
    r"(\r"
    r"|\x1b\[[0-9;]{0,40}[mK]"  # colours; a line is erased
    r"|\x1b\[[0-9]{0,4}[ABCDG]"  # the cursor moves
    r"|\x1b\[\?25[hl])"  # and is shown or hidden
)
"""What our libraries draw lines with, in a group."""

_REQUESTS = re.compile(
    r"(\x1b_G[0-9A-Za-z=,+/;]*\x1b\\"  # kitty's pictures
    r"|\x1b\]1337;File=[0-9A-Za-z=;]*:[0-9A-Za-z+/=]*\x07"  # iTerm2's
    r"|\x1bP0;1;0q[!-~]*\x1b\\"  # sixels
    r"|\x1b\]52;c;[0-9A-Za-z+/=]*\x07)"  # a text that the user has asked to be copied
)
"""What we ask of a terminal ourselves, in a group."""

_KEPT = frozenset(
    ("closed", "encoding", "errors", "fileno", "flush", "isatty", "line_buffering", "mode", "name", "newlines")
)
"""What a `Cleaned` has of the stream behind it. Not `buffer`, by which click and others would go round the door."""


def escaped(letter: str) -> str:
    r"""A letter as JSON may write it: `\u` and four digits for each UTF-16 unit; a lone surrogate is one."""
    units = letter.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))


def obeyed() -> dict[str, str]:
    """Each letter that a terminal obeys, and how it is shown, for a library that shows letters one by one."""
    return {letter: escaped(letter) for letter in map(chr, range(0x2070)) if _OBEYED.match(letter)}


def visible(text: str) -> str:
    r"""A text in which nothing is left that a terminal obeys, but tabs and newlines; `\r\n` is a newline."""
    return _OBEYED.sub(lambda found: escaped(found[0]), text.replace("\r\n", "\n"))


def one_line(text: str) -> str:
    """The same on one line: newlines are spaces."""
    return visible(text).replace("\n", " ")


def with_codes(text: str) -> str:
    """The same for a text that libraries of ours have drawn: their codes stay as they are, and no others do."""
    return _without_others(text, _CODES)


def with_requests(text: str) -> str:
    """The same for pictures, and texts for the clipboard, that are sent to a terminal."""
    return _without_others(text, _REQUESTS)


def _without_others(text: str, ours: re.Pattern[str]) -> str:
    pieces = ours.split(text.replace("\r\n", "\n"))
    return "".join(piece if number % 2 else visible(piece) for number, piece in enumerate(pieces))


def written_in(text: str, encoding: str | None) -> str:
    """A text whose letters a stream of that encoding can write: the others are escaped, too."""
    encoding = encoding or "utf-8"
    return text.encode(encoding, "vlm-escaped").decode(encoding)


def _unwritable(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError)
    return "".join(map(escaped, error.object[error.start : error.end])), error.end


codecs.register_error("vlm-escaped", _unwritable)


class Cleaned:
    """A stream for those that know nothing of this door: what they write comes out visible."""

    def __init__(self, stream: TextIO) -> None:
        self.behind = stream

    def write(self, text: str) -> int:
        """Write it, cleaned. Returns how many letters were given."""
        self.behind.write(written_in(self._clean(text), self.behind.encoding))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write each."""
        for line in lines:
            self.write(line)

    def _clean(self, text: str) -> str:
        return visible(text)

    def writable(self) -> bool:
        """It is."""
        return True

    def readable(self) -> bool:
        """It is not."""
        return False

    seekable = readable

    def __getattr__(self, name: str) -> object:
        if name in _KEPT:
            return getattr(self.behind, name)
        raise AttributeError(name)


class Coded(Cleaned):
    """A stream for a library that writes codes: ours pass. What it is to show must have been cleaned before."""

    def _clean(self, text: str) -> str:
        return with_codes(text)


def cleaned(stream: TextIO) -> TextIO:
    """A `Cleaned` of a stream, once."""
    return stream if isinstance(stream, Cleaned) else cast(TextIO, Cleaned(stream))


def coded(stream: TextIO) -> IO[str]:
    """A `Coded` of a stream of ours."""
    return cast(TextIO, Coded(raw(stream)))


def raw(stream: TextIO) -> TextIO:
    """The stream behind one that is cleaned; any other is itself."""
    return stream.behind if isinstance(stream, Cleaned) else stream


def guard() -> None:
    """From here on, whatever is printed is cleaned: on stderr always, on stdout where that is a terminal."""
    if sys.stderr is not None:  # Python has None for a stream that was closed
        sys.stderr = cleaned(sys.stderr)
    if sys.stdout is not None and sys.stdout.isatty():
        sys.stdout = cleaned(sys.stdout)


@contextmanager
def guarded() -> Iterator[None]:
    """The same while a block runs; afterwards the streams are what they were."""
    found = sys.stdout, sys.stderr
    guard()
    try:
        yield
    finally:
        sys.stdout, sys.stderr = found


_CALLED = {"vlmcli.llama": "llama.cpp"}
"""Loggers of ours by what a person calls them; all others are `vlm`'s."""


class _OneLine(logging.Formatter):
    """A record on one line, so that no name in it can look like a record; a traceback has its own below."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        name = "vlm" if record.name.partition(".")[0] == "vlmcli" else record.name
        return one_line(f"{_CALLED.get(record.name, name)}: {record.message}")


def log_handler() -> logging.Handler:
    """A handler that writes log records to stderr, each behind the name of who says it; our own are `vlm`'s."""
    stream = cleaned(sys.stderr) if sys.stderr is not None else io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(_OneLine())
    return handler


def last_words(text: str) -> None:
    """Write to the process's standard error where Python's streams may be of no use any more: C has given up."""
    os.write(2, f"{visible(text)}\n".encode("utf-8", "replace"))
