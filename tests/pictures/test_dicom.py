"""DICOM: pixels against references made with numpy alone, and headers that mean harm."""

import io
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
from PIL import Image
from pydicom import encaps, uid

from tests.support.dicom_files import (
    END,
    ITEM,
    bare,
    coded,
    element,
    header,
    item,
    packed,
    rle,
    save,
    spread,
    table,
    window,
)
from tests.support.files import FIELDS, GRAY, INDEX, NOISE, TABLE, array, thrice, write
from tests.support.limits import assert_refused, outcomes, refused
from tests.support.program import vlm
from tests.support.zeros import packed_zeros
from vlmcli.errors import SourceError
from vlmcli.pictures import dicom_header, images

SIGNED = np.random.default_rng(5).integers(-1024, 3072, (48, 64), np.int16)
TWELVE = np.random.default_rng(6).integers(0, 4096, (48, 64), np.uint16)


CT = {"RescaleSlope": 2, "RescaleIntercept": -1000}
RGB_TABLE = {
    f"{color}PaletteColorLookupTable{part}": value
    for at, color in enumerate(("Red", "Green", "Blue"))
    for part, value in (("Descriptor", [16, 0, 16]), ("Data", (TABLE[:, at].astype("<u2") * 257).tobytes()))
}
WAVE = (np.arange(4096) * 7919) % 4096
BITS = (GRAY > 127).astype(np.uint8)
YBR = np.stack([GRAY, np.full_like(GRAY, 128), np.full_like(GRAY, 128)], -1)

# name → (pixels, how they are saved, what must be seen)
FILES = {
    "window": (SIGNED, {**CT, "WindowCenter": 40, "WindowWidth": 400}, window(SIGNED * 2.0 - 1000, 40, 400)),
    "first window": (TWELVE, {"stored": 12, "WindowCenter": [2000, 9], "WindowWidth": [1500, 9]},
                     window(TWELVE, 2000, 1500)),
    "narrow window": (GRAY, {"WindowCenter": 128, "WindowWidth": 1}, np.where(GRAY > 127.5, 255, 0)),
    "exact window": (GRAY, {"WindowCenter": 100, "WindowWidth": 100, "VOILUTFunction": "LINEAR_EXACT"},
                     np.rint(np.clip((GRAY - 100.0) / 100 + 0.5, 0, 1) * 255)),
    "sigmoid": (GRAY, {"WindowCenter": 100, "WindowWidth": 100, "VOILUTFunction": "SIGMOID"},
                np.rint(255 / (1 + np.exp(-4 * (GRAY - 100.0) / 100)))),
    "a window that is none": (GRAY, {"WindowCenter": 100, "WindowWidth": 0}, spread(GRAY)),
    "no window": (SIGNED, CT, spread(SIGNED)),
    "one value": (np.full_like(GRAY, 7), {}, np.zeros_like(GRAY)),
    "inverse": (TWELVE, {"kind": "MONOCHROME1", "stored": 12, "WindowCenter": 2048, "WindowWidth": 4096},
                255 - window(TWELVE, 2048, 4096)),
    "table": (TWELVE, {"stored": 12, "VOILUTSequence": [table(WAVE, 0, 12)]}, np.rint(WAVE[TWELVE] / 4095 * 255)),
    "table after its first": (TWELVE, {"stored": 12, "VOILUTSequence": [table(WAVE[:100], 1000, 12)]},
                              np.rint(WAVE[np.clip(TWELVE.astype(int) - 1000, 0, 99)] / 4095 * 255)),
    "window before table": (GRAY, {"WindowCenter": 128, "WindowWidth": 256, "VOILUTSequence": [table(WAVE, 0, 12)]},
                            window(GRAY, 128, 256)),
    "modality table": (GRAY, {"ModalityLUTSequence": [table(WAVE[:256], 0, 16, ModalityLUTType="US")],
                              "WindowCenter": 2000, "WindowWidth": 3000}, window(WAVE[:256][GRAY], 2000, 3000)),
    "one bit": (GRAY, {"BitsAllocated": 1, "stored": 1, "data": np.packbits(BITS, bitorder="little").tobytes()},
                BITS * 255),
    "implicit": (SIGNED, {**CT, "syntax": uid.ImplicitVRLittleEndian, "WindowCenter": 40, "WindowWidth": 400},
                 window(SIGNED * 2.0 - 1000, 40, 400)),
    "implicit palette": (INDEX, {"kind": "PALETTE COLOR", "syntax": uid.ImplicitVRLittleEndian, **RGB_TABLE},
                         TABLE[INDEX]),
    "big endian": (SIGNED, {**CT, "syntax": uid.ExplicitVRBigEndian, "WindowCenter": 40, "WindowWidth": 400},
                   window(SIGNED * 2.0 - 1000, 40, 400)),
    "palette": (INDEX, {"kind": "PALETTE COLOR", **RGB_TABLE}, TABLE[INDEX]),
    "colours": (NOISE, {"kind": "RGB"}, NOISE),
    "planes": (NOISE, {"kind": "RGB", "PlanarConfiguration": 1, "data": NOISE.transpose(2, 0, 1).tobytes()}, NOISE),
    "sixteen bit colours": (NOISE.astype(np.uint16) * 257, {"kind": "RGB"}, NOISE),
    "YBR": (YBR, {"kind": "YBR_FULL"}, thrice(GRAY)),
    "YBR, halved": (YBR, {"kind": "YBR_FULL_422", "data": np.dstack(
        [GRAY[:, ::2], GRAY[:, 1::2], *[np.full((48, 32), 128, np.uint8)] * 2]).tobytes()}, thrice(GRAY)),
    "RLE": (SIGNED, {**CT, "syntax": uid.RLELossless, "data": encaps.encapsulate([rle(SIGNED)]),
                     "WindowCenter": 40, "WindowWidth": 400}, window(SIGNED * 2.0 - 1000, 40, 400)),
    "RLE, colours": (NOISE, {"kind": "RGB", "syntax": uid.RLELossless, "data": encaps.encapsulate([rle(NOISE)])},
                     NOISE),
    "JPEG 2000": (TWELVE, {"syntax": uid.JPEG2000Lossless, "data": coded(TWELVE, "JPEG2000", no_jp2=True),
                           "WindowCenter": 2000, "WindowWidth": 1500}, window(TWELVE, 2000, 1500)),
    "JPEG 2000, colours": (NOISE, {"kind": "YBR_RCT", "syntax": uid.JPEG2000Lossless,
                                   "data": coded(NOISE, "JPEG2000", no_jp2=True, mct=1)}, NOISE),
}  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_a_dicom_file_gives_what_the_standard_says(tmp_path, name):
    pixels, how, wanted = FILES[name]
    picture = images.load(save(tmp_path / "a.dcm", pixels, **how))
    assert picture.size == (64, 48)
    assert (array(picture) == (wanted if np.ndim(wanted) == 3 else thrice(wanted))).all()
    assert "not a medical device" in picture.notices[0]


