"""Bitmaps of every layout are the picture that their header and their masks, palette or run lengths say."""

import io
import struct

import numpy as np
import pytest
from PIL import Image, ImageCms

from tests.support.files import FIELDS, INDEX, NOISE, TABLE, array, write
from vlmcli.errors import SourceError
from vlmcli.pictures import images

ALPHA = np.random.default_rng(7).integers(0, 256, NOISE.shape[:2], np.uint8)
WIDTH, HEIGHT = 61, 48
"""Rows of 61 pixels end within four bytes, whatever their bits are."""
RGB = NOISE[:, :WIDTH]


def bmp(path, body, *, size=40, shape=(WIDTH, HEIGHT), bits=24, packed=0, colors=0, middle=b"", rest=b"", more=None):
    """A bitmap: its headers, `middle` (masks, a palette), the pixels, and what comes behind them."""
    width, height = shape
    if size == 12:
        head = struct.pack("<IHHHH", 12, width, height, 1, bits)
    else:
        head = struct.pack("<IiiHHIIiiII", size, width, height, 1, bits, packed, len(body), 0, 0, colors, 0)
        head = (head + (more or b""))[:size].ljust(size, b"\0")
    start = 14 + len(head) + len(middle)
    return write(path, struct.pack("<2sIHHI", b"BM", start + len(body), 0, 0, start) + head + middle + body + rest)


