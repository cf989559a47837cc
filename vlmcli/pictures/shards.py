"""The pictures in a tar archive, as webdataset writes its shards. Nothing of it is unpacked to the disk.

Listing reads the headers and seeks over the data; a picture's bytes are read when it is loaded. The names of members
are names only: nothing is written to them, so an absolute one or one with `..` does no harm. Links, devices and sparse
files are left out. Where an archive is damaged or cut off, the pictures before that are used, and the rest is an error.

The format is read here and not by tarfile, which takes as much memory as a header says, and keeps every member.
Sources: POSIX.1-2017, pax; GNU tar's manual, "Basic Tar Format".
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from vlmcli.amounts import size as in_words
from vlmcli.errors import SourceError
from vlmcli.pictures import folders, signatures
from vlmcli.pictures.kept import MAX_BYTES, Container, Here, Kept, Mark

BLOCK = 512
LONGEST = 1 << 20
"""Bytes of a header's extension: a long name, or attributes."""

_REGULAR = (b"0", b"\0", b"7")
_KINDS = {
    b"1": "link", b"2": "link", b"3": "pipe or device", b"4": "pipe or device", b"6": "pipe or device",
    b"S": "sparse file",
}  # fmt: skip
"""Members that are not read, by their types."""


@dataclass(frozen=True, slots=True)
class Member(Kept):
    """A picture in an archive.

    Attributes:
        archive: that it is in.
        offset: of its data, behind its header.
        size: bytes.
    """

    archive: Container
    offset: int
    size: int

    @property
    def far(self) -> bool:
        """Whether the archive is in a store."""
        return not isinstance(self.archive, Here)

    def mark(self) -> Mark:
        """It has the version of its archive."""
        mark = self.archive.mark()
        return Mark(mark.version, self.size, mark.modified)

    def read(self, name: str) -> bytes:
        """Its bytes, read with its header, which tells whether it is still there. Raises SourceError."""
        if self.size > MAX_BYTES:
            raise SourceError(f"{name}: {in_words(self.size)} is more than a picture has", "check the archive")
        found = self.archive.part(self.offset - BLOCK, BLOCK + self.size, name)
        if len(found) < BLOCK + self.size or not _is_header(found[:BLOCK]):
            raise SourceError(f"{name}: the archive changed while vlm was working", "run the command again")
        return found[BLOCK:]


@dataclass(slots=True)
class Shard:
    """What is in an archive.

    Attributes:
        pictures: its members that are pictures, by their names, in order; of several of one name the last.
        left_out: names and kinds of other members that belong to no picture.
        broken: what is wrong with it, and behind which all is lost; empty for nothing.
        cut: the name of the member in which it ends, if that is a picture.
    """

    pictures: dict[str, Member] = field(default_factory=dict)
    left_out: list[tuple[str, str]] = field(default_factory=list)
    broken: str = ""
    cut: str = ""


class _Broken(Exception):
    """An archive cannot be read any further; says why."""


@dataclass(frozen=True, slots=True)
class _Found:
    """A member.

    Attributes:
        name: without a "./" before it.
        kind: its type, one byte.
        offset: of its data.
        size: of its data.
        head: the first bytes of it.
    """

    name: str
    kind: bytes
    offset: int
    size: int
    head: bytes


def is_shard(head: bytes) -> bool:
    """Whether a file is a tar archive, by its first 512 bytes; an empty archive is all zeros."""
    return len(head) >= BLOCK and (_is_header(head[:BLOCK]) or not head[:BLOCK].strip(b"\0"))


def listed(archive: Container) -> Shard:
    """What is in an archive. Raises OSError or SourceError where it cannot be read at all."""
    shard = Shard()
    others: list[tuple[str, str]] = []
    whole = archive.mark().size
    with archive.stream() as stream:

        def read(start: int, count: int) -> bytes:
            stream.seek(start)
            return stream.read(count)

        try:
            for one in _members(read):
                name = one.name
                if one.kind == b"5" or name.endswith("/") or _is_hidden(name):
                    continue
                if one.kind not in _REGULAR:
                    others.append((name, _KINDS.get(one.kind, "special member")))
                elif not _is_picture(name, one.head):
                    others.append((name, ""))
                elif one.offset + one.size > whole:
                    shard.cut = name
                else:
                    shard.pictures[name] = Member(archive, one.offset, one.size)
                if one.kind in _REGULAR and one.offset + one.size > whole:
                    raise _Broken("the archive is cut off")
        except _Broken as broken:
            shard.broken = str(broken)
    samples = {_sample(name) for name in shard.pictures}
    shard.left_out = [one for one in others if one[1] or _sample(one[0]) not in samples]
    return shard


def _is_hidden(name: str) -> bool:
    return any(folders.is_hidden(part) for part in name.split("/") if part not in (".", ".."))


