"""Where a JPEG's Exif points behind its own segment, into the rest of the file: what is inserted in between moves it.

Exif is a TIFF within a segment (CIPA DC-008, 4.5 and 4.7; TIFF 6.0, section 2), and its offsets count from its header.
They should stay within the segment, but cameras let some go beyond it: above all to a larger preview behind the
picture's end (Sony's PreviewImage, Canon's PreviewImageInfo, the PreviewImageStart of Casio, Minolta, Olympus and
Pentax; ExifTool's documentation lists them, with the layouts of maker notes by their headers).

Such an offset is known by what it points at, not by its tag: the first bytes of a JPEG. Compressed pictures have these
bytes nowhere else. A value of a maker note that is not known to be an offset and happens to be one is so found, too.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Generator, Iterator
from typing import NamedTuple

ENTRIES = 2000
"""Entries of one directory that are looked at."""
DIRECTORIES = 64
"""Directories of a file that are looked at."""
DEEP = 6
"""Directories within directories that are looked at."""

_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
"""Bytes of a value, by its type (TIFF 6.0, section 2)."""
_LONGS = (4, 9, 13)
_FEW = 32
"""Numbers in a value that are looked at for offsets; longer ones are tables."""
_DIRECTORIES = {0x8769, 0x8825, 0xA005, 0x014A}
"""Exif, GPS, interoperability; further ones."""
_MAKER_NOTE = 0x927C
_IN_NOTES = {0x0011, 0x2020}
"""Directories in maker notes that have a preview: Nikon's, and the camera settings of Olympus."""
_STRIPS = {0x0111, 0x0201}
"""Where a picture is: as strips, or as a JPEG."""
_PLAIN_NOTES = {
    b"SONY": 12, b"Panasonic\0": 12, b"OLYMP\0": 8, b"EPSON\0": 8, b"MINOL\0": 8, b"QVC\0": 6, b"AOC\0": 6,
    b"SANYO\0": 8, b"Ricoh": 8, b"RICOH": 8, b"KYOCERA": 22, b"VHAB": 12,
}  # fmt: skip
"""How long the header of a maker note is whose offsets count from the Exif's header; one without counts so, too."""


class _Tiff(NamedTuple):
    """A TIFF's order of bytes, the place in the file that its offsets count from, and where its own data ends."""

    data: bytes
    order: str
    base: int
    end: int

    def number(self, at: int, kind: str = "I") -> int:
        """The number there. Raises struct.error where there is none within the TIFF."""
        if at < self.base or at + struct.calcsize(kind) > self.end:
            raise struct.error
        found: int = struct.unpack_from(self.order + kind, self.data, at)[0]
        return found

    def points_behind(self, offset: int) -> bool:
        """Whether an offset leads beyond the TIFF, and not beyond the file."""
        return self.end <= self.base + offset < len(self.data)

    def points_at_jpeg(self, offset: int) -> bool:
        """Whether a picture begins there; the first byte of some previews is another (Minolta)."""
        at = self.base + offset
        return self.points_behind(offset) and self.data[at + 1 : at + 3] == b"\xd8\xff"


class _Found(NamedTuple):
    """An offset that points behind a TIFF: where in the file it is, what it says, and whether it surely is one."""

    at: int
    offset: int
    tiff: _Tiff
    clear: bool


def moved(data: bytes, base: int, end: int, growth: Callable[[int], int]) -> list[tuple[int, bytes]] | None:
    """What must be written where, so that offsets still point at what they do.

    Args:
        data: the file.
        base: where the TIFF of its Exif begins in it.
        end: where the Exif's segment ends.
        growth: by how many bytes what is at a place behind that moves away from the TIFF.

    Returns places in the file with their new bytes; None where it cannot be told what is pointed at, and it moves.
    """
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(data[base : base + 4])
    if order is None:
        return []
    tiff = _Tiff(data, order, base, end)
    new: dict[int, bytes] = {}
    try:
        for found in _offsets(tiff):
            by = growth(found.tiff.base + found.offset)
            if by and not found.clear:
                return None
            if by:
                new[found.at] = struct.pack(found.tiff.order + "I", found.offset + by)
    except struct.error:  # beyond what 32 bits can say
        return None
    return sorted(new.items())


