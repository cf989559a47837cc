"""DICOM of kinds that few other files are of: each against a reference made with numpy alone."""

import struct
import subprocess
import sys
import time

import numpy as np
import pytest
from pydicom import encaps, uid

from tests.support import files
from tests.support.dicom_files import bare, coded, element, header, packed, rle, save, spread, table, window
from tests.support.files import FIELDS, INDEX, NOISE, TABLE, array, thrice, write
from tests.support.limits import refused
from tests.support.program import vlm
from vlmcli.pictures import images

imagecodecs = pytest.importorskip("imagecodecs", reason="the coder of these files is not installed")

GRAY = np.ascontiguousarray(files.GRAY)
RANDOM = np.random.default_rng(11)
SIGNED = RANDOM.integers(-1024, 3072, (48, 64), np.int16)
TWELVE = RANDOM.integers(0, 4096, (48, 64), np.uint16)
SMOOTH = (np.add.outer(np.arange(48), np.arange(64)) * 30).astype(np.uint16)
LONG = RANDOM.integers(0, 1 << 32, (48, 64), np.uint32)
DOSE = RANDOM.integers(-(10**9), 10**9, (48, 64), np.int32)
BIG = uid.ExplicitVRBigEndian
WHOLE = {"WindowCenter": 2048, "WindowWidth": 4096}


def palette(little=True, bits=16, entries=TABLE):
    """A palette's attributes; of 8 bits, two entries lie in a word."""
    found = {}
    for at, color in enumerate(("Red", "Green", "Blue")):
        entry = entries[:, at].astype(np.uint16) * (257 if bits == 16 else 1)
        words = entry if bits == 16 else entry.astype(np.uint8).view("<u2")
        found[f"{color}PaletteColorLookupTableDescriptor"] = [len(entries), 0, bits]
        found[f"{color}PaletteColorLookupTableData"] = words.astype("<u2" if little else ">u2").tobytes()
    return found


def wave(order):
    made = table((np.arange(4096) * 7919) % 4096, 0, 12)
    made.LUTData = np.frombuffer(made.LUTData, "<u2").astype(f"{order}u2").tobytes()
    return made


def lossless(pixels, bits):
    pixels = np.ascontiguousarray(pixels)
    return encaps.encapsulate([imagecodecs.jpeg8_encode(pixels, lossless=True, bitspersample=bits)])


def in_colors(pixels):
    made = imagecodecs.jpeg8_encode(pixels, lossless=True, colorspace="RGB", outcolorspace="RGB")
    return encaps.encapsulate([made])


def high_throughput(pixels):
    """JPEG 2000 of the fast coder, which the last imagecodecs for Python 3.10 has not; its decoder reads both."""
    if hasattr(imagecodecs, "htj2k_encode"):
        return encaps.encapsulate([imagecodecs.htj2k_encode(pixels)])
    return encaps.encapsulate([imagecodecs.jpeg2k_encode(pixels, codecformat="j2k", reversible=True)])


def as_words(values, bits, kind):
    """Signed numbers in the lower bits of words."""
    return (values & ((1 << bits) - 1)).astype(kind)


def floats(path, pixels, **more):
    """A DICOM file of floats, which have an element of their own."""
    double = pixels.dtype.itemsize == 8
    parts = header(*pixels.shape, without=0x101, _100=64 if double else 32)
    parts = parts.replace(element(0x28, 0x102, b"US", b"\7\0"), b"").replace(element(0x28, 0x103, b"US", b"\0\0"), b"")
    for key, value in more.items():
        kind = b"FD" if double else b"FL"
        parts += element(0x28, int(key[1:], 16), kind, struct.pack("<d" if double else "<f", value))
    parts += element(0x7FE0, 0x09 if double else 0x08, b"OD" if double else b"OF", pixels.tobytes())
    return write(path, parts)


HEIGHTS = RANDOM.normal(0, 50, (48, 64))
NARROW = GRAY // 2
GAPS = SIGNED.copy()
GAPS[:20, :9], GAPS[20:, :9] = -2000, -2001
LOW = GAPS.astype(np.int32)
REST = np.where(GAPS < -1024, SIGNED.min(), GAPS)
YBR = np.stack([GRAY, np.full_like(GRAY, 128), np.full_like(GRAY, 128)], -1)

