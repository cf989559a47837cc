"""Sixteen bits become eight: by the bits that are used, which is said, and a dark photo stays dark."""

import numpy as np
import pytest
from PIL import Image

from vlmcli.pictures import depth


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
