"""Where a PDF ends: bytes behind its end are no fault, and a file that was cut off is one.

A viewer finds the objects of a PDF through the table that the last `startxref` points at, and draws what it can where
the table is missing: of a file that was cut off, that is a part, without a word. So this module looks at the structure
(ISO 32000-1, 7.5 and annex F), and reads nothing but the file's head and its last bytes. Draws nothing.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from vlmcli.errors import SourceError
from vlmcli.pictures import given

LOOK = 64 << 20
"""Bytes from the end of a file among which the PDF must end."""

_STEP = 1 << 20
_OVERLAP = 64
"""Bytes that two steps have in common: no mark is longer."""
_OBJECT = re.compile(rb"\b\d{1,10}\s+\d{1,5}\s+obj\b|\bxref\s+\d|\btrailer\s*<<")
_TABLE = re.compile(rb"\s*(?:xref\b|\d{1,10}\s+\d{1,5}\s+obj\b(?:(?!stream\b).)*?/XRef\b)", re.DOTALL)
_START = re.compile(rb"startxref\s+(\d{1,15})")
_UNMARKED = re.compile(rb"startxref\s+\d{1,15}[\s\0]*(?:%(?:%(?:E(?:O)?)?)?)?[\s\0]*\Z")
_LINEARIZED = re.compile(rb"/Linearized\b")
_LENGTH = re.compile(rb"/L\s+(\d{1,15})")


DOUBT = "the PDF is slightly damaged (its table is not where it should be); something may be missing"
"""Of a PDF that has its end, and a `startxref` that points behind it: it has lost bytes, perhaps at its line ends."""


class End(NamedTuple):
    """Where a PDF ends: how many bytes of its file it has, and what is to be said of it, or nothing."""

    at: int
    doubt: str = ""


def end(file: Path | bytes, source: str) -> End:
    """Where a PDF ends, counted from the start of its file: bytes behind that belong to nobody.

    A file is cut off where objects follow the last mark of an end (the middle of a linearized file, or of a change
    that was added behind the first version), and where there is no such mark, unless the last `startxref` is there and
    points at a table. A file that was cut off exactly behind an older version of itself cannot be told from that
    version.

    Raises:
        SourceError: for a PDF that is cut off; it names the source.
    """
    with _Reader(file) as read:
        found = _end(read)
    if found is None:
        raise SourceError(f"{source}: the PDF is incomplete", "copy or download the file again")
    return found


class _Reader:
    """The bytes of a file or of memory; a file is read in pieces, since it may shrink meanwhile."""

    def __init__(self, file: Path | bytes) -> None:
        self._bytes = file if isinstance(file, bytes) else b""
        self._file = None if isinstance(file, bytes) else given.opened(file)
        self.size = len(file) if isinstance(file, bytes) else os.fstat(self._file.fileno()).st_size  # type: ignore[union-attr]

    def __enter__(self) -> _Reader:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file:
            self._file.close()

    def __call__(self, at: int, length: int) -> bytes:
        """Up to so many bytes from there."""
        if not self._file:
            return self._bytes[at : at + length]
        self._file.seek(at)
        return self._file.read(length)

    def steps(self, start: int) -> Iterator[tuple[int, bytes]]:
        """The bytes from `start` to the end in pieces that overlap, the last one first: (where it is, what it is)."""
        at = self.size
        while at > start:
            low = max(start, at - _STEP)
            yield low, self(low, at - low + _OVERLAP)
            at = low

    def last(self, mark: bytes) -> int:
        """Where the last such mark is; -1 for nowhere."""
        for at, piece in self.steps(max(0, self.size - LOOK)):
            found = piece.rfind(mark)
            if found >= 0:
                return at + found
        return -1


def _end(read: _Reader) -> End | None:
    """See `end`; None where the file is cut off."""
    head = read(0, 2048)
    base = max(0, head.find(b"%PDF-"))
    mark = read.last(b"%%EOF")
    start = read.last(b"startxref")
    if mark < 0 or start > mark:
        whole = start >= 0 and _UNMARKED.match(read(start, 4096)) and _points(read, base, start)
        return End(read.size) if whole else None
    if any(_OBJECT.search(piece) for _, piece in read.steps(mark + 5)):
        return None
    offset = _offset(read, start)
    if start < 0 or _points(read, base, start):
        return End(mark + 5)
    length = _LENGTH.search(head, base) if _LINEARIZED.search(head) else None
    if length and base + int(length[1]) > mark + _OVERLAP and offset == 0:
        return None  # the mark is the end of the first page's part, which points nowhere
    return End(mark + 5, DOUBT if offset > read.size else "")


def _offset(read: _Reader, start: int) -> int:
    """The number behind a `startxref`; 0 where there is none."""
    found = _START.match(read(start, 64)) if start >= 0 else None
    return int(found[1]) if found else 0


def _points(read: _Reader, base: int, start: int) -> bool:
    """Whether a `startxref` points at a table, counted from the PDF's header as most do, or from the file's start."""
    offset = _offset(read, start)
    return any(0 < at < start and bool(_TABLE.match(read(at, 4096))) for at in (base + offset, offset) if offset)