def rows(numbers, bits, *, down=False):
    """Pixels of so many bits as the file has them: each row ends at four bytes, the lowest row first."""
    out = b""
    for row in numbers if down else numbers[::-1]:
        if bits < 8:
            row = np.packbits((row[:, None] >> np.arange(bits)[::-1] & 1).astype(np.uint8))
        else:
            row = row.astype("<u4").view(np.uint8).reshape(-1, 4)[:, : bits // 8]
        line = row.tobytes()
        out += line + bytes(-len(line) % 4)
    return out


def spread(channel, mask):
    """Numbers from 0 to 255 as the bits of a mask, and the numbers that are then in the file, from 0 to 255."""
    places = [bit for bit in range(32) if mask >> bit & 1]
    most = (1 << len(places)) - 1
    stored = np.rint(channel / 255 * most).astype(np.int64) if places else np.zeros(channel.shape, np.int64)
    shown = np.rint(stored * 255 / most) if places else stored
    return stored << (places[0] if places else 0), shown


def masked(rgb, alpha, masks):
    """What the file has for each pixel, and what it shows on white."""
    parts = [spread(channel, mask) for channel, mask in zip((*np.moveaxis(rgb, 2, 0), alpha), masks, strict=True)]
    stored = sum(part[0] for part in parts)
    cover = parts[3][1][..., None] / 255 if masks[3] else 1.0
    return stored, np.dstack([part[1] for part in parts[:3]]) * cover + 255 * (1 - cover)


MASKS = {
    "565": (16, (0xF800, 0x7E0, 0x1F, 0)),
    "555": (16, (0x7C00, 0x3E0, 0x1F, 0)),
    "444": (16, (0xF00, 0xF0, 0xF, 0)),
    "4444": (16, (0xF00, 0xF0, 0xF, 0xF000)),
    "1555": (16, (0x7C00, 0x3E0, 0x1F, 0x8000)),
    "231": (16, (0x3, 0x38, 0x40, 0)),
    "no blue": (16, (0xFF, 0xFF00, 0, 0)),
    "24 bits, the other way": (24, (0xFF, 0xFF00, 0xFF0000, 0)),
    "24 bits, 6 each": (24, (0xFC0000, 0x3F000, 0xFC0, 0)),
    "10 each": (32, (0x3FF00000, 0xFFC00, 0x3FF, 0)),
    "10 each and 2": (32, (0x3FF, 0xFFC00, 0x3FF00000, 0xC0000000)),
    "11 11 10": (32, (0xFFE00000, 0x1FFC00, 0x3FF, 0)),
    "RGBX": (32, (0xFF, 0xFF00, 0xFF0000, 0)),
    "RGBA": (32, (0xFF, 0xFF00, 0xFF0000, 0xFF000000)),
    "GRBA": (32, (0xFF00, 0xFF, 0xFF0000, 0xFF000000)),
    "8 bits of 20": (32, (0xFFFFF, 0xFF00000, 0xF0000000, 0)),
}


@pytest.mark.parametrize("down", [False, True])
@pytest.mark.parametrize("size", [40, 52, 56, 108, 124])
@pytest.mark.parametrize("name", MASKS)
def test_any_masks_in_any_header(tmp_path, name, size, down):
    bits, masks = MASKS[name]
    if masks[3] and size < 56:  # the mask of an alpha is behind the header only by the compression 6
        packed, said = 6, struct.pack("<4I", *masks)
    else:
        packed, said = 3, struct.pack("<4I", *masks)[: 16 if size >= 56 else 12]
    stored, shown = masked(RGB, ALPHA[:, :WIDTH], masks)
    body = rows(stored, bits, down=down)
    spare = (size - 40) if size < 56 and packed == 6 else min(size - 40, len(said))
    path = bmp(
        tmp_path / "a.bmp", body, size=size, shape=(WIDTH, -HEIGHT if down else HEIGHT), bits=bits, packed=packed,
        more=said[:spare], middle=said[spare:],
    )  # fmt: skip
    picture = images.load(path)
    assert np.abs(array(picture) - shown).max() <= 1
    assert (array(images.load(path.read_bytes())) == array(picture)).all()
    assert images.facts(path).size == (WIDTH, HEIGHT)


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
@pytest.mark.parametrize("size", [12, 16, 40, 64, 108])
def test_palettes_in_any_header(tmp_path, size, bits):
    index = INDEX[:, :WIDTH] & ((1 << bits) - 1)
    table = np.zeros((1 << bits, 3 if size == 12 else 4), np.uint8)
    table[: min(len(table), 16), :3] = TABLE[: len(table), ::-1]
    path = bmp(tmp_path / "a.bmp", rows(index, bits), size=size, bits=bits, middle=table.tobytes())
    assert (array(images.load(path)) == TABLE[index]).all()


@pytest.mark.parametrize("said, stored", [(16, 16), (300, 300), (0, 16), (256, 16), (16, 20), (1, 1), (5000, 16)])
def test_palettes_longer_and_shorter_than_said(tmp_path, said, stored):
    table = np.zeros((max(stored, 16), 4), np.uint8)
    table[:16, :3] = TABLE[:, ::-1]
    index = INDEX[:, :WIDTH] % min(stored, 16)
    path = bmp(tmp_path / "a.bmp", rows(index, 8), bits=8, colors=said, middle=table[:stored].tobytes())
    assert (array(images.load(path)) == TABLE[index]).all()


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_two_colors_black_and_white_are_no_bitmap_of_one_bit(tmp_path, bits):
    index = INDEX[:, :WIDTH] % 2
    path = bmp(tmp_path / "a.bmp", rows(index, bits), bits=bits, colors=2, middle=b"\0\0\0\0\xff\xff\xff\0")
    assert (array(images.load(path)) == index[..., None] * 255).all()


EIGHT = np.zeros((256, 4), np.uint8)
EIGHT[:, :3] = np.random.default_rng(8).integers(0, 256, (256, 3), np.uint8)


def expected(numbers):
    return EIGHT[np.array(numbers), 2::-1]


PACKED = {  # the compression, its bits, the code, and the numbers that it means, from the lowest row
    "runs": (1, 8, b"\3\5\2\7\0\0\5\1\0\0\0\1", [[5, 5, 5, 7, 7], [1] * 5, [0] * 5]),
    "an empty row": (1, 8, b"\5\5\0\0\0\0\5\1\0\1", [[5] * 5, [0] * 5, [1] * 5]),
    "literals": (1, 8, b"\0\3\1\2\3\0\2\4\0\0\0\5\5\6\7\x08\x09\0\0\1", [[1, 2, 3, 4, 4], [5, 6, 7, 8, 9], [0] * 5]),
    "a delta within a row": (1, 8, b"\1\4\0\2\2\0\2\6\0\1", [[4, 0, 0, 6, 6], [0] * 5, [0] * 5]),
    "a delta of rows": (1, 8, b"\1\4\0\2\1\2\2\6\0\1", [[4, 0, 0, 0, 0], [0] * 5, [0, 0, 6, 6, 0]]),
    "too long a run": (1, 8, b"\x09\4\0\0\5\6\0\0\5\7\0\1", [[4] * 5, [6] * 5, [7] * 5]),
    "no end, but all of it": (1, 8, b"\5\4\0\0\5\6\0\0\5\7", [[4] * 5, [6] * 5, [7] * 5]),
    "runs of 4": (2, 4, b"\5\x12\0\0\4\x34\1\x50\0\0\0\1", [[1, 2, 1, 2, 1], [3, 4, 3, 4, 5], [0] * 5]),
    "literals of 4": (2, 4, b"\0\5\x12\x34\x50\0\0\0\0\3\x67\x80\2\x99\0\1",
                      [[1, 2, 3, 4, 5], [6, 7, 8, 9, 9], [0] * 5]),
    "a delta of 4": (2, 4, b"\1\x40\0\2\0\1\2\x67\0\1", [[4, 0, 0, 0, 0], [0, 6, 7, 0, 0], [0] * 5]),
}  # fmt: skip


@pytest.mark.parametrize("odd", [0, 1])
@pytest.mark.parametrize("name", PACKED)
def test_run_lengths(tmp_path, name, odd):
    """Also where the pixels begin at an odd place of the file."""
    packed, bits, code, numbers = PACKED[name]
    middle = EIGHT[: 1 << bits].tobytes() + bytes(odd)
    path = bmp(tmp_path / "a.bmp", code, shape=(5, 3), bits=bits, packed=packed, middle=middle)
    assert (array(images.load(path)) == expected(numbers)[::-1]).all()


def test_run_lengths_of_24_bits(tmp_path):
    code = b"\3\1\2\3\1\4\5\6\1\7\x08\x09\0\0" + b"\0\3" + bytes(range(10, 19)) + b"\0" + b"\2\x20\x21\x22\0\1"
    path = bmp(tmp_path / "a.bmp", code, size=64, shape=(5, 2), bits=24, packed=4)
    low = [[3, 2, 1]] * 3 + [[6, 5, 4], [9, 8, 7]]
    high = [[12, 11, 10], [15, 14, 13], [18, 17, 16]] + [[0x22, 0x21, 0x20]] * 2
    assert (array(images.load(path)) == [high, low]).all()


@pytest.mark.parametrize("name", ["JPEG", "PNG"])
def test_a_jpeg_or_png_within(tmp_path, name):
    kept = io.BytesIO()
    Image.fromarray(FIELDS).save(kept, name)
    path = bmp(tmp_path / "a.bmp", kept.getvalue(), shape=(64, 48), bits=0, packed=4 if name == "JPEG" else 5)
    assert (array(images.load(path)) == array(images.load(kept.getvalue()))).all()
    assert images.facts(path).format == name
    cut = write(tmp_path / "b.bmp", path.read_bytes()[:-200])
    with pytest.raises(SourceError, match=r"b\.bmp"):
        images.load(cut)


def test_an_array_of_bitmaps_is_its_first(tmp_path):
    one = bmp(tmp_path / "a.bmp", rows(INDEX[:, :WIDTH], 8), bits=8, middle=EIGHT.tobytes()).read_bytes()
    moved = one[:10] + struct.pack("<I", struct.unpack_from("<I", one, 10)[0] + 14) + one[14:]
    path = write(tmp_path / "b.bmp", struct.pack("<2sIIHH", b"BA", 40, 0, 0, 0) + moved)
    assert (array(images.load(path)) == array(images.load(one))).all()


def v5(kind, ends=(0,) * 9, gamma=0.0, place=0, length=0):
    """The part of a header of version 5 that is about colours."""
    masks = struct.pack("<4I", 0, 0, 0, 0)
    numbers = [round(end * (1 << 30)) for end in ends]
    curves = [round(gamma * (1 << 16))] * 3
    return masks + kind[::-1] + struct.pack("<9i3I4I", *numbers, *curves, 4, place, length, 0)


PIXELS = rows(RGB[..., 0].astype(np.int64) << 16 | RGB[..., 1].astype(np.int64) << 8 | RGB[..., 2], 24)


def test_a_profile_within_counts(tmp_path):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    rgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    dark = rgb.replace("sRGB built-in".encode("utf-16-be"), "dark one here".encode("utf-16-be"))
    for found, changes in ((rgb, False), (profile, False), (swapped(dark), True)):
        more = v5(b"MBED", place=124 + len(PIXELS), length=len(found))
        path = bmp(tmp_path / "a.bmp", PIXELS, size=124, more=more, rest=found)
        assert (array(images.load(path)) != RGB).any() == changes
    image = Image.fromarray(RGB)
    image.save(tmp_path / "a.png", icc_profile=swapped(dark))
    assert (array(images.load(path)) == array(images.load(tmp_path / "a.png"))).all()


def swapped(profile):
    """The profile with red and green for each other."""
    return profile.replace(b"rXYZ", b"_XYZ").replace(b"gXYZ", b"rXYZ").replace(b"_XYZ", b"gXYZ")


ENDS = (0.64, 0.33, 0.03, 0.30, 0.60, 0.10, 0.15, 0.06, 0.79)
CALIBRATED = {"2.2": (2.2, 2.2), "1.0": (1.0, 1.0), "1.8": (1.8, 1.8), "upside down": (1 / 1.8, 1.8)}


@pytest.mark.parametrize("name", CALIBRATED)
def test_a_calibrated_gamma_counts(tmp_path, name):
    said, gamma = CALIBRATED[name]
    path = bmp(tmp_path / "a.bmp", PIXELS, size=124, more=v5(bytes(4), ENDS, said))
    light = (RGB / 255) ** gamma
    wanted = np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055) * 255
    if gamma == 2.2:
        wanted = RGB
    assert np.abs(array(images.load(path)) - wanted).max() <= 1.01