# name → (pixels, how they are saved, what must be seen)
FILES = {
    "big-endian palette": (INDEX, {"kind": "PALETTE COLOR", "syntax": BIG, **palette(False)}, TABLE[INDEX]),
    "big-endian palette of 8 bits": (INDEX, {"kind": "PALETTE COLOR", "syntax": BIG, **palette(False, 8)},
                                     TABLE[INDEX]),
    "palette of 8 bits": (INDEX, {"kind": "PALETTE COLOR", **palette(True, 8)}, TABLE[INDEX]),
    "palette said to have 16 bits": (INDEX, {"kind": "PALETTE COLOR", **palette(True, 16, TABLE),
        **{f"{color}PaletteColorLookupTableData": TABLE[:, at].astype("<u2").tobytes()
           for at, color in enumerate(("Red", "Green", "Blue"))}}, TABLE[INDEX]),
    "big-endian VOI table": (TWELVE, {"stored": 12, "syntax": BIG, "VOILUTSequence": [wave(">")]},
                             np.rint((TWELVE.astype(int) * 7919) % 4096 / 4095 * 255)),
    "big-endian modality table": (TWELVE, {"stored": 12, "syntax": BIG, **WHOLE, "ModalityLUTSequence": [wave(">")]},
                                  window((TWELVE.astype(int) * 7919) % 4096, 2048, 4096)),
    "lossless JPEG": (SIGNED, {"syntax": uid.JPEGLosslessSV1, "data": lossless(SIGNED.view(np.uint16), 16)},
                      spread(SIGNED)),
    "lossless JPEG of 12 bits with signs": (SIGNED // 2, {"stored": 12, "syntax": uid.JPEGLossless,
        "data": lossless(as_words(SIGNED // 2, 12, np.uint16), 12)}, spread(SIGNED // 2)),
    "lossless JPEG of 8 bits": (GRAY, {"syntax": uid.JPEGLosslessSV1, "data": lossless(GRAY, 8)}, spread(GRAY)),
    "lossless JPEG in colours": (NOISE, {"kind": "RGB", "syntax": uid.JPEGLosslessSV1, "data": in_colors(NOISE)},
                                 NOISE),
    "lossless JPEG of YBR": (YBR, {"kind": "YBR_FULL", "syntax": uid.JPEGLosslessSV1, "data": in_colors(YBR)},
                             thrice(GRAY)),
    "JPEG-LS": (TWELVE, {"stored": 12, **WHOLE, "syntax": uid.JPEGLSLossless,
                         "data": encaps.encapsulate([imagecodecs.jpegls_encode(TWELVE)])}, window(TWELVE, 2048, 4096)),
    "JPEG-LS with signs": (SIGNED, {"syntax": uid.JPEGLSLossless,
        "data": encaps.encapsulate([imagecodecs.jpegls_encode(SIGNED.view(np.uint16))])}, spread(SIGNED)),
    "JPEG-LS in colours": (FIELDS, {"kind": "RGB", "syntax": uid.JPEGLSNearLossless, "data": encaps.encapsulate(
        [imagecodecs.jpegls_encode(np.ascontiguousarray(FIELDS))])}, FIELDS),
    "HTJ2K": (GRAY, {"syntax": uid.HTJ2KLossless,
                     "data": high_throughput(GRAY)}, spread(GRAY)),
    "HTJ2K of YBR": (NOISE, {"kind": "YBR_RCT", "syntax": uid.HTJ2KLossless,
                             "data": high_throughput(NOISE)}, NOISE),
    "deflated data set": (SIGNED, {"syntax": uid.DeflatedExplicitVRLittleEndian}, spread(SIGNED)),
    "deflated data set in colours": (NOISE, {"kind": "RGB", "syntax": uid.DeflatedExplicitVRLittleEndian}, NOISE),
    "32 bits": (LONG, {}, spread(LONG)),
    "32 bits with signs and a window": (DOSE, {"WindowCenter": 1000, "WindowWidth": 10**9, "RescaleSlope": 2},
                                        window(DOSE * 2.0, 1000, 10**9)),
    "32 bits, big endian, inverse": (DOSE, {"kind": "MONOCHROME1", "syntax": BIG}, np.rint(255 - (
        DOSE.astype(float) - DOSE.min()) / (int(DOSE.max()) - int(DOSE.min())) * 255)),
    "32 bits, RLE": (LONG, {"syntax": uid.RLELossless, "data": encaps.encapsulate([rle(LONG)])}, spread(LONG)),
    "32 bits, padding": (LOW, {"PixelPaddingValue": -2000, "PixelPaddingRangeLimit": -2001}, spread(REST)),
    "32 bits in colours": (NOISE.astype(np.uint32) << 24, {"kind": "RGB"}, NOISE),
    "padding": (GAPS, {"PixelPaddingValue": -2000, "PixelPaddingRangeLimit": -2001}, spread(REST)),
    "padding, implicit": (GAPS, {"PixelPaddingValue": -2000, "PixelPaddingRangeLimit": -2001,
                                 "syntax": uid.ImplicitVRLittleEndian}, spread(REST)),
    "padding alone": (np.full_like(GRAY, 7), {"PixelPaddingValue": 7}, np.zeros_like(GRAY)),
    "padding beside a window": (GAPS, {"PixelPaddingValue": -2000, "WindowCenter": 0, "WindowWidth": 9000},
                                window(GAPS, 0, 9000)),
    "upper twelve bits": (TWELVE << 4, {"stored": 12, "HighBit": 15, **WHOLE}, window(TWELVE, 2048, 4096)),
    "other bits above, with signs": ((as_words(SIGNED // 2, 12, np.uint16) | 0x5000).view(np.int16), {"stored": 12},
                                     spread(SIGNED // 2)),
    "odd frames of words of bytes": (NARROW[:47, :63], {"syntax": BIG, "vr": "OW", "data": np.append(
        NARROW[:47, :63].reshape(-1), 0).astype(np.uint8).view("<u2").astype(">u2").tobytes()},
                                     spread(NARROW[:47, :63])),
}  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_a_file_of_a_rare_kind_gives_what_the_standard_says(tmp_path, name):
    pixels, how, wanted = FILES[name]
    picture = images.load(save(tmp_path / "a.dcm", pixels, **how))
    assert picture.size == pixels.shape[1::-1]
    assert (array(picture) == (wanted if np.ndim(wanted) == 3 else thrice(wanted))).all()


@pytest.mark.parametrize("name", ["lossless JPEG", "JPEG-LS", "deflated data set", "32 bits"])
def test_such_a_file_that_is_cut_off_is_never_taken_for_a_picture(tmp_path, name):
    pixels, how, _ = FILES[name]
    data = save(tmp_path / "a.dcm", pixels, **how).read_bytes()
    for tenth in range(10):
        refused(write(tmp_path / "cut.dcm", data[: len(data) * tenth // 10]))


@pytest.mark.parametrize("name", ["lossless JPEG", "lossless JPEG in colours", "JPEG-LS", "HTJ2K"])
def test_a_coded_frame_that_is_cut_off_is_never_taken_for_a_picture(tmp_path, name):
    pixels, how, _ = FILES[name]
    frame = encaps.get_frame(how["data"], 0, number_of_frames=1).rstrip(b"\0")
    for tenth in range(1, 10):
        cut = encaps.encapsulate([frame[: len(frame) * tenth // 10]])
        begun = time.monotonic()
        assert "cannot be read" in refused(save(tmp_path / "a.dcm", pixels, **how | {"data": cut}))
        assert time.monotonic() - begun < 2  # CharLS takes four seconds, whatever the size


def test_jpeg_of_12_bits_is_nearly_its_pixels(tmp_path):
    frame = imagecodecs.jpeg8_encode(SMOOTH, level=95, bitspersample=12)
    for syntax in (uid.JPEGExtended12Bit, uid.UID("1.2.840.10008.1.2.4.53"), uid.UID("1.2.840.10008.1.2.4.55")):
        path = save(tmp_path / "a.dcm", SMOOTH, syntax=syntax, stored=12, data=encaps.encapsulate([frame]), **WHOLE)
        assert np.abs(array(images.load(path)).astype(int) - thrice(window(SMOOTH, 2048, 4096))).max() < 4


def test_jpeg_of_8_bits_under_the_names_of_the_retired_processes(tmp_path):
    smooth = np.ascontiguousarray(FIELDS[..., 2])
    for syntax in ("1.2.840.10008.1.2.4.51", "1.2.840.10008.1.2.4.53", "1.2.840.10008.1.2.4.55"):
        data = coded(smooth, "JPEG", quality=95, progressive=True)
        path = save(tmp_path / "a.dcm", smooth, syntax=uid.UID(syntax), data=data, WindowCenter=128, WindowWidth=256)
        assert np.abs(array(images.load(path)).astype(int) - thrice(smooth)).mean() < 4


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_floats_are_seen_from_the_least_to_the_greatest_that_is_a_number(tmp_path, kind):
    found = HEIGHTS.astype(kind)
    assert (array(images.load(floats(tmp_path / "a.dcm", found))) == thrice(spread(found))).all()
    odd = found.copy()
    odd[0, :4] = np.nan, np.inf, -np.inf, np.nan
    wanted = spread(np.where(np.isfinite(odd), odd, found.min()))
    least, most = found[np.isfinite(odd)].min(), found[np.isfinite(odd)].max()
    wanted = np.rint((odd.astype(float) - float(least)) / (float(most) - float(least)) * 255)
    wanted[0, :4] = 0, 255, 0, 0
    assert (array(images.load(floats(tmp_path / "b.dcm", odd))) == thrice(wanted)).all()


def test_floats_that_are_padding_do_not_count(tmp_path):
    for kind, key in ((np.float32, "_122"), (np.float64, "_123")):
        found = HEIGHTS.astype(kind)
        found[:9] = -1e30
        wanted = spread(np.where(found < -1e29, found[9:].min(), found))
        assert (array(images.load(floats(tmp_path / "a.dcm", found, **{key: -1e30}))) == thrice(wanted)).all()


def test_a_palette_in_segments(tmp_path):
    # three entries one by one, a line of four to 40960, the first segment once more, and a line down to 0
    words = [0, 3, 256, 512, 1024, 1, 4, 40960, 2, 1, 0, 0, 1, 6, 0]
    line = [round(1024 + (40960 - 1024) * step / 4) for step in (1, 2, 3, 4)]
    entries = [256, 512, 1024, *line, 256, 512, 1024, *(round(1024 - 1024 * step / 6) for step in range(1, 7))]
    assert len(entries) == 16
    more = {}
    for color in ("Red", "Green", "Blue"):
        more[f"{color}PaletteColorLookupTableDescriptor"] = [16, 0, 16]
        more[f"Segmented{color}PaletteColorLookupTableData"] = struct.pack(f"<{len(words)}H", *words)
    found = array(images.load(save(tmp_path / "a.dcm", INDEX, "PALETTE COLOR", **more)))
    assert (found == thrice((np.array(entries) // 256)[INDEX])).all()


def test_frames_that_are_deflated_each(tmp_path):
    syntax = uid.UID("1.2.840.10008.1.2.8.1")  # which pydicom does not know before 3.1
    for pixels, bits, signed in ((SIGNED, 16, 1), (GRAY, 8, 0)):
        how = {"rows": 48, "columns": 64, "_100": bits, "_101": bits, "_102": bits - 1, "_103": signed}
        data = packed(syntax, bare(pixels.tobytes()), **how)
        assert (array(images.load(write(tmp_path / "a.dcm", data))) == thrice(spread(pixels))).all()


def test_bits_that_are_packed_by_runs(tmp_path):
    bits = (np.arange(35).reshape(5, 7) % 3 == 0).astype(np.uint8)
    plane = np.packbits(bits, bitorder="little").tobytes()
    frame = struct.pack("<16L", 1, 64, *[0] * 14) + bytes([len(plane) - 1]) + plane
    data = encaps.encapsulate([frame])
    path = save(tmp_path / "a.dcm", bits, syntax=uid.RLELossless, stored=1, BitsAllocated=1, data=data)
    assert (array(images.load(path)) == thrice(bits * 255)).all()


# --- More than one frame ---


def test_what_is_left_out_of_a_file_of_frames_is_said(tmp_path):
    frames = np.stack([np.roll(GRAY, at, 1) for at in range(3)])
    path = save(tmp_path / "a.dcm", frames, frames=3)
    assert images.load(path).notices[1:] == (
        f"{path}: only the first of its 3 frames is used; to ask about the second: {path}#2",
    )
    assert len(images.load(path, frame=1).notices) == 1
    assert len(images.load(save(tmp_path / "b.dcm", GRAY)).notices) == 1
    done = vlm("show", str(path))
    assert done.returncode == 0, done.stderr
    assert "64x48" in done.stdout.replace("×", "x")
    assert "3 frames" in done.stdout


def test_facts_are_those_of_the_header(tmp_path):
    frames = np.stack([GRAY] * 5)
    found = images.facts(save(tmp_path / "a.dcm", frames, frames=5))
    assert (found.format, found.size, found.frames) == ("DICOM", (64, 48), 5)
    deflated = save(tmp_path / "b.dcm", NOISE, "RGB", uid.DeflatedExplicitVRLittleEndian)
    assert images.facts(deflated.read_bytes()).size == (64, 48)


@pytest.mark.filterwarnings("ignore:Invalid value for VR")
def test_a_number_of_frames_that_is_none_is_one(tmp_path):
    data = save(tmp_path / "a.dcm", GRAY).read_bytes()
    head = struct.pack("<HH2sH", 0x28, 8, b"IS", 2)
    assert head + b"1 " in data
    path = write(tmp_path / "b.dcm", data.replace(head + b"1 ", head + b"1A"))
    assert (array(images.load(path)) == thrice(spread(GRAY))).all()


def test_later_frames_of_words_of_bytes_and_of_deflated_files(tmp_path):
    frames = RANDOM.integers(0, 256, (3, 5, 7), np.uint8)
    swapped = np.append(frames.reshape(-1), 0).astype(np.uint8).view("<u2").astype(">u2").tobytes()
    for how in ({"syntax": BIG, "vr": "OW", "data": swapped}, {"syntax": uid.DeflatedExplicitVRLittleEndian}):
        path = save(tmp_path / "a.dcm", frames, frames=3, **how)
        for at in range(3):
            assert (array(images.load(path, frame=at + 1)) == thrice(spread(frames[at]))).all()


# --- Decoders that are not installed ---


@pytest.mark.parametrize("syntax", [uid.JPEGLosslessSV1, uid.JPEGLSLossless, uid.JPEGExtended12Bit, uid.HTJ2K])
def test_without_imagecodecs_the_error_says_what_to_install(tmp_path, syntax):
    frames = {
        uid.JPEGLosslessSV1: imagecodecs.jpeg8_encode(GRAY, lossless=True),
        uid.JPEGLSLossless: imagecodecs.jpegls_encode(GRAY),
        uid.JPEGExtended12Bit: imagecodecs.jpeg8_encode(SMOOTH, bitspersample=12),
        uid.HTJ2K: imagecodecs.jpeg2k_encode(GRAY, codecformat="j2k"),
    }
    bits = 16 if syntax == uid.JPEGExtended12Bit else 8
    data = packed(syntax, frames[syntax], rows=48, columns=64, _100=bits, _101=bits)
    path = write(tmp_path / "a.dcm", data)
    code = (
        "import sys; sys.modules['imagecodecs'] = None; from pathlib import Path; from vlmcli.pictures import images\n"
        "from vlmcli.errors import SourceError\n"
        "try: images.load(Path(sys.argv[1]))\nexcept SourceError as error: print(error, error.hint)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=False)
    assert done.stdout.startswith(f"{path}: {syntax.name} needs a decoder that is not installed"), done
    assert "pip install 'vlmcli[dicom]'" in done.stdout
    assert images.load(path).size == (64, 48)
