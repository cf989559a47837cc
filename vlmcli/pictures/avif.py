"""AVIF files that libavif refuses for their order of boxes, and every browser shows.

Some writers give each item an ItemPropertyAssociationBox (`ipma`) of its own, which ISO/IEC 23008-12 (9.3.1) forbids:
there is to be one. They are brought together here, in memory, without moving the picture's data, whose places the file
gives as offsets. Knows boxes; does not know pictures.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

MOST = 1 << 20
"""Bytes of a `meta` box that are looked at."""


class _Box(NamedTuple):
    """A box (ISO/IEC 14496-12, 4.2): its kind, and where it, its contents and its end are."""

    kind: bytes
    start: int
    body: int
    end: int


def mended(data: bytes) -> bytes | None:
    """A file whose `ipma` boxes are one, as long as it was; None where that is not what is wrong with it."""
    meta = next((box for box in _boxes(data, 0, len(data)) if box.kind == b"meta"), None)
    if meta is None or meta.end - meta.body > MOST:
        return None
    iprp = next((box for box in _boxes(data, meta.body + 4, meta.end) if box.kind == b"iprp"), None)
    if iprp is None:
        return None
    inside = list(_boxes(data, iprp.body, iprp.end))
    many = [box for box in inside if box.kind == b"ipma"]
    heads = {data[box.body : box.body + 4] for box in many}
    if len(many) < 2 or len(heads) > 1:
        return None
    (head,) = heads
    try:
        entries = sorted(entry for box in many for entry in _entries(data, box, wide=head[0] > 0, long=head[3] & 1 > 0))
    except (struct.error, IndexError):
        return None
    merged = head + struct.pack(">I", len(entries)) + b"".join(entry for _, entry in entries)
    others = b"".join(data[box.start : box.end] for box in inside if box.kind != b"ipma")
    contents = others + struct.pack(">I4s", 8 + len(merged), b"ipma") + merged
    rest = data[iprp.end : meta.end]
    spare = (iprp.end - iprp.body) - len(contents)  # 16 bytes for each box that is gone
    return b"".join(
        (data[: iprp.start], struct.pack(">I4s", 8 + len(contents), b"iprp"), contents, rest,
         struct.pack(">I4s", spare, b"free"), bytes(spare - 8), data[meta.end :])
    )  # fmt: skip


def _boxes(data: bytes, at: int, end: int) -> Iterator[_Box]:
    """The boxes between two places of a file, up to the first that is none."""
    while at + 8 <= end:
        length, kind = struct.unpack_from(">I4s", data, at)
        body = at + 8
        if length == 1 and at + 16 <= end:
            (length,) = struct.unpack_from(">Q", data, at + 8)
            body = at + 16
        stop = end if length == 0 else at + length
        if not body <= stop <= end:
            return
        yield _Box(kind, at, body, stop)
        at = stop


def _entries(data: bytes, box: _Box, *, wide: bool, long: bool) -> Iterator[tuple[int, bytes]]:
    """The number of each item and its whole entry: `wide` numbers have four bytes, `long` properties two."""
    (count,) = struct.unpack_from(">I", data, box.body + 4)
    at = box.body + 8
    for _ in range(min(count, MOST)):
        (item,) = struct.unpack_from(">I" if wide else ">H", data, at)
        end = at + (4 if wide else 2) + 1
        end += data[end - 1] * (2 if long else 1)
        if end > box.end:
            raise IndexError("an entry goes beyond its box")
        yield item, data[at:end]
        at = end
