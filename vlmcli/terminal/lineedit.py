"""Lines for a conversation: typed on a terminal, with history, editing and completion, or piped.

The only importer of prompt_toolkit. Does not know what a line means, nor which commands there are.
"""

from __future__ import annotations

import os
import shlex
import signal
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TextIO

from vlmcli.errors import UsageError, VlmError
from vlmcli.pictures.signatures import SUFFIXES
from vlmcli.settings import variables
from vlmcli.terminal import completing
from vlmcli.terminal.door import obeyed
from vlmcli.terminal.streams import has_colours

if TYPE_CHECKING:
    from prompt_toolkit.buffer import Buffer
    from prompt_toolkit.completion import CompleteEvent, Completer, Completion
    from prompt_toolkit.document import Document
    from prompt_toolkit.history import History
    from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent

QUOTES = '"""'
PROMPT, MORE = ">>> ", "... "
PATHS = None
"""Instead of a command's words: it takes a path."""

Completions = Mapping[str, Callable[[], Iterable[str]] | None]
"""What may come behind each command; `PATHS` for a path."""


class NothingTyped(KeyboardInterrupt):
    """Ctrl-C where nothing was typed: somebody wants to leave, and may not know how."""


class LineCleared(KeyboardInterrupt):
    """Ctrl-C where something was typed and not yet sent with Enter: it is cleared."""


class Lines(Protocol):
    """Where a conversation's lines come from."""

    def read(self, default: str = "") -> str:
        """The next line, or all lines between two \"\"\".

        Args:
            default: what stands there to be edited.

        Raises EOFError when there are no more, KeyboardInterrupt for Ctrl-C: NothingTyped where it is seen that the
        line was empty, LineCleared where it is seen that it was not.
        """


def is_open(text: str) -> bool:
    """Whether a text begins with \"\"\" and waits for those that end it."""
    begun = text.lstrip()
    return begun.startswith(QUOTES) and not begun[len(QUOTES) :].rstrip().endswith(QUOTES)


def unquoted(text: str) -> str:
    """A text without the \"\"\" around it."""
    bare = text.strip()
    return bare[len(QUOTES) :].removesuffix(QUOTES).strip("\n") if bare.startswith(QUOTES) else text


LONGEST = 1 << 20
"""Characters of a question that comes through a pipe; a device has lines without an end."""


class Piped:
    """Lines of a pipe or a file: nothing is shown, and nothing can be edited."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def read(self, default: str = "") -> str:
        """As `Lines.read`; a text that is not ended ends with the stream.

        Raises VlmError for a stream that cannot be read, or a question that is longer than `LONGEST`.
        """
        text = self._line(LONGEST)
        if not text:
            raise EOFError
        lines, left = [text.removeprefix("\ufeff")], LONGEST - len(text)
        if is_open(lines[0]):
            while line := self._line(left):
                lines.append(line)
                left -= len(line)
                if line.rstrip().endswith(QUOTES):
                    break
        return unquoted("".join(lines).removesuffix("\n"))

    def _line(self, most: int) -> str:
        """The next line with its end, of so many characters at most; empty where there is none."""
        try:
            line = self._stream.readline(most + 1)
        except OSError as error:
            raise VlmError(f"stdin: cannot be read ({error.strerror})", "pipe questions into it") from None
        if len(line) > most:
            raise UsageError(
                f"stdin: a question of more than {LONGEST:,} characters", "pipe text with one question per line"
            )
        return line


class Prompted(Piped):
    """Lines that are typed on a terminal that can do nothing but show letters."""

    def __init__(self, stream: TextIO, out: TextIO) -> None:
        super().__init__(stream)
        self._out = out

    def read(self, default: str = "") -> str:
        """As `Lines.read`; nothing can stand there to be edited, and every line that Ctrl-C ends counts as empty."""
        self._out.write(PROMPT)
        self._out.flush()
        try:
            return super().read()
        except KeyboardInterrupt:
            self._out.write("\n")
            raise NothingTyped from None


class Typed:
    """Lines that are typed: Enter ends one, Alt-Enter and \"\"\" make it several, Ctrl-G opens the editor."""

    def __init__(self, source: TextIO, out: TextIO, history: Path, words: Completions, hint: str) -> None:
        """Make ready for typing.

        Args:
            source: the terminal that is typed on.
            out: the terminal that shows what is typed.
            history: the file that keeps what was typed; without one, where it cannot be written.
            words: what can be completed.
            hint: shown while nothing is typed.
        """
        from prompt_toolkit import PromptSession
        from prompt_toolkit.input import create_input
        from prompt_toolkit.layout.screen import Char
        from prompt_toolkit.output import ColorDepth, create_output

        colours = has_colours(out)
        style, shown = ("fg:ansibrightblack", hint) if colours else ("", f"({hint})")
        # Pasted text, names that complete, and history: the library shows some of what a terminal obeys, but not all.
        Char.display_mappings |= obeyed()
        _leave_as_found(out)
        self._session: PromptSession[str] = PromptSession(
            history=_history(history), completer=_completer(words), complete_while_typing=False, multiline=True,
            key_bindings=_keys(), prompt_continuation=MORE, tempfile_suffix=".md",
            input=create_input(source), output=create_output(out),
            color_depth=None if colours else ColorDepth.MONOCHROME,
            placeholder=lambda: [(style, "" if self._session.app.is_done else shown)],
        )  # fmt: skip
        self._taken = False
        accept = self._session.default_buffer.accept_handler

        def take(buffer: Buffer) -> bool:
            self._taken = True
            return accept is not None and accept(buffer)

        self._session.default_buffer.accept_handler = take

    def read(self, default: str = "") -> str:
        """As `Lines.read`, with the keys of `_keys` and the lines of earlier times behind the arrow up."""
        self._taken = False
        try:
            return unquoted(self._session.prompt([("bold", PROMPT)], default=default))
        except KeyboardInterrupt:
            if self._taken:  # Ctrl-C came right behind Enter
                raise
            raise (LineCleared if self._session.default_buffer.text.strip() else NothingTyped) from None


