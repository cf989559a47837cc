"""The commands of `vlm chat` that begin with a slash: each is a function of the conversation and of what follows it.

`COMMANDS` is all that help, completion and `obey` know of them. Nothing is read from the terminal here.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields, replace
from pathlib import Path

from vlmcli.atomic import write
from vlmcli.batch.course import count
from vlmcli.chat import transcript
from vlmcli.chat.conversation import Conversation
from vlmcli.cli import meant
from vlmcli.cli.chat.talk import Talk
from vlmcli.cli.flags import sampling_of
from vlmcli.cli.pull import find_model
from vlmcli.cli.servers import named_model
from vlmcli.errors import SourceError, UsageError
from vlmcli.pictures.sources import Source, Url, expand
from vlmcli.records.target import target_of
from vlmcli.settings import variables
from vlmcli.tasks.numbers import SIDES, side_of
from vlmcli.terminal import clipboard, stats
from vlmcli.terminal.lineedit import PATHS, Completions
from vlmcli.values import Sampling


@dataclass(frozen=True)
class Command:
    """A command that begins with a slash.

    Attributes:
        takes: what follows its name, for the help; empty for nothing.
        help: in a line.
        run: does it.
        words: what can be completed after it: nothing, a path, or these.
    """

    takes: str
    help: str
    run: Callable[[Talk, str], None]
    words: Callable[[], Iterable[str]] | None = tuple


def obey(talk: Talk, line: str) -> None:
    """Do what a line that begins with a slash says. Raises UsageError for no command, EOFError to leave."""
    name, *behind = line.split(maxsplit=1)
    rest = behind[0] if behind else ""
    command = COMMANDS.get(name)
    if command is None:
        begun = [one for one in COMMANDS if len(name) > 2 and one.startswith(name)]
        close = BARE.get(name[1:]) or (begun[0] if len(begun) == 1 else meant.closest(name[:60], COMMANDS))
        hint = "/help lists the commands; to begin a question with a slash, type //"
        raise UsageError(f"{name[:60]}: no such command", f"did you mean {close}?" if close else hint)
    if rest.strip() and not command.takes:
        raise UsageError(f"{name} takes no argument", f"type {name}")
    command.run(talk, rest.strip())


def completions() -> Completions:
    """What can be completed after each command."""
    return {name: command.words for name, command in COMMANDS.items()}


def _image(talk: Talk, rest: str) -> None:
    if not rest:
        raise UsageError("/image takes a path or an address", "type /image PATH")
    talk.attach(_paths(rest))


def _images(talk: Talk, _: str) -> None:
    waiting = talk.conversation.pending
    for one in talk.conversation.pictures:
        talk.tell(f"{one}{'  attached to the next question' if one in waiting else ''}")
    if not talk.conversation.pictures:
        talk.tell("no pictures yet: drop one here, or type /image PATH")


def _drop(talk: Talk, rest: str) -> None:
    if not rest.isdecimal():
        raise UsageError("/drop takes a picture's number", "/images lists them")
    one = talk.conversation.drop(int(rest))
    talk.tell(f"removed {one}")


def _paste(talk: Talk, _: str) -> None:
    found = clipboard.picture(variables())
    if found is None:
        raise SourceError("there is no picture in the clipboard", "copy one, then type /paste again")
    for source in [Source("clipboard.png", found)] if isinstance(found, bytes) else [Source(str(p), p) for p in found]:
        talk.attach_one(source)
    talk.warm()


def _clear(talk: Talk, _: str) -> None:
    talk.conversation.clear()
    talk.tell("started a new conversation")


def _undo(talk: Talk, _: str) -> None:
    turn = talk.conversation.undo()
    talk.tell(f"took back: {' '.join(turn.question.split())}")


def _again(talk: Talk, _: str) -> None:
    conversation = talk.conversation
    turns, waiting = list(conversation.turns), list(conversation.pending)
    turn = conversation.undo()
    conversation.pending = list(turn.pictures)
    answered = False
    try:
        answered = talk.ask(turn.question, anew=True)
    finally:
        conversation.pending = waiting
        if not answered:
            conversation.turns = turns


def _edit(talk: Talk, _: str) -> None:
    if not talk.typed:
        raise UsageError("/edit works only on a terminal", "to take the question back, use /undo")
    talk.default = talk.conversation.undo().question


def _model(talk: Talk, rest: str) -> None:
    if not rest:
        talk.tell(talk.files.name)
        return
    settings = replace(talk.settings, model=rest, mmproj="", yes=False)
    files = named_model(talk.ui, settings, rest) if settings.server.strip() else find_model(talk.ui, settings)
    talk.change(files, settings)
    talk.tell(f"{files.name} continues the conversation")


def _system(talk: Talk, rest: str) -> None:
    if rest:
        talk.conversation.system = rest
    talk.tell(talk.conversation.system or "no system prompt")


def _set(talk: Talk, rest: str) -> None:
    name, _, value = rest.replace("=", " ", 1).partition(" ")
    chosen = talk.wishes.sampling
    if name and value.strip():
        sampling_of([f"{name}={value.strip()}"], form="{} {}")
        chosen[name] = value.strip()
    elif name in _settable():
        chosen.pop(name, None)
    elif name:
        raise UsageError(f"there is no sampling option {name}", f"use {', '.join(_settable())}")
    told = ", ".join(f"{name} {value}" for name, value in chosen.items())
    talk.tell(f"sampling: {told or 'defaults'}")


def _detail(talk: Talk, rest: str) -> None:
    if rest:
        talk.wishes.side = side_of(rest, "/detail")
    side = talk.wishes.side
    talk.tell(f"new pictures are scaled down to {side} pixels" if side else "new pictures keep their size")


def _stats(talk: Talk, _: str) -> None:
    if talk.last is None:
        raise UsageError("there was no answer yet", "ask something first")
    talk.ui.figures(stats.of_answer(talk.last))


def _tokens(talk: Talk, _: str) -> None:
    if talk.files.servers:
        raise UsageError("a server does not tell how full its context is", "/stats shows the tokens of the last answer")
    found = talk.measured()
    if found is None:
        talk.tell("the context is empty")
        return
    share, width = found.rows / found.n_ctx, 30
    full = min(width, round(share * width))
    bar = "█" * full + "░" * (width - full) if talk.ui.is_unicode else "#" * full + "." * (width - full)
    of_pictures = sum(found.pictures)
    talk.tell(f"{bar} {found.rows:,} of {found.n_ctx:,} tokens ({share:.0%}), {of_pictures:,} of them for pictures")


def _save(talk: Talk, rest: str) -> None:
    path = _file("/save", rest)
    conversation = talk.conversation
    turns, attached = len(conversation.turns), len(conversation.pictures)
    if not turns and (path.suffix == ".md" or not attached):
        also = f"; a .json file keeps the {'picture' if attached == 1 else 'pictures'} without one" if attached else ""
        raise UsageError("there is no answer to save", f"ask something first{also}")
    if path.suffix not in transcript.SUFFIXES:
        raise UsageError(f"{rest}: neither Markdown nor JSON", f"name it {path.stem or 'chat'}.md or .json")
    pictures = [Source(one.place, Path(one.place.partition("#")[0])) for one in conversation.pictures if one.sha256]
    path = target_of(str(path), pictures)
    if path.exists() and not transcript.is_one(path):
        raise UsageError(f"{path}: the file exists and is not a saved conversation", "choose another name")
    write(path, transcript.written(conversation, talk.files.name, path.suffix).encode("utf-8", "replace"))
    saved = count(turns, "turn") if turns else f"{count(attached, 'picture')} and no answers"
    talk.tell(f"{path}: saved {saved}")


def _load(talk: Talk, rest: str) -> None:
    path = _file("/load", rest)
    try:
        found = transcript.read(path)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not a valid file name"
        raise UsageError(f"{path}: cannot be read ({reason})", "check the path") from None
    before, loaded = talk.conversation, False
    talk.conversation = Conversation(found.system)
    try:
        for turn in found.turns:
            for picture in turn.pictures:
                _load_picture(talk, picture)
            talk.conversation.answered(turn.question, turn.answer)
        for picture in found.pending:
            _load_picture(talk, picture)
        loaded = True
    finally:
        if not loaded:  # Ctrl-C
            talk.conversation = before
    talk.tell(f"{path}: loaded {count(len(found.turns), 'turn')}")
    talk.warm()


def _load_picture(talk: Talk, saved: transcript.Saved) -> None:
    """A picture of a saved conversation, as it is now; without it where it cannot be read."""
    place = saved.place
    try:
        if not place:
            raise SourceError(f"{saved.name}: it was no file and no web address, and was not saved", "attach it again")
        path, _, frame = place.rpartition("#") if re.search(r"#[1-9]\d{0,5}\Z", place) else (place, "", "0")
        if place.startswith(("http://", "https://")):
            source = Source(place, Url(place, talk.wishes.allow_local_urls))
        elif Path(path).is_absolute() and "\0" not in path:
            source = Source(place, Path(path), int(frame))
        else:
            raise SourceError(f"{place[:200]!r}: neither a path nor an address", "attach the picture again")
        if saved.sha256 and isinstance(source.file, Path) and transcript.sha256(source.file) not in ("", saved.sha256):
            talk.tell(f"{place}: the file has changed since it was saved")
        talk.attach_one(source, saved.number)
    except (SourceError, UnicodeError) as error:
        talk.fail(error if isinstance(error, SourceError) else SourceError(f"{place!r}: not a valid path"))


def _copy(talk: Talk, _: str) -> None:
    turns = talk.conversation.turns
    if not turns:
        raise UsageError("there is no answer to copy", "ask something first")
    if clipboard.copy(turns[-1].answer, variables()):
        talk.tell("copied the answer to the clipboard")
    elif talk.ui.stdout.isatty():
        talk.ui.control(clipboard.osc52(turns[-1].answer))
        talk.tell("sent the answer to the terminal's clipboard")
    else:
        raise UsageError("no clipboard program was found", "install wl-clipboard or xclip")


def _help(talk: Talk, _: str) -> None:
    names = {f"{name} {command.takes}".strip(): command.help for name, command in COMMANDS.items() if command.help}
    talk.ui.glossary({**names, **KEYS})


def _leave(_: Talk, __: str) -> None:
    raise EOFError


def _paths(rest: str) -> list[str]:
    """Words behind a command: the whole, if that is a file, else as a shell takes it apart."""
    try:
        if Path(expand(rest)).exists():
            return [rest]
        return shlex.split(rest)
    except (OSError, ValueError):
        return [rest]


def _file(command: str, rest: str) -> Path:
    found = _paths(rest) if rest else []
    if len(found) != 1:
        raise UsageError(f"{command} takes one file", f"type {command} chat.json")
    return Path(expand(found[0])).absolute()


def _settable() -> list[str]:
    return [*(one.name for one in fields(Sampling)), "max_tokens"]


def _models() -> list[str]:
    """Names of the models on this machine, for completion."""
    from vlmcli import demo
    from vlmcli.models import store

    return [one.name for one in store.listed(demo.FILES)]


KEYS = {
    "Alt-Enter": 'start a new line; or put """ around several lines',
    "Ctrl-G": "write the question in your editor",
    "Tab": "complete a command, a model or a path",
    "//…": "ask a question that begins with a slash",
}

