"""One frame of a DICOM file as 8-bit pixels: what a viewer would show when it opens the file.

pydicom reads the header and unpacks the pixels, after what the header asks for has been checked: it believes a file,
so it is given one that reads no more, and no longer, than a picture needs. The stored numbers go through the modality's
rescale or table, then the file's first window, or its table, or else from the least to the greatest; MONOCHROME1 is
turned round. Not for diagnosis: there is no calibrated display, and none of the standard's other views.
"""

from __future__ import annotations

import io
import math
import struct
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from vlmcli.errors import SourceError
from vlmcli.pictures import truncated

if TYPE_CHECKING:
    from pydicom import Dataset

SECONDS = 3.0
"""For reading the header and finding the frame."""
HEADER = 4 << 20
"""Bytes of a header that are looked at; what is skipped does not count."""
ITEMS = 50_000
"""In a sequence of the header."""

_NEEDED = (
    "Rows", "Columns", "SamplesPerPixel", "PhotometricInterpretation", "BitsAllocated", "BitsStored",
    "PixelRepresentation",
)  # fmt: skip
_WANTED = [
    *_NEEDED, "PlanarConfiguration", "NumberOfFrames", "ExtendedOffsetTable", "ExtendedOffsetTableLengths",
    "RescaleIntercept", "RescaleSlope", "ModalityLUTSequence", "WindowCenter", "WindowWidth", "VOILUTFunction",
    "VOILUTSequence", "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence", *(
        f"{color}PaletteColorLookupTable{part}" for color in ("Red", "Green", "Blue") for part in ("Descriptor", "Data")
    ),
]  # fmt: skip
"""All that is read of a header."""
_PIXELS = (0x7FE00008, 0x7FE00009, 0x7FE00010)
"""The pixel data, as doubles, floats, or integers."""
_NATIVE = ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2")
_RLE = "1.2.840.10008.1.2.5"
_JPEG = tuple(f"1.2.840.10008.1.2.4.{number}" for number in (50, 51, 90, 91))
"""Baseline and Extended, of 8 bits, and JPEG 2000: what Pillow decodes."""

Array = NDArray[Any]
Check = Callable[[str, tuple[int, int]], None]
"""Of the size a header claims; raises SourceError where it is none of a picture."""


def frame(file: Path | bytes, source: str, number: int, check: Check) -> Array:
    """The pixels of a frame, from 1, or of the first for 0: uint8, height x width, or x 3 in colour.

    Raises:
        SourceError: also where pydicom is not installed. Whatever else pydicom raises means a damaged file.
    """
    try:
        import pydicom.filereader
        import pydicom.tag
    except ImportError:
        raise SourceError(
            f"{source}: a DICOM file needs a reader that is not installed", "pip install 'vlmcli[dicom]'"
        ) from None
    with io.BytesIO(file) if isinstance(file, bytes) else file.open("rb") as opened:
        careful: Any = _Careful(opened, source)
        try:
            header = pydicom.filereader.read_partial(
                careful, lambda tag, *_: tag in _PIXELS, specific_tags=[pydicom.tag.Tag(name) for name in _WANTED]
            )
            _check_header(header, source, number, check)
            index = max(0, number - 1)
            stored = _stored(header, careful, index, source)
        except Exception as error:  # pydicom makes others of what a file's read() raises
            raise careful.refused or error from None
    return _shown(header, index, stored, source)


class _Careful:
    """A file that is read within bounds of bytes and time, whatever its header asks for."""

    def __init__(self, file: Any, source: str) -> None:
        self._file, self._source = file, source
        self._end, self.budget = time.monotonic() + SECONDS, HEADER
        self.seek, self.tell = file.seek, file.tell
        self.size: int = file.seek(0, io.SEEK_END)
        self.refused: SourceError | None = None
        file.seek(0)

    def read(self, size: int = -1) -> bytes:
        """Read as from a file. Raises SourceError, and keeps it in `refused`, where a bound is reached."""
        if size < 0:  # so pydicom reads a header that is packed itself, and unpacks it to whatever size it has
            self.refused = _unread(self._source, "Deflated Explicit VR Little Endian")
            raise self.refused
        size = min(size, self.size)
        self.budget -= size
        if self.budget < 0 or time.monotonic() > self._end:
            self.refused = _too_much(self._source)
            raise self.refused
        data: bytes = self._file.read(size)
        return data


def _unread(source: str, syntax: str) -> SourceError:
    return SourceError(f"{source}: DICOM in the transfer syntax {syntax} is not read here", "convert it to PNG")


def _too_much(source: str) -> SourceError:
    return SourceError(f"{source}: there is more in this DICOM file than a picture has", "check what it is")


def _cut(source: str) -> SourceError:
    return SourceError(f"{source}: a DICOM file that is cut short", "get it again")