def _leave_as_found(out: TextIO) -> None:
    """Let SIGTERM, which ends the process at once, leave a terminal that can be typed on."""
    try:
        import termios
    except ImportError:  # Windows
        return
    with suppress(OSError, ValueError, termios.error):
        file = out.fileno()
        found = termios.tcgetattr(file)

        def end(*_: object) -> None:
            termios.tcsetattr(file, termios.TCSANOW, found)
            os.write(file, b"\x1b[?2004l\x1b[?25h\r\n")  # no marks around what is pasted; the cursor is seen
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGTERM)

        signal.signal(signal.SIGTERM, end)


def _history(path: Path) -> History:
    """What was typed before, from a file; of this time only, where the file cannot be used."""
    from prompt_toolkit.history import FileHistory, InMemoryHistory

    class Kept(FileHistory):
        """One that goes on when the file cannot be written any more."""

        def store_string(self, string: str) -> None:
            with suppress(OSError, UnicodeError):
                super().store_string(string)

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(0o600)
        if path.is_file():
            path.open("rb").close()
            return Kept(path)
    except OSError:
        pass
    return InMemoryHistory()


def _keys() -> KeyBindings:
    from prompt_toolkit.key_binding import KeyBindings
    from prompt_toolkit.keys import Keys

    keys = KeyBindings()

    @keys.add(Keys.BracketedPaste)
    def _paste(event: KeyPressEvent) -> None:
        text = event.data.replace("\r\n", "\n").replace("\r", "\n")
        before = event.current_buffer.document.text_before_cursor
        apart = " " if _ends_with_picture(before) and _ends_with_picture(text.rstrip()) and text[:1].strip() else ""
        event.current_buffer.insert_text(apart + text)

    @keys.add("enter")
    def _enter(event: KeyPressEvent) -> None:
        buffer = event.current_buffer
        if is_open(buffer.text):
            buffer.insert_text("\n")
        else:
            buffer.validate_and_handle()

    @keys.add("escape", "enter")
    def _line_break(event: KeyPressEvent) -> None:
        event.current_buffer.insert_text("\n")

    @keys.add("c-g")
    def _editor(event: KeyPressEvent) -> None:
        try:
            for name in ("VISUAL", "EDITOR"):
                shlex.split(variables().get(name, ""))
        except ValueError:  # no command
            event.app.output.bell()
            return
        event.current_buffer.open_in_editor()

    return keys


def _ends_with_picture(text: str) -> bool:
    """Whether a text ends with a picture's name: two files that were dropped are two, also without a space between."""
    return text.rstrip("'\"").lower().endswith(tuple(SUFFIXES))


def _completer(words: Completions) -> Completer:
    from prompt_toolkit.completion import Completer, Completion

    class LineCompleter(Completer):
        """Commands, what may follow them, and paths of folders and pictures."""

        def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterator[Completion]:
            text = document.text_before_cursor
            command, space, rest = text.partition(" ")
            if command in words and space:
                behind = words[command]
                if behind is PATHS:
                    yield from (Completion(one.text, -one.back, one.shown) for one in completing.whole(rest))
                else:
                    yield from (Completion(one, -len(rest)) for one in behind() if one.startswith(rest))
                return
            begun = [one for one in words if text.startswith("/") and one.startswith(text)]
            if begun:
                yield from (Completion(one, -len(text)) for one in begun)
            else:
                yield from (Completion(one.text, -one.back, one.shown) for one in completing.in_line(text))

    return LineCompleter()
