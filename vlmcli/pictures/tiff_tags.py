"""The directories of a TIFF file, and which of them are pictures of their own. Nothing is decoded here.

    with tiff_tags.opened(Path("scan.tif"), "scan.tif") as tiff:
        contents = tiff_tags.contents(tiff)
        contents.numbers            # (1, 2, 3): scan.tif#1, scan.tif#2, scan.tif#3

A TIFF is a chain of directories, each of which describes a picture by tags. Directories are counted from 1, as other
programs do, whether they are pictures of their own or not. Reads what it needs of a file and no more, so counting the
pages of a scan costs a few short reads; what a hostile file says of counts, offsets and chains is bounded.

Sources: TIFF 6.0 (Adobe, 1992); its Technical Note 1 (1995) for subdirectories; libtiff's design of BigTIFF.
"""

from __future__ import annotations

import io
import itertools
import math
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import BinaryIO

from vlmcli.errors import SourceError
from vlmcli.pictures import given

HEADS = {
    b"II*\0": ("<", False), b"MM\0*": (">", False), b"II+\0": ("<", True), b"MM\0+": (">", True),
    b"II\0*": ("<", False), b"MM*\0": (">", False),
}  # fmt: skip
"""The first four bytes, with the byte order, and whether it is a BigTIFF. The last two are wrong, but are met."""
MAX_DIRECTORIES = 20_000
MAX_TAGS = 4096
"""Of one directory."""
MAX_VALUES = 1 << 25
"""Bytes of one tag's values: the offsets of four million strips."""
THUMBNAIL = 512
"""Pixels of the longer side, up to which a smaller copy of another page is taken for its thumbnail."""

SHAPES = 64
"""Sizes of a file's pages, the largest first, that a small page is compared with."""

WIDTH, HEIGHT, SUBFILE, OLD_SUBFILE, SUB_DIRECTORIES = 256, 257, 254, 255, 330
_REDUCED, _MASK = 1, 4
"""Bits of NewSubfileType."""
_KINDS = {1: "B", 3: "H", 4: "I", 6: "b", 7: "B", 8: "h", 9: "i", 11: "f", 12: "d", 13: "I", 16: "Q", 17: "q",
          18: "Q"}  # fmt: skip
_WHOLE = {1, 3, 4, 7, 13, 16, 18}
"""Kinds of integers without a sign."""
_RATIONALS = {5: "I", 10: "i"}
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}


