"""What is wrong with a command line, in our words: values are checked here before the parser's library sees them.

Also the command class that does so, whose help is ours (`help`). Does not know which commands there are.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperCommand

from vlmcli.cli import help, meant
from vlmcli.cli.parameters import REQUIRED, Parameter, parameters
from vlmcli.errors import UsageError
from vlmcli.terminal.streams import columns

ClickException: type[Exception] = typer.BadParameter.__mro__[2]  # wherever this release of Typer keeps it
"""Any error of the parser's library."""


class Bare(Exception):
    """A command that cannot do anything was typed alone; the text is its short help."""


ERRORS = (ClickException, Bare)
"""What a command line can raise, beside UsageError."""

WORDS = "vlmcli.words"
"""Where a context keeps the words of its command."""


class Verb(TyperCommand):
    """A command whose help pages, values and errors are ours; the library finds the options among the words."""

    function: Callable[..., Any]
    """What the command does, with the signature that declares its options. Typer keeps only a wrapper of it."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Find and check the values of the command. Raises UsageError for one that cannot be."""
        ctx.meta[WORDS] = list(args)
        meant.remember(ctx.command_path, args)
        if ctx.resilient_parsing:
            return super().parse_args(ctx, args)
        if self.no_args_is_help and not args:
            raise Bare(self.get_help(ctx))
        dashed = meant.dash(args, ctx.command_path, self._names())
        if dashed is not None:
            raise UsageError(*dashed)
        try:
            given, extra, _ = self.make_parser(ctx).parse_args(args=_hidden(args))
        except ClickException as error:
            raise self._error_of(error, ctx.command_path, args) from None
        given, extra = {name: _shown_again(value) for name, value in given.items()}, _shown_again(extra)
        if given.get("help"):
            return super().parse_args(ctx, ["--help"])
        ctx.params.update(values_of(self.function, ctx.command_path, given, extra))
        _check_model(ctx.params.get("model"), ctx.command_path, args)
        return []

    def _error_of(self, error: BaseException, path: str, words: Sequence[str]) -> UsageError:
        """An exception of the parser's library as an error of ours, with the option that may be meant."""
        found = error_of(error, path)
        if "NoSuchOption" not in [one.__name__ for one in type(error).__mro__]:
            return found
        numbers = [name for one in parameters(self.function) if one.kind in (int, float) for name in one.names]
        hint = meant.option(getattr(error, "option_name", ""), words, path, self._names(), numbers)
        return UsageError(found.message, hint or found.hint)

    def _names(self) -> list[str]:
        """The names of all options of the command."""
        return [*(name for one in parameters(self.function) for name in (*one.names, *one.negative)), "-h", "--help"]

    def invoke(self, ctx: Any) -> Any:
        """Do it. The library would make values of the values once more."""
        return self.function(**ctx.params)

    def get_help(self, ctx: Any) -> str:
        """The whole page for --help; for -h, and where words are missing, the short one."""
        short = "--help" not in ctx.meta.get(WORDS, ["--help"])
        return help.page(ctx.command_path, self.function, columns(), short=short).rstrip("\n")


_PAGE = re.compile(r"-#[1-9][0-9]{0,5}")
"""A page or frame of what is on stdin: an argument, though it begins with a dash."""


def _hidden(words: Sequence[str]) -> list[str]:
    """Words with a NUL, which no word of a command line has, before each that the library would take for an option."""
    return [f"\0{word}" if _PAGE.fullmatch(word) else word for word in words]


def _shown_again(value: Any) -> Any:
    """What the library has found, without those NULs."""
    if isinstance(value, (list, tuple)):
        return [_shown_again(one) for one in value]
    return value.removeprefix("\0") if isinstance(value, str) else value


def _check_model(value: str | None, path: str, words: Sequence[str]) -> None:
    """Raise UsageError where -m takes a picture, which leaves the command without one."""
    if value is not None and meant.has_picture_suffix(value) and not Path(value).is_dir():
        raise UsageError(f"-m {_shown(value)}: a picture, where a model is expected", meant.model(value, path, words))


