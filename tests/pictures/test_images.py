"""Files to pictures: upright, RGB, bounded, or an error that names the file."""

import hashlib

import numpy as np
from PIL import Image

from tests.support.files import array
from vlmcli.pictures import images

PIXELS = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3) * 3


def test_a_png_comes_out_as_it_is(tmp_path):
    path = tmp_path / "a.png"
    Image.fromarray(PIXELS).save(path)
    picture = images.load(path)
    assert (array(picture) == PIXELS).all()
    assert picture.size == (6, 4)
    assert picture.source == str(path)
    assert picture.identity == hashlib.sha256(b"6x4\n" + PIXELS.tobytes()).hexdigest()


def test_equal_pixels_have_one_identity_whatever_the_file(tmp_path):
    for name in ("a.png", "b.bmp"):
        Image.fromarray(PIXELS).save(tmp_path / name)
    assert images.load(tmp_path / "a.png") == images.load(tmp_path / "b.bmp")
    turned = images.from_pixels(PIXELS.tobytes(), (4, 6), "")
    assert turned.identity != images.load(tmp_path / "a.png").identity