@dataclass(frozen=True)
class Directory:
    """The tags of one picture.

    Attributes:
        number: of the directory in the file's chain, from 1; a subdirectory has that of its parent.
        tags: the number of a tag → kind and number of its values, where they are, and the values that lie in the
            directory itself.
        next: where the next directory of the chain is; 0 for none.
    """

    tiff: Tiff
    number: int
    tags: Mapping[int, tuple[int, int, int, bytes]]
    next: int

    def __contains__(self, tag: int) -> bool:
        return tag in self.tags

    def raw(self, tag: int, most: int = MAX_VALUES) -> bytes:
        """The bytes of a tag's values, so many at most; none where there is no such tag."""
        if tag not in self.tags:
            return b""
        kind, count, at, inline = self.tags[tag]
        size = min(count * _SIZES.get(kind, 0), most)
        return inline[:size] if size <= len(inline) else self.tiff.read(at, size)

    def values(self, tag: int, most: int = MAX_VALUES) -> tuple[float, ...]:
        """The numbers of a tag, so many at most; none where there is no such tag, or it has a text."""
        if tag not in self.tags:
            return ()
        kind, order = self.tags[tag][0], self.tiff.order
        raw = self.raw(tag, most * _SIZES.get(kind, 0))
        if kind in _RATIONALS:
            parts = struct.unpack(f"{order}{len(raw) // 4}{_RATIONALS[kind]}", raw)
            return tuple(above / below if below else 0.0 for above, below in zip(parts[::2], parts[1::2], strict=True))
        if kind not in _KINDS:
            return ()
        return struct.unpack(f"{order}{len(raw) // _SIZES[kind]}{_KINDS[kind]}", raw)

    def numbers(self, tag: int, most: int = MAX_VALUES) -> tuple[int, ...]:
        """The values of a tag as integers, so many at most; those of UNDEFINED are bytes. None are below 0."""
        values = self.values(tag, most)
        if self.tags.get(tag, (0,))[0] in _WHOLE:
            return values  # type: ignore[return-value]  # by their kinds
        return tuple(max(0, int(value)) if math.isfinite(value) else 0 for value in values)

    def number_of(self, tag: int, default: int = 0) -> int:
        """The first value of a tag as an integer."""
        found = self.numbers(tag, 1)
        return found[0] if found else default

    @cached_property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels, as they are stored; 0 where the file does not say."""
        return self.number_of(WIDTH), self.number_of(HEIGHT)

    @property
    def is_reduced(self) -> bool:
        """Whether the file says that it is a smaller copy of another picture."""
        return bool(self.number_of(SUBFILE) & _REDUCED) or (SUBFILE not in self and self.number_of(OLD_SUBFILE) == 2)

    @property
    def is_mask(self) -> bool:
        """Whether the file says that it is a mask of another picture."""
        return bool(self.number_of(SUBFILE) & _MASK)


class Tiff:
    """An opened file.

    Attributes:
        order: of its bytes, as `struct` writes it.
        size: in bytes.
        source: what the user called it.
    """

    def __init__(self, file: BinaryIO, source: str) -> None:
        self._file = file
        self.source = source
        self.size = file.seek(0, io.SEEK_END)
        head = self.read(0, 8)
        if head[:4] not in HEADS:
            raise SourceError(f"{source}: not a TIFF", "convert it to JPEG or PNG")
        self.order, self._big = HEADS[head[:4]]
        self._first = self._number("Q", 8) if self._big else self._number("I", 4)

    def read(self, at: int, count: int) -> bytes:
        """So many bytes from there. Raises SourceError where the file has fewer, or they are too many."""
        if count > MAX_VALUES:
            raise SourceError(f"{self.source}: one of its tags has {count:,} bytes", "the file may be damaged")
        if at + count > self.size:
            raise SourceError(
                f"{self.source}: the TIFF is damaged or incomplete: some of its tags are missing",
                "copy or download the picture again",
            )
        return self.data(at, count)

    def data(self, at: int, count: int) -> bytes:
        """So many bytes from there, or as many as the file has."""
        if at >= self.size:
            return b""
        self._file.seek(at)
        return self._file.read(min(count, self.size - at))

    def _number(self, kind: str, at: int) -> int:
        return int(struct.unpack(self.order + kind, self.read(at, struct.calcsize(kind)))[0])

    def directory(self, at: int, number: int) -> Directory:
        """The directory that begins there. Raises SourceError where it is not all there."""
        count = self._number("Q" if self._big else "H", at)
        if count > MAX_TAGS:
            raise SourceError(f"{self.source}: page {number} has {count:,} tags", "the file may be damaged")
        start, row, inline = (at + 8, "HHQ8s", 8) if self._big else (at + 2, "HHI4s", 4)
        size = struct.calcsize("=" + row)
        rows = self.read(start, count * size)
        end = start + count * size
        following = self.data(end, inline)
        after = int.from_bytes(following, "little" if self.order == "<" else "big") if len(following) == inline else 0
        where = struct.Struct(self.order + ("Q" if self._big else "I"))
        tags = {
            tag: (kind, many, where.unpack(values)[0], values if many * _SIZES.get(kind, 0) <= inline else b"")
            for tag, kind, many, values in struct.iter_unpack(self.order + row, rows)
        }
        return Directory(self, number, tags, after)

    def directories(self) -> Iterator[Directory]:
        """The chain of directories; a loop ends it. Raises SourceError as `directory` does."""
        seen: set[int] = set()
        at = self._first
        while at and at not in seen:
            seen.add(at)
            directory = self.directory(at, len(seen))
            yield directory
            at = directory.next


@contextmanager
def opened(file: Path | bytes, source: str) -> Iterator[Tiff]:
    """Open a TIFF. Raises SourceError where it is none."""
    with given.opened(file) as data:
        yield Tiff(data, source)


@dataclass(frozen=True)
class Contents:
    """What a file has.

    Attributes:
        directories: all of the chain.
        numbers: of those that are pictures of their own, in order; at least one.
        left_out: a sentence about the others; empty where there are none.
    """

    directories: tuple[Directory, ...]
    numbers: tuple[int, ...]
    left_out: str


def contents(tiff: Tiff) -> Contents:
    """Which directories of a file are pictures of their own.

    Smaller copies and masks, by what the file says of them, are not; nor is a small page of the shape of another that
    is at least twice as large, which is a thumbnail; nor are the smaller ones of a file whose pages are one shape, each
    at least twice as large as the next, which are the levels of a pyramid. What is left out is told of.

    Raises SourceError where there is no directory that can be read.
    """
    found: list[Directory] = []
    damaged = ""
    try:
        for directory in itertools.islice(tiff.directories(), MAX_DIRECTORIES + 1):
            if min(directory.size) > 0:
                found.append(directory)
    except SourceError:
        if not found:
            raise
        damaged = f"everything after page {found[-1].number} is damaged or missing, and is skipped"
    if found and found[-1].number > MAX_DIRECTORIES:
        raise SourceError(f"{tiff.source}: a TIFF with more than {MAX_DIRECTORIES:,} pages", "split it first")
    if not found:
        raise SourceError(f"{tiff.source}: a TIFF without a picture", "the file may be damaged")
    kept = [one for one in found if not one.is_reduced and not one.is_mask] or found
    kept = _without_copies(kept)
    numbers = tuple(one.number for one in kept)
    shown = set(numbers)
    left = [one for one in found if one.number not in shown]
    return Contents(tuple(found), numbers, "; ".join(filter(None, (_told(left), damaged))))


def _without_copies(directories: list[Directory]) -> list[Directory]:
    """The directories without thumbnails and without the smaller levels of a pyramid."""
    largest = max(directories, key=lambda one: one.size[0] * one.size[1])
    sizes = sorted({one.size for one in directories}, reverse=True)
    ordered = itertools.pairwise(sizes)
    if 2 < len(sizes) == len(directories) and all(_is_smaller(small, large) for large, small in ordered):
        return [largest]
    copies = {
        size for size in sizes if max(size) <= THUMBNAIL and any(_is_smaller(size, one) for one in sizes[:SHAPES])
    }
    return [one for one in directories if one.size not in copies]


def _is_smaller(small: tuple[int, int], large: tuple[int, int]) -> bool:
    """Whether a size is of the same shape as another, to a pixel, and at most half of it."""
    if small == large or 2 * small[0] > large[0] + 1 or 2 * small[1] > large[1] + 1:
        return False
    scale = max(large[0] / small[0], large[1] / small[1])
    return abs(large[0] - small[0] * scale) <= scale and abs(large[1] - small[1] * scale) <= scale


def _told(left: list[Directory]) -> str:
    """What is said of the directories that are left out."""
    if not left:
        return ""
    if len(left) == 1:
        (one,) = left
        what = "a mask" if one.is_mask else "a thumbnail" if max(one.size) <= THUMBNAIL else "a smaller copy"
        return f"page {one.number} of the file, {what} of {one.size[0]}x{one.size[1]}, is skipped"
    numbers = ", ".join(str(one.number) for one in left[:8]) + (", …" if len(left) > 8 else "")
    return f"pages {numbers} of the file, smaller copies or masks, are skipped"