def _offsets(tiff: _Tiff) -> Iterator[_Found]:
    """All that point behind the TIFF."""
    seen: set[int] = set()
    try:
        first = tiff.number(tiff.base + 4)
    except struct.error:
        return
    while first:  # IFD0, IFD1 and what follows
        first = yield from _directory(tiff, tiff.base + first, seen, 0)


def _directory(tiff: _Tiff, at: int, seen: set[int], deep: int) -> Generator[_Found, None, int]:
    """Those of a directory and of the directories in it. Its generator returns the offset of the next one."""
    if at in seen or deep > DEEP or len(seen) >= DIRECTORIES:
        return 0
    seen.add(at)
    try:
        count = tiff.number(at, "H")
    except struct.error:
        return 0
    for entry in range(at + 2, at + 2 + 12 * min(count, ENTRIES), 12):
        try:
            yield from _entry(tiff, entry, seen, deep)
        except struct.error:
            return 0
    try:
        return tiff.number(at + 2 + 12 * count)
    except struct.error:
        return 0


def _entry(tiff: _Tiff, at: int, seen: set[int], deep: int) -> Iterator[_Found]:
    """Those of a directory's entry: the offset of its value, or numbers in it."""
    tag, kind = tiff.number(at, "H"), tiff.number(at + 2, "H")
    count, value = tiff.number(at + 4), tiff.number(at + 8)
    size = _SIZES.get(kind, 0) * count
    start = at + 8 if size <= 4 else tiff.base + value
    if size > 4 and start + size > tiff.end:
        if tiff.points_behind(value):
            yield _Found(at + 8, value, tiff, tiff.points_at_jpeg(value))
        return
    if tag == _MAKER_NOTE:
        yield from _note(tiff, start, size, seen, deep)
        return
    if tag in _IN_NOTES:
        yield from _directory(tiff, tiff.base + tiff.number(start) if kind in _LONGS else start, seen, deep + 1)
    if kind in _LONGS and count <= _FEW:
        for number in range(start, start + size, 4):
            offset = tiff.number(number)
            if tag in _DIRECTORIES:
                if tiff.points_behind(offset):
                    yield _Found(number, offset, tiff, False)
                yield from _directory(tiff, tiff.base + offset, seen, deep + 1)
            elif tiff.points_at_jpeg(offset):
                yield _Found(number, offset, tiff, True)
            elif tag in _STRIPS and tiff.points_behind(offset):
                yield _Found(number, offset, tiff, False)


def _note(tiff: _Tiff, at: int, size: int, seen: set[int], deep: int) -> Iterator[_Found]:
    """Those of a maker note, as far as its directories can be read."""
    head = tiff.data[at : at + 24]
    if head.startswith(b"Nikon\0\2"):  # a TIFF of its own
        base, starts = at + 10, 8
    elif head.startswith((b"OLYMPUS\0", b"OM SYSTEM\0")):
        base, starts = at, 16 if head.startswith(b"OM") else 12
    elif head.startswith((b"FUJIFILM", b"GENERALE")):
        base, starts = at, 12
    elif head.startswith((b"PENTAX \0", b"Apple iOS\0")):
        base, starts = at, 14 if head.startswith(b"Apple") else 10
    else:
        base = tiff.base
        starts = at - base + next((long for mark, long in _PLAIN_NOTES.items() if head.startswith(mark)), 0)
    for order in (tiff.order, "<" if tiff.order == ">" else ">"):
        within = _Tiff(tiff.data, order, base, tiff.end)
        try:
            count = within.number(base + starts, "H")
            within.number(base + starts + 2 + 12 * count - 1, "B")
        except struct.error:
            continue
        if 0 < count <= size // 12:
            yield from _directory(within, base + starts, seen, deep + 1)
            return
