"""The stored numbers of a DICOM frame as 8 bits: what a viewer shows first.

The numbers go through the modality's rescale or table, then the file's first window, or its table, or else from the
least to the greatest that is no padding; MONOCHROME1 is turned round, palettes become colours, overlays are white. Not
for diagnosis: there is no calibrated display, and none of the standard's other views.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vlmcli.errors import SourceError

if TYPE_CHECKING:
    from pydicom import Dataset

ATTRIBUTES = (
    "RescaleIntercept", "RescaleSlope", "ModalityLUTSequence", "WindowCenter", "WindowWidth", "VOILUTFunction",
    "VOILUTSequence", "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence", "PixelPaddingValue",
    "PixelPaddingRangeLimit", "FloatPixelPaddingValue", "FloatPixelPaddingRangeLimit", "DoubleFloatPixelPaddingValue",
    "DoubleFloatPixelPaddingRangeLimit", *(
        f"{color}PaletteColorLookupTable{part}" for color in ("Red", "Green", "Blue") for part in ("Descriptor", "Data")
    ), *(f"Segmented{color}PaletteColorLookupTableData" for color in ("Red", "Green", "Blue")),
)  # fmt: skip
"""Of the header, that decide what is seen."""
_AT_ONCE = 1 << 20
"""Pixels that are turned into brightness at a time: their numbers take eight bytes each."""

Array = NDArray[Any]


@dataclass(frozen=True)
class _Frame:
    """What decides how a frame is seen: the header, the frame's index, whether tables are little endian, the file."""

    header: Dataset
    index: int
    little: bool
    source: str


def shown(header: Dataset, index: int, little: bool, stored: Array, source: str) -> Array:
    """Stored numbers, rows x columns or x 3 of RGB, as uint8: rows x columns, or x 3 in colour.

    Args:
        header: with those of `ATTRIBUTES` that the file has.
        index: of the frame, from 0.
        little: whether the file's tables are little endian.
        stored: integers of 8, 16 or 32 bits, or floats.
        source: what the user called the file.

    Raises:
        SourceError: where the numbers cannot be shown.
    """
    if stored.ndim == 3:
        extra = max(0, min(int(header.get("BitsStored") or 8), 8 * stored.itemsize) - 8)
        colors: Array = (stored >> extra).astype(np.uint8) if extra else stored.astype(np.uint8, copy=False)
        return colors
    stored = stored.astype(stored.dtype.newbyteorder("="), copy=False)
    frame = _Frame(header, index, little, source)
    with np.errstate(all="ignore"):
        if stored.itemsize > 2:
            return _one_by_one(frame, stored)
        places = np.ascontiguousarray(stored).view(f"u{stored.itemsize}")
        numbers = np.arange(1 << 8 * stored.itemsize, dtype=places.dtype).view(stored.dtype)
        used = np.zeros(len(numbers), bool)
        for line in places:
            used[line] = True
        table = _colors_or_gray(frame, numbers, numbers[used])
    seen = np.empty((*places.shape, *table.shape[1:]), np.uint8)
    for row, line in enumerate(places):  # a row at a time: numpy indexes with eight bytes a pixel
        seen[row] = table[line]
    return seen


def _one_by_one(frame: _Frame, stored: Array) -> Array:
    """Numbers of which there are too many for a table, some rows at a time."""
    if frame.header.get("PhotometricInterpretation") == "PALETTE COLOR":
        raise SourceError(f"{frame.source}: a palette for 32-bit pixels is not supported", "convert it to PNG")
    values, voi = _modality(frame), _group(frame.header, frame.index, "FrameVOILUTSequence")
    ends: list[float] = []
    if not _has_window(voi) and _item(voi, "VOILUTSequence") is None:
        for chosen in (True, False):  # without the padding, if anything else is there
            for rows in _blocks(stored):
                kept = rows[~_padding(frame, rows)] if chosen else rows
                if (found := _finite(values(kept))).size:
                    ends += [found.min(), found.max()]
            if ends:
                break
    seen = np.empty(stored.shape, np.uint8)
    for rows, out in zip(_blocks(stored), _blocks(seen), strict=True):
        out[:] = _gray(frame, voi, np.nan_to_num(values(rows), nan=-math.inf), ends)
    return seen


