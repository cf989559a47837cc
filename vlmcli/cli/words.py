"""A command's arguments: which of them are pictures, and which are questions.

Reads lists of names, lists of questions and stdin. Does not open a picture, and does not know what is done with it.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vlmcli import files, settings, typed
from vlmcli.amounts import size
from vlmcli.cli import meant, piped
from vlmcli.errors import SourceError, UsageError
from vlmcli.pictures import folders, kept, sources
from vlmcli.pictures.folders import LeftOut
from vlmcli.pictures.sources import Source, expand
from vlmcli.tasks import questions as typed_questions
from vlmcli.tasks import templates
from vlmcli.tasks.templates import QUESTION, Template

if TYPE_CHECKING:
    from vlmcli.pictures.known import Known

MAX_STDIN = 256 << 20
"""Bytes of a picture on stdin, and of a list."""
MAX_QUESTIONS = 16 << 20
"""Bytes of a file of questions."""
_STDIN = re.compile("-(#[1-9][0-9]{0,5})?")
"""The name of what is piped in, and of a page or frame of it."""


@dataclass(frozen=True)
class Named:
    """What a command says of its pictures.

    Attributes:
        names: as they were typed: files, folders, patterns, addresses, "-" for stdin.
        files_from: a file with a list of more, or "-" for stdin.
        null: whether the list's names end with NULs.
        allow_local_urls: whether addresses may lead to this machine or its network.
        each: ask about each picture.
        together: ask about all at once.
        include: patterns of names that are wanted, of what was expanded; none for all.
        exclude: patterns of names that are not.
    """

    names: Sequence[str]
    files_from: str | None
    null: bool
    allow_local_urls: bool
    each: bool = False
    together: bool = False
    include: Sequence[str] = ()
    exclude: Sequence[str] = ()


@dataclass(frozen=True)
class Arguments:
    """What a command's arguments come to.

    Attributes:
        names: of the pictures.
        questions: about them, put into the template, if there is one.
        system: what the template tells the model before; empty for nothing.
        template: that was named, or None.
    """

    names: Sequence[str]
    questions: Sequence[str]
    system: str = ""
    template: Template | None = None


def arguments_of(
    words: Sequence[str],
    questions: Sequence[str] | None,
    files_from: str | None,
    template: str | None,
    params: Sequence[str] | None,
) -> Arguments:
    """A command's arguments, read: which are pictures, and what is asked, put into the template, if one is named.

    Args:
        words: of the command, without its options.
        questions: given with -q.
        files_from: the list that pictures are named in, too.
        template: its name.
        params: for its slots, each NAME=VALUE.

    Raises UsageError where no question, or no picture, can be made of them.
    """
    if template is None:
        if params:
            raise UsageError("--param does nothing without a template", "name one: -t NAME")
        return Arguments(*pictures_and_questions(words, questions, files_from))
    chosen = templates.find(template, settings.config_folder() / "templates")
    values = dict(_param(pair) for pair in params or ())
    if QUESTION not in chosen.slots or QUESTION in values:
        asked = [*(questions or ()), *filter(meant.is_question, words)]
        if asked:
            raise UsageError(f"the template {template} takes no question", f"leave out {typed.word(asked[0][:200])}")
        prompt, system = chosen.fill(values)
        return Arguments(words, [prompt], system, chosen)
    names, given = pictures_and_questions(words, questions, files_from)
    filled = [chosen.fill({**values, QUESTION: one}) for one in given]
    if len({system for _, system in filled}) > 1:
        raise UsageError(f"the template {template} takes one question at a time", "ask them one by one")
    return Arguments(names, [prompt for prompt, _ in filled], filled[0][1], chosen)


def _param(pair: str) -> tuple[str, str]:
    """A slot's name and its value. Raises UsageError where there is no value."""
    name, equals, value = pair.partition("=")
    if not equals:
        raise UsageError(f"--param {pair}: the value is missing", f"write --param {pair}=VALUE")
    return name, value.strip()


