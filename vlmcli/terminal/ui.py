"""Everything a person or a pipe sees: the only printer, and with `rendered` the only importer of rich.

stdout is data, stderr everything else. On a terminal stderr has one live line (`live`); otherwise it has no control
codes, and a line every few seconds. What comes from models and files cannot move a terminal's cursor. Does not know
what a command is about: it is given texts, events and errors.
"""

from __future__ import annotations

import sys
import textwrap
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import TYPE_CHECKING, TextIO

from vlmcli.amounts import duration, size
from vlmcli.errors import PipeClosed, VlmError
from vlmcli.terminal.door import coded, one_line, raw, visible, with_codes, with_requests, written_in
from vlmcli.terminal.live import LiveLine
from vlmcli.terminal.markdown import Piece, Pieces
from vlmcli.terminal.rendered import Rendered
from vlmcli.terminal.streams import (
    QUIET_SECONDS,
    ClosedStream,
    OutputFile,
    are_one_terminal,
    file_descriptor,
    has_colours,
    terminal_width,
)
from vlmcli.terminal.wrapping import wrapped
from vlmcli.values import Event, Notice, Progress, Started

if TYPE_CHECKING:
    from rich.progress import Progress as Bar

MOST_NOTICES = 20
"""Of different remarks about pictures that are shown; the rest is counted."""

WAIT_SECONDS = 1.0
"""A wait as long as this is explained, where the figures are wanted."""

NARROWEST = 20
"""Columns that the last field of a row is wrapped to at least."""

_STAGES = {"load": "loading the model", "encode": "looking at the picture", "prefill": "reading"}


def stage_of(event: Event) -> str:
    """What a runner is at, in words; empty for an event that does not say."""
    if isinstance(event, Progress):
        if event.stage == "prefill" and event.done >= 1:
            return "answering"
        return f"{_STAGES[event.stage]} {event.done:.0%}"
    return "reading" if isinstance(event, Started) else ""


class Transfer:
    """How far something of a known size has come: a bar on a terminal, else a line each five seconds.

    Use it as a context manager. Speed and the time left are those of this run.
    """

    def __init__(self, ui: Ui, what: str, total: int, *, quiet: bool = False) -> None:
        self._ui, self._what, self._total, self._quiet = ui, what, total, quiet
        self._bar: Bar | None = None
        self._began = self._said = time.monotonic()
        self._first: int | None = None

    def __enter__(self) -> Transfer:
        if not self._quiet and self._ui.stderr.isatty():
            from rich import progress
            from rich.console import Console

            columns = (
                progress.TextColumn("{task.description}", markup=False),
                progress.BarColumn(),
                progress.TaskProgressColumn(),
                progress.DownloadColumn(binary_units=False),
                progress.TransferSpeedColumn(),
                progress.TimeRemainingColumn(compact=True),
            )
            no_color = not has_colours(self._ui.stderr)
            console = Console(file=coded(self._ui.stderr), highlight=False, no_color=no_color)
            self._bar = progress.Progress(
                *columns, console=console, transient=True, redirect_stdout=False, redirect_stderr=False
            )
            self._task = self._bar.add_task(one_line(self._what), total=max(1, self._total))
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def at(self, done: int) -> None:
        """So many bytes are there."""
        now = time.monotonic()
        if self._first is None:
            self._first, self._began = done, now
            if self._bar is not None:  # what was there before is no speed
                self._bar.reset(self._task, completed=done, total=max(1, self._total))
        if self._bar is not None:
            self._bar.update(self._task, completed=done)
        elif not self._quiet and now - self._said >= QUIET_SECONDS:
            self._said = now
            speed = (done - self._first) / max(1e-3, now - self._began)
            left = f", {duration((self._total - done) / speed)} left" if speed > 0 else ""
            share = done / max(1, self._total)
            self._ui.say(f"{self._what}: {share:.0%} of {size(self._total)}, {size(int(speed))}/s{left}")