@pytest.mark.parametrize("more", [v5(bytes(4)), v5(b"sRGB", ENDS, 1.0), v5(b"Win ", ENDS, 1.0), v5(b"LINK", ENDS, 1.0)])
def test_what_says_nothing_is_srgb(tmp_path, more):
    assert (array(images.load(bmp(tmp_path / "a.bmp", PIXELS, size=124, more=more))) == RGB).all()


CUT = {
    "24 bits": {"body": PIXELS},
    "masks": {"body": rows(masked(RGB, ALPHA[:, :WIDTH], MASKS["444"][1])[0], 16),
              "bits": 16, "packed": 3, "middle": struct.pack("<3I", *MASKS["444"][1][:3])},
    "a palette": {"body": rows(INDEX[:, :WIDTH], 4), "bits": 4, "middle": EIGHT[:16].tobytes()},
    "run lengths": {"body": b"\x3d\1\0\0" * HEIGHT + b"\0\1", "bits": 8, "packed": 1, "middle": EIGHT.tobytes()},
}  # fmt: skip


@pytest.mark.parametrize("name", CUT)
def test_a_file_that_is_cut_is_an_error_wherever_it_is_cut(tmp_path, name):
    data = bmp(tmp_path / "a.bmp", **CUT[name]).read_bytes()
    images.load(data)
    for end in [*range(14, 140, 3), *range(140, len(data) - 12, 97), len(data) - 12]:
        with pytest.raises(SourceError, match=r"b\.bmp"):
            images.load(write(tmp_path / "b.bmp", data[:end]))


