"""A command's options and arguments, as the code declares them: read from the signature of its function.

The help page and the check of what was typed both work on these. Typer's own objects differ from release to release;
a signature does not.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from typer.models import ArgumentInfo, OptionInfo

REQUIRED = inspect.Parameter.empty
"""Instead of a default."""


@dataclass(frozen=True)
class Parameter:
    """One option or argument of a command.

    Attributes:
        name: of the function's parameter.
        names: as they are typed ("-m", "--model"); empty for an argument.
        negative: the names that say no, of an option such as --worker/--in-process.
        metavar: what stands for its value in the help; empty for an option without a value.
        help: the text of the help.
        kind: of its value: str, int, float, an Enum, or bool for an option without a value.
        low: the smallest number; None for no bound.
        high: the largest number.
        many: whether it may have several values, which come as a list.
        default: its value where none is typed; REQUIRED where the command needs one.
    """

    name: str
    names: Sequence[str]
    negative: Sequence[str]
    metavar: str
    help: str
    kind: type
    low: float | None = None
    high: float | None = None
    many: bool = False
    default: Any = None

    @property
    def long(self) -> str:
        """The name by which messages call it: --model, not -m."""
        return next((name for name in self.names if name.startswith("--")), (*self.names, self.metavar)[0])

    @property
    def key(self) -> str:
        """The long name without its dashes, by which the help sorts it into a group."""
        return self.long.lstrip("-")

    @property
    def choices(self) -> list[str]:
        """The values of an Enum; empty for any other kind."""
        return [str(one.value) for one in self.kind] if issubclass(self.kind, Enum) else []


@functools.cache
def parameters(function: Callable[..., Any]) -> list[Parameter]:
    """The arguments and options of a command's function, in the order of its signature."""
    found = []
    for one in inspect.signature(function, eval_str=True).parameters.values():
        if get_origin(one.annotation) is not Annotated:
            continue  # the parser's own context
        kind, *notes = get_args(one.annotation)
        info = next(note for note in notes if isinstance(note, (OptionInfo, ArgumentInfo)))
        if not info.hidden:
            found.append(_parameter(one.name, kind, info, one.default))
    return found


def _parameter(name: str, annotation: Any, info: OptionInfo | ArgumentInfo, default: Any) -> Parameter:
    kind, many = _kind(annotation)
    names: list[str] = []
    negative: list[str] = []
    first = [info.default] if isinstance(info, OptionInfo) and isinstance(info.default, str) else []
    for declared in [*first, *(getattr(info, "param_decls", None) or ())]:  # typer takes the first for a default
        yes, slash, no = declared.partition("/")
        names.append(yes)
        negative += [no] if slash else []
    flag = isinstance(info, OptionInfo) and (kind is bool or bool(info.count))
    if flag:
        metavar = ""
    elif info.metavar:
        metavar = info.metavar
    else:
        metavar = "|".join(str(one.value) for one in kind) if issubclass(kind, Enum) else name.upper()
    return Parameter(
        name,
        names,
        negative,
        metavar,
        info.help or "",
        bool if flag else kind,
        info.min,
        info.max,
        many,
        default,
    )


def _kind(annotation: Any) -> tuple[type, bool]:
    """The type of a single value, without Optional and without list; and whether there may be several."""
    many = False
    while get_origin(annotation) in (Union, UnionType, list):
        many |= get_origin(annotation) is list
        annotation = next(one for one in get_args(annotation) if one is not type(None))
    assert isinstance(annotation, type)
    return annotation, many
