"""Windows and OS/2 bitmaps (BMP) of every layout that browsers show.

Pillow refuses bit masks it does not list, and most of what OS/2 wrote; it misreads some palettes, and rows of a packed
picture that are empty. So bitmaps are read here: 1 to 32 bits per pixel, with any masks, palettes that are longer or
shorter than the header says, run lengths of 4, 8 and 24 bits, bitmap arrays, and the colour spaces of versions 4 and 5.

    with bmp.Bitmap("a.bmp") as image:
        image.size, image.mode       # from the header; nothing is decoded yet
        image.load()

Sources: Microsoft, "Bitmap Header Types", BITMAPV5HEADER, [MS-WMF] 2.1.1.7 and 2.2.2; OS/2 2.0 Technical Library,
Presentation Manager Programming Reference, "Bitmap Format". Knows bitmaps; does not know what their colours become.
"""

from __future__ import annotations

import mmap
import struct
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, ImagePalette

from vlmcli.pictures import given

_RGB, _RLE8, _RLE4, _BITFIELDS, _JPEG, _PNG, _ALPHABITFIELDS = range(7)
_RLE24 = -24
_HUFFMAN = -1
"""OS/2 numbers these two 4 and 3, as Windows numbers others."""
_WINDOWS = (40, 52, 56, 108, 124)
"""Bytes of the headers of Windows; 12 is the first of both, and the others up to 64 are OS/2's."""
_USUAL = {16: (0x7C00, 0x3E0, 0x1F, 0), 24: (0xFF0000, 0xFF00, 0xFF, 0), 32: (0xFF0000, 0xFF00, 0xFF, 0)}
_RAW = {24: "BGR", 32: "BGRX"}
"""What Pillow calls the usual order of colours."""
SECONDS = 4.0
"""To unpack run lengths, which may be of one pixel each."""
_BAND = 1 << 20
"""Pixels that are decoded at a time."""


class _Header(NamedTuple):
    """What a bitmap's headers say.

    Attributes:
        width, height: in pixels.
        down: whether the first row is the top one.
        bits: of a pixel.
        packed: the compression, by Windows' numbers, and the two above.
        masks: of red, green, blue and alpha; 0 for a channel that is not there.
        palette: RGB, three bytes for each color; empty for pixels that are colors themselves.
        start: where the pixels begin in the file.
    """

    width: int
    height: int
    down: bool
    bits: int
    packed: int
    masks: tuple[int, int, int, int]
    palette: bytes
    start: int


def is_one(head: bytes) -> bool:
    """Whether the first bytes of a file are those of a bitmap, or of an OS/2 array of bitmaps, whose first counts."""
    return head[_begin(head) :][:2] == b"BM"


def within(file: Path | bytes) -> bytes | None:
    """The JPEG or PNG file that a bitmap holds in the place of pixels (BI_JPEG, BI_PNG); None for all other files."""
    head = given.head(file, 64)
    if not is_one(head) or len(head) < 34 or _number(head, 14) not in _WINDOWS:
        return None
    if _number(head, 30) not in (_JPEG, _PNG):
        return None
    data = given.data(file)
    start = _number(head, 10)
    length = _number(head, 34) or len(data)
    found = data[start : start + length]
    return found if found[:3] == b"\xff\xd8\xff" or found[:8] == b"\x89PNG\r\n\x1a\n" else None


class Bitmap(ImageFile.ImageFile):
    """An opened bitmap, of the mode P, RGB or RGBA; `load` decodes it.

    Its `info` has `icc_profile`, or `gamma` and `chromaticity` as Pillow's PNG files have them, where a header of
    version 4 or 5 says so. Raises OSError for what cannot be a bitmap, and where pixels are missing.
    """

    format = "BMP"
    format_description = "Windows Bitmap"

    def _open(self) -> None:
        assert self.fp is not None
        head = self.fp.read(2048)
        begin = _begin(head)
        size = _number(head, begin + 14) if len(head) >= begin + 18 else 0
        if size != 12 and not 16 <= size <= 64 and size not in _WINDOWS:
            raise OSError(f"a bitmap header of {size} bytes")
        if len(head) < begin + 14 + size:
            raise OSError("the bitmap header is incomplete")
        self._header = header = _header(head, begin, size)
        self._size = header.width, header.height
        self._mode = "P" if header.palette else "RGBA" if header.masks[3] else "RGB"
        if header.palette:
            self.palette = ImagePalette.raw("RGB", header.palette)
        if size in (108, 124):
            self._say_colors(head[begin + 14 : begin + 14 + size], begin)
        self.tile = []

    def _say_colors(self, header: bytes, begin: int) -> None:
        """Keep what a header of version 4 or 5 says of its colours."""
        kind = header[56:60][::-1]
        if kind == b"MBED" and len(header) == 124:
            assert self.fp is not None
            start, length = struct.unpack_from("<II", header, 112)
            self.fp.seek(begin + 14 + start)
            self.info["icc_profile"] = self.fp.read(length)
        elif kind == bytes(4):
            ends = [value / (1 << 30) for value in struct.unpack_from("<9i", header, 60)]
            sums = [sum(ends[at : at + 3]) for at in (0, 3, 6)]
            gamma = sum(struct.unpack_from("<3I", header, 96)) / 3 / (1 << 16)
            if min(sums) > 0.01 and gamma > 0.01:
                each = [ends[3 * n + at] / total for n, total in enumerate(sums) for at in (0, 1)]
                self.info["chromaticity"] = (0.3127, 0.3290, *each)
                self.info["gamma"] = 1 / gamma if gamma > 1 else gamma  # both are written

    def load(self) -> Any:
        """Decode the pixels, if that has not been done."""
        if self._im is None:
            assert self.fp is not None
            with _mapped(self.fp) as data:
                self.im = _decoded(data, self._header, self.mode).im
        return Image.Image.load(self)


