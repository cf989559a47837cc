"""Completion with Tab in bash, zsh and fish: what may come next in a command line.

The scripts that `vlm --install-completion` sets up are Typer's. They call `vlm` with variables that hold the line so
far, and take its answer as code or as lines; this module reads the one and writes the other, without the parser and
without anything that needs a model or the network. No answer lets the shell complete files.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from vlmcli.cli.parameters import Parameter, parameters
from vlmcli.errors import VlmError
from vlmcli.tasks.numbers import SIDES

VARIABLE = "_VLM_COMPLETE"
"""Holds what is wanted, as in complete_bash."""

Values = Mapping[str, str]
"""What may come next, with a few words about each; empty for none."""

SAFE = re.compile(r"[\w@%+=:,./-]+")
"""Values that need no quotes in any shell; others are not offered, since zsh takes the answer as code."""

ROOT = ("--help", "--version", "--install-completion", "--show-completion")
"""The options of `vlm` itself."""


def answer(
    variables: Mapping[str, str], verbs: Values, function_of: Callable[[str], Callable[..., Any]]
) -> tuple[str, int] | None:
    """What to print, and the exit code; None for a shell or a wish that is Typer's.

    Args:
        variables: of the environment.
        verbs: the commands, with their summaries.
        function_of: gives the function of one, whose signature has its options.
    """
    shell = variables.get(VARIABLE, "").removeprefix("complete_")
    if shell not in ("bash", "zsh", "fish") or not variables[VARIABLE].startswith("complete_"):
        return None
    before, begun, cut = _words(shell, variables)
    try:
        found = values(before, begun, verbs, function_of)
    except (VlmError, OSError, ValueError):  # a broken file of settings is for the command to tell
        found = {}
    found = {one: text for one, text in found.items() if one.startswith(begun) and SAFE.fullmatch(one)}
    if shell == "bash":
        return "\n".join(one[cut:] for one in found), 0
    if shell == "zsh":
        return _zsh(found), 0
    if variables.get("_TYPER_COMPLETE_FISH_ACTION") == "is-args":
        return "", 0 if found else 1
    return "\n".join(f"{one}\t{text}" if text else one for one, text in found.items()), 0


def values(
    before: Sequence[str], begun: str, verbs: Values, function_of: Callable[[str], Callable[..., Any]]
) -> Values:
    """What may come next, whatever it begins with; nothing where only a file can.

    Args:
        before: the words between `vlm` and the one that is completed.
        begun: what is there of that word.
        verbs: the commands, with their summaries.
        function_of: gives the function of one.
    """
    if not before:
        return dict.fromkeys(ROOT, "") if begun.startswith("-") else verbs
    verb, *rest = before
    if verb not in verbs:
        return {}
    taken = parameters(function_of(verb))
    if "--" not in rest:
        option = _waiting(taken, rest)
        if option is not None:
            return _of_option(option, begun)
        name, equals, value = begun.partition("=")
        if equals and (option := _named(taken, name)) is not None:
            return {f"{name}={one}": text for one, text in _of_option(option, value).items()}
        if begun.startswith("-"):
            return {name: one.help for one in taken for name in (*one.names, *one.negative)} | {"--help": ""}
    return _of_argument(verb, rest, begun, verbs)


def _waiting(taken: Sequence[Parameter], rest: Sequence[str]) -> Parameter | None:
    """The option whose value comes next. bash gives the "=" behind an option as a word of its own."""
    words = rest[:-1] if rest and rest[-1] == "=" else rest
    return _named(taken, words[-1]) if words else None


def _named(taken: Sequence[Parameter], name: str) -> Parameter | None:
    """The option of this name, if it takes a value."""
    return next((one for one in taken if name in one.names and one.kind is not bool), None)


def _of_option(option: Parameter, begun: str) -> Values:
    """Values of an option."""
    if option.key == "model":
        return _models(begun)
    if option.key == "template":
        return _templates()
    if option.key == "chat-template":
        from vlmcli.models.chat_templates import CHAT_TEMPLATES

        return dict.fromkeys(CHAT_TEMPLATES, "")
    if option.key == "detail":
        return dict.fromkeys((*SIDES, "parts"), "")
    named = [word for word in option.metavar.split("|") if word.islower()]
    return dict.fromkeys(option.choices or named, "")


def _of_argument(verb: str, rest: Sequence[str], begun: str, verbs: Values) -> Values:
    """What a command takes besides options; for most that is files."""
    if verb == "help":
        return {} if rest else verbs
    if verb == "pull":
        return _models(begun, here=False)
    if verb in ("rm", "verify"):
        return _models(begun, published=False)
    if verb in ("default", "show"):
        return {"demo": "", **_models(begun, published=False)}
    if verb == "cache":
        return {} if rest else {"clear": "Remove what is kept."}
    if verb == "templates":
        if not rest:
            return {"list": "List the templates.", "show": "Print the file of a template."}
        return _templates() if list(rest) == ["show"] else {}
    return {}


def _models(begun: str, *, here: bool = True, published: bool = True) -> Values:
    """Names of models on this machine, and of those that can be downloaded; none where a path is typed."""
    if begun.startswith((".", "~", "/")):
        return {}
    from vlmcli import demo
    from vlmcli.models import catalogue, store

    found: dict[str, str] = {}
    if here:
        found |= dict.fromkeys((one.name for one in store.listed(demo.FILES if published else None)), "downloaded")
    if published:
        for entry in catalogue.entries():
            found.setdefault(entry.name, entry.good_at)
    return found


def _templates() -> Values:
    from vlmcli.settings import config_folder
    from vlmcli.tasks import templates

    return dict.fromkeys(templates.names(config_folder() / "templates"), "")


def _words(shell: str, variables: Mapping[str, str]) -> tuple[list[str], str, int]:
    """The words between `vlm` and the one that is completed, and what is there of that one.

    Also how many of its letters the shell keeps by itself: bash takes a colon for the end of a word.
    """
    if shell == "bash":
        line = variables.get("COMP_WORDS", "")
        words = line.split("\n") if "\n" in line else _split(line)
        at = variables.get("COMP_CWORD", "")
        number = int(at) if re.fullmatch("[0-9]{1,6}", at) else len(words)
        begun = words[number] if number < len(words) else ""
        last = "" if begun == "=" else _unquoted(begun)
        *before, begun = _joined([*map(_unquoted, words[1:number]), last])
        return before, begun, begun.rfind(":") + 1 if begun != last else 0
    line = variables.get("_TYPER_COMPLETE_ARGS", "")
    words = _split(line)[1:]
    if words and not line[-1:].isspace():
        return words[:-1], words[-1], 0
    return words, "", 0


def _joined(words: Sequence[str]) -> list[str]:
    """Words of which some stood before, behind or between the same colons."""
    joined: list[str] = []
    for number, word in enumerate(words):
        if joined and ":" in (word, words[number - 1]):
            joined[-1] += word
        else:
            joined.append(word)
    return joined


def _split(line: str) -> list[str]:
    """A line's words as a shell has them; a quote that is not closed yet ends with the line."""
    for closed in (line, f'{line}"', f"{line}'"):
        try:
            return shlex.split(closed)
        except ValueError:
            continue
    return line.split()


def _unquoted(word: str) -> str:
    return next(iter(_split(word)), "")


def _zsh(found: Values) -> str:
    """Code for zsh, which the script evaluates: a list with descriptions, or files."""
    if not found:
        return "_files"
    described = []
    for one, text in found.items():
        about = _plain(text)
        value = one.replace(":", r"\\:")
        described.append(f'"{value}":"{about}"' if about else f'"{value}"')
    return "_arguments '*: :(({}))'".format("\n".join(described))


def _plain(text: str) -> str:
    """A description without anything that zsh would take for code."""
    return " ".join(re.sub(r"[^\w .,;/+-]", " ", text).split())
