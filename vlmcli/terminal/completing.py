"""Tab completion of paths inside a typed line: folders, and the pictures in them.

A path may be quoted, have backslashes before its spaces, or stand as it is; what is inserted can be read back by
`chat.dropped`. Knows lines and folders, and neither keys nor screens.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from vlmcli.pictures import signatures, sources

MOST = 200
"""Completions that are offered at once."""
LOOKED_AT = 10_000
"""Entries of a folder that are looked at."""
WORDS = 5
"""Words with bare spaces between them that may be the beginning of one path."""

_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_SPECIAL = re.compile(r"([\s\\\"'])")
_UNTYPED = re.compile("[\n\ud800-\udfff]")  # what a line of text cannot have
_WORD = re.compile(r"(?:\\.|\S)+\Z" if sys.platform != "win32" else r"\S+\Z", re.DOTALL)
_QUOTED = re.compile(r"(?:\A|(?<=\s))([\"'])((?:(?!\1).)*)\Z", re.DOTALL)


@dataclass(frozen=True)
class Found:
    """One way to go on.

    Attributes:
        back: how many characters before the cursor are replaced.
        text: what takes their place.
        shown: the entry's own name, for a list.
    """

    back: int
    text: str
    shown: str


def in_line(text: str) -> list[Found]:
    """Paths that may be meant at the end of a line; none for an empty word that follows nothing of a path."""
    if quoted := _QUOTED.search(text):
        mark, path = quoted[1], quoted[2]
        return [
            Found(len(path), name if name.endswith("/") else name + mark, shown)
            for name, shown in _entries(path, pictures=True)
            if mark not in name
        ]
    if not text or (text[-1].isspace() and not text.endswith("\\ ")):
        return []  # or every picture here would be offered behind each word
    for start in _starts(text):
        word = text[start:]
        path = _ESCAPED.sub(r"\1", word) if sys.platform != "win32" else word
        if found := [Found(len(word), _escaped(name), shown) for name, shown in _entries(path, pictures=True)]:
            return found
    return []


def whole(text: str) -> list[Found]:
    """Paths that begin with all of a text, of files of any kind; else those at its end, as `in_line` finds them."""
    return [Found(len(text), name, shown) for name, shown in _entries(text, pictures=False)] or in_line(text)


def _starts(text: str) -> Iterator[int]:
    """Where a path at the end of a line may begin: at its last word, or some words before."""
    end = len(text)
    for _ in range(WORDS):
        word = _WORD.search(text, 0, end)
        if word is None:
            return
        yield word.start()
        end = len(text[: word.start()].rstrip())


def _entries(path: str, *, pictures: bool) -> list[tuple[str, str]]:
    """What a path may become, with "/" behind a folder, and the names alone; hidden entries only where a dot asks."""
    if path == "~":
        return [("~/", "~/")]
    separators = r"[/\\]" if sys.platform == "win32" else "/"
    begun = re.split(separators, path)[-1]
    head = path[: len(path) - len(begun)]
    found = []
    try:
        with os.scandir(sources.expand(head) or ".") as entries:
            for _, entry in zip(range(LOOKED_AT), entries, strict=False):
                name = entry.name
                if not name.startswith(begun) or (name.startswith(".") and not begun) or _UNTYPED.search(name):
                    continue
                if _is_dir(entry):
                    found.append((f"{head}{name}/", f"{name}/"))
                elif not pictures or Path(name).suffix.lower() in signatures.SUFFIXES:
                    found.append((head + name, name))
    except (OSError, ValueError):
        return []
    return sorted(found)[:MOST]


def _is_dir(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


def _escaped(path: str) -> str:
    """A path as it is typed: with backslashes before spaces and quotes, or in quotes where backslashes part folders."""
    if sys.platform == "win32":
        return f'"{path}' + ("" if path.endswith("/") else '"') if " " in path else path
    return _SPECIAL.sub(r"\\\1", path)
