"""Overlays of a DICOM file: planes of one bit a pixel that viewers draw in white over the picture (PS3.3, C.9.2).

Those of the type G (graphics) are drawn. One of the type R marks a region of interest; a viewer leaves the picture
as it is under it, and so does this, with a word about it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vlmcli.errors import SourceError
from vlmcli.pictures import dicom_header

if TYPE_CHECKING:
    from pydicom import Dataset

ATTRIBUTES = tuple(0x60000010 | group << 16 for group in range(0, 0x20, 2))
"""OverlayRows of each of the sixteen groups: whether there is one."""
_NEEDED = (0x10, 0x11, 0x15, 0x40, 0x50, 0x51, 0x100, 0x102)
"""Rows, Columns, NumberOfFramesInOverlay, Type, Origin, ImageFrameOrigin, BitsAllocated, BitPosition."""

Array = NDArray[Any]
Tell = Callable[[str], None]


def draw(
    seen: Array, words: Array | None, header: dicom_header.Header, opened: Any, index: int, source: str, tell: Tell
) -> None:
    """Draw the overlays of a frame in white on its 8-bit pixels, which are changed in place.

    Args:
        seen: rows x columns, or x 3.
        words: the frame's numbers as they are stored, with the bits that are not the picture's; None where it is coded.
        header: which says what overlays there are.
        opened: the file, to be read once more for their bits.
        index: of the frame, from 0.
        source: what the user called the file.
        tell: takes a sentence about an overlay that is not drawn.
    """
    groups = [tag >> 16 for tag in ATTRIBUTES if tag in header.attributes]
    if not groups:
        return
    names = [group << 16 | number for group in groups for number in (*_NEEDED, 0x3000)]
    try:
        planes = dicom_header.read(opened, source, names).attributes
    except SourceError:
        tell("its overlays are too large to be drawn")
        return
    for group in groups:
        try:
            plane = _Plane(planes, group)
            if not plane.is_of(index):
                continue
            if plane.kind == "R":
                tell("an overlay that marks a region of interest is not drawn")
                continue
            _paint(seen, plane, plane.bits(index, words, header.little))
        except (ValueError, TypeError, AttributeError, IndexError, KeyError, OverflowError):
            tell("a damaged overlay is not drawn")


class _Plane:
    """An overlay: its size, its place on the picture, and the frames it belongs to."""

    def __init__(self, planes: Dataset, group: int) -> None:
        def value(number: int, other: Any) -> Any:
            found = planes.get(group << 16 | number)
            return other if found is None or found.value in (None, "") else found.value

        self.rows, self.columns = int(value(0x10, 0)), int(value(0x11, 0))
        self.frames, self.first = int(value(0x15, 0)), int(value(0x51, 1))
        self.kind = str(value(0x40, "G")).strip()
        self.top, self.left = (int(number) - 1 for number in value(0x50, [1, 1]))
        self.position = int(value(0x102, 0))
        self.data: bytes | None = value(0x3000, None)
        self.vr = planes[group << 16 | 0x3000].VR if self.data is not None else ""

    def is_of(self, index: int) -> bool:
        """Whether it belongs to a frame: one that does not say so belongs to all."""
        return not self.frames or self.frames == 1 == self.first or 0 <= index + 1 - self.first < self.frames

    def bits(self, index: int, words: Array | None, little: bool) -> Array:
        """Rows x columns of booleans. Raises ValueError where they are not all there."""
        if self.data is None:  # in bits of the pixels that the picture does not use (retired in 2004)
            if words is None or self.position >= 8 * words.itemsize:
                raise ValueError("no such bits")
            bits: Array = words >> self.position & 1 == 1
            return bits
        begin = max(0, index + 1 - self.first) * self.rows * self.columns if self.frames > 1 else 0
        end = begin + self.rows * self.columns
        data = np.frombuffer(self.data[: len(self.data) // 2 * 2], np.uint8)
        if not little and self.vr == "OW":
            data = data.reshape(-1, 2)[:, ::-1].reshape(-1)
        found = np.unpackbits(data[begin // 8 : -(-end // 8)], bitorder="little")[begin % 8 :]
        plane: Array = found[: end - begin].reshape(self.rows, self.columns) == 1
        return plane


def _paint(seen: Array, plane: _Plane, bits: Array) -> None:
    """White where the bits are, as far as they lie on the picture."""
    height, width = seen.shape[:2]
    top, left = max(0, plane.top), max(0, plane.left)
    bottom, right = min(height, plane.top + bits.shape[0]), min(width, plane.left + bits.shape[1])
    if top < bottom and left < right:
        part = bits[top - plane.top : bottom - plane.top, left - plane.left : right - plane.left]
        seen[top:bottom, left:right][part] = 255
