"""One frame of a DICOM file as 8-bit pixels: what a viewer would show when it opens the file.

    pixels = dicom.frame(Path("CT.dcm"), "CT.dcm", 1, bounds.check_size, print)

pydicom reads the header within bounds (`dicom_header`), after which what it asks for is checked, before the pixels are
read or decoded (`dicom_codecs`). What is seen of the stored numbers is the business of `dicom_view`, and of
`dicom_overlays`.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vlmcli.errors import SourceError
from vlmcli.pictures import dicom_codecs, dicom_header, dicom_overlays, dicom_view, given
from vlmcli.pictures.dicom_header import Header

ITEMS = 50_000
"""In a sequence of the header."""

_NEEDED = (
    "Rows", "Columns", "SamplesPerPixel", "PhotometricInterpretation", "BitsAllocated", "BitsStored",
    "PixelRepresentation",
)  # fmt: skip
_INTEGERS_ONLY = ("BitsStored", "PixelRepresentation")
_WANTED: Any = (
    *_NEEDED, "HighBit", "PlanarConfiguration", "NumberOfFrames", "ExtendedOffsetTable", "ExtendedOffsetTableLengths",
    *dicom_view.ATTRIBUTES, *dicom_overlays.ATTRIBUTES,
)  # fmt: skip
"""All that is read of a header."""
_NATIVE = (dicom_header.IMPLICIT, dicom_header.EXPLICIT, dicom_header.BIG_ENDIAN)
_BITS = {"PixelData": (1, 8, 16, 32), "FloatPixelData": (32,), "DoubleFloatPixelData": (64,)}

Array = NDArray[Any]
Check = Callable[[str, tuple[int, int], int], None]
"""Takes the size a header claims, and the bytes a pixel will take. Raises SourceError where it is none of a picture."""
Tell = Callable[[str], None]
"""Takes a sentence about the picture for whoever asks about it."""


def frame(file: Path | bytes, source: str, number: int, check: Check, tell: Tell) -> Array:
    """The pixels of a frame, from 1, or of the first for 0: uint8, height x width, or x 3 in colour.

    Raises:
        SourceError: also where pydicom is not installed. Whatever else pydicom raises means a damaged file.
    """
    with _opened(file) as opened:
        header = dicom_header.read(opened, source, _WANTED)
        frames = _check_header(header, source, number, check)
        index = max(0, number - 1)
        try:
            stored = _stored(header, index, source)
        except Exception as error:
            raise header.file.refused or error from None
        words = None if header.syntax in dicom_codecs.CODED and header.syntax != dicom_codecs.RLE else stored
        if stored.ndim == 2:
            stored = _used_bits(stored, header.attributes)
        seen = dicom_view.shown(header.attributes, index, header.little, stored, source)
        if not seen.flags.writeable:
            seen = seen.copy()
        dicom_overlays.draw(seen, words if seen.ndim == 2 else None, header, opened, index, source, tell)
    if frames > 1 and not number:
        tell(f"only the first of its {frames} frames is used; to ask about the second: {source}#2")
    return seen


def facts(file: Path | bytes, source: str) -> tuple[tuple[int, int] | None, int]:
    """Width and height as the header says, None where it does not, and the number of frames.

    Raises:
        SourceError: also where pydicom is not installed.
    """
    with _opened(file) as opened:
        header = dicom_header.read(opened, source, ("Rows", "Columns", "NumberOfFrames")).attributes
        rows, columns = header.get("Rows"), header.get("Columns")
        size = (int(columns), int(rows)) if rows and columns else None
        return size, _frames(header)


def _frames(attributes: Any) -> int:
    """How many frames the header says there are; 1 where it says nothing, or no number."""
    digits = re.match(r"\d{1,9}", str(attributes.get("NumberOfFrames") or ""))
    return max(1, int(digits[0])) if digits else 1


@contextmanager
def _opened(file: Path | bytes) -> Iterator[Any]:
    with given.opened(file) as opened:
        yield opened


def _check_header(header: Header, source: str, number: int, check: Check) -> int:
    """The number of frames. Raises SourceError unless there is that one, of a size and of numbers that can be shown."""
    attributes = header.attributes
    for name in _NEEDED:
        if attributes.get(name) in (None, "") and (name not in _INTEGERS_ONLY or header.pixels in ("", "PixelData")):
            raise SourceError(
                f"{source}: a DICOM file without a picture (it has no {name})", "choose a file that has pixels"
            )
    for element in attributes.elements():  # sequences, which are not read before somebody asks for them
        if isinstance(element.value, bytes) and element.value.count(b"\xfe\xff\x00\xe0") > ITEMS:
            raise dicom_header.too_much(source)
    samples, bits = int(attributes.SamplesPerPixel), int(attributes.BitsAllocated)
    # a copy of the pixels beside those of the file, and what is shown of them
    check(source, (int(attributes.Columns), int(attributes.Rows)), 4 if bits <= 8 else samples * (2 * (bits // 8) + 1))
    if samples not in (1, 3) or bits not in _BITS.get(header.pixels, _BITS["PixelData"]):
        raise SourceError(f"{source}: its pixels are {samples}x{bits} bits, not colours", "convert it to 8 or 16 bits")
    if not header.syntax or header.syntax not in (*_NATIVE, *dicom_codecs.CODED):
        name = getattr(header.syntax, "name", "") or "(not named)"
        raise SourceError(f"{source}: the DICOM transfer syntax {name} is not supported", "convert it to PNG")
    if header.syntax in _NATIVE and header.length == dicom_header.IN_ITEMS:  # which would be seen as noise
        raise SourceError(f"{source}: its pixels are compressed, but it does not say how", "convert it to PNG")
    frames = _frames(attributes)
    if number > frames:
        have = "one picture" if frames == 1 else f"{frames} frames"
        hint = f"choose a number from 1 to {frames}" if frames > 1 else f"leave out #{number}"
        raise SourceError(f"{source}: there is no number {number}; the file has {have}", hint)
    if not header.pixels:
        raise SourceError(
            f"{source}: a DICOM file that is incomplete or has no picture", "copy or download the file again"
        )
    return frames


def _stored(header: Header, index: int, source: str) -> Array:
    """The numbers of a frame as they are stored: rows x columns, or x 3, of RGB where they were of YBR."""
    from pydicom import encaps
    from pydicom.pixels import as_pixel_options
    from pydicom.uid import UID

    header.attributes.NumberOfFrames = _frames(header.attributes)  # pydicom takes it for a number
    options = as_pixel_options(
        header.attributes,
        transfer_syntax_uid=header.syntax,
        pixel_keyword=header.pixels,
        pixel_vr=header.vr,
    )
    samples = 2 if options["photometric_interpretation"] == "YBR_FULL_422" else options["samples_per_pixel"]
    bits = options["rows"] * options["columns"] * options["bits_allocated"] * samples
    header.file.budget = bits // 4 + (1 << 20)  # twice the frame: nothing packs so badly
    if header.syntax in _NATIVE:
        there = min(header.file.size - header.file.tell(), header.length)
        if there * 8 < bits * (index + 1):
            raise dicom_header.cut(source)
        return _native(header.file, header, options, index, bits, source)
    several = {
        "number_of_frames": options["number_of_frames"],
        "extended_offsets": options.pop("extended_offsets", None),
    }
    coded = encaps.get_frame(header.file, index, **several)
    if header.syntax == dicom_codecs.DEFLATED_FRAMES:
        data = dicom_codecs.inflated(coded, -(-bits // 8), source)
        options = options | {"transfer_syntax_uid": UID(dicom_header.EXPLICIT), "number_of_frames": 1}
        return _native(io.BytesIO(data), header, options, 0, bits, source)
    return dicom_codecs.decoded(coded, header.syntax, options, source)


def _native(file: Any, header: Header, options: dict[str, Any], index: int, bits: int, source: str) -> Array:
    """A frame that is not coded, of a file that is at the first of the pixels."""
    shape = (options["rows"], options["columns"])
    allocated, count = options["bits_allocated"], options["rows"] * options["columns"]
    if options["samples_per_pixel"] == 3:
        from pydicom.pixels import get_decoder

        found, meta = get_decoder(options["transfer_syntax_uid"]).as_array(file, index=index, **options)
        return dicom_codecs.colors(found, meta["photometric_interpretation"], source)
    begin = bits * index // 8
    odd = begin % 2  # words that were swapped are read as whole words
    file.seek(begin - odd, io.SEEK_CUR)
    length = odd + -(-(bits * index % 8 + bits) // 8)
    data = np.frombuffer(file.read(length + length % 2), np.uint8)
    if len(data) < length:
        raise dicom_header.cut(source)
    if allocated <= 8 and not header.little and header.vr == "OW":
        data = data[: len(data) // 2 * 2].reshape(-1, 2)[:, ::-1].reshape(-1)
    data = data[odd:length]
    if allocated == 1:
        return np.unpackbits(data, bitorder="little")[bits * index % 8 :][:count].reshape(shape)
    kind = "f" if header.pixels != "PixelData" else "i" if options["pixel_representation"] == 1 else "u"
    order = "<" if header.little else ">"
    return data[: bits // 8].view(f"{order}{kind}{allocated // 8}").reshape(shape)


def _used_bits(words: Array, attributes: Any) -> Array:
    """The numbers in those bits of the stored words that the header says are the picture's, with their sign."""
    bits, kept = 8 * words.itemsize, int(attributes.get("BitsStored") or 0)
    high = attributes.get("HighBit")
    high = kept - 1 if high in (None, "") else int(high)
    if words.dtype.kind == "f" or not 0 < kept < bits or not kept - 1 <= high < bits or attributes.BitsAllocated == 1:
        return words
    found = words.astype(words.dtype.newbyteorder("="))
    found <<= bits - 1 - high
    found >>= bits - kept
    return found
