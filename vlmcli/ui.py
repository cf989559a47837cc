"""Everything a person or a pipe sees: the only printer, the only importer of rich.

stdout is data, stderr everything else. On a terminal stderr has one live line; otherwise it has no control codes and
at most a line each five seconds. What comes from models and files can not move a terminal's cursor.
"""

from __future__ import annotations

import errno
import io
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, TextIO

from vlmcli.errors import PipeClosed, VlmError
from vlmcli.values import Answer, Event, Progress, Started

if TYPE_CHECKING:
    from rich.status import Status

QUIET_SECONDS = 5.0
_STAGES = {"load": "loading the model", "encode": "looking at the picture", "prefill": "reading"}


def _visible(text: str) -> str:
    """Control characters but tab and newline as U+FFFD."""
    return "".join("\ufffd" if (ord(c) < 32 and c not in "\t\n") or 127 <= ord(c) < 160 else c for c in text)


class _Closed(io.StringIO):
    """A standard stream that somebody has closed."""

    def write(self, text: str) -> int:
        raise OSError(errno.EBADF, "it is closed")


class Ui:
    """One command's output. Use it as a context manager, so that the live line always goes."""

    def __init__(self, stdout: TextIO | None = None, stderr: TextIO | None = None) -> None:
        self.stdout: TextIO = stdout or sys.stdout or _Closed()  # Python has None for a stream that was closed
        self.stderr: TextIO = stderr or sys.stderr or _Closed()
        self._live = self.stderr.isatty()
        self._status: Status | None = None
        self._quiet_since = time.monotonic()
        self._begun = False
        self._held = ""
        if not self.stdout.isatty() and hasattr(self.stdout, "reconfigure"):
            self.stdout.reconfigure(encoding="utf-8", errors="surrogateescape", newline="\n")

    def __enter__(self) -> Ui:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._clear()

    # ------------------------------------------------------------------------------------------ stdout

    def _write(self, text: str) -> None:
        self._clear()
        if self.stdout.isatty():
            text = (
                _visible(text)
                .encode(self.stdout.encoding or "utf-8", "replace")
                .decode(self.stdout.encoding or "utf-8")
            )
        try:
            self.stdout.write(text)
            self.stdout.flush()
        except BrokenPipeError:
            raise PipeClosed from None
        except OSError as error:
            raise VlmError(
                f"the answer cannot be written ({error.strerror})", "make room, or write elsewhere"
            ) from error

    def line(self, text: str) -> None:
        """A line of data."""
        self._write(text + "\n")

    def rows(self, rows: Sequence[Sequence[str]]) -> None:
        """Lines of data: fields after tabs, and on a terminal below one another."""
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        for row in rows:
            if self.stdout.isatty():
                self.line("  ".join(f"{one:{width}}" for one, width in zip(row, widths, strict=True)).rstrip())
            else:
                self.line("\t".join(row))

    def stream(self, piece: str) -> None:
        """A piece of the one answer, as it comes, without the white space around the whole."""
        text = self._held + piece
        if not self._begun:
            text = text.lstrip()
        shown = text.rstrip()
        self._held = text[len(shown) :]
        if shown:
            self._write(shown)
            self._begun = True

    def end_stream(self) -> None:
        """End the one answer's line."""
        self._write("\n")
        self._begun, self._held = False, ""

    @property
    def streaming(self) -> bool:
        """Whether an answer's line is open."""
        return self._begun

    # ------------------------------------------------------------------------------------------ stderr

    def say(self, text: str, prefix: str = "vlm: ") -> None:
        """A line for the person."""
        self._clear()
        text = text.replace("\n", " ").encode("utf-8", "backslashreplace").decode()
        with suppress(OSError):  # nobody is left to be told
            self.stderr.write(_visible(prefix + text) + "\n")
            self.stderr.flush()

    def help(self, text: str) -> None:
        """A page of help where a command was expected."""
        with suppress(OSError):
            self.stderr.write(text.rstrip() + "\n")

    def error(self, error: VlmError) -> None:
        """What is wrong, and what to do; nothing where nobody is left to be told."""
        if isinstance(error, PipeClosed):
            return
        self.say(error.message)
        if error.hint:
            self.say(error.hint, prefix="     ")

    def progress(self, event: Event) -> None:
        """Show how far a stage has come."""
        if isinstance(event, Started):
            text = "reading"
        elif isinstance(event, Progress):
            text = f"{_STAGES[event.stage]} {event.done:4.0%}"
        else:
            return
        self._tell(text)

    def thinking(self) -> None:
        """Show that the model thinks."""
        self._tell("thinking")

    def _tell(self, text: str) -> None:
        if self._live:
            self._show(text)
        elif time.monotonic() - self._quiet_since >= QUIET_SECONDS:
            self.say(text)
            self._quiet_since = time.monotonic()

    def _show(self, text: str) -> None:
        if self._begun:
            return  # the answer is on this line
        if self._status is None:
            from rich.console import Console  # a tenth of a second that a pipe need not pay
            from rich.markup import escape

            self._escape = escape
            console = Console(file=self.stderr, highlight=False)
            self._status = console.status(escape(text), spinner="dots")
            self._status.start()
        else:
            self._status.update(self._escape(text))

    def _clear(self) -> None:
        if self._status is not None:
            self._status.stop()
            self._status = None

    def stats(self, answer: Answer) -> None:
        """Where tokens and time went, in a line."""
        usage, timings = answer.usage, answer.timings
        rate = f" ({usage.answer_tokens / timings.generate:.0f}/s)" if timings.generate > 0 else ""
        times = ", ".join(
            f"{name} {value:.2f} s"
            for name, value in (
                ("load", timings.load),
                ("picture", timings.picture),
                ("encode", timings.encode),
                ("prefill", timings.prefill),
                ("generate", timings.generate),
            )
        )
        self.say(
            f"{usage.prompt_tokens} prompt tokens ({usage.picture_tokens} of pictures, {usage.reused_tokens} reused), "
            f"{usage.answer_tokens} answer tokens{rate}; {times}"
        )

    def about(self, lines: Sequence[str]) -> None:
        """Lines of plain facts."""
        for text in lines:
            self.line(_visible(text).replace("\n", " "))
