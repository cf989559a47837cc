"""Sixteen bits become eight: by the bits that are used, which is said, and a dark photo stays dark."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from tests.support.files import array, write
from vlmcli.pictures import depth, images


@pytest.mark.parametrize(
    ("greatest", "said", "used"),
    [(65535, 0, 16), (4096, 0, 16), (16383, 0, 16), (4095, 0, 12), (1024, 0, 12), (1023, 0, 10), (256, 0, 10),
     (255, 0, 8), (128, 0, 8), (127, 0, 7), (5, 0, 3), (1, 0, 1), (0, 0, 16),
     (9000, 16383, 14), (900, 4095, 12), (900, 4000, 10), (5000, 4095, 16), (65535, 65535, 16)],
)  # fmt: skip
def test_the_bits_that_are_used(greatest, said, used):
    assert depth.used_bits(greatest, 16, said) == used


@pytest.mark.parametrize("bits", range(1, 17))
def test_the_least_is_black_and_the_greatest_white(bits):
    top = (1 << bits) - 1
    found = depth.scaled(np.array([0, top // 2, top], np.uint16), bits)
    assert (found[0], found[2]) == (0, 255)
    assert abs(int(found[1]) - top // 2 / top * 255) <= 1


def test_channels_are_stretched_alike_and_it_is_said():
    values = np.zeros((2, 2, 3), np.uint16)
    values[0, 0] = 4095, 2048, 255
    found, told = depth.to_8_bits(values)
    assert found[0, 0].tolist() == [255, 128, 15]
    assert "12 of its 16 bits" in told
    found, told = depth.to_8_bits(values + 4096)
    assert not told
    assert found[0, 0].tolist() == [31, 24, 16]


@pytest.mark.parametrize("mode", ["I;16", "I;16B", "I"])
def test_an_image_of_pillow(mode):
    values = np.array([[0, 700, 1000]])
    image = Image.frombytes(mode, (3, 1), values.astype({"I;16": "<u2", "I;16B": ">u2", "I": "=i4"}[mode]).tobytes())
    image.info["gamma"] = 1
    found, told = depth.of_image(image)
    assert (found.mode, found.info) == ("L", {"gamma": 1})
    assert np.asarray(found).tolist() == [[0, 175, 250]]
    assert "10 of its 16 bits" in told


def png(path, values, color):
    """A PNG of 16 bits a channel, without a filter."""
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    size = struct.pack(">IIBBBBB", values.shape[1], values.shape[0], 16, color, 0, 0, 0)
    chunks = (b"IHDR", size), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")
    parts = (
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )
    return write(path, b"\x89PNG\r\n\x1a\n" + b"".join(parts))


@pytest.mark.parametrize(("color", "channels"), [(0, 1), (2, 3), (6, 4), (4, 2)])
@pytest.mark.parametrize("bits", [8, 10, 12, 16])
def test_a_png_of_sixteen_bits_is_shown_by_the_bits_it_uses(tmp_path, color, channels, bits):
    values = np.random.default_rng(bits).integers(0, 1 << bits, (40, 50, channels), np.uint16)
    values[0, 0] = (1 << bits) - 1
    if color in (4, 6):
        values[..., -1] = 65535
    picture = images.load(png(tmp_path / "a.png", values, color))
    shades = values[..., :-1] if color in (4, 6) else values
    wanted = np.broadcast_to(shades >> (bits - 8), (40, 50, 3)).astype(int)
    if color == 4 and bits < 16:  # of grey with an alpha Pillow keeps the upper bytes only: its last bits are lost
        wanted = np.broadcast_to(shades >> 8 << 8 >> (bits - 8), (40, 50, 3)).astype(int)
    if (color, bits) == (4, 8):
        assert "same colour" in picture.notices[0]
        return
    assert np.abs(array(picture).astype(int) - wanted).max() <= 1
    assert [f"only {bits} of its 16 bits are used" in text for text in picture.notices] == [True] * (bits < 16)
    assert all(text.startswith(f"{tmp_path / 'a.png'}: ") for text in picture.notices)


def test_a_large_picture_is_stretched_before_it_is_scaled(tmp_path):
    """What scaling adds at edges must not hide that only 12 bits are used."""
    values = np.zeros((300, 9000, 1), np.uint16)
    values[:, ::7] = 4095
    picture = images.load(png(tmp_path / "a.png", values, 0), bound=512)
    assert "only 12 of its 16 bits" in picture.notices[0]
    assert array(picture).mean() > 25
