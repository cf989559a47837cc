"""Pictures that are no files of their own: members of an archive, cells of a table, objects in a store.

    Kept       what a source has in place of a file: its bytes are read when it is loaded, and never before
    Container  what an archive or a table is read from: a file on this machine (`Here`), or an object (stores.Stored)

All of them are small values without an open file, so that one can be sent to another process or machine.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple, Protocol

from vlmcli import files
from vlmcli.errors import SourceError

MAX_BYTES = 128 << 20
"""Of a picture that comes from an address, an archive, a table or a store."""
SECONDS = 30.0
"""In which such a picture must have come."""
SCHEMES = {"s3": "s3fs", "s3a": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "hf": "huggingface_hub", "memory": "fsspec"}
"""How addresses of stores begin, and the package that reads each, all of them by fsspec's interface."""

_STORED = re.compile(rf"({'|'.join(SCHEMES)})://", re.IGNORECASE)
_PARTED = re.compile(r"(.+?\.(?:tar|parquet))(?:#(.+))?", re.IGNORECASE | re.DOTALL)
_PACKED = re.compile(r".+\.(?:tar\.(?:gz|bz2|xz|zst|z)|tgz|tbz2?|txz|tzst)", re.IGNORECASE | re.DOTALL)


class Mark(NamedTuple):
    """What is known of a picture before its bytes are read.

    Attributes:
        version: of what it is in, which changes with it; empty where that is not known.
        size: of the picture in bytes; 0 where that is not known.
        modified: when the file that it is in was last written, in nanoseconds since 1970; 0 where that is not known.
    """

    version: str = ""
    size: int = 0
    modified: int = 0


class Kept:
    """A picture that is no file of its own. To be pickled, compared and hashed as a value."""

    __slots__ = ()

    @property
    def far(self) -> bool:
        """Whether it comes through a network, and may be fetched before its turn, beside others."""
        return False

    def mark(self) -> Mark:
        """What is known of it without reading it."""
        raise NotImplementedError

    def read(self, name: str) -> Path | bytes:
        """Its bytes, or the file that has them. Raises SourceError, which begins with the name."""
        raise NotImplementedError


class Container(Protocol):
    """What an archive or a table is read from. A value, as `Kept` is."""

    def __hash__(self) -> int: ...

    def mark(self) -> Mark:
        """Its own version, size and time."""

    def part(self, start: int, count: int, name: str) -> bytes:
        """So many of its bytes, fewer at its end. Raises SourceError, which begins with the name."""

    def stream(self) -> BinaryIO:
        """All of it, to seek in and to be closed. Raises OSError or SourceError, also while it is read."""


@dataclass(frozen=True, slots=True)
class Broken(Kept):
    """In the place of a picture that cannot be had: says why when it is loaded, so that the others are not lost."""

    message: str
    hint: str
    version: str = ""

    def mark(self) -> Mark:
        """The version of what it would be in."""
        return Mark(self.version)

    def read(self, name: str) -> bytes:
        """Raise SourceError."""
        raise SourceError(f"{name}: {self.message}", self.hint)


@dataclass(frozen=True, slots=True)
class Here:
    """An archive or a table that is a file on this machine, as it was when it was listed."""

    path: Path
    size: int
    modified: int

    @classmethod
    def of(cls, path: Path) -> Here:
        """The file as it is now. Raises OSError."""
        found = path.stat()
        return cls(path, found.st_size, found.st_mtime_ns)

    def mark(self) -> Mark:
        """Its version is its size and time."""
        return Mark(f"{self.size} {self.modified}", self.size, self.modified)

    def part(self, start: int, count: int, name: str) -> bytes:
        """So many of its bytes, fewer at its end. Raises SourceError, also where it has changed."""
        try:
            with self.stream() as file:
                file.seek(start)
                return file.read(count)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise SourceError(f"{name}: cannot be read ({reason})", "check the file") from None

    def stream(self) -> BinaryIO:
        """The file, open. Raises OSError, also where it has changed since it was listed."""
        if Here.of(self.path) != self:
            raise files.Unfit("the file changed while vlm was working", self.path)
        return files.opened(self.path)


def is_url(word: str) -> bool:
    """Whether a word is an address of http or https, in capitals or not."""
    return word[:8].lower().startswith(("http://", "https://"))


def is_elsewhere(word: str) -> bool:
    """Whether a word is an address of either kind."""
    return is_url(word) or is_stored(word)


def is_stored(word: str) -> bool:
    """Whether a word is an address in a store."""
    return _STORED.match(word) is not None


def parted(word: str) -> tuple[str, str] | None:
    """The archive or the table that a word names, and what it names in that; None where it names neither.

    By the name alone: "a/x.tar#1.jpg" is ("a/x.tar", "1.jpg"), and "t.parquet" is ("t.parquet", "").
    """
    found = _PARTED.fullmatch(word)
    return (found[1], found[2] or "") if found else None


def is_packed(word: str) -> bool:
    """Whether a word names a compressed archive."""
    return _PACKED.fullmatch(word) is not None
