"""What was found out about files of weights, kept from one command to the next, for as long as they do not change.

A vocabulary of 150,000 tokens takes Python a fifth of a second to step over and to look through, at each start, before
anything is loaded. What came of it is a few kilobytes.

Nothing is kept, and nothing found, until the command line has said where (`kept_in`). A file is known by its place and
by what the system says of it (`identity`): one that is written again, in place or not, is another. What is kept is
forgotten when the code that looks at them (`models`) changes.

Does not know what is kept. Raises nothing: what is not known is found out again.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vlmcli import __version__, files

if TYPE_CHECKING:
    from vlmcli.entries import Entries

LIMIT = 64 << 20
"""Bytes of all that is kept: a header is a tenth of a megabyte."""
Identity = tuple[str, int, int, int, int, int]
"""A file's path without links, device, inode, bytes, and when its content and its state changed, in nanoseconds."""

_entries: Entries | None = None


@contextmanager
def kept_in(folder: Path | None) -> Iterator[None]:
    """Keep what is found out in a folder, which is made when it is needed; nowhere without one."""
    from vlmcli.entries import Entries  # few commands look at a model

    global _entries
    before, _entries = _entries, Entries(folder, LIMIT) if folder is not None else None
    try:
        yield
    finally:
        _entries = before


def identity(path: Path) -> Identity:
    """What tells a file from what it was before. Raises OSError, ValueError."""
    return os.path.realpath(path), *files.stamp(path.stat())


def known(what: str, known_as: Sequence[Identity]) -> Any:
    """What is kept of files under a name, as JSON has it; None where that is nothing, or the files are unknown."""
    if _entries is None or not known_as or not all(known_as):
        return None
    import json

    entry = _entries.get(_key(what, known_as))
    try:
        return None if entry is None else json.loads(bytes(entry.content))
    except ValueError:
        return None


def keep(what: str, known_as: Sequence[Identity], value: Any) -> None:
    """Keep what was found out about files, unless they have changed since, or a moment before.

    Args:
        what: a name for it.
        known_as: the files as they were before they were read; empty ones where that is not known.
        value: what JSON can say, but None.
    """
    if _entries is None or not known_as or not all(known_as):
        return
    import json

    for one in known_as:
        try:
            if identity(Path(one[0])) != one or not files.has_settled(Path(one[0]).stat()):
                return
        except (OSError, ValueError):
            return
    _entries.put(_key(what, known_as), what.encode(), memoryview(json.dumps(value, separators=(",", ":")).encode()))


def _key(what: str, known_as: Sequence[Identity]) -> str:
    from vlmcli.entries import key_of

    return key_of("pairs", __version__, _code(), what, *known_as)


@cache
def _code() -> list[tuple[str, int, int]]:
    """What tells the code that looks at models from other code of the same version."""
    try:
        with os.scandir(Path(__file__).parent / "models") as found:
            stats = [(one.name, one.stat()) for one in found if one.name.endswith(".py")]
    except OSError:  # it lies in an archive
        return []
    return sorted((name, about.st_size, about.st_mtime_ns) for name, about in stats)
