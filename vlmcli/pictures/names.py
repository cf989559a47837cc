"""Which file a name means where there is none of exactly that name.

Two names can look the same and differ: macOS puts a narrow no-break space before "AM" in a screenshot's name and takes
letters with accents apart, and Windows copies a path with an invisible mark before it. Such a name is taken for the
file's (`same`), as a person would. A name that differs to the eye, and be it only in case, is for the person to choose
(`nearest`).
"""

from __future__ import annotations

import difflib
import os
import unicodedata
from functools import lru_cache
from pathlib import Path

MOST = 100_000
"""Names of a folder that are looked at."""


def same(path: Path) -> Path:
    """The one file or folder whose name looks the same as this path's, in folders whose names do; else the path itself.

    Nothing is looked for where the path leads to something, a link to nothing included.
    """
    if os.path.lexists(path):
        return path
    here = Path(path.anchor)
    for part in path.parts[1 if path.anchor else 0 :]:
        inside = here / part
        if not os.path.lexists(inside):
            alike = [name for name in _names(here) if _seen(name) == _seen(part)] if _may_differ(part) else []
            if len(alike) != 1:
                return path
            inside = here / alike[0]
        here = inside
    return here


def nearest(path: Path) -> Path | None:
    """The file of the same folder whose name is most like this path's; None where none is close.

    A name without a suffix may be that of a file that has one.
    """
    folded: dict[str, str] = {}
    for name in _names(path.parent):
        folded.setdefault(_seen(name).casefold(), name)
        if not path.suffix:
            folded.setdefault(os.path.splitext(_seen(name).casefold())[0], name)  # noqa: PTH122 - of very many
    for close in difflib.get_close_matches(_seen(path.name).casefold(), folded, 3, 0.75):
        if os.path.exists(found := path.with_name(folded[close])):  # noqa: PTH110 - and no link that leads nowhere
            return found
    return None


def _may_differ(name: str) -> bool:
    """Whether another name can look the same: one of ASCII letters alone has no double."""
    return " " in name or not name.isascii()


def _seen(name: str) -> str:
    """A name as the eye has it: letters composed, spaces alike, and nothing that is invisible."""
    composed = unicodedata.normalize("NFC", name)
    kinds = ((letter, unicodedata.category(letter)) for letter in composed)
    return "".join(" " if kind == "Zs" else letter for letter, kind in kinds if kind != "Cf")


def _names(folder: Path) -> tuple[str, ...]:
    """The names of what is in a folder; none where it cannot be read."""
    try:
        return _listed(str(folder), os.stat(folder).st_mtime_ns)  # noqa: PTH116 - as below
    except (OSError, ValueError):
        return ()


@lru_cache(maxsize=8)
def _listed(folder: str, _changed: int) -> tuple[str, ...]:
    """The names in a folder, kept while it does not change: a list may have many that are missing."""
    with os.scandir(folder) as entries:
        return tuple(entry.name for entry, _ in zip(entries, range(MOST), strict=False))
