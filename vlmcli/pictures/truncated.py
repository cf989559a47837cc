"""Whether a JPEG's or PNG's picture data is all there, where its decoder does not say, and no more than there must be.

libjpeg takes an end marker at its word: it paints the rest of a baseline picture in the middle grey, and leaves a
progressive one coarse. Pillow takes the end of a PNG's deflate stream at its word, and leaves the rest at zero. So a
picture that ends in such a colour is looked at once more; others cost nothing, but a progressive JPEG a search for its
scans. What is not seen: that the last scan of a progressive JPEG is cut, which lacks the last bit of some fine detail.
"""

from __future__ import annotations

import io
import mmap
import re
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from PIL import Image

from vlmcli.errors import SourceError
from vlmcli.pictures import given

SCANS = 2_000_000_000
"""Scans of a JPEG times its pixels: each scan is another way over all of them, if only two bytes long."""

_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
"""In the coded data of a scan, where FF 00 and FF D0 to FF D7 are of the data."""
_PIECE = 1 << 18
_ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
"""Of each pass of an interlaced PNG: the first column and row, and the steps."""


_CUT = re.compile(r"truncated|incomplete|not enough image data|unexpected end|broken data stream", re.IGNORECASE)
"""What decoders say of a file that ends too early."""


def is_cut(reason: str, file: Path | bytes) -> bool:
    """Whether a file that could not be decoded ends too early: its decoder says so, or a WebP's own length does."""
    if _CUT.search(reason):
        return True
    with suppress(OSError), _bytes(file) as data:
        return data[:4] == b"RIFF" and data[8:12] == b"WEBP" and int.from_bytes(data[4:8], "little") + 8 > len(data)
    return False


def check_scans(image: Image.Image, file: Path | bytes, source: str) -> None:
    """Raise SourceError where a JPEG that is not yet decoded has more scans than a picture needs."""
    if image.format not in ("JPEG", "MPO"):
        return
    scans = 0
    with _bytes(file) as data:
        for marker, _, start in _segments(data, getattr(image, "offset", 0)):
            if marker == 0xDA:
                if data[start] == len(image.getbands()) and not image.info.get("progressive"):
                    return  # all in one
                scans += 1
                if scans * image.width * image.height > SCANS:
                    raise SourceError(
                        f"{source}: a JPEG with {scans} scans or more", "save it again as a baseline JPEG"
                    )


def check(image: Image.Image, file: Path | bytes, source: str) -> None:
    """Raise SourceError where the picture that has been decoded is cut short."""
    kind = "JPEG" if image.format == "MPO" else image.format
    if kind == "JPEG" and (image.info.get("progressive") or _ends_in(image, {127, 128})):
        lacking = _lacks_scans if image.info.get("progressive") else _is_short
    elif kind == "PNG" and (image.info.get("interlace") or _ends_in(image, {0})):
        lacking = _lacks_rows
    else:
        return
    with _bytes(file) as data:
        if lacking(data, getattr(image, "offset", 0)):  # of a later picture of an MPO file
            raise SourceError(f"{source}: its {kind} data is incomplete", "copy or download the picture again")


def _ends_in(image: Image.Image, values: set[int]) -> bool:
    """Whether the last pixel is of those values only."""
    last: Any = image.getpixel((image.width - 1, image.height - 1))
    return values.issuperset(last if isinstance(last, tuple) else (last,))


@contextmanager
def _bytes(file: Path | bytes) -> Iterator[Any]:
    """What is in a file, without reading all of it."""
    if isinstance(file, bytes):
        yield file
        return
    with given.opened(file) as opened:
        try:
            mapped = mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ)
        except OSError:  # not every file system can
            yield opened.read()
            return
        with mapped:
            yield mapped


# --- JPEG ---


def _segments(data: Any, at: int) -> Iterator[tuple[int, int, int]]:
    """(marker, where it is, where its contents begin) of the image that begins there, up to the marker of its end."""
    at += 2
    while found := _MARKER.search(data, at):  # the coded data of a scan has none
        marker, start = data[found.start() + 1], found.end() + 2
        yield marker, found.start(), start
        if marker == 0xD9:
            return
        at = found.end() + int.from_bytes(data[found.end() : start], "big")


def _is_short(data: Any, at: int) -> bool:
    """Whether a JPEG of one scan needs more data than it has.

    It is decoded again, at an eighth, with bytes that end nothing in the place of the marker after its scan.
    """
    found = list(_segments(data, at))
    scans = [number for number, (marker, _, _) in enumerate(found) if marker == 0xDA]
    if len(scans) != 1:
        return False
    end = found[scans[0] + 1][1] if scans[0] + 1 < len(found) else len(data)
    with Image.open(io.BytesIO(data[at:end] + b"\x55" * 9), formats=("JPEG",)) as again:
        again.draft(None, (1, 1))
        try:
            again.load()
        except OSError:
            return True
    return False


def _lacks_scans(data: Any, at: int) -> bool:
    """Whether a progressive JPEG has not been told some coefficient to its last bit (ITU T.81, G.1.1.1)."""
    missing: set[tuple[int, int]] = set()
    for marker, _, start in _segments(data, at):
        if marker == 0xC2:
            components = data[start + 6 : start + 6 + 3 * data[start + 5] : 3]
            missing = {(component, k) for component in components for k in range(64)}
        elif marker == 0xDA:
            count = data[start]
            first, last, bits = data[start + 1 + 2 * count : start + 4 + 2 * count]
            if bits & 15 == 0:
                components = data[start + 1 : start + 1 + 2 * count : 2]
                missing -= {(component, k) for component in components for k in range(first, last + 1)}
    return bool(missing)


# --- PNG ---


def _lacks_rows(data: Any, at: int) -> bool:
    """Whether a PNG's deflate stream holds fewer bytes than its rows have."""
    width, height, depth, color, *_, interlace = struct.unpack(">IIBBBBB", data[16:29])
    bits = depth * {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[color]
    missing = 0
    for left, top, across, down in _ADAM7 if interlace else ((0, 0, 1, 1),):
        columns, rows = -(-(width - left) // across), -(-(height - top) // down)
        missing += rows * (1 + (columns * bits + 7) // 8) if columns > 0 else 0
    inflate = zlib.decompressobj()
    for piece in _image_data(data):
        while piece and missing > 0 and not inflate.eof:
            missing -= len(inflate.decompress(piece, _PIECE))
            piece = inflate.unconsumed_tail
    return missing > 0


def _image_data(data: Any) -> Iterator[bytes]:
    """The contents of the IDAT chunks, in pieces."""
    at = 8
    while at + 8 <= len(data):
        length, kind = struct.unpack(">I4s", data[at : at + 8])
        if kind == b"IDAT":
            for start in range(at + 8, at + 8 + length, _PIECE):
                yield data[start : min(start + _PIECE, at + 8 + length)]
        elif kind == b"IEND":
            return
        at += 12 + length