def _check_header(header: Dataset, source: str, number: int, check: Check) -> None:
    """Raise SourceError unless there is such a frame, of a size and of numbers that can be shown."""
    for name in _NEEDED:
        if header.get(name) in (None, ""):
            raise SourceError(
                f"{source}: a DICOM file without a picture (it has no {name})", "name one that has pixels"
            )
    for element in header.elements():  # sequences, which are not read before somebody asks for them
        if isinstance(element.value, bytes) and element.value.count(b"\xfe\xff\x00\xe0") > ITEMS:
            raise _too_much(source)
    check(source, (int(header.Columns), int(header.Rows)))
    samples, bits = int(header.SamplesPerPixel), int(header.BitsAllocated)
    if samples not in (1, 3) or bits not in (1, 8, 16):
        raise SourceError(f"{source}: its pixels are {samples}x{bits} bits, not colours", "convert it to 8 or 16 bits")
    frames = max(1, int(header.get("NumberOfFrames") or 1))
    if number > frames:
        have = "one picture" if frames == 1 else f"{frames} frames"
        raise SourceError(f"{source}: the file has {have}, no number {number}", f"name one up to {frames}")


def _stored(header: Dataset, file: _Careful, index: int, source: str) -> Array:
    """The numbers of a frame as they are stored: rows x columns, or x 3, of RGB where they were of YBR."""
    from pydicom import encaps
    from pydicom.pixels import as_pixel_options, get_decoder

    syntax: Any = header.file_meta.get("TransferSyntaxUID") or ""
    if syntax not in (*_NATIVE, _RLE, *_JPEG):
        raise _unread(source, getattr(syntax, "name", syntax) or "that it does not name")
    implicit, order = syntax == _NATIVE[0], ">" if syntax == _NATIVE[2] else "<"
    head = file.read(8 if implicit else 12)
    if len(head) < 8:
        raise SourceError(f"{source}: a DICOM file without a picture, or one that is cut short", "get it again")
    if struct.unpack(order + "HH", head[:4]) != (0x7FE0, 0x0010):
        raise SourceError(f"{source}: its pixels are 32-bit numbers, not colours", "convert it to 8 or 16 bits")
    options = as_pixel_options(header, transfer_syntax_uid=syntax, pixel_keyword="PixelData")
    samples = 2 if options["photometric_interpretation"] == "YBR_FULL_422" else options["samples_per_pixel"]
    bits = options["rows"] * options["columns"] * options["bits_allocated"] * samples
    file.budget = bits // 4 + (1 << 20)  # twice the frame: nothing packs so badly
    decoder = get_decoder(syntax)
    if syntax in _NATIVE:
        options["pixel_vr"] = "OW" if implicit else head[4:6].decode("ascii")
        there = min(file.size - file.tell(), struct.unpack(order + "L", head[-4:])[0])
        if there * 8 < bits * (index + 1):
            raise _cut(source)
        if bits == options["rows"] * options["columns"]:  # a bit each, where pydicom loses some of later frames
            file.seek(bits * index // 8, io.SEEK_CUR)
            data = np.frombuffer(file.read(bits // 8 + 2), np.uint8)
            ones: Array = np.unpackbits(data, bitorder="little")[bits * index % 8 :][:bits]
            return ones.reshape(options["rows"], options["columns"])
        return _colors(decoder.as_array(file, index=index, **options), source)
    several = {
        "number_of_frames": options["number_of_frames"],
        "extended_offsets": options.pop("extended_offsets", None),
    }
    coded = encaps.get_frame(file, index, **several)
    if syntax == _RLE:
        return _unpacked(coded, options, source)
    options["number_of_frames"] = 1
    try:
        with Image.open(io.BytesIO(coded), formats=("JPEG", "JPEG2000")) as image:
            if image.size != (options["columns"], options["rows"]):  # one says a little, the other may be a bomb
                raise RuntimeError("it is of another size than the header says")
            truncated.check_scans(image, coded, source)
            image.load()
            truncated.check(image, coded, source)
        decoded = decoder.as_array(encaps.encapsulate([coded]), index=0, decoding_plugin="pillow", **options)
    except (RuntimeError, OSError) as error:
        reason = str(error).rpartition("pillow: ")[2]
        if isinstance(error, UnidentifiedImageError):
            reason = "Pillow does not know it"
        raise SourceError(f"{source}: its {syntax.name} cannot be read ({reason})", "convert it to PNG") from error
    return _colors(decoded, source)


def _colors(decoded: tuple[Array, dict[str, Any]], source: str) -> Array:
    """Pixels that pydicom has made RGB, if it knows how."""
    found, kind = decoded[0], decoded[1]["photometric_interpretation"]
    if found.ndim == 3 and kind != "RGB":
        raise SourceError(f"{source}: its colours are {kind}, which is not read here", "convert it to PNG")
    return found


def _unpacked(coded: bytes, options: dict[str, Any], source: str) -> Array:
    """A frame of RLE (DICOM PS3.5, annex G): a packed plane for each byte of each sample, the upper bytes first."""
    rows, columns, samples = options["rows"], options["columns"], options["samples_per_pixel"]
    width = options["bits_allocated"] // 8
    count, *starts = struct.unpack("<16L", coded[:64].ljust(64, b"\0"))
    if not width or count != samples * width:
        raise _cut(source)
    planes: Array = np.empty((samples, rows * columns, width), np.uint8)
    for at in range(count):
        part = coded[starts[at] : starts[at + 1] if at + 1 < count else None]
        try:
            plane = Image.frombytes("L", (rows * columns, 1), part, "packbits", "L")
        except ValueError:
            raise _cut(source) from None
        planes[at // width, :, width - 1 - at % width] = np.asarray(plane)[0]
    kind = np.dtype(f"<{'i' if options['pixel_representation'] and samples == 1 else 'u'}{width}")
    planes = planes.view(kind)
    if samples == 1:
        return planes.reshape(rows, columns)
    from pydicom.pixels import convert_color_space

    found = np.ascontiguousarray(planes.reshape(samples, rows, columns).transpose(1, 2, 0))
    if options["photometric_interpretation"] == "YBR_FULL":
        options = {"photometric_interpretation": "RGB"}
        found = convert_color_space(found, "YBR_FULL", "RGB")
    return _colors((found, options), source)


# --- Numbers become what is seen ---


def _shown(header: Dataset, index: int, stored: Array, source: str) -> Array:
    """Stored numbers as 8 bits, through a table of all the numbers there may be."""
    if stored.ndim == 3:
        extra = max(0, int(header.get("BitsStored") or 8) - 8)
        colors: Array = (stored >> extra).astype(np.uint8) if extra else stored
        return colors
    stored = stored.astype(stored.dtype.newbyteorder("="), copy=False)
    places = np.ascontiguousarray(stored).view(f"u{stored.dtype.itemsize}")
    numbers = np.arange(1 << 8 * stored.dtype.itemsize, dtype=places.dtype).view(stored.dtype).astype(np.float64)
    with np.errstate(all="ignore"):
        if header.get("PhotometricInterpretation") == "PALETTE COLOR":
            table = np.stack([_palette(header, color, numbers) for color in ("Red", "Green", "Blue")], -1)
        else:
            level = _levels(header, index, numbers, places)
            if not np.isfinite(level).all():
                raise SourceError(f"{source}: its rescale or window has no finite numbers", "convert it to PNG")
            if header.get("PhotometricInterpretation") == "MONOCHROME1":
                level = 1 - level
            table = np.rint(level * 255).astype(np.uint8)
    shown = np.empty((*places.shape, *table.shape[1:]), np.uint8)
    for row, line in enumerate(places):  # a row at a time: numpy indexes with eight bytes a pixel
        shown[row] = table[line]
    return shown


def _levels(header: Dataset, index: int, numbers: Array, places: Array) -> Array:
    """How bright each number is, from 0 to 1: PS3.3, C.11.1 and C.11.2."""
    table = _item(header, "ModalityLUTSequence")
    if table is not None:
        values = _looked_up(table.LUTDescriptor, table.LUTData, numbers)
    else:
        scale = _group(header, index, "PixelValueTransformationSequence")
        values = numbers * float(scale.get("RescaleSlope", 1)) + float(scale.get("RescaleIntercept", 0))
    voi = _group(header, index, "FrameVOILUTSequence")
    center, width = _first(voi.get("WindowCenter")), _first(voi.get("WindowWidth"))
    function = voi.get("VOILUTFunction") or "LINEAR"
    level: Array
    if center is not None and width is not None and width >= (1 if function == "LINEAR" else 1e-9):
        if function == "SIGMOID":
            level = 1 / (1 + np.exp(-4 * (values - center) / width))
        elif function == "LINEAR":  # which is not linear about its centre: its ends are numbers, not edges
            level = (values - (center - 0.5)) / max(width - 1, 1e-9) + 0.5
        else:
            level = (values - center) / width + 0.5
    elif (table := _item(voi, "VOILUTSequence")) is not None:
        level = _looked_up(table.LUTDescriptor, table.LUTData, values) / ((1 << int(table.LUTDescriptor[2])) - 1)
    else:
        used = np.zeros(len(numbers), bool)
        for line in places:
            used[line] = True
        least, most = values[used].min(), values[used].max()
        level = (values - least) / max(most - least, 1e-9)
    return level.clip(0, 1)


def _palette(header: Dataset, color: str, values: Array) -> Array:
    """Red, green or blue of each value, as uint8: PS3.3, C.7.9."""
    name = f"{color}PaletteColorLookupTable"
    descriptor = header[f"{name}Descriptor"].value
    found = _looked_up(descriptor, header[f"{name}Data"].value, values)
    return (found // (256 if int(descriptor[2]) > 8 else 1)).astype(np.uint8)


def _looked_up(descriptor: Any, data: Any, values: Array) -> Array:
    """Values through a table that says how many entries it has (0 means all), which is the first, and their bits."""
    count, first = int(descriptor[0]) or 1 << 16, int(descriptor[1])
    if isinstance(data, bytes):
        data = np.frombuffer(data, np.uint8 if len(data) < 2 * count else "<u2")
    entries: Array = np.asarray(data, np.float64)[:count]
    found: Array = entries[np.clip(values - first, 0, len(entries) - 1).astype(np.int64)]
    return found


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
