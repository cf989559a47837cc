"""Everything a person or a pipe sees: the only printer, the only importer of rich and its reader of Markdown.

stdout is data, stderr everything else. On a terminal stderr has one live line; otherwise it has no control codes and
at most a line each five seconds. What comes from models and files can not move a terminal's cursor.
"""

from __future__ import annotations

import errno
import io
import os
import re
import signal
import stat
import sys
import textwrap
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from types import FrameType, TracebackType
from typing import IO, TYPE_CHECKING, TextIO

from vlmcli.amounts import duration, size
from vlmcli.errors import PipeClosed, VlmError
from vlmcli.terminal.markdown import Piece, Pieces
from vlmcli.values import Answer, Event, Notice, Progress, Started

if TYPE_CHECKING:
    from rich.markdown import Markdown
    from rich.progress import Progress as Bar
    from rich.status import Status
    from rich.syntax import Syntax

QUIET_SECONDS = 5.0
_CODES = re.compile(r"\x1b\[[0-9;]*m")
_TAIL = re.compile(rf"(?: |{_CODES.pattern})+\Z")
_STAGES = {"load": "loading the model", "encode": "looking at the picture", "prefill": "reading"}


def _visible(text: str) -> str:
    """Control characters but tab and newline as U+FFFD."""
    return "".join("\ufffd" if (ord(c) < 32 and c not in "\t\n") or 127 <= ord(c) < 160 else c for c in text)


def _columns(stream: IO[str]) -> int:
    """Of the terminal that a stream is; 0 where it is none. rich would look at stdin's first."""
    with suppress(OSError, ValueError):
        return os.get_terminal_size(stream.fileno()).columns
    return 0


def _descriptor(stream: TextIO) -> int | None:
    """The file behind a stream that is no terminal; None for a terminal, and for what is no file of the system's."""
    try:
        return None if stream.isatty() else stream.fileno()
    except (OSError, ValueError):
        return None


def _write_whole(file: int, data: bytes) -> None:
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
def whole() -> Iterator[None]:
    """Let Ctrl-C wait until the block is done: rich's live line can not be begun or ended by half."""
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


def _letters(text: str) -> Counter[str]:
    """How often each letter and figure is in a text."""
    return Counter(letter for letter in text if letter.isalnum())


class _Closed(io.StringIO):
    """A standard stream that somebody has closed."""

    def write(self, text: str) -> int:
        raise OSError(errno.EBADF, "it is closed")