def test_jpeg_inside_is_nearly_its_pixels(tmp_path):
    for name, pixels, kind in (("gray", FIELDS[..., 2], "MONOCHROME2"), ("colours", FIELDS, "YBR_FULL_422")):
        data = coded(np.ascontiguousarray(pixels), "JPEG", quality=95)
        how = {"WindowCenter": 128, "WindowWidth": 256} if name == "gray" else {}
        path = save(tmp_path / f"{name}.dcm", pixels, kind, uid.JPEGBaseline8Bit, data=data, **how)
        wanted = thrice(pixels) if name == "gray" else pixels
        off = np.abs(array(images.load(path)).astype(int) - wanted)
        assert off.mean() < 4


def test_a_name_may_lie_and_frames_have_numbers(tmp_path):
    frames = np.stack([np.roll(GRAY, at, 1) for at in range(3)])
    each = [item(FrameVOILUTSequence=[item(WindowCenter=100 + at, WindowWidth=99)]) for at in range(3)]
    shared = [item(PixelValueTransformationSequence=[item(RescaleSlope=1, RescaleIntercept=7, RescaleType="US")])]
    groups = {"SharedFunctionalGroupsSequence": shared, "PerFrameFunctionalGroupsSequence": each}
    packed = {"syntax": uid.RLELossless, "data": encaps.encapsulate([rle(one) for one in frames])}
    for how in (groups, packed | groups):
        path = save(tmp_path / "a.png", frames, frames=3, **how)
        assert (array(images.load(path)) == array(images.load(path, frame=1))).all()
        for at in range(3):
            found = array(images.load(path.read_bytes(), "bytes", at + 1))
            assert (found == thrice(window(frames[at] + 7.0, 100 + at, 99))).all()
        with pytest.raises(SourceError, match="there is no number 4; the file has 3 frames"):
            images.load(path, frame=4)


