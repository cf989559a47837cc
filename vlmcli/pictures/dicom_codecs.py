"""A coded frame of a DICOM file becomes numbers, after its size has been compared with the header's.

Pillow decodes JPEG of 8 bits and JPEG 2000; imagecodecs, where it is installed, the JPEGs of 12 bits, lossless JPEG,
JPEG-LS and High-Throughput JPEG 2000. Packed bits and deflate are unpacked here.
"""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from vlmcli.errors import SourceError
from vlmcli.pictures import codec_child, truncated
from vlmcli.pictures.dicom_header import cut

_JPEG, _JPEG_LS, _JPEG_2000 = "1.2.840.10008.1.2.4.", ("80", "81"), ("90", "91")
_HIGH_THROUGHPUT = ("201", "202", "203")
_LOSSLESS = ("57", "70")
_LOSSY = ("50", "51", "53", "55")
"""Baseline, Extended, and the retired Spectral Selection and Full Progression."""
RLE, DEFLATED_FRAMES = "1.2.840.10008.1.2.5", "1.2.840.10008.1.2.8.1"
CODED = (
    RLE,
    DEFLATED_FRAMES,
    *(_JPEG + end for end in (*_LOSSY, *_LOSSLESS, *_JPEG_LS, *_JPEG_2000, *_HIGH_THROUGHPUT)),
)
"""The transfer syntaxes that are read here. Source: PS3.6, table A-1."""

_SAMPLES = 3
Array = NDArray[Any]


def colors(found: Array, kind: str, source: str) -> Array:
    """Pixels of rows x columns x 3 as RGB; those of YBR_FULL are turned into it (PS3.3, C.7.6.3.1.2)."""
    if found.ndim == 3 and kind in ("YBR_FULL", "YBR_FULL_422") and found.dtype == np.uint8:
        from pydicom.pixels import convert_color_space

        rgb: Array = convert_color_space(np.ascontiguousarray(found), "YBR_FULL", "RGB")
        return rgb
    if found.ndim == 3 and kind != "RGB":
        raise SourceError(f"{source}: its colours are {kind}, which is not supported", "convert it to PNG")
    return found


def decoded(coded: bytes, syntax: Any, options: dict[str, Any], source: str) -> Array:
    """The numbers of a frame: rows x columns, or x 3 of RGB; signed where the header says so.

    Args:
        coded: the frame as it is in the file.
        syntax: pydicom's UID of the transfer syntax, one of `CODED`.
        options: of pydicom's decoders: what the header says of the pixels.
        source: what the user called the file.

    Raises:
        SourceError: where it is damaged, of another size than the header says, or needs what is not installed.
    """
    if syntax == RLE:
        return _unpacked(coded, options, source)
    end = str(syntax)[len(_JPEG) :]
    if (end in _LOSSY and _claims(coded)[3] == 8) or end in _JPEG_2000:
        return _by_pillow(coded, syntax, options, source)
    return _by_imagecodecs(coded, syntax, options, source)


def inflated(coded: bytes, size: int, source: str) -> bytes:
    """A frame of so many bytes that is deflated (PS3.5, A.4.14). Raises SourceError where it has fewer."""
    try:
        found = zlib.decompressobj(-zlib.MAX_WBITS).decompress(coded, size)
    except zlib.error:
        found = b""
    if len(found) < size:
        raise cut(source)
    return found


def _damaged(syntax: Any, reason: str, source: str) -> SourceError:
    return SourceError(f"{source}: its {syntax.name} cannot be read ({reason})", "convert it to PNG")


def _by_pillow(coded: bytes, syntax: Any, options: dict[str, Any], source: str) -> Array:
    """JPEG of 8 bits, and JPEG 2000."""
    from pydicom import encaps
    from pydicom.pixels import get_decoder
    from pydicom.uid import UID

    options = options | {"number_of_frames": 1}
    if str(syntax)[len(_JPEG) :] in ("53", "55"):  # for which pydicom has no decoder, while Pillow reads any 8 bits
        options["transfer_syntax_uid"] = UID(_JPEG + "51")
    try:
        with Image.open(io.BytesIO(coded), formats=("JPEG", "JPEG2000")) as image:
            if image.size != (options["columns"], options["rows"]):  # one says a little, the other may be a bomb
                raise RuntimeError("its size differs from the one in the header")
            truncated.check_scans(image, coded, source)
            image.load()
            truncated.check(image, coded, source)
        decoder = get_decoder(options["transfer_syntax_uid"])
        found, meta = decoder.as_array(encaps.encapsulate([coded]), index=0, decoding_plugin="pillow", **options)
    except (RuntimeError, OSError) as error:
        reason = str(error).rpartition("pillow: ")[2]
        if isinstance(error, UnidentifiedImageError):
            reason = "Pillow does not recognise it"
        raise _damaged(syntax, reason, source) from error
    return colors(found, meta["photometric_interpretation"], source)


