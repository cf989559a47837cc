"""Which files an agent may have read: regular ones in allowed folders, wherever a name leads in the end.

A name is resolved first, with all links, and what it leads to is judged, so that no spelling matters: `..`, links,
`/proc/self/root`. Then that place is opened without following links, and must still be the same file.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from vlmcli import files
from vlmcli.amounts import size
from vlmcli.errors import SourceError, UsageError

MOST = 128 << 20
"""Bytes of a file."""
_PAGE = re.compile(r"(.+)#([1-9][0-9]{0,5})", re.DOTALL)
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:")
"""Of an address; a single letter is a drive."""


class Allowed:
    """Folders whose files may be read.

    Attributes:
        folders: absolute, links resolved; relative names are looked for in the current folder, then in these.
    """

    def __init__(self, folders: Sequence[str]) -> None:
        """These, or the current folder where there are none. Raises UsageError for what is no folder."""
        self.folders = tuple(_folder(name) for name in folders or [""])

    def read(self, name: str) -> tuple[bytes, int]:
        """The bytes of a file, and the page or frame that is meant by a number after `#`; 0 for none.

        Raises SourceError for a file that may not be read, and for what is no file.
        """
        shown = short(name)
        if name[:5].lower() == "file:" or _SCHEME.match(name):
            raise SourceError(f"{shown}: not a path", "give the picture's path, as in /folder/picture.png")
        if name[:1] == "~":
            raise SourceError(f"{shown}: ~ is not expanded", "give the whole path")
        if "\0" in name:
            raise SourceError(f"{shown}: a path cannot contain a NUL character", "check the path")
        try:
            data = self._found(name)
            if data is not None:
                return data, 0
            numbered = _PAGE.fullmatch(name)
            if numbered and (data := self._found(numbered[1])) is not None:
                return data, int(numbered[2])
        except files.Unfit as error:
            raise SourceError(f"{shown}: {error.strerror}, not a picture file", "give the path of a picture") from None
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or "not a valid file name"
            raise SourceError(f"{shown}: cannot be read ({reason})", "check the path") from None
        raise SourceError(f"{shown}: no such file", f"check the path; {self._told()}")

    def _found(self, name: str) -> bytes | None:
        """The bytes of a file; None where there is none of that name. Raises SourceError where it is not allowed."""
        may = False
        for place in self._places(name):
            real = Path(os.path.realpath(place))
            if not any(real.is_relative_to(folder) for folder in self.folders):
                continue
            may = True
            if os.path.lexists(real):
                return _bytes(real)
        if not may:
            raise SourceError(
                f"{short(name)}: outside of the folders that may be read",
                f"{self._told()}; to allow another one, start vlm mcp with --allow DIR",
            )
        return None

    def _places(self, name: str) -> Iterator[Path]:
        yield Path.cwd() / name
        if not Path(name).is_absolute():
            yield from (folder / name for folder in self.folders)

    def _told(self) -> str:
        return f"pictures are read from {', '.join(map(str, self.folders))}"


def _folder(name: str) -> Path:
    """A folder that may be read. Raises UsageError."""
    real = Path(os.path.realpath(os.path.expanduser(name) if name else Path.cwd()))  # noqa: PTH111 - no such user
    if name and not real.is_dir():
        raise UsageError(f"--allow {name}: not a folder", "name a folder that exists")
    if not name and real.parent == real:
        raise UsageError(
            f"the current folder is {real}, so every file could be read", "name the folders to allow: --allow DIR"
        )
    return real


def _bytes(real: Path) -> bytes:
    """The bytes of a regular file at a place without links. Raises OSError."""
    with files.opened(real, links=False) as opened:
        if Path(os.path.realpath(real)) != real or not os.path.samestat(os.fstat(opened.fileno()), real.lstat()):
            raise files.Unfit("changed while it was opened", real)
        data = opened.read(MOST + 1)
    if len(data) > MOST:
        raise files.Unfit(f"more than {size(MOST)}", real)
    return data


def short(name: str) -> str:
    """A name for messages, on one line."""
    line = "".join(letter if letter.isprintable() else "?" for letter in name[:120])
    return line + ("…" if len(name) > len(line) else "")
