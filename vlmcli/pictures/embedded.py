"""The XMP packet within a picture's file: read, put in, replaced; the picture is neither decoded nor encoded again.

What is the picture's own stays byte for byte, and so does what follows its end. Only what must fit the packet's length
changes: the sizes and flags of a WebP, and the offsets of what follows in a JPEG, in its index of further pictures
(MPF) and in its Exif (`offsets`), if they stand before the packet.

Sources: ISO 16684-1 and XMP Specification Part 3 (storage in files); ITU T.81, annex B, for JPEG; CIPA
DC-007 for MPF; the PNG specification (W3C, third edition), 5 and 11.3.3; the WebP container specification, and RFC
6386, 9.1, for the size of its lossy pictures, the WebP lossless specification for the others.

A JPEG's packet may go on in further segments (Extended XMP), which it names by their MD5. They are kept, as phones put
maps of depth there, and so a new packet must name the same; but where they hold something of a namespace that is
written to (the Dublin Core), which might then be there twice, the file is left alone. No more than that is known here
of what a packet says.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from itertools import islice
from typing import NamedTuple

from vlmcli.errors import VlmError
from vlmcli.pictures import offsets
from vlmcli.pictures.xmp import DC, LONGEST

SEGMENT = 65_502
"""Bytes of a packet that a JPEG has room for."""
PIECES = 200_000
"""Segments or chunks of a file that are looked at; pictures have some thousands at most."""

_MARKER = re.compile(rb"\xff+([^\xff])", re.DOTALL)
"""Any number of FF may come before a marker (ITU T.81, B.1.1.2)."""
_FURTHER = b"http://ns.adobe.com/xmp/extension/\0"
_GUID = re.compile(rb"HasExtendedXMP[\s=>\"']+([0-9A-Fa-f]{32})")
_XMP, _ALPHA = 4, 16
"""Flags of a WebP's VP8X chunk."""


class _Piece(NamedTuple):
    """A segment or a chunk, and where in the file (bytes) it and its contents begin and end."""

    kind: bytes
    start: int
    body: int
    stop: int
    end: int


class _File(NamedTuple):
    """A file's bytes, its name, and its pieces in their order."""

    data: bytes
    name: str
    pieces: list[_Piece]

    def those(self, kind: bytes, mark: bytes = b"") -> list[_Piece]:
        """The pieces of a kind whose contents begin with a mark."""
        return [one for one in self.pieces if one.kind == kind and self.data.startswith(mark, one.body, one.stop)]

    def contents(self, piece: _Piece, skipped: int = 0) -> bytes:
        """What is in a piece, without so many bytes at its beginning."""
        return self.data[piece.body + skipped : piece.stop]


_Edit = tuple[int, int, bytes]
"""Where the bytes that are replaced begin and end in the old file, and what comes in their place."""


class _Format(NamedTuple):
    """What differs from format to format.

    Attributes:
        kind: of the piece that holds a packet.
        mark: what its contents begin with.
        pieces: those of a file (its data, its name).
        packet: what is in the piece that holds one.
        edits: for a packet in the place of those pieces.
    """

    kind: bytes
    mark: bytes
    pieces: Callable[[bytes, str], Iterator[_Piece]]
    packet: Callable[[_File, _Piece], bytes]
    edits: Callable[[_File, list[_Piece], bytes], list[_Edit]]


def packet_of(data: bytes, name: str) -> bytes | None:
    """The packet in a picture's file, without what Extended XMP adds to it; None where there is none.

    Args:
        data: of the file.
        name: of the file, for errors: VlmError for another format, a damaged file or packet.
    """
    form = _format(data, name)
    file = _read(data, form, name)
    held = file.those(form.kind, form.mark)
    return form.packet(file, held[0]).rstrip(b"\0") if held else None


