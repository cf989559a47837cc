"""One colour of a PNG that is see-through is so in every depth, and nothing else is."""

import struct
import zlib

import numpy as np
import pytest

from tests.support.files import array, write
from vlmcli.pictures import images

RANDOM = np.random.default_rng(21)


def png(path, values, bits, color):
    """A PNG of grey or RGB numbers of so many bits, with a tRNS chunk."""
    height, width = values.shape[:2]
    if bits == 16:
        lines = [row.astype(">u2").tobytes() for row in values]
    else:
        lines = [np.packbits((row.reshape(-1, 1) >> np.arange(bits)[::-1] & 1).astype(np.uint8)).tobytes()
                 for row in values]  # fmt: skip

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = struct.pack(">IIBBBBB", width, height, bits, 0 if values.ndim == 2 else 2, 0, 0, 0)
    key = struct.pack(f">{len(color)}H", *color)
    pixels = zlib.compress(b"".join(b"\0" + line for line in lines))
    parts = (b"IHDR", head), (b"tRNS", key), (b"IDAT", pixels), (b"IEND", b"")
    return write(path, b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts))


@pytest.mark.parametrize("color", [0, 1, -2, -1])
@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
def test_a_grey(tmp_path, bits, color):
    """All other numbers stay opaque, the next ones too."""
    most = (1 << bits) - 1
    color %= most + 1
    values = RANDOM.integers(0, most + 1, (40, 37))
    values[:12, :30] = color
    values[12:14] = min(color + 1, most)
    ground = 0 if (bits, color) == (1, 0) else 255  # white on nothing is laid on black
    shown = np.where(values == color, ground, np.floor(values * 255 / most) if bits < 16 else values >> 8)
    found = array(images.load(png(tmp_path / "a.png", values, bits, (color,))))
    assert np.abs(found - shown[..., None]).max() <= 1


@pytest.mark.parametrize("color", [(0, 0, 0), (1, 2, 3), (255, 0, 77), (254, 254, 254)])
@pytest.mark.parametrize("bits", [8, 16])
def test_an_rgb(tmp_path, bits, color):
    """Of 16 bits, numbers whose lower bytes differ stay opaque."""
    scale = 257 if bits == 16 else 1
    values = RANDOM.integers(0, 256, (600, 37, 3)) * scale
    key = np.array(color) * scale
    values[300:320, :30] = key
    if bits == 16:
        values[300:304, :30, 2] ^= 1
    shown = np.where((values == key).all(-1, keepdims=True), 255, values // scale if bits == 8 else values >> 8)
    found = array(images.load(png(tmp_path / "a.png", values, bits, tuple(key))))
    assert np.abs(found - shown).max() <= 1


@pytest.mark.parametrize("bits", [2, 4, 8, 16])
def test_a_large_one_that_is_scaled_down(tmp_path, bits):
    """Scaling mixes colours; which are see-through is known before."""
    most = (1 << bits) - 1
    key = most // 3
    values = np.zeros((16, 5000), np.int64)
    values[:, 1::2] = most
    values[:8] = key
    found = array(images.load(png(tmp_path / "a.png", np.repeat(values, 3, 0), bits, (key,)), bound=2500))
    assert (found[:10] == 255).all()
    assert (np.abs(found[-8:].astype(int) - 127) < 40).all()