class Rendered:
    """Pieces of Markdown as a terminal shows them, without a line break at the end.

    Blocks were told apart before, so only what is inside a line, and tables, are read as Markdown; HTML, escapes and
    entities are not, because text would vanish.
    """

    def __init__(self, stdout: TextIO) -> None:
        from markdown_it import MarkdownIt
        from rich.console import Console
        from rich.markdown import Markdown
        from rich.syntax import Syntax
        from rich.theme import Theme

        styles = Theme({"markdown.code": "cyan", "markdown.link": "underline", "markdown.link_url": "none"})
        self._console = Console(file=stdout, highlight=False, emoji=False, markup=False, theme=styles)
        self._markdown, self._syntax = Markdown, Syntax
        self._parser = MarkdownIt("zero").enable(["emphasis", "backticks", "link", "strikethrough", "table"])
        unicode = self._console.encoding.lower().startswith("utf")
        self._bullet, self._bar, self._dash = ("\u2022", "\u2502", "\u2500") if unicode else ("-", ">", "-")

    @property
    def _width(self) -> int:
        return _columns(self._console.file) or self._console.width

    def __call__(self, piece: Piece) -> str:
        """A piece's text with a terminal's codes; as it is, where a letter or figure would be lost."""
        if piece.kind == "rule":
            return self._dash * self._width
        if piece.kind == "code":
            return self._code(piece.text)
        make = {"marked": self._marked, "heading": self._heading, "table": self._table}.get(piece.kind, self._item)
        shown = make(piece.text)
        return shown if _letters(_CODES.sub("", shown)) == _letters(piece.text) else piece.text

    def _marked(self, text: str) -> str:
        inner = text.strip()
        before, after = text[: text.index(inner)], text[text.index(inner) + len(inner) :]
        return before + self._inline(inner) + after

    def _heading(self, text: str) -> str:
        marks, _, title = text.strip().partition(" ")
        return self._inline(re.sub(r"\s#+\Z", "", title.strip()), "bold underline" if len(marks) == 1 else "bold")

    def _item(self, text: str) -> str:
        """An item of a list, or a line of a quotation, wrapped behind its mark."""
        found = re.match(r"(\s*)(>|[-*+]|\d+[.)])\s*", text)
        if found is None:
            return text
        quoted = found[2] == ">"
        mark = self._bar if quoted else found[2] if found[2][0].isdigit() else self._bullet
        first = f"{found[1]}{mark} "
        rest = first if quoted else " " * len(first)
        lines = self._inline(text[found.end() :].rstrip(), width=self._width - len(first)).split("\n")
        return "\n".join((rest if number else first) + line for number, line in enumerate(lines))

    def _table(self, text: str) -> str:
        tokens = self._parser.parse(text)
        if not tokens or tokens[0].type != "table_open":
            return text
        return self._print(self._parsed(text), self._width)

    def _code(self, text: str) -> str:
        """Lines of code in their colours, four columns in."""
        head, *lines = text.split("\n")
        mark, indent = head.strip(), len(head) - len(head.lstrip())
        if lines and not lines[-1].strip(" " + mark[0]):
            lines.pop()
        code = "\n".join(line[min(indent, len(line) - len(line.lstrip())) :] for line in lines)
        language = mark.strip(mark[0]).split()
        syntax = self._syntax(
            code, language[0] if language else "text", theme="ansi_dark", word_wrap=True, background_color="default"
        )
        shown = self._print(syntax, self._width - 4)
        return "\n".join(f"    {line}" if line else "" for line in shown.split("\n"))

    def _inline(self, text: str, style: str = "none", width: int | None = None) -> str:
        """The marks inside a line; without a width the terminal breaks it, so that it can be copied whole."""
        return self._print(self._parsed(text, style), width)

    def _parsed(self, text: str, style: str = "none") -> Markdown:
        markdown = self._markdown("", style=style, hyperlinks=False)
        markdown.parsed = self._parser.parse(text)
        return markdown

    def _print(self, what: Markdown | Syntax, width: int | None) -> str:
        with self._console.capture() as captured:
            self._console.print(what, width=max(8, width) if width else None, soft_wrap=width is None)
        lines = [_TAIL.sub(lambda tail: "".join(_CODES.findall(tail[0])), one) for one in captured.get().split("\n")]
        full = [number for number, line in enumerate(lines) if _CODES.sub("", line).strip()]
        return "\n".join(lines[full[0] : full[-1] + 1]) if full else ""


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
            console = Console(file=self._ui.stderr, highlight=False)
            self._bar = progress.Progress(*columns, console=console, transient=True)
            self._task = self._bar.add_task(_visible(self._what), total=max(1, self._total))
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
        self.stdout: TextIO = stdout or sys.stdout or _Closed()  # Python has None for a stream that was closed
        self.stderr: TextIO = stderr or sys.stderr or _Closed()
        self._live = self.stderr.isatty()
        self._status: Status | None = None
        self._quiet_since = time.monotonic()
        self._begun = False
        self._held = ""
        self._noticed: set[str] = set()
        self._pieces = Pieces() if markdown and self.stdout.isatty() else None
        self._rendered: Rendered | None = None
        self._file = _descriptor(self.stdout)

    def __enter__(self) -> Ui:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._begun and self._pieces is not None:  # interrupted: what has come is shown
            with suppress(VlmError):
                self._render(self._pieces.finish())
        self._clear()

    # ------------------------------------------------------------------------------------------ stdout

    def _write(self, text: str) -> None:
        self._put(self._showable(text) if self.stdout.isatty() else text)

    def _showable(self, text: str) -> str:
        """Text without what a terminal obeys or cannot write."""
        encoding = self.stdout.encoding or "utf-8"
        return _visible(text).encode(encoding, "replace").decode(encoding)

    def _put(self, text: str) -> None:
        self._clear()
        try:
            if self._file is None:
                self.stdout.write(text)
                self.stdout.flush()
            else:
                _write_whole(self._file, text.encode("utf-8", "surrogateescape"))
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
        """Lines of data: fields after tabs, and on a terminal below one another, the last cut where the line ends."""
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        for row in ([_visible(one) for one in row] for row in rows):
            if self.stdout.isatty():
                line = "  ".join(f"{one:{width}}" for one, width in zip(row, widths, strict=True)).rstrip()
                self.line(line if len(line) <= self.width else line[: self.width - 1] + "\u2026")
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
                text = self._rendered(Piece(piece.kind, text))
            self._put(text)

    def control(self, codes: str) -> None:
        """Codes of ours for the terminal that stdout is; nothing elsewhere."""
        if self.stdout.isatty():
            self._put(codes)

    @property
    def is_unicode(self) -> bool:
        """Whether the terminal's letters are Unicode's."""
        return (self.stderr.encoding or "").lower().startswith("utf")

    @property
    def width(self) -> int:
        """Columns of a terminal; 80 where stdout is none."""
        return _columns(self.stdout) or 80

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

    def glossary(self, rows: Mapping[str, str]) -> None:
        """Names and what they mean, for the person: below one another, wrapped between words."""
        width, indent = _columns(self.stderr) or 80, max(map(len, rows)) + 2
        for name, text in rows.items():
            wrap = textwrap.TextWrapper(max(width, indent + 16), f"{name:{indent}}", " " * indent)
            for line in wrap.wrap(text):
                self.say(line, prefix="")

    def notice(self, text: str) -> None:
        """A line for the person that is said once, however often there is a reason; nothing for no text."""
        if text and text not in self._noticed:
            self._noticed.add(text)
            self.say(text)

    @property
    def can_ask(self) -> bool:
        """Whether a person reads stderr and can answer."""
        return sys.stdin is not None and sys.stdin.isatty() and self.stderr.isatty()

    def confirmed(self, question: str) -> bool | None:
        """Whether the person says yes; None where nobody can be asked."""
        if not self.can_ask:
            return None
        self._clear()
        with suppress(OSError):
            self.stderr.write(_visible(f"{question} [y/N] "))
            self.stderr.flush()
        return sys.stdin.readline().strip().lower() in ("y", "yes")

    def transfer(self, what: str, total: int, *, quiet: bool = False) -> Transfer:
        """Show how many of `total` bytes have come."""
        self._clear()
        return Transfer(self, what, total, quiet=quiet)

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
        elif isinstance(event, Notice):
            self.notice(event.text)
            return
        elif isinstance(event, Progress):
            text = f"{_STAGES[event.stage]} {event.done:4.0%}"
        else:
            return
        self._tell(text)

    def thinking(self) -> None:
        """Show that the model thinks."""
        self._tell("thinking")

    def status(self, text: str) -> None:
        """How far a long run is: on the live line, or now and then."""
        self._tell(text)

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
            with whole():
                self._status = console.status(escape(text), spinner="dots")
                self._status.start()
        else:
            self._status.update(self._escape(text))

    def _clear(self) -> None:
        if self._status is not None:
            with whole():
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