def with_packet(data: bytes, packet: bytes, name: str, spaces: Collection[str] = (DC,)) -> bytes:
    """A picture's file with this packet in place of its own, or added.

    Args:
        data: of the file.
        packet: UTF-8.
        name: of the file, for errors: VlmError for another format, a damaged file, and one that has no room for the
            packet, has several, or would lose some of what it has.
        spaces: the namespaces of what is new in the packet.
    """
    form = _format(data, name)
    if len(packet) > (room := SEGMENT if form is _JPEG else LONGEST):
        raise VlmError(
            f"{name}: {len(packet):,} bytes of XMP do not fit into the {room:,} available", "use --sidecar xmp"
        )
    file = _read(data, form, name)
    held = file.those(form.kind, form.mark)
    if len({file.contents(piece) for piece in held}) > 1:
        raise VlmError(
            f"{name}: has {len(held)} XMP packets, and it is not clear which one counts", "remove all but one of them"
        )
    if form is _JPEG:
        _check_further(file, held, packet, spaces)
    out, at = [], 0
    for start, end, new in sorted(form.edits(file, held, packet)):
        out += [data[at:start], new]
        at = end
    return b"".join([*out, data[at:]])


def _format(data: bytes, name: str) -> _Format:
    if data[:2] == b"\xff\xd8":
        return _JPEG
    if data[:8] == b"\x89PNG\r\n\x1a\n":
        return _PNG
    if data[:4] + data[8:12] == b"RIFFWEBP":
        return _WEBP
    raise VlmError(f"{name}: not a JPEG, PNG or WebP file, so it cannot hold XMP", "use --sidecar xmp")


def _read(data: bytes, form: _Format, name: str) -> _File:
    pieces = list(islice(form.pieces(data, name), PIECES + 1))
    if len(pieces) > PIECES:
        raise _damaged(name, f"more than {PIECES:,} pieces")
    return _File(data, name, pieces)


def _damaged(name: str, what: str) -> VlmError:
    return VlmError(
        f"{name}: damaged ({what}), so XMP cannot be read or written in it", "copy or download the picture again"
    )


def _in_place(held: list[_Piece], at: int, new: bytes) -> list[_Edit]:
    """Insert new bytes there, and remove those pieces."""
    return [(at, at, new), *((piece.start, piece.end, b"") for piece in held)]


def _growth(edits: list[_Edit], after: int, before: int | None = None) -> int:
    """By how many bytes these edits make a file longer after a place in it, up to another if there is one."""
    return sum(
        len(new) - (end - start) for start, end, new in edits if start >= after and (before is None or start <= before)
    )


# --- JPEG ---


def _segments(data: bytes, name: str) -> Iterator[_Piece]:
    """The segments before the first scan."""
    at = 2
    while found := _MARKER.match(data, at):
        kind, body = found[1], found.end() + 2
        if kind == b"\xda":
            return
        end = found.end() + int.from_bytes(data[found.end() : body], "big")
        if kind in b"\x00\x01\xd0\xd1\xd2\xd3\xd4\xd5\xd6\xd7\xd8\xd9" or not body <= end <= len(data):
            break
        yield _Piece(kind, at, body, end, end)
        at = end
    raise _damaged(name, f"no JPEG segment at byte {at:,}")


def _segment_packet(file: _File, piece: _Piece) -> bytes:
    return file.contents(piece, len(_JPEG.mark))


def _segment_edits(file: _File, held: list[_Piece], packet: bytes) -> list[_Edit]:
    """A packet in its segment: where there is one already, or after the last segment of JFIF or Exif."""
    first = [*file.those(b"\xe0", b"JF"), *file.those(b"\xe1", b"Exif\0")]
    at = held[0].start if held else max((piece.end for piece in first), default=2)
    contents = _JPEG.mark + packet
    edits = _in_place(held, at, struct.pack(">HH", 0xFFE1, 2 + len(contents)) + contents)
    for index in file.those(b"\xe2", b"MPF\0"):
        if by := _growth(edits, index.end):
            edits += _moved(file, index, by)
    return [*edits, *(edit for exif in file.those(b"\xe1", b"Exif\0") for edit in _pointers(file, exif, edits))]