def _by_imagecodecs(coded: bytes, syntax: Any, options: dict[str, Any], source: str) -> Array:
    """JPEG of 12 bits, lossless JPEG, JPEG-LS, High-Throughput JPEG 2000."""
    end = str(syntax)[len(_JPEG) :]
    width, height, samples, bits, scans = _claims(coded)
    size = (options["rows"], options["columns"], options["samples_per_pixel"])
    if not width:
        raise _damaged(syntax, "the data is something else", source)
    if (height, width, samples) != size or bits > options["bits_allocated"] or bits > 16:
        raise _damaged(syntax, "its size differs from the one in the header", source)
    if scans * width * height > truncated.SCANS:
        raise SourceError(f"{source}: a JPEG with {scans} scans", "save it again as a baseline JPEG")
    # of a missing end, libjpeg says nothing, and CharLS reads four thousand million bits that are not there
    if not coded.rstrip(b"\0\xff").endswith(b"\xff\xd9"):
        raise _damaged(syntax, "it is incomplete", source)
    if not codec_child.is_there():
        raise SourceError(
            f"{source}: {syntax.name} needs a decoder that is not installed", "pip install 'vlmcli[dicom]'"
        )
    if end in _JPEG_LS:
        decoder = "jpegls"
    elif end in _HIGH_THROUGHPUT:
        decoder = "jpeg2k"
    else:  # what its colours are, the header says
        decoder = "jpeg as it is stored" if samples == _SAMPLES else "jpeg"
    try:
        found = codec_child.decoded(coded, decoder)
    except RuntimeError as error:
        raise _damaged(syntax, str(error), source) from error
    if found.shape != size[: found.ndim]:
        raise _damaged(syntax, "its size differs from the one in the header", source)
    if samples == _SAMPLES:
        kind = options["photometric_interpretation"]
        return colors(found, "RGB" if kind in ("YBR_RCT", "YBR_ICT") else kind, source)
    signed = options["pixel_representation"] == 1
    words = found.astype(f"{'i' if signed else 'u'}{max(1, options['bits_allocated'] // 8)}")
    left = words.itemsize * 8 - min(bits, options["bits_stored"])
    if signed and left > 0:
        words <<= left
        words >>= left
    return words


def _claims(coded: bytes) -> tuple[int, int, int, int, int]:
    """Width, height, samples, bits and scans that a codestream says it has; zeros for one that is none.

    Sources: ITU-T T.81, B.2.2; T.87, C.2.2; T.800, A.5.1.
    """
    if coded[:4] == b"\xff\x4f\xff\x51":
        right, bottom, left, top = struct.unpack(">4L", coded[8:24].ljust(16, b"\0"))
        samples, bits = struct.unpack(">HB", coded[40:43].ljust(3, b"\0"))
        return right - left, bottom - top, samples, (bits & 127) + 1, 1
    at, size = 2, (0, 0, 0, 0)
    while coded[:2] == b"\xff\xd8" and at + 4 <= len(coded) and coded[at] == 0xFF:
        marker = coded[at + 1]
        if marker == 0xFF:
            at += 1
            continue
        if marker == 0xDA:
            return *size, coded.count(b"\xff\xda", at)
        if marker == 0xF7 or (0xC0 <= marker < 0xD0 and marker not in (0xC4, 0xC8, 0xCC)):
            bits, height, width, samples = struct.unpack(">BHHB", coded[at + 4 : at + 10].ljust(6, b"\0"))
            if size[0]:  # a second frame, of which a decoder might take the size
                break
            size = (width, height, samples, bits)
        at += 2 + int.from_bytes(coded[at + 2 : at + 4], "big")
    return 0, 0, 0, 0, 0


def _unpacked(coded: bytes, options: dict[str, Any], source: str) -> Array:
    """A frame of RLE (PS3.5, annex G): a packed plane for each byte of each sample, the upper bytes first."""
    rows, columns, samples = options["rows"], options["columns"], options["samples_per_pixel"]
    width = options["bits_allocated"] // 8
    length = rows * columns if width else -(-rows * columns // 8)
    count, *starts = struct.unpack("<16L", coded[:64].ljust(64, b"\0"))
    if count != samples * max(1, width):
        raise cut(source)
    planes: Array = np.empty((samples, length, max(1, width)), np.uint8)
    for at in range(count):
        part = coded[starts[at] : starts[at + 1] if at + 1 < count else None]
        try:
            plane = Image.frombytes("L", (length, 1), part, "packbits", "L")
        except ValueError:
            raise cut(source) from None
        planes[at // max(1, width), :, width - 1 - at % width if width else 0] = np.asarray(plane)[0]
    if not width:
        return np.unpackbits(planes.reshape(-1), count=rows * columns, bitorder="little").reshape(rows, columns)
    kind = np.dtype(f"<{'i' if options['pixel_representation'] and samples == 1 else 'u'}{width}")
    planes = planes.view(kind)
    if samples == 1:
        return planes.reshape(rows, columns)
    found = np.ascontiguousarray(planes.reshape(samples, rows, columns).transpose(1, 2, 0))
    return colors(found, options["photometric_interpretation"], source)
