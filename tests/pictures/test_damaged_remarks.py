"""What a file says beside its picture may be damaged: EXIF, texts, a profile. The picture is shown all the same."""

import logging
import struct
import zlib

import numpy as np
import pillow_heif
import pytest
from PIL import Image

from tests.support.files import FIELDS, NOISE, array, of, write
from tests.support.zeros import packed_zeros
from vlmcli.errors import SourceError
from vlmcli.pictures import images

BAD_EXIF = {
    "no header": b"Exif\0\0Lorem ipsum dolor sit amet",
    "a directory behind the end": b"Exif\0\0II*\0\xff\xff\xff\x7f",
    "cut in its directory": b"Exif\0\0II*\0\x08\0\0\0\x05\0\x12\x01\x03\0",
    "an orientation that is none": b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x63\0\0\0\0\0\0\0",
    "an orientation of words": b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x02\0\x02\0\0\0a\0\0\0\0\0\0\0",
}


@pytest.mark.parametrize("kind", ["jpg", "png", "webp", "heic", "avif"])
@pytest.mark.parametrize("name", BAD_EXIF)
def test_a_picture_whose_exif_is_damaged_is_shown_as_it_is(tmp_path, name, kind, caplog):
    path = tmp_path / f"a.{kind}"
    if kind == "heic":
        pillow_heif.register_heif_opener()
    of(FIELDS).save(path, **({"lossless": True} if kind == "webp" else {"quality": 95} if kind != "png" else {}))
    if kind == "png":
        data = path.read_bytes()
        write(path, data[:33] + chunk(b"eXIf", BAD_EXIF[name][6:]) + data[33:])
    elif kind == "jpg":
        data = path.read_bytes()
        write(path, data[:2] + b"\xff\xe1" + struct.pack(">H", 2 + len(BAD_EXIF[name])) + BAD_EXIF[name] + data[2:])
    else:
        good = b"Exif\0\0II*\0\x08\0\0\0" + bytes(32)  # Pillow reads it before it writes it
        of(FIELDS).save(path, exif=good, **({"lossless": True} if kind == "webp" else {"quality": 95}))
        data = path.read_bytes()
        assert data.count(good[6:]) == 1
        write(path, data.replace(good[6:], BAD_EXIF[name][6:].ljust(len(good) - 6, b"\0")))
    with caplog.at_level(logging.WARNING):
        found = array(images.load(path)).astype(int)
    assert np.abs(found - FIELDS).mean() < 4
    assert images.facts(path).orientation == 1


def chunk(kind, data, checksum=None):
    found = zlib.crc32(kind + data) if checksum is None else checksum
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", found)


DAMAGED = {
    "a packed text in no known way": chunk(b"zTXt", b"Comment\0\x07" + b"abc"),
    "a text that does not unpack": chunk(b"zTXt", b"Comment\0\0" + b"abcdef"),
    "an international text of junk": chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + b"abcdef"),
    "a wrong checksum of a text": chunk(b"tEXt", b"Comment\0hello", 1),
    "a wrong checksum of a gamma": chunk(b"gAMA", struct.pack(">I", 100_000), 1),
    "an empty gamma": chunk(b"gAMA", b""),
    "a short chromaticity": chunk(b"cHRM", bytes(20)),
    "a short sRGB": chunk(b"sRGB", b""),
    "empty dimensions": chunk(b"pHYs", b""),
    "a profile packed in no known way": chunk(b"iCCP", b"mine\0\x07abc"),
    "a profile that does not unpack": chunk(b"iCCP", b"mine\0\0abcdef"),
    "an empty animation": chunk(b"acTL", b""),
    "a text that unpacks to a hundred megabytes": chunk(b"zTXt", b"a\0\0" + packed_zeros(100)),
}  # fmt: skip


@pytest.mark.parametrize("behind", [False, True], ids=["before the pixels", "behind them"])
@pytest.mark.parametrize("name", DAMAGED)
def test_a_png_whose_remarks_are_damaged_is_shown(tmp_path, name, behind):
    of(NOISE).save(tmp_path / "a.png")
    data = (tmp_path / "a.png").read_bytes()
    at = len(data) - 12 if behind else 33
    path = write(tmp_path / "b.png", data[:at] + DAMAGED[name] + data[at:])
    assert (array(images.load(path)) == NOISE).all()
    assert images.facts(path).size == (64, 48)


def test_what_says_something_of_the_pixels_is_kept(tmp_path):
    """Beside a damaged text: the colours that are see-through, the orientation, the gamma."""
    image = Image.fromarray(np.repeat(np.arange(48, dtype=np.uint8)[:, None], 64, 1), "P")
    image.putpalette([shade * 5 for shade in range(48) for _ in range(3)])
    exif = Image.Exif()
    exif[0x0112] = 6
    image.save(tmp_path / "a.png", transparency=47, exif=exif)
    data = (tmp_path / "a.png").read_bytes()
    gamma = chunk(b"gAMA", struct.pack(">I", 100_000))
    whole = write(tmp_path / "whole.png", data[:33] + gamma + data[33:])
    damaged = write(tmp_path / "b.png", data[:33] + gamma + DAMAGED["a wrong checksum of a text"] + data[33:])
    assert images.load(damaged).size == (48, 64)
    assert images.load(damaged) == images.load(whole)


def test_a_png_whose_picture_is_damaged_is_an_error_still(tmp_path):
    of(NOISE).save(tmp_path / "a.png")
    data = (tmp_path / "a.png").read_bytes()
    text = DAMAGED["a wrong checksum of a text"]
    for damaged in {
        "cut": data[:33] + text + data[33:-400],
        "a bit of its pixels": data[:33] + text + data[33:200] + bytes([data[200] ^ 4]) + data[201:],
        "its header": data[:16] + bytes([data[16] ^ 1]) + data[17:33] + text + data[33:],
    }.values():
        with pytest.raises(SourceError, match=r"c\.png"):
            images.load(write(tmp_path / "c.png", damaged))