def _is_picture(name: str, head: bytes) -> bool:
    """Whether a member is a picture: by its suffix, or by its first bytes where that says nothing, as in folders."""
    suffix = os.path.splitext(name)[1].lower()  # noqa: PTH122 - a hundred thousand of them
    if suffix in signatures.SUFFIXES:
        return True
    return suffix not in signatures.OTHERS and not signatures.is_backup(name) and bool(signatures.kind(head))


def _sample(name: str) -> str:
    """What the members of one sample have in common: the name up to the first dot, as webdataset has it."""
    folder, slash, base = name.rpartition("/")
    return f"{folder}{slash}{base.partition('.')[0]}"


def _members(read: Callable[[int, int], bytes]) -> Iterator[_Found]:
    """All members, in order. Raises _Broken.

    Args:
        read: gives so many bytes from a place on; fewer at the end.
    """
    at, name, size = 0, "", -1
    while True:
        block = read(at, BLOCK + signatures.HEAD)
        if not block or (len(block) >= BLOCK and not block[:BLOCK].strip(b"\0")):
            return
        if len(block) < BLOCK:
            raise _Broken("the archive is cut off")
        if not _is_header(block):
            raise _Broken(f"damaged at byte {at:,}" if at else "not a tar archive")
        kind, own = block[156:157], _number(block[124:136])
        if kind in (b"x", b"g", b"L", b"K"):
            if own > LONGEST:
                raise _Broken(f"a header of {in_words(own)} at byte {at:,}")
            data = read(at + BLOCK, own)
            if len(data) < own:
                raise _Broken("the archive is cut off")
            if kind == b"L":
                name = _text(data)
            elif kind == b"x":
                said = _attributes(data)
                name = said.get("path", name)
                size = int(said["size"]) if re.fullmatch("[0-9]{1,20}", said.get("size", "")) else size
            at += BLOCK + _padded(own)
            continue
        length = own if size < 0 else size
        if kind == b"1" or kind in _KINDS or kind == b"5":
            length = length if kind == b"S" else 0
        yield _Found(_plain(name or _own_name(block)), kind, at + BLOCK, length, block[BLOCK : BLOCK + length])
        at += BLOCK + _padded(length)
        if kind == b"S":
            at = _behind_extensions(read, at - _padded(length) - BLOCK, length)
        name, size = "", -1


def _behind_extensions(read: Callable[[int, int], bytes], at: int, length: int) -> int:
    """Where the next header is behind a sparse file in GNU's old format, whose header may go on in more blocks."""
    block, flag, next_at = read(at, BLOCK), 482, at + BLOCK
    while len(block) == BLOCK and block[flag]:
        block, flag, next_at = read(next_at, BLOCK), 504, next_at + BLOCK
    return next_at + _padded(length)


def _is_header(block: bytes) -> bool:
    """Whether a block has the checksum that a header has: the sum of its bytes, with blanks in the sum's place."""
    try:
        return sum(block[:148]) + 256 + sum(block[156:BLOCK]) == int(block[148:156].strip(b" \0") or b"0", 8)
    except ValueError:
        return False


def _number(field: bytes) -> int:
    """A number as headers have it: in octal digits, or in binary behind a bit. Raises _Broken."""
    if field[0] == 0x80:
        return int.from_bytes(field[1:], "big")
    try:
        number = int(field.split(b"\0")[0].strip() or b"0", 8)
    except ValueError:
        number = -1
    if number < 0:
        raise _Broken("a damaged size")
    return number


def _padded(size: int) -> int:
    return -(-size // BLOCK) * BLOCK


def _own_name(block: bytes) -> str:
    """The name in a header, with what POSIX puts before it."""
    name = _text(block[:100])
    prefix = _text(block[345:500]) if block[257:263] == b"ustar\0" else ""
    return f"{prefix}/{name}" if prefix else name


def _plain(name: str) -> str:
    """A name without the "./" that `tar -c .` puts before it."""
    while name.startswith("./"):
        name = name[2:].lstrip("/")
    return name


def _text(data: bytes) -> str:
    return data.split(b"\0")[0].decode("utf-8", "surrogateescape")


def _attributes(data: bytes) -> dict[str, str]:
    """The attributes in an extended header: `28 path=0001.jpg` and so on, each ended by a line feed. Raises _Broken."""
    found: dict[str, str] = {}
    at = 0
    while at < len(data) and data[at]:
        length, blank, _ = data[at : at + 20].partition(b" ")
        if not blank or not length.isdigit() or int(length) < len(length) + 3:
            raise _Broken("a damaged header")
        key, _, value = data[at + len(length) + 1 : at + int(length) - 1].partition(b"=")
        found[key.decode("utf-8", "replace")] = value.decode("utf-8", "surrogateescape")
        at += int(length)
    return found
