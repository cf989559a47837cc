"""The segments of a TIFF (strips or tiles) become numbers: decompressed, unpacked from their bits, predictor undone.

zlib inflates, and Pillow's JPEG decoder decodes JPEG. What is compressed with LZW, PackBits, LZMA, Zstandard or as a
fax goes through Pillow's libtiff, as a TIFF of its own that only has bytes, or bits: what they mean is decided here.

Knows layouts. Does not know colours.

Sources: TIFF 6.0, sections 4 to 15; Adobe's Technical Note 3 (2005) for floating point and its predictor.
"""

from __future__ import annotations

import bisect
import io
import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from vlmcli.errors import SourceError
from vlmcli.pictures import tiff_layout as tl
from vlmcli.pictures import truncated
from vlmcli.pictures.tiff_layout import Layout

Array = npt.NDArray[Any]
Rows = Callable[[int, int], Array]
"""Rows of a segment, from one to before another: an array (rows, columns, samples that lie together)."""

AT_ONCE = 1 << 22
"""Numbers that are unpacked at a time."""
_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
_TYPES = {tl.UNSIGNED: "u", tl.UNDEFINED: "u", tl.SIGNED: "i", tl.FLOAT: "f"}


def bands(layout: Layout, empty: list[int]) -> Iterator[tuple[int, Array]]:
    """The picture's numbers, some rows at a time.

    Args:
        layout: of the picture.
        empty: gets the numbers of the segments that have no data, whose numbers are 0.

    Yields:
        The first row, and an array (rows, width, samples): unsigned or signed integers as the file has them, or
        floats. Of YCbCr that was subsampled, chroma is repeated; of YCbCr in JPEG, the numbers are RGB.

    Raises:
        SourceError: where data is missing or damaged.
    """
    segments = _Segments(layout, empty)
    across, down = layout.grid
    width, height = layout.size
    planes = layout.samples if layout.planar else 1
    each = layout.tile[0] * across * layout.samples  # numbers of a row
    group = max(1, AT_ONCE // max(1, each * layout.tile[1]))
    step = max(1, AT_ONCE // each) // 4 * 4 or 4  # whole units of subsampled chroma
    for first in range(0, down, group):
        downs = range(first, min(first + group, down))
        found = [segments.unpacked(plane, downs) for plane in range(planes)]
        for place, number in enumerate(downs):
            top = number * layout.tile[1]
            rows = min(layout.rows_of(number), height - top)
            for start in range(0, rows, step):
                stop = min(start + step, rows)
                parts = [[one(start, stop) for one in plane[place * across : (place + 1) * across]] for plane in found]
                lines = [np.concatenate(plane, 1) if across > 1 else plane[0] for plane in parts]
                band = np.concatenate(lines, 2) if planes > 1 else lines[0]
                yield top + start, band[:, :width]


class _Segments:
    """Where the segments of a picture are, and what is in them."""

    def __init__(self, layout: Layout, empty: list[int]) -> None:
        self._layout, self._empty = layout, empty
        directory = layout.directory
        self._source = directory.tiff.source
        offsets, counts = (324, 325) if layout.tiled and 324 in directory else (273, 279)
        self._offsets = directory.numbers(offsets)
        self._counts = directory.numbers(counts)
        if not any(self._counts):  # as some programs write what they do not know
            self._counts = ()
        across, down = layout.grid
        wanted = across * down * (layout.samples if layout.planar else 1)
        if len(self._offsets) < wanted:
            if len(self._offsets) != 1 or layout.tiled or layout.planar or layout.compression != tl.NONE:
                raise self._damaged(f"it has {len(self._offsets)} of {wanted} strips or tiles")
            height = layout.tile[1] * self._row_bytes()
            self._offsets = tuple(self._offsets[0] + height * number for number in range(wanted))  # one after the other
            self._counts = ()
        self._sorted: list[int] = []

    def _damaged(self, what: str) -> SourceError:
        return SourceError(
            f"{self._source}: the TIFF is damaged or incomplete: {what}", "copy or download the picture again"
        )

    def _row_bytes(self) -> int:
        """Of one row of a segment, or of a row of units where chroma is subsampled."""
        layout = self._layout
        across, down = layout.subsampling
        if layout.subsampling != (1, 1):
            return -(-layout.tile[0] // across) * (across * down + layout.samples - 1)
        return -(-layout.tile[0] * layout.together * layout.bits // 8)

    def _lines(self, rows: int) -> int:
        """How many rows, or rows of units, so many rows of pixels are."""
        return -(-rows // self._layout.subsampling[1])

    def unpacked(self, plane: int, downs: range) -> list[Rows]:
        """The segments of some rows of segments of a plane, in order."""
        layout = self._layout
        across, down = layout.grid
        numbers = [(plane * down + row) * across + column for row in downs for column in range(across)]
        if layout.compression == tl.NONE:
            return [self._stored(number) for number in numbers]
        rows = [self._layout.rows_of(row) for row in downs for _ in range(across)]
        if layout.compression == tl.JPEG:
            return [self._jpeg(number, count) for number, count in zip(numbers, rows, strict=True)]
        if layout.compression in (tl.DEFLATE, tl.OLD_DEFLATE):
            return [self._inflated(number, count) for number, count in zip(numbers, rows, strict=True)]
        return self._through_libtiff(numbers, rows)

    def _extent(self, number: int) -> tuple[int, int]:
        """Where a segment's bytes begin, and how many they are: up to the next one, where the file does not say."""
        at = self._offsets[number]
        if not at:
            return 0, 0
        if number < len(self._counts):
            return at, self._counts[number]
        if not self._sorted:
            self._sorted = sorted({*self._offsets, self._layout.directory.tiff.size})
        following = bisect.bisect_right(self._sorted, at)
        return at, self._sorted[following] - at if following < len(self._sorted) else 0

    def _data(self, number: int) -> bytes:
        """The bytes of a segment as they are stored, its bits in order; none for one without data."""
        at, count = self._extent(number)
        data = self._layout.directory.tiff.data(at, count)
        if not data and at and at >= self._layout.directory.tiff.size:
            raise self._damaged("some of its data is missing")
        if not data:
            self._empty.append(number)
        return data.translate(_REVERSED) if self._layout.reversed and self._layout.compression != tl.JPEG else data

    def _nothing(self, start: int, stop: int) -> Array:
        """Rows of a segment that has no data."""
        return np.zeros((stop - start, self._layout.tile[0], self._layout.together), np.uint8)

    def _numbers(self, raw: Array) -> Array:
        """Rows of bytes as rows of numbers."""
        if self._layout.subsampling != (1, 1):
            return _with_chroma(raw, self._layout)
        return unpacked(raw, self._layout)

    # --- by compression ---

    def _stored(self, number: int) -> Rows:
        """A segment that is not compressed. Only what lies outside the picture may be missing at the file's end."""
        layout, tiff = self._layout, self._layout.directory.tiff
        at = self._offsets[number]
        if not at or (number < len(self._counts) and not self._counts[number]):
            self._empty.append(number)
            return self._nothing
        each = self._row_bytes()
        column = number % layout.grid[0]
        used = min(layout.tile[0], layout.size[0] - column * layout.tile[0])
        padding = 0 if layout.subsampling != (1, 1) else each - -(-used * layout.together * layout.bits // 8)

        def rows(start: int, stop: int) -> Array:
            first, last = start // layout.subsampling[1], self._lines(stop)
            wanted = (last - first) * each
            data = tiff.data(at + first * each, wanted)
            if len(data) < wanted - padding:
                raise self._damaged("some of its data is missing")
            data = data.ljust(wanted, b"\0")
            if layout.reversed:
                data = data.translate(_REVERSED)
            return self._numbers(np.frombuffer(data, np.uint8).reshape(-1, each))[: stop - start]

        return rows

    def _inflated(self, number: int, count: int) -> Rows:
        layout, each = self._layout, self._row_bytes()
        data = self._data(number)
        if not data:
            return self._nothing
        wanted = self._lines(count) * each
        try:
            plain = zlib.decompressobj().decompress(data, wanted)
        except zlib.error as error:
            raise self._damaged(f"its data cannot be decompressed ({error})") from None
        if len(plain) < wanted:
            raise self._damaged("its compressed data ends too soon")
        raw = np.frombuffer(plain, np.uint8).reshape(-1, each)

        def rows(start: int, stop: int) -> Array:
            return self._numbers(raw[start // layout.subsampling[1] : self._lines(stop)])[: stop - start]

        return rows

    def _through_libtiff(self, numbers: Sequence[int], counts: Sequence[int]) -> list[Rows]:
        """Segments that are decompressed by libtiff, as strips of one picture of bytes, or of bits for a fax."""
        layout = self._layout
        strips = [(self._data(number), self._lines(count)) for number, count in zip(numbers, counts, strict=True)]
        whole = [strip for strip in strips if strip[0]]
        fax = layout.compression in tl.FAXES
        across = layout.tile[0] if fax else self._row_bytes()
        image = None
        if whole:
            made = _plain_tiff(layout, across, [data for data, _ in whole], [lines for _, lines in whole])
            try:
                image = Image.open(io.BytesIO(made), formats=("TIFF",))
                image.load()
            except (OSError, ValueError) as error:
                raise self._damaged(f"its pixels cannot be decompressed ({error})") from None
        found: list[Rows] = []
        top = 0
        for data, lines in strips:
            found.append(self._cut(image, top) if image is not None and data else self._nothing)
            top += lines if data else 0
        return found

    def _cut(self, image: Image.Image, top: int) -> Rows:
        """The segment that begins at that row of a picture of bytes or bits."""
        layout = self._layout

        def rows(start: int, stop: int) -> Array:
            first, last = start // layout.subsampling[1], self._lines(stop)
            raw = np.asarray(image.crop((0, top + first, image.width, top + last)))
            if image.mode == "1":
                return raw.astype(np.uint8)[..., None]
            return self._numbers(raw)[: stop - start]

        return rows

    def _jpeg(self, number: int, count: int) -> Rows:
        """A segment of JPEG, whose tables may be in a tag."""
        layout = self._layout
        data = self._data(number)
        if not data:
            return self._nothing
        stream = _whole_jpeg(data, layout)
        with Image.open(io.BytesIO(stream), formats=("JPEG",)) as image:
            if image.width < layout.tile[0] or image.height < count or image.width > layout.tile[0] + 64:
                raise self._damaged(f"a part of {layout.tile[0]}x{count} pixels is really {image.width}x{image.height}")
            if image.height > layout.tile[1] + 64 or len(image.getbands()) != layout.together:
                raise self._damaged("one part is a JPEG with a different size or different colours")
            truncated.check_scans(image, stream, self._source)
            image.load()
            truncated.check(image, stream, self._source)

        def rows(start: int, stop: int) -> Array:
            found = np.asarray(image.crop((0, start, layout.tile[0], stop)))
            found = found.reshape(stop - start, layout.tile[0], -1)
            return 255 - found if image.mode == "CMYK" else found  # Pillow takes it for Adobe's, which is inverted

        return rows


def _plain_tiff(layout: Layout, width: int, strips: Sequence[bytes], lines: Sequence[int]) -> bytes:
    """A TIFF of one sample per pixel with these compressed strips, of which only the last may have fewer lines."""
    fax = layout.compression in tl.FAXES
    most = max(lines)
    tags = [
        (256, [width]),
        (257, [sum(lines)]),
        (258, [1 if fax else 8]),
        (259, [layout.compression]),
        (262, [tl.MIN_IS_BLACK]),
        (273, []),
        (277, [1]),
        (278, [most]),
        (279, [len(strip) for strip in strips]),
    ]
    options = {tl.FAX3: 292, tl.FAX4: 293}.get(layout.compression)
    if options:
        tags.append((options, [layout.directory.number_of(options)]))
    start = 8 + 2 + 12 * len(tags) + 4
    extra = 8 * len(strips) if len(strips) > 1 else 0
    places, at = [], start + extra
    for strip in strips:
        places.append(at)
        at += len(strip)
    rows, beside = b"", b""
    for tag, values in tags:
        numbers = struct.pack(f"<{len(values or places)}I", *(values or places))
        if len(numbers) > 4:
            place = struct.pack("<I", start + len(beside))
            beside += numbers
            numbers = place
        rows += struct.pack("<HHI", tag, 4, len(values or places)) + numbers
    return b"".join((b"II*\0", struct.pack("<IH", 8, len(tags)), rows, bytes(4), beside, *strips))


def _whole_jpeg(data: bytes, layout: Layout) -> bytes:
    """A JPEG with its tables, and with a mark that says whether its colours are YCbCr (transform 1) or not.

    Source: Adobe's Technical Note 2 for TIFF; ITU-T T.872, 6.5.3 for the mark (APP14).
    """
    tables = layout.directory.raw(347)
    transform = layout.photometric == tl.YCBCR and not layout.planar
    mark = b"\xff\xee\0\x0eAdobe\0\x64\0\0\0\0" + bytes([transform])
    inner = tables[2 : -2 if tables.endswith(b"\xff\xd9") else None] if tables.startswith(b"\xff\xd8") else b""
    return b"\xff\xd8" + (mark if layout.together > 1 else b"") + inner + data[2:]


# --- bits to numbers ---


def unpacked(raw: Array, layout: Layout) -> Array:
    """Rows of a segment's bytes as numbers, with the predictor undone.

    Args:
        raw: uint8 (rows, bytes of a row).
        layout: of the picture.

    Returns:
        An array (rows, columns, samples that lie together), in the machine's own order of bytes or the file's.
    """
    bits, columns, together = layout.bits, layout.tile[0], layout.together
    predictor = layout.predictor if layout.compression not in (tl.NONE, tl.PACKBITS) else tl.NO_PREDICTOR
    shape = len(raw), columns, together
    if predictor == tl.FLOATING:
        return _floating(raw, bits // 8, columns, together).reshape(shape)
    if bits == 24:
        return _of_three_bytes(raw, layout).reshape(shape)
    if bits in (8, 16, 32, 64):
        kind = np.dtype(f"{layout.order}{_TYPES[layout.format]}{bits // 8}")
        numbers = np.ascontiguousarray(raw).view(kind).reshape(shape)
        if predictor == tl.HORIZONTAL:
            whole = numbers.view(f"{layout.order}u{bits // 8}")  # of floats, the bits are added
            added = np.cumsum(whole, 1, dtype=f"u{bits // 8}")
            return added.view(kind.newbyteorder("="))
        return numbers
    ones = np.unpackbits(raw, axis=1, count=columns * together * bits).reshape(*shape, bits)
    if bits == 1:
        return ones[..., 0]
    numbers = np.zeros(shape, np.uint8 if bits < 8 else np.uint16 if bits < 16 else np.uint32)
    for place in range(bits):
        numbers <<= 1
        numbers |= ones[..., place]
    return numbers


def _floating(raw: Array, size: int, columns: int, together: int) -> Array:
    """Floats whose bytes lie apart, the highest ones first, each row as differences of bytes."""
    added = np.cumsum(raw.reshape(len(raw), columns * size, together), 1, dtype=np.uint8)
    planes = added.reshape(len(raw), size, columns * together)
    joined = np.ascontiguousarray(planes.transpose(0, 2, 1))
    if size == 3:
        return _float24(joined.reshape(-1, 3))
    return joined.view(f">f{size}")


def _of_three_bytes(raw: Array, layout: Layout) -> Array:
    three = raw.reshape(-1, 3) if layout.order == ">" else raw.reshape(-1, 3)[:, ::-1]
    if layout.format == tl.FLOAT:
        return _float24(three)
    wide = three.astype(np.uint32)
    return np.asarray(wide[:, 0] << 16 | wide[:, 1] << 8 | wide[:, 2])


def _float24(three: Array) -> Array:
    """Floats of a sign, seven bits of exponent (less 63) and sixteen of fraction; the highest byte is the first."""
    high, fraction = three[:, 0].astype(np.int32), three[:, 1].astype(np.int32) << 8 | three[:, 2]
    exponent = high & 127
    value = np.ldexp(np.where(exponent > 0, 1 << 16, 0) + fraction, np.maximum(exponent, 1) - 63 - 16)
    value = np.where(exponent == 127, np.where(fraction > 0, np.nan, np.inf), value)
    return np.where(high & 128, -value, value).astype(np.float32)


def _with_chroma(raw: Array, layout: Layout) -> Array:
    """Rows of units of luma samples and one of each chroma, as YCbCr for each pixel (TIFF 6.0, section 21)."""
    across, down = layout.subsampling
    units = raw.reshape(len(raw), -1, across * down + layout.samples - 1)
    luma = units[..., : across * down].reshape(len(raw), -1, down, across)
    found = np.empty((len(raw) * down, units.shape[1] * across, layout.samples), np.uint8)
    found[..., 0] = luma.transpose(0, 2, 1, 3).reshape(found.shape[:2])
    for sample in range(1, layout.samples):
        found[..., sample] = units[..., across * down + sample - 1].repeat(down, 0).repeat(across, 1)
    return found[:, : layout.tile[0]]