def _mapped(file: Any) -> Any:
    """What is in an opened file, if it can be without reading all of it; a context manager."""
    try:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError):  # bytes, or a file system that cannot
        file.seek(0)
        return memoryview(file.read())


# --- The headers ---


def _number(head: bytes, at: int) -> int:
    return int.from_bytes(head[at : at + 4], "little")


def _begin(head: bytes) -> int:
    """Where the bitmap's own file header is: in an OS/2 array, behind that of the array."""
    return 14 if head[:2] == b"BA" else 0


def _header(head: bytes, begin: int, size: int) -> _Header:
    """Headers of a bitmap whose second one has so many bytes."""
    said = head[begin + 14 : begin + 14 + size].ljust(124, b"\0")
    if size == 12:
        (width, height, _, bits), packed, colors = struct.unpack_from("<HHHH", said, 4), _RGB, 0
    else:
        width, height, _, bits, packed = struct.unpack_from("<iiHHI", said, 4)
        colors = _number(said, 32)
    if size not in _WINDOWS:
        packed = {3: _HUFFMAN, 4: _RLE24}.get(packed, packed)
    if width < 1 or not height:
        raise OSError(f"a bitmap of {width}x{abs(height)} pixels")
    _check_layout(bits, packed)
    at, masks = begin + 14 + size, (0, 0, 0, 0)
    if packed in (_BITFIELDS, _ALPHABITFIELDS):
        count = 4 if packed == _ALPHABITFIELDS or size >= 56 else 3
        masks = (*struct.unpack_from("<4I", head.ljust(at + 16, b"\0"), begin + 54)[:count], 0)[:4]
        at += max(0, begin + 54 + 4 * count - at)
        if not any(masks[:3]):
            masks = (*_USUAL[bits][:3], 0xFF000000 if bits == 32 else 0)
    elif bits > 8:
        masks = _USUAL[bits]
    start = _number(head, begin + 10)
    palette = b""
    if bits <= 8:
        palette, start = _palette(head, at, start, bits, colors, size)
    return _Header(width, abs(height), height < 0, bits, packed, masks, palette, start if start >= at else at)


def _check_layout(bits: int, packed: int) -> None:
    """Raise OSError for pixels that nobody writes, or nobody reads."""
    sound = {
        _RGB: (1, 2, 4, 8, 16, 24, 32), _RLE8: (8,), _RLE4: (4,), _BITFIELDS: (16, 24, 32),
        _ALPHABITFIELDS: (16, 24, 32), _RLE24: (24,),
    }  # fmt: skip
    if bits not in sound.get(packed, ()):
        name = {_HUFFMAN: "Huffman", _JPEG: "JPEG", _PNG: "PNG"}.get(packed, str(packed))
        raise OSError(f"a bitmap of {bits} bits per pixel with compression {name}")


