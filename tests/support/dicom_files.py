"""DICOM files: whole ones by pydicom, and byte by byte; and what is to be seen of them, with numpy alone."""

import io
import struct
import zlib

import numpy as np
from PIL import Image
from pydicom import encaps, uid
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset


def save(path, pixels, kind="MONOCHROME2", syntax=uid.ExplicitVRLittleEndian, stored=None, frames=1, data=None, **more):
    """A DICOM file of those pixels, with more attributes by their keywords.

    `vr` is that of the pixel data, `extra` a data set with what has no keyword.
    """
    vr, extra = more.pop("vr", ""), more.pop("extra", {})
    meta = FileMetaDataset()
    meta.TransferSyntaxUID, meta.MediaStorageSOPClassUID = syntax, uid.SecondaryCaptureImageStorage
    meta.MediaStorageSOPInstanceUID = uid.generate_uid()
    made = FileDataset("", {}, bytes(128), meta, syntax.is_implicit_VR, syntax.is_little_endian)
    one = pixels[0] if frames > 1 else pixels
    made.Rows, made.Columns, made.SamplesPerPixel = one.shape[0], one.shape[1], 3 if one.ndim == 3 else 1
    made.PhotometricInterpretation, made.NumberOfFrames = kind, frames
    made.BitsAllocated = 8 * one.dtype.itemsize
    made.BitsStored = stored or made.BitsAllocated
    made.HighBit, made.PixelRepresentation = made.BitsStored - 1, int(one.dtype.kind == "i")
    if one.ndim == 3:
        made.PlanarConfiguration = 0
    for keyword, value in more.items():
        setattr(made, keyword, value)
    made.update(extra)
    if data is None:
        swapped = pixels.astype(pixels.dtype.newbyteorder(">" if syntax == uid.ExplicitVRBigEndian else "<"))
        data = swapped.tobytes() + b"\0" * (pixels.nbytes % 2)
    made.PixelData = data
    made["PixelData"].VR = vr or ("OW" if made.BitsAllocated > 8 else "OB")
    made["PixelData"].is_undefined_length = syntax.is_encapsulated
    made.save_as(path, enforce_file_format=True)
    return path


def bare(data):
    """Deflated, without a head and a checksum."""
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


def item(**attributes):
    made = Dataset()
    for keyword, value in attributes.items():
        setattr(made, keyword, value)
    return made


def table(entries, first, bits, **more):
    return item(LUTDescriptor=[len(entries), first, bits], LUTData=np.asarray(entries, "<u2").tobytes(), **more)


def window(values, center, width):
    """PS3.3, C.11.2.1.2.1, as it is written there."""
    values = values.astype(float)
    shown = ((values - (center - 0.5)) / (width - 1) + 0.5) * 255
    shown[values <= center - 0.5 - (width - 1) / 2] = 0
    shown[values > center - 0.5 + (width - 1) / 2] = 255
    return np.rint(shown)


def spread(values):
    values = values.astype(float)
    return np.rint((values - values.min()) / (values.max() - values.min()) * 255)


def rle(pixels):
    """PS3.5, annex G, without a run: a plane for each byte of each sample, rows by themselves."""
    planes = [p for c in np.atleast_3d(pixels).transpose(2, 0, 1) for p in c.astype(">" + c.dtype.str[1:])[..., None]
              .view(np.uint8).transpose(2, 0, 1)]  # fmt: skip
    parts = [b"".join(bytes([len(row) - 1]) + row.tobytes() for row in plane) for plane in planes]
    parts = [part + b"\0" * (len(part) % 2) for part in parts]
    starts = 64 + np.cumsum([0, *map(len, parts)])[:-1]
    return struct.pack("<16L", len(parts), *starts, *[0] * (15 - len(parts))) + b"".join(parts)


def coded(pixels, kind, **how):
    made = io.BytesIO()
    Image.fromarray(pixels).save(made, kind, **how)
    return encaps.encapsulate([made.getvalue()])


# --- Byte by byte ---


def element(group, number, kind, value, length=None):
    """In explicit VR, little endian."""
    long = kind in (b"SQ", b"OB", b"OD", b"OF", b"OW", b"UN")
    head = struct.pack("<HH2s", group, number, kind)
    return head + struct.pack("<2xL" if long else "<H", len(value) if length is None else length) + value


def header(rows=4, columns=4, syntax=uid.ExplicitVRLittleEndian, without=None, **other):
    """A header with what a picture of 8 bits needs."""
    name = syntax.encode() + b"\0" * (len(syntax) % 2)
    numbers = {0x02: 1, 0x10: rows, 0x11: columns, 0x100: 8, 0x101: 8, 0x102: 7, 0x103: 0}
    numbers |= {int(key[1:], 16): value for key, value in other.items()}
    parts = {key: element(0x28, key, b"US", struct.pack("<H", value)) for key, value in numbers.items()}
    parts[0x04] = element(0x28, 0x04, b"CS", b"MONOCHROME2 ")
    found = b"".join(parts[key] for key in sorted(parts) if key != without)
    return bytes(128) + b"DICM" + element(2, 0x10, b"UI", name) + found


ITEM, END = struct.pack("<HHL", 0xFFFE, 0xE000, 0), struct.pack("<HHL", 0xFFFE, 0xE0DD, 0)


def packed(syntax, frame, **how):
    data = encaps.encapsulate([frame])
    return header(syntax=syntax, **how) + element(0x7FE0, 0x10, b"OB", data, 0xFFFFFFFF) + END