def test_bits_of_other_frames_are_left_alone(tmp_path):
    frames = np.random.default_rng(7).integers(0, 2, (3, 3, 7), np.uint8)
    data = np.packbits(frames, bitorder="little").tobytes() + b"\0"
    path = save(tmp_path / "a.dcm", frames, frames=3, stored=1, BitsAllocated=1, data=data)
    for at in range(3):
        assert (array(images.load(path, frame=at + 1)) == thrice(frames[at] * 255)).all()


def test_without_pydicom_the_error_says_what_to_install(tmp_path):
    path = save(tmp_path / "a.dcm", GRAY)
    code = (
        "import sys; sys.modules['pydicom'] = None; from pathlib import Path; from vlmcli.pictures import images\n"
        "from vlmcli.errors import SourceError\n"
        "try: images.load(Path(sys.argv[1]))\nexcept SourceError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=False)
    assert done.stdout.startswith(f"{path}: ")
    assert "pip install 'vlmcli[dicom]'" in done.stdout


def test_the_command_says_once_that_it_is_no_medical_device(tmp_path):
    for name in ("a.dcm", "b.dcm"):
        save(tmp_path / name, NOISE, "RGB")
    done = vlm("ask", "-m", "demo", str(tmp_path), "what is this?")
    assert done.returncode == 0
    assert len(done.stdout.splitlines()) == 2
    assert done.stderr.count("not a medical device") == 1
    assert "medical" not in done.stdout


# --- What means harm ---


@pytest.mark.parametrize("name", ["window", "implicit", "RLE", "JPEG 2000", "palette", "one bit"])
def test_a_dicom_file_that_is_cut_off_is_never_taken_for_a_picture(tmp_path, name):
    pixels, how, _ = FILES[name]
    path = save(tmp_path / "a.dcm", pixels, **how)
    data = path.read_bytes()
    for tenth in range(10):
        refused(write(path, data[: len(data) * tenth // 10]))


PIXELS = element(0x7FE0, 0x10, b"OB", bytes(range(16)))
OPEN = element(0x5200, 0x9230, b"SQ", b"", 0xFFFFFFFF) + struct.pack("<HHL", 0xFFFE, 0xE000, 0xFFFFFFFF)


def lie():
    """A JPEG of another size than is said."""
    data = io.BytesIO()
    Image.new("L", (9000, 9000)).save(data, "JPEG")
    return data.getvalue()


def number(key, text):
    """A rescale slope or window width, which are written in letters."""
    return header() + element(0x28, key, b"DS", text) + PIXELS


BARE = header().replace(element(2, 0x10, b"UI", b"1.2.840.10008.1.2.1\0"), b"")


def unpacked_to(data, much):
    """A deflated file: a header, and then more zeros than there is room for, in MiB."""
    stream = zlib.compressobj(1, wbits=-15)
    return DEFLATED + stream.compress(data) + stream.flush(zlib.Z_FULL_FLUSH) + packed_zeros(much, "deflate")


DEFLATED = header(syntax=uid.DeflatedExplicitVRLittleEndian)
AT = DEFLATED.index(struct.pack("<HH", 0x28, 2))
DEFLATED, BODY = DEFLATED[:AT], DEFLATED[AT:]


def jpeg(bits, rows, columns, samples=1, marker=0xC1, scans=1):
    """The beginning of a JPEG of that size, and as many scans of nothing."""
    parts = b"".join(bytes([number + 1, 0x11, 0]) for number in range(samples))
    size = struct.pack(">BHHB", bits, rows, columns, samples) + parts
    begin = b"\xff\xd8\xff" + bytes([marker]) + struct.pack(">H", len(size) + 2) + size
    return begin + (b"\xff\xda\0\x08\x01\x01\0\0\x3f\0") * scans + b"\xff\xd9"


def segmented(*words):
    """A palette in segments."""
    parts = b"".join(element(0x28, 0x1101 + at, b"US", struct.pack("<3H", 16, 0, 16)) for at in range(3))
    data = struct.pack(f"<{len(words)}H", *words)
    parts += b"".join(element(0x28, 0x1221 + at, b"OW", data) for at in range(3))
    return header().replace(b"MONOCHROME2 ", b"PALETTE COLOR ").replace(b"CS\x0c\0", b"CS\x0e\0") + parts + PIXELS


def hostile():
    """Name → (the bytes, what the error says)."""
    return {
        "huge": (header(65535, 65535) + PIXELS, "of memory"),
        "huge without pixels": (header(65535, 65535), "of memory"),
        "strip": (header(1, 60000) + PIXELS, "strip"),
        "too few pixels": (header(9000, 9000) + PIXELS, "incomplete"),
        "no rows": (header(without=0x10) + PIXELS, "no Rows"),
        "no columns": (header(without=0x11) + PIXELS, "no Columns"),
        "no kind": (header(without=0x04) + PIXELS, "no PhotometricInterpretation"),
        "no bits": (header(without=0x100) + PIXELS, "no BitsAllocated"),
        "no sign": (header(without=0x103) + PIXELS, "no PixelRepresentation"),
        "zero rows": (header(rows=0) + PIXELS, "0 pixels"),
        "24 bits": (header(_100=24, _101=24) + PIXELS, "1x24 bits"),
        "64 bits": (header(_100=64, _101=64) + PIXELS, "1x64 bits"),
        "too few of 32 bits": (header(_100=32, _101=32) + PIXELS, "incomplete"),
        "huge, of 32 bits": (header(20_000, 20_000, _100=32, _101=32) + PIXELS, "of memory"),
        "huge, of 16 bits in colours": (header(9000, 9000, _100=16, _101=16, _2=3) + PIXELS, "of memory"),
        "four samples": (header(_2=4) + PIXELS, "4x8 bits"),
        "no pixels": (header(), "has no picture"),
        "float pixels of 8 bits": (header() + element(0x7FE0, 0x08, b"OF", bytes(64)), "1x8 bits"),
        "float colours": (header(_100=32, _2=3) + element(0x7FE0, 0x08, b"OF", bytes(192)), ""),
        "too few floats": (header(_100=32) + element(0x7FE0, 0x08, b"OF", bytes(63)), "incomplete"),
        "no syntax": (header().replace(element(2, 0x10, b"UI", b"1.2.840.10008.1.2.1\0"),
                                         element(2, 2, b"UI", b"1.2\0")) + PIXELS, "(not named)"),
        "packed, and no syntax": (BARE + element(0x7FE0, 0x10, b"OB", encaps.encapsulate([b"x" * 99]), 0xFFFFFFFF),
                                  "compressed, but it does not say how"),
        "packed, but said not to be": (packed(uid.ExplicitVRLittleEndian, b"x" * 99),
                                       "compressed, but it does not say how"),
        "odd syntax": (header(syntax=uid.UID("1.2.3")) + PIXELS, "1.2.3 is not supported"),
        "JPEG-LS": (packed(uid.JPEGLSLossless, b"x"),
                    "JPEG-LS Lossless Image Compression cannot be read (the data is something else)"),
        "lossless JPEG": (packed(uid.JPEGLosslessSV1, b"x"), "JPEG Lossless"),
        "a film": (packed(uid.MPEG4HP41, b"x"), "MPEG-4 AVC/H.264 High Profile / Level 4.1 is not supported"),
        "JPEG of another size": (packed(uid.JPEGBaseline8Bit, lie()), "size differs"),
        "JPEG that is none": (packed(uid.JPEGBaseline8Bit, b"no JPEG"), "JPEG Baseline"),
        "RLE of nothing": (packed(uid.RLELossless, bytes(64)), "incomplete"),
        "RLE bomb": (packed(uid.RLELossless, struct.pack("<16L", 1, 64, *[0] * 14) + b"\x81\0" * (1 << 19)), ""),
        "RLE beyond its end": (packed(uid.RLELossless, struct.pack("<16L", 1, 0xFFFFFFF0, *[0] * 14) + bytes(40)),
                               "incomplete"),
        "fragments": (header(syntax=uid.RLELossless, rows=9, columns=9)
                      + element(0x7FE0, 0x10, b"OB", ITEM * (1 << 20), 0xFFFFFFFF), ""),
        "nested": (header() + OPEN * 50_000 + PIXELS, ""),
        "many items": (header() + element(0x5200, 0x9230, b"SQ", ITEM * 250_000) + PIXELS, "contains more data"),
        "many items, no length": (header() + element(0x5200, 0x9230, b"SQ", ITEM * 250_000 + END, 0xFFFFFFFF), ""),
        "many elements": (header() + element(0x29, 0x10, b"LO", b"") * (6 << 20) + PIXELS, "contains more data"),
        "a long value": (header() + element(0x5200, 0x9230, b"SQ", b"", 0xFFFFFFF0) + PIXELS, ""),
        "no end": (header() + element(0x29, 0x1010, b"UN", b"", 0xFFFFFFFF) + bytes(64 << 20), ""),
        "deflated, nothing": (DEFLATED, "without a picture"),
        "deflated, but not": (DEFLATED + b"\xff" * 99, "compressed data is damaged"),
        "deflated, cut": (DEFLATED + bare(BODY + PIXELS)[:-9], "incomplete"),
        "deflated bomb of a value": (
            unpacked_to(BODY + element(0x29, 0x1010, b"OB", b"", 0xFFFFFFF0), 300), "more"),
        "deflated bomb of elements": (unpacked_to(BODY + element(0x29, 0x1010, b"UN", b"", 0xFFFFFFFF), 300), ""),
        "deflated frames, too short": (packed(uid.UID("1.2.840.10008.1.2.8.1"), bare(bytes(9))), "incomplete"),
        "deflated frames, damaged": (packed(uid.UID("1.2.840.10008.1.2.8.1"), b"\xff" * 20), "incomplete"),
        "12-bit JPEG of another size": (packed(uid.JPEGExtended12Bit, jpeg(12, 60000, 60000), _100=16), "size differs"),
        "12-bit JPEG of other samples": (packed(uid.JPEGExtended12Bit, jpeg(12, 4, 4, 3), _100=16), "size differs"),
        "12-bit JPEG of two sizes": (packed(uid.JPEGExtended12Bit, jpeg(12, 4, 4)[:-2 - 10]
                                            + jpeg(12, 60000, 60000)[2:], _100=16), "the data is something else"),
        "12-bit JPEG of many scans": (packed(uid.JPEGExtended12Bit, jpeg(12, 1200, 1200, 1, 0xC2, 2000), rows=1200,
                                             columns=1200, _100=16), "a JPEG with 2000 scans"),
        "12-bit JPEG, cut": (packed(uid.JPEGExtended12Bit, jpeg(12, 4, 4)[:-2], _100=16), "it is incomplete"),
        "lossless JPEG of nothing": (packed(uid.JPEGLosslessSV1, jpeg(8, 4, 4, marker=0xC3)), "JPEG Lossless"),
        "lossless JPEG of another size": (packed(uid.JPEGLosslessSV1, jpeg(8, 4, 5, marker=0xC3)), "size differs"),
        "lossless JPEG of too many bits": (packed(uid.JPEGLosslessSV1, jpeg(16, 4, 4, marker=0xC3)), "size differs"),
        "JPEG-LS of nothing": (packed(uid.JPEGLSLossless, jpeg(8, 4, 4, marker=0xF7)), "JPEG-LS"),
        "JPEG-LS of another size": (packed(uid.JPEGLSLossless, jpeg(8, 60000, 60000, marker=0xF7)), "size differs"),
        "HTJ2K of another size": (packed(uid.HTJ2K, b"\xff\x4f\xff\x51" + struct.pack(
            ">HH8LHBBB", 41, 0, *[9999, 9999, 0, 0] * 2, 1, 7, 1, 1)), "size differs"),
        "palette that points at itself": (segmented(0, 1, 7, 2, 2, 3, 0), "palette is damaged"),
        "palette of nothing": (segmented(0, 0), "palette is damaged"),
        "palette of an unknown kind": (segmented(9, 9, 9, 9), "palette is damaged"),
        "palette that begins with a line": (segmented(1, 16, 65535), "palette is damaged"),
        "NaN": (number(0x1053, b"nan "), ""),
        "infinite": (number(0x1053, b"1e308 "), ""),
        "no number": (number(0x1053, b"much"), ""),
    }  # fmt: skip


def test_a_hostile_header_is_an_error_soon(tmp_path):
    found = hostile()
    words = [write(tmp_path / f"{number}.dcm", data) for number, (data, _) in enumerate(found.values())]
    quick = [word for word, name in zip(words, found, strict=True) if name in ("many items, no length", "no end")]
    for word, (_, says), outcome in zip(words, found.values(), outcomes(words, quick=quick), strict=True):
        assert_refused(outcome, word, says)


def test_the_bound_of_time_holds(tmp_path, monkeypatch):
    monkeypatch.setattr(dicom_header, "SECONDS", 0)
    assert "contains more data" in refused(save(tmp_path / "a.dcm", GRAY))


def test_show_says_that_it_is_dicom_and_the_notice_once(tmp_path):
    for name in ("a.dcm", "b.dcm"):
        save(tmp_path / name, np.arange(64, dtype=np.uint8).reshape(8, 8))
    done = vlm("show", str(tmp_path / "a.dcm"), str(tmp_path / "b.dcm"))
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(": DICOM, ") == 2
    assert done.stderr.count("not a medical device") == 1
