"""A conversation on a terminal, or over piped lines: the loop that does what each line says.

Knows where lines come from, and which of them are commands, pictures or questions. How a question is asked is
`talk`'s, what a command does `slash`'s.
"""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial

import typer

from vlmcli import settings
from vlmcli.chat import dropped
from vlmcli.chat.conversation import Attached
from vlmcli.cli.chat.slash import BARE, COMMANDS, completions, obey
from vlmcli.cli.chat.talk import Talk, Wishes
from vlmcli.cli.flags import Flags
from vlmcli.cli.running import conversing, tell_of_death
from vlmcli.cli.servers import model_of
from vlmcli.errors import Exit, PipeClosed, UsageError, VlmError
from vlmcli.settings import Settings
from vlmcli.tasks.numbers import side_of
from vlmcli.terminal import thumbnails
from vlmcli.terminal.lineedit import LineCleared, Lines, NothingTyped, Piped, Prompted, Typed
from vlmcli.terminal.ui import Ui

COLUMNS, ROWS = 24, 8
"""Cells of a thumbnail."""
_COMMAND = re.compile(r"/\w*(?:\s|\Z)")
"""What looks like a command at the beginning of a line."""


def converse(pictures: Sequence[str], flags: Flags, *, with_thumbnails: bool) -> None:
    """Hold a conversation until its lines end. Raises typer.Exit where piped questions were not all answered.

    Args:
        pictures: names of those it begins with.
        flags: of the command.
        with_thumbnails: show small copies of the pictures, where the terminal can.
    """
    chosen = flags.settings()
    flags.sampling()
    wishes = Wishes(
        _sampling(flags, chosen), stats=flags.stats, think=flags.think, side=_side(flags),
        thumbnails=with_thumbnails, allow_local_urls=flags.allow_local_urls,
        known=flags.known,
    )  # fmt: skip
    with Ui(markdown=not flags.plain) as ui:
        files = model_of(ui, chosen, flags)
        if not files.servers:
            tell_of_death(ui, files)
        typed = sys.stdin is not None and sys.stdin.isatty()
        lines = _lines(ui, typed)
        with Talk(ui, files, chosen, conversing, wishes, typed=typed) as talk:
            talk.conversation.system = chosen.system
            talk.on_attached = lambda one: _show_thumbnail(talk, one)
            if typed:
                talk.tell(f"{files.name}: type /help for help, Ctrl-D to leave")
            if pictures:
                _guarded(talk, partial(talk.attach, pictures))
            _go_on(talk, lines)
        if talk.failed and not typed:
            raise typer.Exit(int(Exit.SOME_FAILED if talk.answered else Exit.FAILED))


def _side(flags: Flags) -> int:
    """Pixels that a picture's longer side is scaled down to; the setting "parts" is none of a conversation's."""
    return 0 if flags.detail is None and flags.parts else side_of(flags.size, "--detail")


def _sampling(flags: Flags, chosen: Settings) -> dict[str, str]:
    """What is set of sampling, by `-o`'s names; a `-o` that is no pair is left for the check to name."""
    usual = {"max_tokens": str(chosen.max_tokens)} if chosen.max_tokens else {}
    pairs = {name: value for name, _, value in (one.partition("=") for one in flags.sample or ())}
    long = {"temperature": flags.temperature, "seed": flags.seed, "max_tokens": flags.max_tokens}
    return usual | pairs | {name: str(value) for name, value in long.items() if value is not None}


def _lines(ui: Ui, typed: bool) -> Lines:
    """What is typed, or piped."""
    if not typed:
        if sys.stdin is None:
            raise UsageError("stdin is closed", "type questions on a terminal, or pipe them: vlm chat < questions.txt")
        if isinstance(sys.stdin, io.TextIOWrapper):
            with suppress(io.UnsupportedOperation):  # it has been read from, in what it was then
                sys.stdin.reconfigure(encoding="utf-8", errors="surrogateescape")
        return Piped(sys.stdin)
    out = ui.stdout if ui.stdout.isatty() else ui.stderr
    if settings.variables().get("TERM") in ("dumb", "unknown"):
        return Prompted(sys.stdin, out)
    return Typed(
        sys.stdin, out, settings.state_folder() / "chat-history", completions(), "a question, or drop a picture here"
    )


def _go_on(talk: Talk, lines: Lines) -> None:
    """Read lines and do what they say, until there are no more."""
    while True:
        default, talk.default = talk.default, ""
        if default and isinstance(lines, Typed):
            talk.tell("edit the line below, or clear it with Ctrl-C")
        try:
            line = lines.read(default)
            _guarded(talk, partial(_take, talk, line))
        except EOFError:
            return
        except NothingTyped:
            talk.tell("to leave, press Ctrl-D or type /exit")
        except LineCleared:
            continue
        except KeyboardInterrupt:  # between a line and what it says
            if not talk.typed:
                raise
            talk.tell("stopped")


def _guarded(talk: Talk, work: Callable[[], object]) -> None:
    """Do something; what goes wrong is shown, and the conversation goes on."""
    try:
        work()
    except PipeClosed:
        raise
    except VlmError as error:
        talk.fail(error)
    except KeyboardInterrupt:
        if not talk.typed:
            raise
        talk.tell("stopped")


def _take(talk: Talk, line: str) -> None:
    """One line: a command, pictures, a question, or the two together."""
    text = line.strip()
    if not text:
        return
    if (command := BARE.get(text.lower())) is not None:
        obey(talk, command)
        return
    if text.startswith("//"):
        talk.ask(text[1:])
        return
    if text.split()[0] in COMMANDS:
        obey(talk, text)
        return
    found = dropped.find(line, anywhere=not talk.conversation.pictures)
    if not found.words and (_COMMAND.match(text) or (text.startswith("/") and not found.missing)):
        obey(talk, text)  # which knows what was meant
        return
    words = (*found.words, *_not_spoken_of(talk, line, found.missing))
    failed = talk.attach(words) if words else []
    if failed:  # what was to be asked is about a picture that is not there
        if any(letter.isalnum() for letter in dropped.without(line, words)):
            talk.default = dropped.without(line, set(words).difference(failed))
        return
    if question := dropped.without(line, words).strip():
        talk.ask(question)


def _not_spoken_of(talk: Talk, line: str, missing: Sequence[str]) -> list[str]:
    """Those of the missing names that are no names of pictures of the conversation, which a question may be about."""
    if not dropped.without(line, missing).strip():
        return list(missing)
    known = [(one.name.partition("#")[0], one.place.partition("#")[0]) for one in talk.conversation.pictures]
    bare = {word: word.partition("#")[0] for word in missing}
    return [
        word
        for word in missing
        if not any(bare[word].lower() == name.lower() or place.endswith(f"/{bare[word]}") for name, place in known)
    ]


def _show_thumbnail(talk: Talk, one: Attached) -> None:
    """A small picture, where the terminal can show one."""
    if not talk.wishes.thumbnails or not talk.ui.stdout.isatty():
        return
    protocol = thumbnails.protocol_of(settings.variables())
    if protocol:
        shown = thumbnails.shown(one.picture.pixels(), one.picture.size, protocol, COLUMNS, ROWS)
        talk.ui.control(shown + "\n")
