"""Damaged pictures by the thousand: `python -m vlmcli.bench.fuzz --files 20000`.

A few small pictures of every format are damaged (bits flipped, bytes overwritten, cut out, doubled, cut off) and read
in a child process of bounded memory. Whatever is not a picture or an error that names the file is counted: another
exception, a crash, more than `--seconds`. The same seed damages the same way.
"""

from __future__ import annotations

import argparse
import io
import struct
import subprocess
import sys
import tempfile
import time
import zlib
from collections import Counter
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from PIL import Image

MEMORY = 2 << 30
"""Address space of the child, in bytes; its libraries take a part of it."""


def pictures(folder: Path) -> list[tuple[str, bytes]]:
    """(format, a whole file of it, made in a folder), some with profiles, palettes, frames, orientation."""
    import pillow_heif
    import pypdfium2
    from PIL import Image, ImageCms

    pillow_heif.register_heif_opener()
    scene = Image.effect_mandelbrot((96, 64), (-2, -1.5, 1, 1.5), 40).convert("RGB")
    clear = scene.convert("RGBA")
    clear.putalpha(scene.convert("L"))
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    exif = Image.Exif()
    exif[0x0112] = 6
    more: dict[str, Any] = {"save_all": True, "append_images": [scene.rotate(90), scene.rotate(180)]}
    ways: list[tuple[str, Image.Image, dict[str, Any]]] = [
        ("JPEG", scene, {"exif": exif.tobytes(), "icc_profile": profile}),
        ("JPEG", scene, {"progressive": True}),
        ("JPEG", scene.convert("CMYK"), {}),
        ("MPO", scene, more),
        ("PNG", clear, {"icc_profile": profile}),
        ("PNG", scene.convert("P"), {"transparency": 3}),
        ("PNG", scene, more),
        ("GIF", scene.convert("P"), {"transparency": 3} | more),
        ("BMP", scene, {}),
        ("TIFF", clear, {"compression": "tiff_lzw", "icc_profile": profile}),
        ("TIFF", scene, {"compression": "jpeg"}),
        ("TIFF", scene.convert("1"), {"compression": "group4"}),
        ("TIFF", scene, more),
        ("WEBP", clear, {"lossless": True, "exif": exif.tobytes()}),
        ("WEBP", scene, more),
        ("AVIF", clear, {"exif": exif.tobytes()}),
        ("HEIF", clear, {"exif": exif.tobytes()}),
    ]
    path = folder / "whole"
    found = []
    for kind, image, how in ways:
        others = [other.copy() for other in how.get("append_images", ())]  # saving a JPEG leaves traces in the object
        image.copy().save(path, kind, **how | {"append_images": others})
        found.append((kind, path.read_bytes()))
    png, linear = _saved(scene, path, "PNG"), _chunk(b"gAMA", struct.pack(">I", 100_000))
    found += [
        ("PNG", png[:33] + linear + _chunk(b"cHRM", struct.pack(">8I", *_WIDE)) + png[33:]),
        ("PNG", png[:33] + _chunk(b"cICP", b"\x09\x10\0\1") + _chunk(b"zTXt", b"a\0\7b") + png[33:]),
        ("PNG", _sixteen_bits(scene)),
        ("BMP", _with_masks(scene)),
        ("PDF", _form()),
    ]
    document = pypdfium2.PdfDocument.new()
    document.new_page(100, 50)
    document.save(path)
    found.append(("PDF", path.read_bytes()))
    scene.save(path, "PDF")
    found.append(("PDF", path.read_bytes()))
    for packing in ("", "RLE", "JPEG", "JPEG2000", "deflate", "lossless JPEG", "JPEG of 12 bits", "JPEG-LS", "HTJ2K"):
        _dicom(path, scene.convert("L"), packing)
        found.append(("DICOM", path.read_bytes()))
    return found


_WIDE = (31_270, 32_900, 70_800, 29_200, 17_000, 79_700, 13_100, 4_600)
"""Of cHRM: white and primaries of BT.2020."""


def _saved(image: Image.Image, path: Path, kind: str) -> bytes:
    image.save(path, kind)
    return path.read_bytes()


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _sixteen_bits(image: Image.Image) -> bytes:
    """A PNG of 16 bits a channel, of which the lower 8 are used."""
    grey, width = image.convert("L").tobytes(), image.width
    rows = (grey[at : at + width] for at in range(0, len(grey), width))
    wide = b"".join(b"\0" + b"".join(b"\0%c" % shade for shade in row) for row in rows)
    header = struct.pack(">IIBBBBB", *image.size, 16, 0, 0, 0, 0)
    parts = _chunk(b"IHDR", header) + _chunk(b"IDAT", zlib.compress(wide)) + _chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