def _palette(head: bytes, at: int, start: int, bits: int, colors: int, size: int) -> tuple[bytes, int]:
    """The RGB bytes of a palette that begins there, and where the pixels begin behind it."""
    each = 3 if size == 12 else 4
    count = colors if 0 < colors <= 1 << 16 else 1 << bits
    if start <= at:  # no room was left for it, which is a wrong number rather than no palette
        start = at + each * count
    room = start - at
    if each == 4 and size not in _WINDOWS and room == 3 * count:
        each = 3  # as some of OS/2's programs wrote it
    count = min(count, 1 << bits, room // each)
    entries = np.frombuffer(head[at : at + count * each].ljust(count * each, b"\0"), np.uint8).reshape(count, each)
    whole = np.zeros((1 << bits, 3), np.uint8)
    whole[:count] = entries[:, 2::-1]
    return whole.tobytes(), start


# --- The pixels ---


def _decoded(data: Any, header: _Header, mode: str) -> Image.Image:
    """The pixels of the whole file's bytes."""
    if header.packed in (_RLE8, _RLE4, _RLE24):
        pixels = _unpacked(data, header)
        order = "BGR" if header.packed == _RLE24 else "P"
        return Image.frombytes(mode, (header.width, header.height), pixels, "raw", order, 0, 1 if header.down else -1)
    stride = (header.width * header.bits + 31) // 32 * 4
    if header.start + stride * (header.height - 1) + (header.width * header.bits + 7) // 8 > len(data):
        raise OSError("its pixel data is incomplete")
    size = header.width, header.height
    image = Image.new(mode, size)
    step = max(1, _BAND // header.width)
    for top in range(0, header.height, step):
        count = min(step, header.height - top)
        begin = header.start + stride * (top if header.down else header.height - top - count)
        rows = bytes(data[begin : begin + stride * count]).ljust(stride * count, b"\0")
        image.paste(_band(rows, (header.width, count), stride, header, mode), (0, top))
    return image


def _band(rows: bytes, size: tuple[int, int], stride: int, header: _Header, mode: str) -> Image.Image:
    """Some rows of a picture that is not packed."""
    if header.masks == _USUAL.get(header.bits) and header.bits in _RAW:
        return Image.frombytes(mode, size, rows, "raw", _RAW[header.bits], stride, 1 if header.down else -1)
    width, height = size
    numbers = np.frombuffer(rows, np.uint8).reshape(height, stride)
    if not header.down:
        numbers = numbers[::-1]
    if header.bits <= 8:
        each = 8 // header.bits
        shifts = np.arange(8 - header.bits, -1, -header.bits, dtype=np.uint8)
        used = numbers[:, : -(-width // each)]
        parts = used[..., None] >> shifts & ((1 << header.bits) - 1) if each > 1 else used
        return Image.frombytes("P", size, parts.reshape(height, -1)[:, :width].tobytes())
    count = header.bits // 8
    values = np.zeros((height, width), np.uint32)
    for at in range(count):
        values |= numbers[:, at : at + width * count : count].astype(np.uint32) << np.uint32(8 * at)
    channels = [_channel(values, mask) for mask in header.masks[: len(mode)]]
    return Image.fromarray(np.dstack(channels))


def _channel(values: NDArray[np.uint32], mask: int) -> NDArray[np.uint8]:
    """The bits of a mask as a number from 0 to 255."""
    if not mask:
        return np.zeros(values.shape, np.uint8)
    shift = (mask & -mask).bit_length() - 1
    shift += max(0, (mask >> shift).bit_length() - 16)
    most = mask >> shift
    table = (np.arange(most + 1) * 255 / most + 0.5).astype(np.uint8)
    found: NDArray[np.uint8] = table[(values & np.uint32(mask)) >> np.uint32(shift)]
    return found


def _unpacked(data: Any, header: _Header) -> bytearray:
    """Run lengths unpacked: numbers of colors, or of 24 bits BGR. What is skipped is the first color, or black.

    Raises OSError where the data ends before the picture does.
    """
    width, height, each = header.width, header.height, 3 if header.packed == _RLE24 else 1
    out = bytearray(width * height * each)
    at, x, y, codes, end = header.start, 0, 0, 0, time.monotonic() + SECONDS
    while y < height:
        codes += 1
        if not codes & 0xFFFF and time.monotonic() > end:
            raise OSError(f"its run lengths take more than {SECONDS:g} s to unpack")
        if at + 2 > len(data):
            if x >= width and y == height - 1:
                break
            raise OSError("its pixel data is incomplete")
        count, code = data[at], data[at + 1]
        at += 2
        if count:
            at -= 1
            length, run = _run(data, at, count, header.packed)
        elif code == 0:
            x, y = 0, y + 1
            continue
        elif code == 1:
            break
        elif code == 2:
            if at + 2 > len(data):
                raise OSError("its pixel data is incomplete")
            x, y, at = x + data[at], y + data[at + 1], at + 2
            continue
        else:
            count = code
            length, run = _literals(data, at, count, header.packed)
        if at + length > len(data):
            raise OSError("its pixel data is incomplete")
        at += length
        room = max(0, min(count, width - x))  # what goes beyond the row is left out
        place = (y * width + x) * each
        out[place : place + room * each] = run[: room * each]
        x += count
    return out


def _run(data: Any, at: int, count: int, packed: int) -> tuple[int, bytes]:
    """Bytes that the color of a run has in the file, and its pixels."""
    if packed == _RLE24:
        return 3, bytes(data[at : at + 3]) * count
    if packed == _RLE8:
        return 1, bytes(data[at : at + 1]) * count
    return 1, bytes((data[at] >> 4, data[at] & 15)) * (count + 1 >> 1)


def _literals(data: Any, at: int, count: int, packed: int) -> tuple[int, bytes]:
    """Bytes that so many pixels, which are no run, have in the file, an even number; and the pixels."""
    size = {_RLE24: 3 * count, _RLE8: count, _RLE4: count + 1 >> 1}[packed]
    found = bytes(data[at : at + size])
    if packed == _RLE4:
        found = bytes(half for byte in found for half in (byte >> 4, byte & 15))
    return size + (size & 1), found