def _check_further(file: _File, held: list[_Piece], packet: bytes, spaces: Collection[str]) -> None:
    """Raise VlmError where the segments that a packet goes on in would be lost, or hold what it now holds itself."""
    old, new = (_GUID.search(one) for one in (file.contents(held[0]) if held else b"", packet))
    guid = old[1] if old else b""
    if (new[1] if new else b"") != guid:
        raise VlmError(f"{file.name}: its Extended XMP does not belong to the new packet", "use --sidecar xmp")
    further = file.those(b"\xe1", _FURTHER + guid) if guid else []
    text = b"".join(file.contents(piece, len(_FURTHER) + 40) for piece in further)
    for space in spaces:
        if re.search(re.escape(space.encode()) + rb"(?![\w/])", text):  # longer ones are other namespaces
            what = "its description or keywords" if space == DC else f"properties of {space}"
            raise VlmError(f"{file.name}: has {what} in Extended XMP", "use --sidecar xmp")


def _moved(file: _File, index: _Piece, by: int) -> Iterator[_Edit]:
    """The offsets of further pictures, which begin so many bytes later (CIPA DC-007)."""
    base = index.body + 4
    contents = file.contents(index, 4)
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(contents[:4], "")
    try:
        (at,) = struct.unpack_from(order + "I", contents, 4)
        (count,) = struct.unpack_from(order + "H", contents, at)
        fields = [struct.unpack_from(order + "HHII", contents, at + 2 + 12 * number) for number in range(count)]
        size, where = next((size, where) for tag, _, size, where in fields if order and tag == 0xB002)
        for entry in range(where + 8, where + size, 16):
            (offset,) = struct.unpack_from(order + "I", contents, entry)
            if offset:  # that of the first picture is 0
                yield base + entry, base + entry + 4, struct.pack(order + "I", offset + by)
    except (struct.error, StopIteration):
        raise _damaged(file.name, "its index of further pictures") from None


def _pointers(file: _File, exif: _Piece, edits: list[_Edit]) -> Iterator[_Edit]:
    """The offsets in an Exif of what stands behind it, and moves by these edits."""
    moved = offsets.moved(file.data, exif.body + 6, exif.end, lambda place: _growth(edits, exif.end, place))
    if moved is None:
        what = "its Exif or maker note points to data after the metadata, which would move"
        raise VlmError(f"{file.name}: {what}", "use --sidecar xmp")
    for at, new in moved:
        yield at, at + len(new), new


# --- PNG ---


def _chunks(data: bytes, name: str) -> Iterator[_Piece]:
    """The chunks up to IEND."""
    at, kinds = 8, set()
    while at + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        end = at + 12 + length
        if end > len(data) or (at == 8) != (kind == b"IHDR"):
            break
        yield _Piece(kind, at, at + 8, end - 4, end)
        kinds.add(kind)
        if kind == b"IEND" and b"IDAT" in kinds:
            return
        at = end
    raise _damaged(name, f"no PNG chunk at byte {at:,}")


def _chunk_packet(file: _File, piece: _Piece) -> bytes:
    """What an iTXt chunk holds, also a compressed one."""
    crc = file.data[piece.stop : piece.end]
    how, parts = file.contents(piece, len(_PNG.mark))[:2], file.contents(piece, len(_PNG.mark) + 2).split(b"\0", 2)
    if zlib.crc32(file.data[piece.start + 4 : piece.stop]) == int.from_bytes(crc, "big") and len(parts) == 3:
        if how[:1] == b"\0":
            return parts[2]
        inflate = zlib.decompressobj()
        with suppress(zlib.error):
            text = inflate.decompress(parts[2], LONGEST)
            if inflate.eof and how == b"\1\0":
                return text
    raise _damaged(file.name, "its XMP")


