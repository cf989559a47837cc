"""The header of a DICOM file, read by pydicom within bounds.

pydicom believes a file. So it gets one that reads no more, and no longer, than a picture needs, and that unpacks a
deflated data set only as far as it is read. Knows nothing of pixels but where they begin.
"""

from __future__ import annotations

import io
import struct
import time
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vlmcli.errors import SourceError

if TYPE_CHECKING:
    from pydicom import Dataset

SECONDS = 3.0
"""For reading the header and finding the frame."""
HEADER = 4 << 20
"""Bytes of a header that are looked at; what is skipped does not count."""
INFLATED = 256 << 20
"""Bytes that a deflated data set may have when it is unpacked, up to the end of the frame."""
_NEAR = 8 << 20
"""Bytes of an unpacked data set that are kept to be read again."""

IMPLICIT, EXPLICIT, DEFLATED, BIG_ENDIAN = (f"1.2.840.10008.1.2{end}" for end in ("", ".1", ".1.99", ".2"))
"""The transfer syntaxes whose pixels are not packed one by one."""
IN_ITEMS = 0xFFFFFFFF
"""The length of pixel data that is packed in items (PS3.5, A.4)."""
_PIXELS = {0x7FE00008: "FloatPixelData", 0x7FE00009: "DoubleFloatPixelData", 0x7FE00010: "PixelData"}
_LONG_VALUES = (b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"UN")
"""Of pixel data, where two empty bytes and a length of four follow in explicit VR (PS3.5, 7.1.2)."""


@dataclass(frozen=True)
class Header:
    """What a DICOM file says before its pixels.

    Attributes:
        attributes: those that were asked for.
        file: at the first byte of the pixel data.
        syntax: pydicom's UID of the transfer syntax; empty where the file names none and it cannot be guessed.
        little: whether numbers are little endian.
        pixels: "PixelData", "FloatPixelData" or "DoubleFloatPixelData"; empty where there are none.
        vr: of the pixel data: "OB" or "OW".
        length: of the pixel data in bytes; `IN_ITEMS` where it is packed.
    """

    attributes: Dataset
    file: Careful
    syntax: Any
    little: bool
    pixels: str
    vr: str
    length: int


class Careful:
    """A file that is read within bounds of bytes and time, whatever its header asks for.

    Attributes:
        budget: bytes that may still be read.
        size: of the file, in bytes.
        refused: the error that was raised by `read`, for pydicom makes others of it.
        packed_at: where a deflated data set begins, once pydicom has asked for all the rest of the file.
    """

    def __init__(self, file: Any, source: str, size: int) -> None:
        self._file, self._source = file, source
        self._end, self.budget = time.monotonic() + SECONDS, HEADER
        self.seek, self.tell = file.seek, file.tell
        self.size = size
        self.refused: SourceError | None = None
        self.packed_at: int | None = None

    def read(self, size: int = -1) -> bytes:
        """Read as from a file. Raises SourceError, and keeps it in `refused`, where a bound is reached."""
        if size < 0:  # so pydicom reads a data set that is deflated, and would unpack it to whatever size it has
            self.packed_at = self.tell()
            raise too_much(self._source)
        size = min(size, self.size)
        self.budget -= size
        if self.budget < 0 or time.monotonic() > self._end:
            self.refused = too_much(self._source)
            raise self.refused
        try:
            data: bytes = self._file.read(size)
        except SourceError as error:
            self.refused = error
            raise
        return data


class _Inflated:
    """The data set of a deflated file (RFC 1951), unpacked as it is read; only what is near can be read again."""

    def __init__(self, file: Any, at: int, source: str) -> None:
        file.seek(at)
        self._file, self._source = file, source
        self._stream = zlib.decompressobj(-zlib.MAX_WBITS)
        self._data, self._start, self._at = bytearray(), 0, 0

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = offset + (self._at if whence == io.SEEK_CUR else 0)
        return self._at

    def read(self, size: int) -> bytes:
        while self._start + len(self._data) < self._at + size and self._more():
            far = min(self._at - self._start, len(self._data)) - _NEAR
            if far > _NEAR:
                del self._data[:far]
                self._start += far
        begin = self._at - self._start
        if begin < 0:
            raise too_much(self._source)
        found = bytes(self._data[begin : begin + size])
        self._at += len(found)
        return found

    def _more(self) -> bool:
        """Unpack at most a megabyte more; false at the end of the stream."""
        packed = self._stream.unconsumed_tail or self._file.read(1 << 16)
        try:
            found = self._stream.decompress(packed, 1 << 20)
        except zlib.error:
            raise SourceError(
                f"{self._source}: its compressed data is damaged", "copy or download the file again"
            ) from None
        self._data += found
        if self._start + len(self._data) > INFLATED:
            raise too_much(self._source)
        return bool(found or packed) and not (self._stream.eof and not found)


def read(opened: Any, source: str, names: Sequence[str | int]) -> Header:
    """The header of a file that has been opened for reading bytes; names are keywords or tags of the attributes wanted.

    Raises:
        SourceError: where a bound is reached, or pydicom is not installed. Whatever else pydicom raises means a damaged
            file.
    """
    try:
        import pydicom.filereader
        import pydicom.tag
        import pydicom.uid
    except ImportError:
        raise SourceError(
            f"{source}: reading DICOM files needs an extra package", "pip install 'vlmcli[dicom]'"
        ) from None

    def stop(tag: int, *_: Any) -> bool:
        return tag in _PIXELS

    tags: Any = [pydicom.tag.Tag(name) for name in names]
    size = opened.seek(0, io.SEEK_END)
    opened.seek(0)
    file: Any = Careful(opened, source, size)
    found: Any
    try:
        found = pydicom.filereader.read_partial(file, stop, specific_tags=tags, force=True)
        implicit, little = found.original_encoding
        meta = found.file_meta
        syntax = meta.get("TransferSyntaxUID") or ""
        if not len(meta):  # a bare data set, whose first elements show how it is written
            syntax = pydicom.uid.UID(IMPLICIT if implicit else EXPLICIT if little else BIG_ENDIAN)
    except Exception as error:  # pydicom makes others of what a file's read() raises
        if file.packed_at is None:
            raise file.refused or error from None
        file = Careful(_Inflated(opened, file.packed_at, source), source, INFLATED)
        try:
            found = pydicom.filereader.read_dataset(file, False, True, stop_when=stop, specific_tags=tags)
        except Exception as within:
            raise file.refused or within from None
        implicit, little, syntax = False, True, pydicom.uid.UID(EXPLICIT)
    return Header(found, file, syntax, little, *_pixels(file, implicit, little))


def _pixels(file: Careful, implicit: bool, little: bool) -> tuple[str, str, int]:
    """The head of the element at which the header ends: keyword, VR, length; empty where there is none."""
    order = "<" if little else ">"
    head = file.read(8)
    if len(head) < 8:
        return "", "", 0
    group, number = struct.unpack(order + "HH", head[:4])
    vr, length = "OW", struct.unpack(order + "L", head[4:])[0]
    if not implicit and head[4:6] in _LONG_VALUES:
        vr, length = head[4:6].decode("ascii"), struct.unpack(order + "L", file.read(4).ljust(4, b"\0"))[0]
    return _PIXELS.get(group << 16 | number, ""), vr, length


def too_much(source: str) -> SourceError:
    return SourceError(f"{source}: this DICOM file contains more data than a picture has", "check what the file is")


def cut(source: str) -> SourceError:
    return SourceError(f"{source}: an incomplete DICOM file", "copy or download the file again")