@pytest.mark.parametrize(
    "given, said",
    [
        ({"shape": (100_000, 100_000)}, "the limit is"),
        ({"shape": (0, 5)}, "0x5 pixels"),
        ({"shape": (-5, 5)}, "-5x5 pixels"),
        ({"bits": 7}, "7 bits per pixel"),
        ({"bits": 16, "packed": 1}, "16 bits per pixel with compression 1"),
        ({"size": 64, "bits": 1, "packed": 3}, "compression Huffman"),
        ({"size": 90}, "a bitmap header of 90 bytes"),
    ],
)
def test_what_is_no_bitmap_is_told_by_name(tmp_path, given, said):
    with pytest.raises(SourceError, match=said):
        images.load(bmp(tmp_path / "a.bmp", PIXELS, **given))


def test_large_ones_are_decoded_in_bands(tmp_path):
    """More pixels than a band has, of bits that end within a byte, from both ends."""
    wide = np.random.default_rng(9).integers(0, 2, (1100, 1501), np.uint8)
    for down in (False, True):
        shape = (1501, -1100 if down else 1100)
        table = b"\0\0\0\0\xff\xff\xff\0"
        path = bmp(tmp_path / "a.bmp", rows(wide, 1, down=down), shape=shape, bits=1, middle=table)
        assert (array(images.load(path)) == wide[..., None] * 255).all()


@pytest.mark.parametrize("code", [b"\1\0", b"\0\2\0\0", b"\0\3\1\1\1\0"])
def test_run_lengths_that_lead_nowhere_end_in_time(tmp_path, monkeypatch, code):
    """Runs behind the end of a row, and steps of nothing."""
    monkeypatch.setattr("vlmcli.pictures.bmp.SECONDS", 0.1)
    path = bmp(tmp_path / "a.bmp", code * 2_000_000, shape=(5, 3), bits=8, packed=1, middle=EIGHT.tobytes())
    with pytest.raises(SourceError, match=r"a\.bmp: cannot be read \(its run lengths take more than 0\.1 s"):
        images.load(path)