COMMANDS = {
    "/image": Command("PATH|URL…", "attach pictures; or drop them into the line", _image, PATHS),
    "/images": Command("", "list the pictures and the tokens they take", _images),
    "/paste": Command("", "attach the picture in the clipboard", _paste),
    "/drop": Command("N", "remove picture N from the conversation", _drop),
    "/undo": Command("", "take back the last question and its answer", _undo),
    "/regen": Command("", "answer the last question again, differently", _again),
    "/edit": Command("", "edit the last question and ask it again", _edit),
    "/clear": Command("", "start a new conversation", _clear),
    "/model": Command("[NAME]", "show the model, or continue with another one", _model, _models),
    "/system": Command("[TEXT]", "show or set the system prompt", _system),
    "/set": Command("[NAME VALUE]", "show or set a sampling option, or reset it", _set, _settable),
    "/detail": Command("[low|high|PIXELS]", "show or set how large new pictures are", _detail, lambda: SIDES),
    "/stats": Command("", "show tokens and times of the last answer", _stats),
    "/tokens": Command("", "show how much of the context is used", _tokens),
    "/save": Command("FILE", "save as .json (to load later) or .md (to read)", _save, PATHS),
    "/load": Command("FILE", "load a conversation saved as .json", _load, PATHS),
    "/copy": Command("", "copy the last answer to the clipboard", _copy),
    "/help": Command("", "show this list; so do help and ?", _help),
    "/exit": Command("", "leave; so do Ctrl-D, exit and quit", _leave),
    "/bye": Command("", "", _leave),
}

BARE = {
    "help": "/help", "?": "/help", "exit": "/exit", "quit": "/exit", "bye": "/exit", ":q": "/exit", "exit()": "/exit",
    "quit()": "/exit",
}  # fmt: skip
"""What people type alone in a line instead of a command, without its slash."""
