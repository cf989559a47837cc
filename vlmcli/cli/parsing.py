"""What is wrong with a command line, in our words: values are checked here before the parser's library sees them.

Also the command class that does so, whose help is ours (`help`). Does not know which commands there are.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import typer
from typer.core import TyperCommand

from vlmcli.cli import help
from vlmcli.cli.parameters import Parameter, parameters
from vlmcli.errors import UsageError

ClickException: type[Exception] = typer.BadParameter.__mro__[2]  # wherever this release of Typer keeps it
"""Any error of the parser's library."""

WORDS = "vlmcli.words"
"""Where a context keeps the words of its command."""


class Verb(TyperCommand):
    """A command whose help pages and errors are ours."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """As the library's, after a look at each value. Raises UsageError for one that cannot be."""
        ctx.meta[WORDS] = list(args)
        if args and not ctx.resilient_parsing:
            try:
                given, extra, _ = self.make_parser(ctx).parse_args(args=list(args))
            except ClickException as error:
                raise error_of(error, ctx.command_path) from None
            if not given.get("help"):
                check(self, ctx.command_path, given, extra)
        return super().parse_args(ctx, args)

    def get_help(self, ctx: Any) -> str:
        """The whole page for --help; for -h, and where words are missing, the short one."""
        assert self.callback is not None
        short = "--help" not in ctx.meta.get(WORDS, ["--help"])
        return help.page(ctx.command_path, self.callback, help.columns(), short=short).rstrip("\n")


def check(command: TyperCommand, path: str, given: Mapping[str, Any], extra: Sequence[str]) -> None:
    """Raise UsageError for a value that its option cannot have, an argument too many, or one that is missing."""
    assert command.callback is not None
    taken = parameters(command.callback)
    for one in taken:
        values = given.get(one.name)
        for value in values if isinstance(values, (list, tuple)) else [values]:
            if isinstance(value, str):
                _check_value(one, value)
    if extra:
        raise UsageError(f"{path} does not take the argument {_shown(extra[0])}", _see(path))
    for one in taken:
        if one.required and given.get(one.name) in (None, (), []):
            raise UsageError(f"{path} needs {one.metavar}", _example(path, command.callback))


def _check_value(one: Parameter, value: str) -> None:
    if one.choices:
        if value not in one.choices:
            raise UsageError(f"{one.long} {_shown(value)}: not a known value", f"use {_either(one.choices)}")
    elif one.kind in (int, float):
        number = _number(value, whole=one.kind is int)
        if number is None:
            kind = "a whole number" if one.kind is int else "a number"
            raise UsageError(f"{one.long} {_shown(value)}: not {kind}", _range(one))
        if (one.low is not None and number < one.low) or (one.high is not None and number > one.high):
            raise UsageError(f"{one.long} {_shown(value)}: out of range", _range(one))


def _number(text: str, *, whole: bool) -> float | None:
    """A number as it is typed; None for anything else."""
    if whole:
        return int(text) if re.fullmatch(r"[+-]?[0-9]{1,30}", text) else None
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) and "_" not in text else None


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
    parameter = getattr(error, "param", None)
    if parameter is not None:
        name = next((one for one in parameter.opts if one.startswith("--")), parameter.metavar or parameter.name)
        return UsageError(f"{name}: {path} cannot use this value", _see(path))
    return UsageError("the command is not complete", _see(path))


def _see(path: str) -> str:
    return f"{path} --help lists the options" if path != "vlm" else "vlm --help lists the commands"


def _example(path: str, function: Any) -> str:
    return next((text for text in help.paragraphs(function) if text.startswith("vlm")), f"see {path} --help")


def _either(words: Sequence[str]) -> str:
    return f"{', '.join(words[:-1])} or {words[-1]}"


def _shown(text: str) -> str:
    """A word of the user's, not longer than a line."""
    return text if len(text) <= 60 else f"{text[:59]}…"
