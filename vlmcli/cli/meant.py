"""What a mistyped command may have meant: hints that name the whole command, as it can be typed.

A suggestion is made only where the words are close to it: a hint that misleads costs more than none. Opens no file, and
raises nothing; who found the mistake does that.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable, Sequence
from contextvars import ContextVar

from vlmcli import typed

CLOSE = 0.7
"""How alike two words are, of 1, for one to be suggested for the other."""
OTHER_NAMES = {
    "list": "ls", "remove": "rm", "delete": "rm", "uninstall": "rm", "download": "pull", "install": "pull",
    "info": "show", "check": "doctor", "diagnose": "doctor", "read": "ocr", "question": "ask", "run": "ask",
}  # fmt: skip
"""What other programs call our commands."""
OPTIONS = ("--help", "--version", "--install-completion", "--show-completion")
"""Of `vlm` itself."""
EXAMPLE = "what is this?"
_QUOTES = "\"'\u2018\u2019\u201a\u201c\u201d\u201e\u00ab\u00bb"
"""Those of a text editor do not hold words together in a shell."""

_OWN = ("--length", "--focus", "--layout")
"""Options of commands that take no question, and that `vlm ask` does not have."""

_typed: ContextVar[tuple[str, tuple[str, ...]]] = ContextVar("typed", default=("", ()))
_LONG_DASHES = "\u2010\u2011\u2012\u2013\u2014\u2015\u2212"
"""What text editors and web pages make of a dash."""
_WORDS_OF_A_NAME = 12
"""That a name with spaces is put together of at most."""
_MOST_MISSING = 50
"""Names without a file, among which it is looked for one with spaces."""


def remember(path: str, words: Sequence[str]) -> None:
    """Keep what was typed for the hints of errors that come later.

    Args:
        path: of the command: "vlm ask".
        words: behind it.
    """
    _typed.set((path, tuple(words)))


def is_picture(word: str) -> bool:
    """Whether a word names a picture, or something else that there is; by its form where nothing is there."""
    from vlmcli.pictures.signatures import OTHERS  # not needed for a page of help

    bare = word.rpartition("#")[0] or word
    if word == "-" or word.startswith("-#") or _is_address(word) or os.path.lexists(os.path.expanduser(bare)):  # noqa: PTH111 - takes any word
        return True
    if " " not in word and any(mark in word for mark in ("/", os.sep, "*", "~")):
        return True
    return has_picture_suffix(bare) or os.path.splitext(bare)[1].lower() in OTHERS  # noqa: PTH122 - a question is no path


def has_picture_suffix(word: str) -> bool:
    """Whether a word ends as the name of a picture does."""
    from vlmcli.pictures.signatures import SUFFIXES

    return os.path.splitext(word)[1].lower() in SUFFIXES  # noqa: PTH122 - as above


def is_prose(word: str) -> bool:
    """Whether a word may be a part of a question, or all of it."""
    return bool(word.strip()) and not word.startswith("-") and not is_picture(word)


def is_question(word: str) -> bool:
    """Whether a word is a whole question, as it seems: several words in quotes, or one with a question mark."""
    return is_prose(word) and (len(word.split()) > 1 or word.endswith("?"))


def closest(word: str, known: Iterable[str]) -> str:
    """The one of the known words that is likely meant; empty where none is close.

    A word of other letters and another beginning ("what", of "chat") is not close enough.
    """
    import difflib  # only a mistake needs it

    low, known = word.lower(), list(known)
    turned = [one for one in known if sorted(one) == sorted(low)]  # "aks"
    if turned:
        return turned[0]
    for close in difflib.get_close_matches(low, known, 3, CLOSE):
        alike = difflib.SequenceMatcher(None, low, close).ratio()
        if alike >= 0.8 or low.lstrip("-")[:1] == close.lstrip("-")[:1]:
            return close
    return ""


def verb(words: Sequence[str], verbs: Collection[str]) -> str:
    """A hint for a command whose first word is no verb; empty where nothing is likely.

    Args:
        words: all that was typed behind `vlm`.
        verbs: there are.
    """
    first = words[0]
    if first.startswith("-"):
        later = next((word for word in words if word in verbs), None)
        if later is not None:
            rest = list(words)
            rest.remove(later)
            return _did("vlm", later, *rest)
        if any(map(is_picture, words[1:])):
            return _did(*_asked(words))
        close = closest(first, OPTIONS)
        return _did("vlm", close, *words[1:]) if close else ""
    close = OTHER_NAMES.get(first.lower()) or closest(first, verbs)
    if close and not is_picture(first):
        if close == "ask" and not any(map(is_picture, words[1:])) and len(words) == 2 and not is_question(words[1]):
            return _did("vlm", "chat", "-m", words[1])  # as other programs start a model
        return _did(
            *(_asked(words[1:]) if first.lower() in OTHER_NAMES and close == "ask" else ("vlm", close, *words[1:]))
        )
    if is_question(first) or any(map(is_picture, words)):
        return _did(*_asked(words))
    return ""


def dash(words: Sequence[str], path: str, names: Collection[str]) -> tuple[str, str] | None:
    """An option with other dashes than its own ("-max-tokens", or a long dash): what is wrong and a hint, or None.

    The parser would take the first for -m with the model "ax-tokens".

    Args:
        words: that were typed behind the command.
        path: of the command: "vlm ask".
        names: of its options.
    """
    for at, word in enumerate(words):
        if word == "--":
            break
        name, equals, value = word.partition("=")
        bare = name.lstrip("-" + _LONG_DASHES)
        own = f"-{bare}" if len(bare) == 1 else f"--{bare}"
        if not bare or name == own or own not in names or os.path.lexists(word):
            continue
        hint = _did(*path.split(), *words[:at], own + equals + value, *words[at + 1 :])
        if name[0] in _LONG_DASHES:
            return f"{word} begins with a long dash; the option is {own}", hint
        if name.startswith("-"):
            return f"unknown option {name}", hint
    return None


def option(name: str, words: Sequence[str], path: str, names: Iterable[str], numbers: Collection[str] = ()) -> str:
    """A hint for an option that a command does not have; empty where nothing is likely.

    Args:
        name: as the parser found it: "--ouput", or "-5" of "-5 or 5?".
        words: that were typed behind the command.
        path: of the command: "vlm ask".
        names: of its options.
        numbers: those of them that take a number.
    """
    at = next((at for at, word in enumerate(words) if word == name or word.startswith(name)), None)
    if at is None:
        return ""
    word, others = words[at], [*words[:at], *words[at + 1 :]]
    if os.path.lexists(word) or has_picture_suffix(word):
        return _did(*path.split(), *words[:at], f"./{word}", *words[at + 1 :])
    if len(word.split()) > 1 or word.endswith("?"):
        return f"write -- before a question that begins with a dash: {_command(*path.split(), *others, '--', word)}"
    close = ""
    if name.startswith("--"):
        value = word.removeprefix(name).lstrip("=") or next(iter(words[at + 1 :]), "")
        close = _begun(name, names, numbers if value.replace(".", "", 1).isdecimal() else ())
    if not close:
        return ""
    return _did(*path.split(), *words[:at], close + word.removeprefix(name), *words[at + 1 :])


def argument(extra: Sequence[str], path: str, names: Collection[str]) -> str:
    """A hint for arguments of a command that takes none: they may be its models. Empty where nothing is likely.

    Args:
        extra: the arguments.
        path: of the command: "vlm serve".
        names: of its options.
    """
    rest = list(_typed.get()[1])
    if "--models" not in names or any(word not in rest or is_question(word) for word in extra):
        return ""
    for word in extra:
        rest.remove(word)
    return _did(*path.split(), *rest, "-m", ",".join(extra))


def _begun(name: str, names: Iterable[str], preferred: Collection[str]) -> str:
    """The long option that a name begins, the preferred ones first, or is nearly; empty where none is likely."""
    long = [one[2:] for one in names if one.startswith("--")]
    bare = name.lstrip("-")
    begun = [one for one in long if len(bare) > 2 and one.startswith(bare)]
    begun = [one for one in begun if f"--{one}" in preferred] or begun
    close = begun[0] if len(begun) == 1 else "" if begun else closest(bare, long)
    return f"--{close}" if close else ""


def model(value: str, path: str, words: Sequence[str]) -> str:
    """A hint for a picture where a model is expected: the same command without -m.

    Args:
        value: of -m.
        path: of the command: "vlm ask".
        words: that were typed behind it.
    """
    rest: list[str] = []
    for word in words:
        if word in ("-m", "--model"):
            continue
        rest.append(value if word in (f"-m{value}", f"-m={value}", f"--model={value}") else word)
    return _did(*path.split(), *rest)


def spaced(words: Sequence[str]) -> tuple[str, str] | None:
    """Where names with spaces were typed without quotes: the first word of the first, and a hint; None for nowhere."""
    where = first = _first_spaced(words)
    if first is None:
        return None
    whole, rest = list(words), list(_typed.get()[1])
    as_typed, names = True, 0
    while where is not None:
        begin, end = where
        run = whole[begin:end]
        whole[begin:end] = [" ".join(run)]
        names += 1
        at = next((at for at in range(len(rest)) if rest[at : at + len(run)] == run), None)
        if at is None:
            as_typed = False
        else:
            rest[at : at + len(run)] = [" ".join(run)]
        where = _first_spaced(whole)
    lost, what = words[first[0]], "the name in quotes" if names == 1 else "the names in quotes"
    if not as_typed:
        return lost, f"put {what}: {typed.word(' '.join(words[slice(*first)]))}"
    asks = _asking()[-1] == "ask" and is_there(whole[-1])
    more = [EXAMPLE] if asks and not {"-q", "--question", "-t", "--template"} & {*rest} else []
    return lost, f"put {what}: {_command(*_asking(), *rest, *more)}"


def _first_spaced(words: Sequence[str]) -> tuple[int, int] | None:
    """Where the words of the first name with spaces begin and end that was typed without quotes; None for none."""
    missing = [at for at, word in enumerate(words) if not is_there(word)]
    for lost in missing if len(missing) <= _MOST_MISSING else ():
        for begin in range(max(0, lost - _WORDS_OF_A_NAME), lost + 1):
            for end in range(min(len(words), begin + _WORDS_OF_A_NAME), max(lost, begin + 1), -1):
                if _exists(" ".join(words[begin:end])):
                    return begin, end
    return None


def several(paths: Sequence[str], others: Sequence[str]) -> tuple[str, str] | None:
    """Where questions are among the pictures: what is wrong, and a hint; None where there are none.

    Args:
        paths: the arguments that were taken for pictures.
        others: the questions of the command.
    """
    found = [word for word in paths if len(word.split()) > 1 and word.endswith("?") and is_prose(word)]
    if all(len(one.split()) > 1 or one.endswith("?") for one in others):  # whole ones, not the first word of one
        found = [word for word in paths if word in found or (word.endswith("?") and is_prose(word))]
    if not found:
        return None
    _, words = _typed.get()
    if len(found) == 1 and len(others) == 1 and is_picture(others[0]):
        rest = list(words)
        _drop(rest, found[0])
        return f"{others[0]}: the last argument is the question, but this is a picture", (
            f'put the question last, or use -q "…": {_command(*_asking(), *rest, *found)}'
        )
    rest = []
    for word in words:
        rest += ["-q", word] if word in (*found, *others) and rest[-1:] not in (["-q"], ["--question"]) else [word]
    return f"the command has {len(found) + len(others)} questions", (
        f"to ask several questions: {_command(*_asking(), *rest)}"
    )


def turned(paths: Sequence[str], last: str) -> str:
    """A hint for a question before the pictures, without quotes or with them; empty where there is none.

    Args:
        paths: the arguments before the last.
        last: a picture, where the question is expected.
    """
    question = [word for word in paths if is_prose(word)]
    pictures = [word for word in (*paths, last) if word not in question]
    if not question or [*paths, last] != [*question, *pictures]:
        return ""
    return f"put the question last: {_again([*question], ' '.join(question).strip(_QUOTES))}"


def unquoted(paths: Sequence[str], last: str) -> tuple[str, str] | None:
    """Where the question was typed without quotes: the first word of it, and a hint; None where it was not.

    Args:
        paths: the arguments before the last.
        last: the one that was taken for the question.
    """
    if len(last.split()) != 1 or is_picture(last):
        return None
    begin = next((at for at, word in enumerate(paths) if is_prose(word)), len(paths))
    run = paths[begin:]
    if not any(map(is_prose, run)) or any(len(word.split()) != 1 or has_picture_suffix(word) for word in run):
        return None
    if len(run) < 2 and (not paths[:begin] or _has_neighbour(run[0])):  # it may be a picture that is not there
        return None
    question = " ".join([*run, last]).strip(_QUOTES)
    pictures = () if paths[:begin] else ("PICTURE",)
    return run[0], f"put the question in quotes: {_again([*run, last], *pictures, question)}"


def unquoted_option(paths: Sequence[str], question: str) -> tuple[str, str] | None:
    """As `unquoted`, where the question is the value of -q, and the arguments begin with the rest of it."""
    begin = next((at for at, word in enumerate(paths) if is_prose(word)), len(paths))
    end = next((at for at in range(begin, len(paths)) if not is_prose(paths[at])), len(paths))
    run = list(paths[begin:end])
    if not run or any(len(word.split()) != 1 for word in (question, *run)):
        return None
    if len(run) < 2 and _has_neighbour(run[0]):
        return None
    whole = " ".join([question, *run]).strip(_QUOTES)
    _, words = _typed.get()
    rest = list(words)
    for word in (*run, question):
        _drop(rest, word)
    rest = [whole if word is None else word for word in _filled(rest)] if rest else ["-q", whole]
    return run[0], f"put the question in quotes: {_command(*_asking(), *rest)}"


def with_question() -> str:
    """The command that was typed, with a question behind it."""
    return _again([], EXAMPLE)


def asked_of(verb: str, words: Sequence[str]) -> tuple[str, str] | None:
    """Where a command that takes pictures only was given a question: that, and a hint; None where it was not."""
    if not words or not is_prose(words[-1]):
        return None
    if is_question(words[-1]):
        taken = [words[-1]]
        if _has_neighbour(words[-1]):
            return None
    else:
        begin = next(at for at in range(len(words), -1, -1) if at == 0 or not is_prose(words[at - 1]))
        taken = list(words[begin:])
        if len(taken) < 2 or any(len(word.split()) != 1 for word in taken):
            return None
    question, pictures = " ".join(taken).strip(_QUOTES), list(words[: len(words) - len(taken)])
    _, rest = _typed.get()
    others = list(rest) if not any(word.startswith(_OWN) for word in rest) else []
    for word in taken:
        _drop(others, word)
    kept = others if pictures and all(one in others for one in pictures) else pictures or ["PICTURE"]
    return question, f"to ask a question: {_command('vlm', 'ask', *kept, question)}"


def _asked(words: Sequence[str]) -> list[str]:
    """A command that asks, of words without a verb: its question last, and in one."""
    if any(word.startswith("-") and not is_picture(word) for word in words):
        return ["vlm", "ask", *words]  # what belongs to an option is not known here
    pictures = [word for word in words if not is_prose(word)]
    question = " ".join(word for word in words if is_prose(word))
    return ["vlm", "ask", *(pictures or ["PICTURE"]), question or EXAMPLE]


def _again(without: Sequence[str], *more: str) -> str:
    """The command that was typed, without some of its words, and with others behind them."""
    _, words = _typed.get()
    rest = list(words)
    for word in reversed(without):
        _drop(rest, word)
    return _command(*_asking(), *rest, *more)


def _asking() -> list[str]:
    """The command that was typed."""
    path, _ = _typed.get()
    return path.split() or ["vlm", "ask"]


def _has_neighbour(word: str) -> bool:
    """Whether there is a file whose name is like this word."""
    from pathlib import Path

    from vlmcli.pictures import names

    return names.nearest(Path(word)) is not None


def is_there(word: str) -> bool:
    """Whether there is such a file or folder, or part of a file; of an address that is not known here."""
    return _is_address(word) or _exists(word)


def _is_address(word: str) -> bool:
    """Whether a word names something by an address, of whatever kind, not by a path."""
    from vlmcli.pictures.kept import is_elsewhere  # not needed for a page of help

    return is_elsewhere(word) or word[:7].lower().startswith(("file://", "data:"))


def _exists(word: str) -> bool:
    try:
        bare = re.sub(r"(?i)(\.tar|\.parquet)#.*$|#[0-9]+$", r"\1", word)
        return any(os.path.lexists(os.path.expanduser(one)) for one in (word, bare) if one)  # noqa: PTH111
    except ValueError:  # with a NUL
        return False


def _drop(words: list[str], word: str) -> None:
    """Take the last of these words out."""
    for at in range(len(words) - 1, -1, -1):
        if words[at] == word:
            del words[at]
            return


def _filled(words: Sequence[str]) -> list[str | None]:
    """Words with None behind each -q that has lost its question."""
    found: list[str | None] = []
    for at, word in enumerate(words):
        found.append(word)
        if word in ("-q", "--question"):
            following = words[at + 1 : at + 2]
            if not following or is_picture(following[0]) or following[0].startswith("-"):
                found.append(None)
    return found


def _did(*words: str) -> str:
    return f"did you mean: {_command(*words)}"


def _command(*words: str) -> str:
    return typed.command(words)