def _with_masks(image: Image.Image) -> bytes:
    """A BMP of 16 bits with masks of its own (BITMAPINFOHEADER, BI_BITFIELDS)."""
    pixels = image.convert("RGB").tobytes()
    words = b"".join(
        struct.pack("<H", pixels[at] >> 3 << 11 | pixels[at + 1] >> 2 << 5 | pixels[at + 2] >> 3)
        for at in range(0, len(pixels), 3)
    )
    head = struct.pack("<IiiHHIIiiII3I", 40, *image.size, 1, 16, 3, len(words), 0, 0, 0, 0, 0xF800, 0x7E0, 0x1F)
    return b"BM" + struct.pack("<IHHI", 14 + len(head) + len(words), 0, 0, 14 + len(head)) + head + words


def _form() -> bytes:
    """A PDF with a filled field and a stamp, each with its appearance, and a layer that is off."""
    look = b"<</Type/XObject/Subtype/Form/BBox[0 0 90 20]/Length 24>>stream\n1 0 0 rg 5 5 60 9 re f\n\nendstream"
    objects = [
        b"<</Type/Catalog/Pages 2 0 R/AcroForm<</Fields[4 0 R]>>/OCProperties<</OCGs[7 0 R]/D<</OFF[7 0 R]>>>>>>",
        b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 100 50]/Annots[4 0 R 5 0 R]>>",
        b"<</Type/Annot/Subtype/Widget/FT/Tx/T(a)/V(5)/F 4/P 3 0 R/Rect[5 5 95 25]/AP<</N 6 0 R>>>>",
        b"<</Type/Annot/Subtype/Stamp/F 4/P 3 0 R/Rect[5 25 95 45]/AP<</N 6 0 R>>/OC 7 0 R>>",
        look,
        b"<</Type/OCG/Name(b)>>",
    ]
    made, places = b"%PDF-1.7\n", []
    for number, content in enumerate(objects, 1):
        places.append(len(made))
        made += b"%d 0 obj" % number + content + b"endobj\n"
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    size = len(objects) + 1
    return made + b"xref\n0 %d\n0000000000 65535 f \n%strailer<</Size %d/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF\n" % (
        size, table, size, len(made)
    )  # fmt: skip


def _dicom(path: Path, image: Image.Image, packing: str) -> None:
    """A DICOM file of a picture, packed so, with a window, a rescale and a group of attributes for its frame."""
    from pydicom import encaps, uid
    from pydicom.dataset import Dataset, FileDataset, FileMetaDataset

    syntaxes = {
        "JPEG": uid.JPEGBaseline8Bit,
        "JPEG2000": uid.JPEG2000Lossless,
        "deflate": uid.DeflatedExplicitVRLittleEndian,
        "lossless JPEG": uid.JPEGLosslessSV1,
        "JPEG of 12 bits": uid.JPEGExtended12Bit,
        "JPEG-LS": uid.JPEGLSLossless,
        "HTJ2K": uid.HTJ2KLossless,
    }
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = syntaxes.get(packing, uid.ExplicitVRLittleEndian)
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = uid.SecondaryCaptureImageStorage, "1.2.3"
    made = FileDataset("", {}, bytes(128), meta)
    made.Rows, made.Columns, made.SamplesPerPixel = image.height, image.width, 1
    made.PhotometricInterpretation, made.NumberOfFrames = "MONOCHROME1", 1
    made.BitsAllocated, made.BitsStored, made.HighBit, made.PixelRepresentation = 8, 8, 7, 0
    made.RescaleSlope, made.RescaleIntercept = 2, -100
    window, group = Dataset(), Dataset()
    window.WindowCenter, window.WindowWidth = 100, 200
    group.FrameVOILUTSequence = [window]
    made.PerFrameFunctionalGroupsSequence = [group]
    made.PixelData = image.tobytes()
    if packing == "RLE":
        made.compress(uid.RLELossless, encoding_plugin="pydicom", generate_instance_uid=False)
    elif packing not in ("", "deflate"):
        made.PixelData = encaps.encapsulate([_coded(image, packing)])
    if packing == "JPEG of 12 bits":
        made.BitsAllocated, made.BitsStored, made.HighBit = 16, 12, 11
    plane = 0x6000 << 16
    for number, kind, value in (0x10, "US", 16), (0x11, "US", 16), (0x40, "CS", "G"), (0x50, "SS", [3, 3]):
        made.add_new(plane | number, kind, value)
    made.add_new(plane | 0x3000, "OW", bytes(range(32)))
    made["PixelData"].VR = "OB"
    made["PixelData"].is_undefined_length = packing not in ("", "deflate")
    made.save_as(path, enforce_file_format=True)


