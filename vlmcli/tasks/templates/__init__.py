"""Questions kept in small TOML files: those in the package, and the user's own, which win over them.

A template says what is asked, and perhaps how; docs/templates.md has the keys. Read and filled here; what a command's
words and flags make of one is the command line's.
"""

from __future__ import annotations

import difflib
import string
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from vlmcli import files, typed
from vlmcli.errors import UsageError
from vlmcli.values import Sampling

SHIPPED = Path(__file__).parent
SUFFIX = ".toml"
QUESTION = "question"
"""The slot that a command's last word fills, or each -q."""
MAX_BYTES = 1 << 20
WHOLE = ("max_tokens", "seed", "top_k")
"""Of the numbers, those that are counts."""

_NUMBERS = (*(one.name for one in fields(Sampling)), "max_tokens")
_KINDS: dict[str, type] = {"description": str, "prompt": str, "system": str, "each": bool, "defaults": dict}


@dataclass(frozen=True)
class Template:
    """A question with slots, and how it is asked.

    Attributes:
        name: the file's name without its ending.
        path: the file.
        description: one line for a list.
        prompt: what is asked; `$name` is a slot, `$$` a dollar.
        system: what the model is told before; may have slots too.
        each: whether every picture is asked about by itself.
        sampling: numbers by the names that `-o` takes.
        defaults: what a slot has when nobody fills it.
    """

    name: str
    path: Path
    description: str
    prompt: str
    system: str = ""
    each: bool = False
    sampling: Mapping[str, float | int] = field(default_factory=dict)
    defaults: Mapping[str, str] = field(default_factory=dict)

    @property
    def shipped(self) -> bool:
        """Whether it is in the package."""
        return self.path.parent == SHIPPED

    @property
    def slots(self) -> tuple[str, ...]:
        """The names of its slots, as they come."""
        return tuple(dict.fromkeys(name for text in (self.prompt, self.system) for name in _slots(text)))

    def fill(self, values: Mapping[str, str]) -> tuple[str, str]:
        """The prompt and the system's text with their slots filled. Raises UsageError for one too few or too many."""
        for name in values:
            if name not in self.slots:
                known = ", ".join(self.slots) or "none"
                raise UsageError(f"the template {self.name} has no slot {name}", f"its slots are: {known}")
        filled = {**self.defaults, **values}
        for name in self.slots:
            if not filled.get(name, "").strip():
                raise UsageError(f"the template {self.name} needs a value for {name}", f"add --param {name}=VALUE")
        prompt, system = (string.Template(text).substitute(filled).strip() for text in (self.prompt, self.system))
        return prompt, system


def _slots(text: str) -> Iterator[str]:
    """The names after a dollar; an empty one where a dollar begins no name."""
    for found in string.Template.pattern.finditer(text):
        if found["escaped"] is None:
            yield found["named"] or found["braced"] or ""


def names(own: Path) -> dict[str, Path]:
    """Every template's file by its name, sorted; those in the folder `own` win."""
    found: dict[str, Path] = {}
    for folder in (SHIPPED, own):
        try:
            files = [path for path in folder.iterdir() if path.suffix == SUFFIX and not path.name.startswith(".")]
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            raise UsageError(
                f"{folder}: the folder cannot be read ({error.strerror})", "check its permissions"
            ) from error
        found |= {path.stem: path for path in files}
    return dict(sorted(found.items()))


def find(name: str, own: Path) -> Template:
    """The template of this name. Raises UsageError, with the name that is closest."""
    return read(path_of(name, own))


def path_of(name: str, own: Path) -> Path:
    """The file of the template of this name. Raises UsageError, with the name that is closest."""
    known = names(own)
    if name in known:
        return known[name]
    close = difflib.get_close_matches(name.lower(), known, n=1)
    meant = f"did you mean {typed.word(close[0])}? " if close else ""
    raise UsageError(f"{name[:200]}: there is no such template", f"{meant}vlm templates lists them")


def read(path: Path) -> Template:
    """A template's file. Raises UsageError, which names the file and the key."""
    if sys.version_info >= (3, 11):  # here, because few commands read one
        import tomllib
    else:
        import tomli as tomllib
    try:
        values = tomllib.loads(files.read(path, MAX_BYTES).decode("utf-8-sig"))
    except OSError as error:
        raise UsageError(f"{path}: the template cannot be read ({error.strerror})", "check the path") from error
    except (ValueError, RecursionError) as error:  # also for a number of thousands of digits
        raise _wrong(path, files.not_toml(error)) from error
    for key, value in values.items():
        _check(path, key, value)
    for key in ("description", "prompt"):
        if not values.get(key, "").strip():
            raise _wrong(path, f"{key} is missing")
    template = Template(
        path.stem,
        path,
        " ".join(values["description"].split()),
        values["prompt"].strip(),
        values.get("system", "").strip(),
        values.get("each", False),
        {key: values[key] for key in _NUMBERS if key in values},
        values.get("defaults", {}),
    )
    for key in ("prompt", "system"):
        if "" in _slots(values.get(key, "")):
            raise _wrong(
                path, f"{key} has a $ without the name of a slot", "write $name for a slot, or $$ for a dollar sign"
            )
    if QUESTION in template.defaults:
        raise _wrong(path, f"defaults.{QUESTION} is never used", "remove it: the question comes from the command")
    for name in template.defaults:
        if name not in template.slots:
            raise _wrong(path, f"defaults.{name} fills no slot", f"write ${name} in the prompt, or remove it")
    return template


def _check(path: Path, key: str, value: Any) -> None:
    """Raise what is wrong with a key or its value's kind."""
    if key in _NUMBERS:
        whole = isinstance(value, int) and not isinstance(value, bool)
        if not whole and (key in WHOLE or not isinstance(value, float)):
            raise _wrong(path, f"{key} is not a {'whole ' * (key in WHOLE)}number")
    elif key not in _KINDS:
        close = difflib.get_close_matches(key, [*_KINDS, *_NUMBERS], n=1)
        raise _wrong(path, f"unknown key {key[:60]}", f"did you mean {close[0]}?" if close else "")
    elif not isinstance(value, _KINDS[key]):
        kind = {str: "a string", bool: "true or false", dict: "a table"}[_KINDS[key]]
        raise _wrong(path, f"{key} is not {kind}")
    elif isinstance(value, dict):
        for name, default in value.items():
            if not isinstance(default, str):
                raise _wrong(path, f"defaults.{name} is not a string")


def _wrong(path: Path, what: str, hint: str = "") -> UsageError:
    return UsageError(f"{path}: {what}", hint or "see docs/templates.md for what a template may contain")
