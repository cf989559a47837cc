"""JPEG files whose remarks are damaged, or that have bytes between their segments: both are left out, as libjpeg does.

Pillow parses what stands before the picture's data itself, and gives a file up for what its decoder would pass over:
an empty JFIF segment, bytes right behind the file's first marker, a marker of no use. Here such a file is written
again, in memory, with the segments that make its picture: tables, the frame, and of the remarks JFIF, Exif, the colour
profile and Adobe's transform, where they are whole. Source: ITU-T T.81, B.1; ITU-T T.871, 10.1. Knows segments; does
not know pictures.
"""

from __future__ import annotations

import re

_MARKER = re.compile(rb"\xff+([^\x00\xff])")
_WHOLE = {0xE0: (b"JFIF\0", 14), 0xE1: (b"Exif\0\0", 14), 0xE2: (b"ICC_PROFILE\0", 14), 0xEE: (b"Adobe", 12)}
"""How the application segments that count begin, and their least number of bytes."""
_REMARKS = range(0xE0, 0xF0)
_COMMENT = 0xFE
_ALONE = (0x01, *range(0xD0, 0xD8))
"""Markers of no contents; before the picture's data they mean nothing."""


def bare(data: bytes) -> bytes | None:
    """A file of only what its picture needs; None for no JPEG, one that is nothing else, or has no picture's data."""
    if data[:2] != b"\xff\xd8":
        return None
    kept, at = [data[:2]], 2
    while found := _MARKER.search(data, at):
        marker, begin = found[1][0], found.end()
        at = begin
        if marker in _ALONE:
            continue
        end = begin + int.from_bytes(data[begin : begin + 2], "big")
        if marker in (0xD8, 0xD9) or not begin + 2 <= end <= len(data):
            return None
        if marker == 0xDA:
            rest = b"".join([*kept, data[begin - 2 :]])
            return rest if rest != data else None
        if _counts(marker, data[begin + 2 : end]):
            kept.append(data[begin - 2 : end])
        at = end
    return None


def _counts(marker: int, body: bytes) -> bool:
    """Whether a segment makes the picture."""
    if marker in _WHOLE:
        start, least = _WHOLE[marker]
        return body.startswith(start) and len(body) >= least
    return marker not in _REMARKS and marker != _COMMENT