def pictures_and_questions(
    words: Sequence[str], questions: Sequence[str] | None, files_from: str | None = None
) -> tuple[list[str], list[str]]:
    """Which words are pictures and which the question: the last, unless there is a -q; "-" is one on stdin."""
    _refuse_unquoted(meant.spaced(words))
    if questions:
        asked = [question.strip() for question in questions]
        paths = list(words)
        _refuse(meant.several(paths, questions))
        _refuse_unquoted(meant.unquoted_option(paths, asked[-1]))
    elif question := _only_question(words, files_from):
        asked, paths = [question], list(words)
    else:
        if not words:
            raise UsageError("the command has no question", f"put it last, or give it with -q{piped.hint()}")
        *paths, last = words
        _refuse(meant.several(paths, [last]))
        _refuse_unquoted(meant.unquoted(paths, last))
        if not paths and files_from is None:
            if piped.is_there(last):
                raise UsageError(
                    f"the command has no question about {last}", f"add one: {meant.with_question()}{piped.hint()}"
                )
            piped_in = "; - stands for one that is piped in" if piped.hint() else ""
            raise UsageError(
                "the command has no picture",
                f"name one before the question: {typed.command(('vlm', 'ask', 'PICTURE', last))}{piped_in}",
            )
        if is_file(last):
            turned = meant.turned(paths, last)
            raise UsageError(
                f"{last}: the last argument is the question, but this is a picture",
                turned or f'put the question last, or use -q "…"{piped.hint()}',
            )
        asked = [last.strip()]
    if not all(asked):
        raise UsageError("the question is empty", 'write one, such as "what is this?"')
    return paths, _with_stdin(asked, [*paths, files_from])


def _refuse(found: tuple[str, str] | None) -> None:
    """Raise UsageError for what was found wrong, with its hint."""
    if found is not None:
        raise UsageError(*found)


def _refuse_unquoted(found: tuple[str, str] | None) -> None:
    """Raise UsageError where words of a question or a name were typed without quotes."""
    if found is not None:
        raise UsageError(f"{found[0]}: there is no such file", found[1])


def only_pictures(verb: str, words: Sequence[str]) -> Sequence[str]:
    """The words of a command that takes pictures only. Raises UsageError where one of them is a question."""
    _refuse_unquoted(meant.spaced(words))
    found = meant.asked_of(verb, words)
    if found is not None:
        raise UsageError(f"there is no file {typed.word(found[0][:200])}, and vlm {verb} takes no question", found[1])
    return words


def _only_question(words: Sequence[str], files_from: str | None) -> str:
    """The question on stdin, where pictures are named and no question is; empty where there is none."""
    if any(_STDIN.fullmatch(one) for one in (*words, files_from or "")):
        return ""
    if words:
        missing = is_file(words[-1]) or (len(words) == 1 and files_from is None and piped.is_there(words[0]))
    else:
        missing = files_from is not None
    return piped.only_question() if missing else ""


def _with_stdin(asked: list[str], others: Sequence[str | None]) -> list[str]:
    """The questions, with the one that is "-" read from stdin. Raises UsageError where stdin is for something else."""
    if "-" not in asked:
        return asked
    if asked.count("-") > 1 or any(_STDIN.fullmatch(one or "") for one in others):
        raise UsageError("stdin can be read only once", "use a file for one of the two")
    return [piped.question() if one == "-" else one for one in asked]


def questions_of(name: str, others: Sequence[str] = ()) -> list[str]:
    """The questions of a file, one a line; empty lines are none. "-" is stdin, unless another word is, too.

    Of typed questions in JSON or TOML, only the words are taken.
    """
    return [question.instructions for question in typed_questions.read(text_of(name, others), name)]


def text_of(name: str, others: Sequence[str] = ()) -> str:
    """The text of a file of questions; "-" is stdin, unless another word is, too. Raises UsageError."""
    try:
        if name != "-":
            data = files.read(Path(expand(name)), MAX_QUESTIONS, pipes=True)
        elif any(_STDIN.fullmatch(one) for one in others):
            raise UsageError("stdin can be read only once", "use a file for one of the two")
        else:
            data = _stdin()
        return sources.utf8(data).decode()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not a text in UTF-8 or UTF-16"
        raise UsageError(f"{name[:200]}: the questions cannot be read ({reason})", "check the path") from None


def is_file(word: str) -> bool:
    """Whether a word of a command is the name of a file."""
    try:
        return Path(word).is_file()
    except (OSError, ValueError):  # a question may be too long to be a name
        return False