def _blocks(pixels: Array) -> Iterator[Array]:
    """The rows of an array, about `_AT_ONCE` pixels at a time."""
    step = max(1, _AT_ONCE // pixels.shape[1])
    for top in range(0, len(pixels), step):
        yield pixels[top : top + step]


def _colors_or_gray(frame: _Frame, numbers: Array, used: Array) -> Array:
    """What is seen of each number there may be: uint8, one or three each."""
    if frame.header.get("PhotometricInterpretation") == "PALETTE COLOR":
        return _palette(frame, numbers.astype(np.float64))
    values = _modality(frame)
    kept = used[~_padding(frame, used)]
    ends = values(kept if kept.size else used)
    voi = _group(frame.header, frame.index, "FrameVOILUTSequence")
    return _gray(frame, voi, values(numbers), [ends.min(), ends.max()])


def _padding(frame: _Frame, stored: Array) -> Array:
    """Which stored numbers stand for no pixel: PS3.3, C.7.5.1.1.2 and C.7.6.24.1.1."""
    prefix = {"f4": "Float", "f8": "DoubleFloat"}.get(stored.dtype.str[1:], "")
    first = _first(frame.header.get(f"{prefix}PixelPaddingValue"))
    if first is None:
        return np.zeros(stored.shape, bool)
    last = _first(frame.header.get(f"{prefix}PixelPaddingRangeLimit"))
    ends = [first, first if last is None else last]
    if stored.dtype.kind == "i":  # they are written as unsigned by some
        ends = [end - (1 << 16) if stored.itemsize == 2 and end >= 1 << 15 else end for end in ends]
    numbers = stored.astype(np.float64)
    near = [float(np.float32(end)) if prefix == "Float" else end for end in ends]
    found: Array = (numbers >= min(near)) & (numbers <= max(near))
    return found


def _modality(frame: _Frame) -> Any:
    """The function from stored numbers to the modality's: PS3.3, C.11.1."""
    table = _item(frame.header, "ModalityLUTSequence")
    if table is not None:
        descriptor, data = table.LUTDescriptor, table.LUTData
        return lambda stored: _looked_up(descriptor, data, stored.astype(np.float64), frame.little)
    scale = _group(frame.header, frame.index, "PixelValueTransformationSequence")
    slope, intercept = float(scale.get("RescaleSlope", 1)), float(scale.get("RescaleIntercept", 0))
    if not math.isfinite(slope) or not math.isfinite(intercept):
        raise _not_finite(frame.source)
    return lambda stored: stored.astype(np.float64) * slope + intercept


def _has_window(voi: Dataset) -> bool:
    """Whether there is a window that can be applied."""
    center, width = _first(voi.get("WindowCenter")), _first(voi.get("WindowWidth"))
    least = 1 if (voi.get("VOILUTFunction") or "LINEAR") == "LINEAR" else 1e-9
    return center is not None and width is not None and width >= least


def _gray(frame: _Frame, voi: Dataset, values: Array, ends: Sequence[float]) -> Array:
    """The modality's values as uint8, by a window, a table, or from one end to the other: PS3.3, C.11.2."""
    level: Array
    if _has_window(voi):
        center, width = _first(voi.WindowCenter), _first(voi.WindowWidth)
        assert center is not None and width is not None  # _has_window has seen them
        function = voi.get("VOILUTFunction") or "LINEAR"
        if function == "SIGMOID":
            level = 1 / (1 + np.exp(-4 * (values - center) / width))
        elif function == "LINEAR":  # which is not linear about its centre: its ends are numbers, not edges
            level = (values - (center - 0.5)) / max(width - 1, 1e-9) + 0.5
        else:
            level = (values - center) / width + 0.5
    elif (table := _item(voi, "VOILUTSequence")) is not None:
        level = _looked_up(table.LUTDescriptor, table.LUTData, values, frame.little)
        level = level / ((1 << int(table.LUTDescriptor[2])) - 1)
    else:
        least, most = ends or (0.0, 0.0)
        level = (values - least) / (most - least or 1.0)
    level = level.clip(0, 1)
    if not np.isfinite(level).all():
        raise _not_finite(frame.source)
    if frame.header.get("PhotometricInterpretation") == "MONOCHROME1":
        level = 1 - level
    gray: Array = np.rint(level * 255).astype(np.uint8)
    return gray


def _not_finite(source: str) -> SourceError:
    return SourceError(f"{source}: its rescale or window values are not finite numbers", "convert it to PNG")


def _finite(values: Array) -> Array:
    found: Array = values[np.isfinite(values)]
    return found


# --- Tables ---


def _palette(frame: _Frame, values: Array) -> Array:
    """The colours of all values, as uint8: PS3.3, C.7.9."""
    found, bits = [], 8
    for color in ("Red", "Green", "Blue"):
        descriptor = frame.header[f"{color}PaletteColorLookupTableDescriptor"].value
        data = frame.header.get(f"{color}PaletteColorLookupTableData")
        if data is None:
            packed = _words(frame.header[f"Segmented{color}PaletteColorLookupTableData"].value, 16, frame.little)
            data = _segments(packed, int(descriptor[0]) or 1 << 16, frame.source)
        found.append(_looked_up(descriptor, data, values, frame.little))
        bits = max(bits, int(descriptor[2]))
    table = np.stack(found, -1)
    if bits > 8 and table.max(initial=0) > 255:  # some say 16, and have 8
        table = table // 256
    palette: Array = table.clip(0, 255).astype(np.uint8)
    return palette


def _segments(packed: Array, count: int, source: str) -> list[int]:
    """The entries of a table that is written in segments: PS3.3, C.7.9.2."""
    found: list[int] = []
    starts: list[int] = []
    todo: list[tuple[int, int]] = [(0, -1)]  # where to read, and how many segments; all for -1
    while todo and len(found) < count:
        at, left = todo.pop()
        while left and at + 2 <= len(packed) and len(found) < count:
            kind, length = int(packed[at]), int(packed[at + 1])
            if left < 0:
                starts.append(at)
            left -= 1
            if kind == 0:
                found += [int(entry) for entry in packed[at + 2 : at + 2 + length]]
                at += 2 + length
            elif kind == 1 and found and at + 2 < len(packed) and length:
                found += [round(entry) for entry in np.linspace(found[-1], int(packed[at + 2]), length + 1)[1:]]
                at += 3
            elif kind == 2 and left < 0 and at + 4 <= len(packed):
                offset = int(packed[at + 2]) | int(packed[at + 3]) << 16
                if offset not in starts or length > len(starts):
                    raise SourceError(f"{source}: its palette is damaged", "copy or download the file again")
                todo += [(at + 4, left), (offset, length)]
                break
            else:
                raise SourceError(f"{source}: its palette is damaged", "copy or download the file again")
    if not found:
        raise SourceError(f"{source}: its palette is damaged", "copy or download the file again")
    return found[:count]


def _words(data: Any, bits: int, little: bool) -> Array:
    """The entries of a table whose VR is OW: words of 16 bits in the file's byte order, or two entries in each."""
    if not isinstance(data, bytes):
        return np.atleast_1d(np.asarray(data))
    words: Array = np.frombuffer(data[: len(data) // 2 * 2], "<u2" if little else ">u2")
    return words if bits > 8 else words.astype("<u2").view(np.uint8)


def _looked_up(descriptor: Any, data: Any, values: Array, little: bool) -> Array:
    """Values through a table that says how many entries it has (0 means all), which is the first, and their bits."""
    count, first = int(descriptor[0]) or 1 << 16, int(descriptor[1])
    narrow = isinstance(data, bytes) and len(data) < 2 * count
    entries: Array = _words(data, 8 if narrow else 16, little)[:count].astype(np.float64)
    found: Array = entries[np.clip(values - first, 0, len(entries) - 1).astype(np.int64)]
    return found


# --- Attributes ---


def _item(holder: Dataset, name: str) -> Dataset | None:
    """The first item of a sequence that may not be there."""
    found = holder.get(name)
    return found[0] if found else None


def _group(header: Dataset, index: int, name: str) -> Dataset:
    """Where a frame's attributes are: in a group of its own, in one for all frames, or in the header itself."""
    each = header.get("PerFrameFunctionalGroupsSequence") or ()
    for group in (each[index] if index < len(each) else None, _item(header, "SharedFunctionalGroupsSequence")):
        found = None if group is None else _item(group, name)
        if found is not None:
            return found
    return header


def _first(value: Any) -> float | None:
    """The first of the numbers an attribute may have."""
    if value is None or value == "":
        return None
    number = float(value[0] if isinstance(value, Sequence) else value)
    return number if math.isfinite(number) else None