def _coded(image: Image.Image, packing: str) -> bytes:
    """A frame of a DICOM file, coded so."""
    import imagecodecs
    import numpy as np

    pixels = np.array(image)
    match packing:
        case "lossless JPEG":
            return bytes(imagecodecs.jpeg8_encode(pixels, lossless=True))
        case "JPEG of 12 bits":
            return bytes(imagecodecs.jpeg8_encode(pixels.astype(np.uint16) * 16, bitspersample=12))
        case "JPEG-LS":
            return bytes(imagecodecs.jpegls_encode(pixels))
        case "HTJ2K":
            if not hasattr(imagecodecs, "htj2k_encode"):  # the last release for Python 3.10
                return bytes(imagecodecs.jpeg2k_encode(pixels, codecformat="j2k"))
            return bytes(imagecodecs.htj2k_encode(pixels))
    packed = io.BytesIO()
    image.save(packed, packing)
    return packed.getvalue()


def damaged(rng: Random, data: bytes) -> bytes:
    """A copy of a file, damaged in one to eight places."""
    found = bytearray(data)
    for _ in range(rng.randint(1, 8)):
        at = rng.randrange(max(1, len(found)))
        near = rng.randrange(min(200, max(1, len(found)))) if rng.random() < 0.4 else at  # headers are at the beginning
        match rng.randrange(7):
            case 0 | 1:
                found[near] ^= 1 << rng.randrange(8)
            case 2:
                found[near] = rng.choice((0, 1, 0x7F, 0x80, 0xFF))
            case 3:
                words = (b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\0\0\0\0", rng.randbytes(4))
                found[near : near + 4] = rng.choice(words)
            case 4:
                del found[at : at + rng.randint(1, 64)]
            case 5:
                found[at:at] = found[at : at + rng.randint(1, 64)]
            case 6 if rng.random() < 0.3:
                del found[at:]
        if not found:
            break
    return bytes(found)


def child(seed: int, first: int, last: int) -> None:
    """Read damaged files `first` … and say of each what came of it: number, format, outcome, seconds."""
    try:
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    except ImportError:  # no such bound on Windows
        sys.stderr.write("memory is not bounded here\n")
    from vlmcli.errors import SourceError
    from vlmcli.pictures import images

    with tempfile.TemporaryDirectory(prefix="vlm-fuzz-") as folder:
        whole, path = pictures(Path(folder)), Path(folder, "damaged")
        for number in range(first, last):
            rng = Random(f"{seed} {number}")
            kind, data = whole[number % len(whole)]
            path.write_bytes(damaged(rng, data))
            start = time.monotonic()
            try:
                images.load(path, frame=rng.choice((0, 0, 2)))
                outcome = "picture"
            except SourceError as error:
                outcome = "error" if str(path) in error.message and error.hint else f"unnamed: {error}"
            except BaseException as error:
                outcome = f"{type(error).__name__}: {error}"
            sys.stdout.write(f"{number}\t{kind}\t{outcome!r}\t{time.monotonic() - start:.3f}\n")
            sys.stdout.flush()


def main() -> int:
    """Damage and read files in child processes, and print the counts; 1 if anything but pictures and errors came."""
    parser = argparse.ArgumentParser(prog="python -m vlmcli.bench.fuzz", description=__doc__.split("\n")[0])
    parser.add_argument("--files", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=5, help="a file may take (default 5)")
    parser.add_argument("--child", type=int, nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options.seed, *options.child)
        return 0
    counts: Counter[tuple[str, str]] = Counter()
    bad: list[str] = []
    slowest, at = 0.0, 0
    while at < options.files:
        begun = at
        command = [sys.executable, "-m", "vlmcli.bench.fuzz", "--seed", str(options.seed), "--child", str(at)]
        with subprocess.Popen([*command, str(options.files)], stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            for line in process.stdout:
                number, kind, outcome, seconds = line.rstrip("\n").split("\t")
                at = int(number) + 1
                slowest = max(slowest, float(seconds))
                plain = outcome in ("'picture'", "'error'")
                counts[kind, outcome.strip("'") if plain else "other"] += 1
                if not plain:
                    bad.append(f"file {number} ({kind}): {outcome}")
                if float(seconds) > options.seconds:
                    bad.append(f"file {number} ({kind}): took {seconds} s")
        if process.returncode and at == begun:
            parser.exit(2, f"the child ends before it begins ({process.returncode})\n")
        if process.returncode:
            bad.append(f"file {at}: the process ended with {process.returncode}")
            at += 1
    for kind in sorted({kind for kind, _ in counts}):
        row = "  ".join(f"{what} {counts[kind, what]}" for what in ("picture", "error", "other"))
        sys.stdout.write(f"{kind:5} {row}\n")
    wrong = f"{len(bad)} neither a picture nor a named error"
    sys.stdout.write(f"{options.files} files, slowest {slowest:.2f} s, {wrong}\n")
    for line in bad[:50]:
        sys.stdout.write(line + "\n")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