def _chunk_edits(file: _File, held: list[_Piece], packet: bytes) -> list[_Edit]:
    """A packet in its chunk: where there is one already, if that is before the picture's data, or after the header."""
    at = held[0].start if held and held[0].start < file.those(b"IDAT")[0].start else file.pieces[0].end
    contents = _PNG.mark + bytes(4) + packet  # not compressed; of no language
    crc = zlib.crc32(_PNG.kind + contents)
    return _in_place(held, at, struct.pack(">I", len(contents)) + _PNG.kind + contents + struct.pack(">I", crc))


# --- WebP ---


def _riff(data: bytes, name: str) -> Iterator[_Piece]:
    """The chunks within the RIFF, which may leave out the last one's padding."""
    limit = 8 + int.from_bytes(data[4:8], "little")
    at = 12
    while at + 8 <= limit <= len(data):
        kind, length = struct.unpack_from("<4sI", data, at)
        stop = at + 8 + length
        if stop > limit or (at == 12 and kind not in (b"VP8X", b"VP8 ", b"VP8L", b"ALPH")):
            break
        yield _Piece(kind, at, at + 8, stop, min(stop + length % 2, limit))
        at = min(stop + length % 2, limit)
        if at == limit:
            return
    raise _damaged(name, f"no WebP chunk at byte {at:,}")


def _riff_packet(file: _File, piece: _Piece) -> bytes:
    return file.contents(piece)


def _riff_edits(file: _File, held: list[_Piece], packet: bytes) -> list[_Edit]:
    """A packet in its chunk, where there is one already, or last; and the headers that say so."""
    first, last = file.pieces[0], file.pieces[-1]
    chunk = struct.pack("<4sI", b"XMP ", len(packet)) + packet + bytes(len(packet) % 2)
    if held:
        edits = _in_place(held, held[0].start, chunk)
    else:
        edits = _in_place([], last.end, bytes((last.end - last.start) % 2) + chunk)
    if first.kind != b"VP8X":
        edits.append((first.start, first.start, _canvas(file)))
    elif first.stop - first.body < 10:
        raise _damaged(file.name, "its VP8X chunk")
    else:
        edits.append((first.body, first.body + 1, bytes([file.data[first.body] | _XMP])))
    size = int.from_bytes(file.data[4:8], "little") + _growth(edits, first.start)
    if size > 0xFFFFFFFF - 9:
        raise VlmError(f"{file.name}: has no room for XMP", "use --sidecar xmp")
    return [*edits, (4, 8, struct.pack("<I", size))]


def _canvas(file: _File) -> bytes:
    """The VP8X chunk of a simple file that gets a packet: its flags, its width and height less 1."""
    width = height = 0
    alpha = bool(file.those(b"ALPH"))
    for picture in (*file.those(b"VP8 "), *file.those(b"VP8L")):
        head = file.contents(picture)[:10]
        if picture.kind == b"VP8 " and head[3:6] == b"\x9d\x01\x2a" and len(head) == 10:
            width, height = (side & 0x3FFF for side in struct.unpack("<HH", head[6:]))  # above them: how to scale
        elif picture.kind == b"VP8L" and head[:1] == b"\x2f" and len(head) >= 5:
            bits = int.from_bytes(head[1:5], "little")
            width, height, alpha = 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF), bool(bits >> 28 & 1)
    if not width or not height:
        raise _damaged(file.name, "its size")
    sides = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return struct.pack("<4sII", b"VP8X", 10, _XMP | (_ALPHA if alpha else 0)) + sides


_JPEG = _Format(b"\xe1", b"http://ns.adobe.com/xap/1.0/\0", _segments, _segment_packet, _segment_edits)
_PNG = _Format(b"iTXt", b"XML:com.adobe.xmp\0", _chunks, _chunk_packet, _chunk_edits)
_WEBP = _Format(b"XMP ", b"", _riff, _riff_packet, _riff_edits)