class Ui:
    """One command's output. Use it as a context manager, so that the live line always goes."""

    def __init__(self, stdout: TextIO | None = None, stderr: TextIO | None = None, *, markdown: bool = False) -> None:
        # Behind the door: what goes there is cleaned here. Python has None for a stream that was closed.
        self.stdout: TextIO = raw(stdout or sys.stdout or ClosedStream())
        self.stderr: TextIO = raw(stderr or sys.stderr or ClosedStream())
        self._line = LiveLine(self.stderr, self._to_stderr, self.say)
        self._one_terminal = are_one_terminal(self.stdout, self.stderr)
        self._quiet_since = time.monotonic()
        self._stage = ""  # the word that stands for the last one that was shown
        self._begun = False
        self._held = ""
        self._noticed: set[str] = set()
        self._not_shown = 0
        self._pieces = Pieces() if markdown and self.stdout.isatty() else None
        self._rendered: Rendered | None = None
        descriptor = file_descriptor(self.stdout)
        self._file = OutputFile(descriptor) if descriptor is not None else None
        if self._file is not None:
            with suppress(OSError):  # that it fails is said when something of ours is written
                self.stdout.flush()  # what somebody else has written there goes before

    def __enter__(self) -> Ui:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._begun and self._pieces is not None:  # interrupted: what has come is shown
            with suppress(VlmError):
                self._render(self._pieces.finish())
        if isinstance(error, KeyboardInterrupt):
            self.interrupted()
        self._line.end()
        if self._not_shown:
            self.say(f"{self._not_shown:,} more remarks about pictures; --json and --output record them all")
        if error is None:
            self.check()

    # ------------------------------------------------------------------------------------------ stdout

    def _write(self, text: str) -> None:
        self._put(self._showable(text) if self.stdout.isatty() else text)

    def _showable(self, text: str) -> str:
        """Text without what a terminal obeys or cannot write."""
        return written_in(visible(text), self.stdout.encoding)

    def _put(self, text: str) -> None:
        try:
            if self._file is None:
                self._to_stdout(text)
                return
            if not self._line.lasts:
                self._line.end()
            elif self._file.is_pipe:
                self._line.make_room(self._file.is_unread)
            self._file.write(text.encode("utf-8", "surrogateescape"))
        except BrokenPipeError:
            raise PipeClosed from None
        except OSError as error:
            raise VlmError(
                f"the answer cannot be written ({error.strerror})", "free some disk space, or write to another place"
            ) from error

    def _to_stdout(self, text: str) -> None:
        """Write to a terminal, above the live line: in one piece with it, so that it is never seen without."""
        with self._line.lock:
            before, after = self._line.around(text)
            apart = not self._one_terminal
            if apart:
                self._to_stderr(before)
            self.stdout.write(text if apart else before + text + after)
            self.stdout.flush()
            if apart:
                self._to_stderr(after)

    def _to_stderr(self, codes: str) -> None:
        if codes:
            self.stderr.write(codes)
            self.stderr.flush()

    def check(self) -> None:
        """Raise VlmError where the file that stdout goes to has been removed or shortened since it was written to."""
        if self._file is not None:
            self._file.check()

    def line(self, text: str, end: str = "\n") -> None:
        """Write a line of data to stdout. Raises PipeClosed where nobody reads it, VlmError where there is no room."""
        self._write(text + end)

    def rows(self, rows: Sequence[Sequence[str]]) -> None:
        """Lines of data: fields after tabs, and on a terminal below one another, the last wrapped between words."""
        shown = [[one_line(one) for one in row] for row in rows]
        widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
        indent = sum(width + 2 for width in widths[:-1])
        if self.width < indent + NARROWEST:
            indent = 4
        for row in shown:
            if self.stdout.isatty():
                line = "  ".join(f"{one:{width}}" for one, width in zip(row, widths, strict=True)).rstrip()
                self.line(wrapped(line, self.width, indent))
            else:
                self.line("\t".join(row))

    def stream(self, piece: str, *, plain: bool = False) -> None:
        """A piece of the one answer, as it comes, without the white space around the whole.

        On a terminal it is shown as Markdown, if that is wanted and the piece is not plain.
        """
        text = self._held + piece
        if not self._begun:
            text = text.lstrip()
        shown = text.rstrip()
        self._held = text[len(shown) :]
        if shown:
            self._begun = True
            if self._pieces is None or plain:
                self._write(shown)
            else:
                self._render(self._pieces.feed(shown))

    def end_stream(self) -> None:
        """End the one answer's line."""
        if self._pieces is not None:
            self._render(self._pieces.finish())
        self._write("\n")
        self._begun, self._held = False, ""

    def _render(self, pieces: Iterable[Piece]) -> None:
        """Write pieces of Markdown; the library is loaded for the first one that needs it."""
        for piece in pieces:
            text = self._showable(piece.text)
            if piece.kind != "text":
                if self._rendered is None:
                    self._rendered = Rendered(self.stdout)
                text = written_in(with_codes(self._rendered(Piece(piece.kind, text))), self.stdout.encoding)
            self._put(text)

    def control(self, codes: str) -> None:
        """Codes of ours for the terminal that stdout is; nothing elsewhere."""
        if self.stdout.isatty():
            self._put(with_requests(codes))

    @property
    def is_unicode(self) -> bool:
        """Whether the terminal's letters are Unicode's."""
        return (self.stderr.encoding or "").lower().startswith("utf")

    @property
    def width(self) -> int:
        """Columns of a terminal; 80 where stdout is none."""
        return terminal_width(self.stdout) or 80

    @property
    def streaming(self) -> bool:
        """Whether an answer's line is open."""
        return self._begun

    # ------------------------------------------------------------------------------------------ stderr

    def say(self, text: str, prefix: str = "vlm: ") -> None:
        """A line for the person; on a terminal several, if it is longer than one."""
        self._tell_person(self._wrapped(prefix + text, len(prefix)) + "\n")

    def _wrapped(self, text: str, indent: int) -> str:
        """A text for stderr, on one line, or on as many as it takes on a terminal."""
        return wrapped(written_in(one_line(text), self.stderr.encoding), terminal_width(self.stderr), indent)

    def trace(self, error: BaseException) -> None:
        """Where an error comes from: for who looks for a fault in the program."""
        self._tell_person(visible("".join(traceback.format_exception(error))))

    def _tell_person(self, shown: str) -> None:
        text = written_in(shown, self.stderr.encoding)
        with suppress(OSError), self._line.lock:  # nobody may be left to be told
            before, after = self._line.around(text)
            self._to_stderr(before + text + after)

    def glossary(self, rows: Mapping[str, str]) -> None:
        """Names and what they mean, for the person: below one another, wrapped between words."""
        width, indent = terminal_width(self.stderr) or 80, max(map(len, rows)) + 2
        for name, text in rows.items():
            wrap = textwrap.TextWrapper(max(width, indent + 16), f"{name:{indent}}", " " * indent)
            for line in wrap.wrap(text):
                self.say(line, prefix="")

    def notice(self, text: str) -> None:
        """A line for the person that is said once, however often there is a reason; nothing for no text."""
        if text and text not in self._noticed:
            self._noticed.add(text)
            self.say(text)

    def notices(self, texts: Iterable[str]) -> None:
        """Lines about pictures, each said once; of very many the first, and at the end how many more there were."""
        for text in texts:
            if len(self._noticed) < MOST_NOTICES or text in self._noticed:
                self.notice(text)
            else:
                self._not_shown += 1

    @property
    def can_ask(self) -> bool:
        """Whether a person reads stderr and can answer."""
        return sys.stdin is not None and sys.stdin.isatty() and self.stderr.isatty()

    def confirmed(self, question: str) -> bool | None:
        """Whether the person says yes; None where nobody can be asked."""
        if not self.can_ask:
            return None
        self._tell_person(one_line(f"{question} [y/N] "))
        return sys.stdin.readline().strip().lower() in ("y", "yes")

    def transfer(self, what: str, total: int, *, quiet: bool = False) -> Transfer:
        """Show how many of `total` bytes have come."""
        self._line.end()
        return Transfer(self, what, total, quiet=quiet)

    def help(self, text: str) -> None:
        """A page of help where a command was expected."""
        self._tell_person(visible(text.rstrip() + "\n"))

    def error(self, error: VlmError) -> None:
        """What is wrong, and what to do; nothing where nobody is left to be told."""
        if isinstance(error, PipeClosed):
            return
        red, dim, plain = ("\x1b[1;31m", "\x1b[2m", "\x1b[0m") if has_colours(self.stderr) else ("", "", "")
        text = f"{red}vlm:{plain}{self._wrapped(f'vlm: {error.message}', 5).removeprefix('vlm:')}\n"
        if error.hint:
            text += f"{dim}{self._wrapped(f'     {error.hint}', 5)}{plain}\n"
        self._tell_person(text)

    def progress(self, event: Event, taken: str = "") -> None:
        """Show how far a stage has come, and what was `taken` until now, in words.

        Where no terminal shows a live line, that is said when a wait of more than a second has come to another stage.
        """
        if isinstance(event, Notice):
            self.notices([event.text])
        elif text := stage_of(event):
            stage, self._stage = self._stage, text.partition(" ")[0]
            if not taken:
                self.status(text)
            else:
                self.status(f"{text} ({taken})", WAIT_SECONDS if stage != self._stage else QUIET_SECONDS)

    def thinking(self) -> None:
        """Show that the model thinks."""
        self.status("thinking")

    def status(self, text: str, quiet: float = QUIET_SECONDS) -> None:
        """What is going on: on the live line, or after so many seconds without a line."""
        if self._line.redraws:
            if not self._begun:  # the answer is on that line
                self._line.passing(text)
        elif time.monotonic() - self._quiet_since >= quiet:
            self.say(text)
            self._quiet_since = time.monotonic()

    @contextmanager
    def showing(self, text: Callable[[int], str]) -> Iterator[None]:
        """Show how far a run is, below all that is written meanwhile; where there is no terminal, every ten seconds.

        Args:
            text: is called for the line, in another thread too, with the columns that it may take; 0 for any.
        """
        try:
            self._line.last(text)
            yield
        except KeyboardInterrupt:
            self.interrupted()
            raise
        finally:
            self._line.end()

    def aside(self, text: str) -> None:
        """A line for the person, soon; safe in a signal handler. For the time of `showing`."""
        self._line.aside(text)

    def end_line(self) -> None:
        """Take the live line away for good."""
        self._line.end()

    def interrupted(self) -> None:
        """After Ctrl-C, go on at the beginning of a line."""
        if not self._line.end() and self.stderr.isatty():
            self._tell_person("\n")

    def figures(self, lines: Sequence[str]) -> None:
        """Lines of what was taken, broken for 80 columns where there is no terminal."""
        width = terminal_width(self.stderr) or 80
        for text in lines:
            shown = written_in(one_line(f"vlm: {text}"), self.stderr.encoding)
            self._tell_person(wrapped(shown, width, len("vlm: ")) + "\n")

    def about(self, lines: Sequence[str]) -> None:
        """Write plain facts to stdout, each on one line and without what a terminal obeys."""
        for text in lines:
            self.line(one_line(text))