def values_of(
    function: Callable[..., Any], path: str, given: Mapping[str, Any], extra: Sequence[str]
) -> dict[str, Any]:
    """A command's values by the names of its function's parameters, as that takes them.

    Args:
        function: the command's.
        path: how it is called: "vlm ask".
        given: what was typed, as text, by the same names.
        extra: arguments that nothing takes.

    Raises UsageError for a value that cannot be, an argument too many, or one that is missing.
    """
    taken = parameters(function)
    values = {one.name: _values(one, given.get(one.name)) for one in taken}
    if extra:
        hint = meant.argument(extra, path, {name for one in taken for name in one.names})
        raise UsageError(
            f"{path} does not take the argument {_shown(extra[0])}", hint or f"{path} -h shows how to use it"
        )
    for one in taken:
        if values[one.name] is REQUIRED:
            raise UsageError(f"{path} needs an argument", _example(path, function))
    return values


def _values(one: Parameter, typed: Any) -> Any:
    """An option's or argument's value, or values, from what was typed; its default where nothing was."""
    if isinstance(typed, (list, tuple)) and typed:
        return [_value(one, text) for text in typed]
    if isinstance(typed, str):
        return _value(one, typed)
    return typed if isinstance(typed, (bool, int)) else one.default


def _value(one: Parameter, text: str) -> Any:
    if one.choices:
        if text not in one.choices:
            raise UsageError(f"{one.long} {_shown(text)}: not a known value", f"use {_either(one.choices)}")
        return one.kind(text)
    if one.kind not in (int, float):
        return text
    number = _number(text, whole=one.kind is int)
    if number is None:
        kind = "a whole number" if one.kind is int else "a number"
        raise UsageError(f"{one.long} {_shown(text)}: not {kind}", _range(one))
    if (one.low is not None and number < one.low) or (one.high is not None and number > one.high):
        raise UsageError(f"{one.long} {_shown(text)}: out of range", _range(one))
    return number


def _number(text: str, *, whole: bool) -> float | None:
    """A number as it is typed, an int for a whole one; None for anything else."""
    if whole:
        return int(text) if re.fullmatch(r"[+-]?[0-9]{1,30}", text) else None
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) and text.isascii() and "_" not in text else None


def _range(one: Parameter) -> str:
    kind = "a whole number" if one.kind is int else "a number"
    if one.low is not None and one.high is not None:
        return f"give {kind} from {one.low:,.10g} to {one.high:,.10g}".replace(",", "")
    if one.low is not None:
        return f"give {kind}, {one.low:.10g} or more"
    return f"give {kind}"


def error_of(error: BaseException, path: str = "") -> UsageError:
    """An exception of the parser's library as an error of ours; none of the library's words are shown.

    Args:
        error: the exception.
        path: of the command, where the exception does not know it: "vlm ask".
    """
    path = path or getattr(getattr(error, "ctx", None), "command_path", "vlm")
    option = _shown(str(getattr(error, "option_name", "")))
    kinds = [one.__name__ for one in type(error).__mro__]
    if "NoSuchOption" in kinds:
        return UsageError(f"unknown option {option}", _see(path))
    if "BadOptionUsage" in kinds:
        if "requires" in str(error):
            return UsageError(f"{option} needs a value", _see(path))
        return UsageError(f"{option} does not take a value", f"write {option} alone")
    return UsageError("the command is not complete", _see(path))


def _see(path: str) -> str:
    return f"{path} --help lists the options" if path != "vlm" else "vlm --help lists the commands"


def _example(path: str, function: Callable[..., Any]) -> str:
    found = [text for text in help.paragraphs(function) if text.startswith("vlm")]
    return f"for example: {found[0]}" if found else _see(path)


def _either(words: Sequence[str]) -> str:
    return f"{', '.join(words[:-1])} or {words[-1]}"


def _shown(text: str) -> str:
    """A word of the user's, not longer than a line."""
    return text if len(text) <= 60 else f"{text[:59]}…"