def named_pictures(named: Named, left_out: LeftOut, known: Known | None = None) -> tuple[list[Source], str]:
    """The pictures of a command, and the text on stdin, if "-" is one of the names and what is there is text.

    What is in folders and is no picture is added to `left_out`, unless --include or --exclude leave it out, too. The
    pages of `known` files are not counted again.
    """
    names, files_from = named.names, named.files_from
    if named.null and files_from is None:
        raise UsageError("-0 does nothing without a list of names", "name the list: --files-from FILE -0")
    on_stdin = [name for name in names if _STDIN.fullmatch(name)]
    if (len(on_stdin) > 1 and "-" in on_stdin) or (on_stdin and files_from == "-"):
        raise UsageError("stdin can be read only once", "use a file for one of the two")
    piped = _stdin() if on_stdin or files_from == "-" else b""
    found: list[Source] = []
    context = ""
    for name in names:
        if name not in on_stdin:
            found.extend(sources.find([name], (), named.allow_local_urls, left_out, known))
        elif (text := _text(piped)) is not None:
            context = text.strip()
        elif name == "-":
            found.extend(sources.of_bytes("-", piped, known))
        else:
            found.append(sources.Source(name, piped, int(name[2:])))
    if files_from is not None:
        listed = _listed(files_from, piped if files_from == "-" else _list_file(files_from, named), named.null)
        if not listed and not found:
            raise SourceError(f"{files_from}: the list is empty", "check how it was made")
        elsewhere = kept.is_elsewhere(files_from)
        if len(listed) > 1 and not elsewhere and not any(map(meant.is_there, listed)):
            raise SourceError(
                f"{files_from}: none of its {len(listed):,} names is a file here",
                "names in a list are looked up from the current folder: change to that of the pictures, or list paths",
            )
        found.extend(sources.find((), listed, named.allow_local_urls, left_out, known, only_addresses=elsewhere))
    if not found:
        if context:
            raise UsageError(
                "the command has no picture, and what is on stdin is text",
                "name a picture; for a list of names on stdin, use --files-from - instead of -",
            )
        raise UsageError("the command has no picture", "name a file, a folder or an address")
    left_out.keep(lambda name: _is_wanted(name, named))
    return _chosen(found, named), context


def _listed(name: str, data: bytes, null: bool) -> list[str]:
    """The names in a list. Raises UsageError where it is not written as the command says."""
    shown = typed.word(name)
    try:
        text = sources.utf8(data)
    except ValueError:
        raise UsageError(f"{name}: incomplete UTF-16 text", "save the list again as UTF-8") from None
    if sources.is_utf16(text):
        raise UsageError(f"{name}: a UTF-16 list without a byte order mark", "save it as UTF-8")
    if b"\0" in text and not null:
        raise UsageError(
            f"{name}: its names end with NULs, as find -print0 writes them", f"add -0: --files-from {shown} -0"
        )
    return sources.split_list(text, null)


def _chosen(found: list[Source], named: Named) -> list[Source]:
    """Of what was expanded, the pictures whose names are wanted.

    Raises UsageError for --include and --exclude where nothing was: the shell may have expanded a pattern before.
    """
    if (named.include or named.exclude) and not any(source.expanded for source in found):
        option = "--include" if named.include else "--exclude"
        raise UsageError(
            f"{option} does nothing without a folder, a pattern or a list",
            f'name the folder, or quote the pattern ("*.jpg"), or leave {option} out',
        )
    left = [source for source in found if not source.expanded or _is_wanted(source.name, named)]
    if not left:
        raise SourceError(
            f"none of {len(found):,} pictures matches --include and --exclude", "check the patterns, or leave them out"
        )
    return left


def _is_wanted(name: str, named: Named) -> bool:
    """Whether --include and --exclude leave a name (the whole, or the last part) among those that are asked about.

    The last part of the name of a picture in an archive is the member's own.
    """
    parts = kept.parted(name)
    names = {name, name.rpartition("/")[2], *([parts[1], parts[1].rpartition("/")[2]] if parts and parts[1] else [])}

    def is_like(patterns: Sequence[str]) -> bool:
        return any(folders.fits(one, pattern) for one in names for pattern in patterns)

    return (not named.include or is_like(named.include)) and not is_like(named.exclude)


def _stdin() -> bytes:
    if sys.stdin is None or sys.stdin.isatty():
        raise UsageError('"-" means stdin, but nothing is piped into it', "pipe a picture, or use a file instead")
    try:
        data = sys.stdin.buffer.read(MAX_STDIN + 1)
    except OSError as error:
        raise SourceError(f"-: stdin cannot be read ({error.strerror})", "use a file instead") from None
    if len(data) > MAX_STDIN:
        raise SourceError(f"-: stdin has more than {size(MAX_STDIN)}", "name a file")
    if not data:
        raise SourceError("-: stdin is empty", "check the command before the pipe")
    return data


def _text(data: bytes) -> str | None:
    """Bytes as text, or None where they are a file of some other kind."""
    try:
        text = sources.utf8(data)
        return text.decode() if b"\0" not in text and not text.startswith(b"%PDF-") else None
    except UnicodeDecodeError:
        return None


def _list_file(name: str, named: Named) -> bytes:
    """A list, from a file, an address or a store. Raises SourceError."""
    if kept.is_stored(name):
        from vlmcli.pictures import stores  # which few need

        return stores.Stored(name).read(name)
    if kept.is_elsewhere(name):
        from vlmcli.pictures import fetch  # with a client of HTTP

        return fetch.get(name, named.allow_local_urls)
    try:
        return files.read(Path(expand(name)), MAX_STDIN, pipes=True)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not a valid file name"
        raise SourceError(f"{name[:200]}: the list cannot be read ({reason})", "check the path") from error
