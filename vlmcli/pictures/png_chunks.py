"""PNG files whose remarks are damaged, and whose picture is not: the remarks are left out, as viewers leave them.

Pillow gives a file up for a text it cannot unpack, or a checksum of a chunk that no picture needs. Here such a file is
written again, in memory, with the chunks that make its picture: what shows its pixels, its colours and which way is up,
each only where it is whole. Source: PNG, third edition, 5.3 and 11. Knows chunks; does not know pictures.
"""

from __future__ import annotations

import struct
import zlib

_NEEDED = (b"IHDR", b"PLTE", b"IDAT", b"IEND")
_LENGTHS = {b"gAMA": 4, b"cHRM": 32, b"sRGB": 1, b"cICP": 4}
"""Bytes of chunks that say what colours mean."""
_MOST = 1 << 22
"""Bytes of a colour profile, unpacked."""


def bare(data: bytes) -> bytes | None:
    """A file without the chunks that its picture does not need; None for no PNG, and where it has no others."""
    if data[:8] != b"\x89PNG\r\n\x1a\n":
        return None
    kept, at, left_out = [data[:8]], 8, False
    while at + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        end = at + 12 + length
        if end > len(data):
            break
        if kind in _NEEDED or _is_whole(kind, data[at + 8 : end - 4], data[end - 4 : end]):
            kept.append(data[at:end])
        else:
            left_out = True
        at = end
        if kind == b"IEND":
            break
    return b"".join([*kept, data[at:]]) if left_out else None


def _is_whole(kind: bytes, body: bytes, checksum: bytes) -> bool:
    """Whether a chunk says something about the picture's colours or orientation, and is not damaged."""
    if zlib.crc32(kind + body) != int.from_bytes(checksum, "big"):
        return False
    if kind == b"iCCP":
        _, _, packed = body.partition(b"\0")
        inflate = zlib.decompressobj()
        try:
            inflate.decompress(packed[1:], _MOST)
        except zlib.error:
            return False
        return packed[:1] == b"\0" and inflate.eof
    return kind in (b"tRNS", b"eXIf") or _LENGTHS.get(kind) == len(body)
