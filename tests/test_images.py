"""Files to pictures: upright, RGB, bounded, or an error that names the file."""

import hashlib

import numpy as np
import pytest
from PIL import Image

from vlmcli import images
from vlmcli.errors import SourceError

PIXELS = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3) * 3


def array(picture):
    width, height = picture.size
    return np.frombuffer(picture.pixels(), np.uint8).reshape(height, width, 3)


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


def write(path, data):
    path.write_bytes(data)
    return path


def cut_png(tmp_path):
    path = tmp_path / "cut.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)).save(path)
    return write(path, path.read_bytes()[:4000])


def cut_jpeg(tmp_path):
    path = tmp_path / "cut.jpg"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)).save(path)
    return write(path, path.read_bytes()[:2000])


def strip(tmp_path):
    path = tmp_path / "strip.png"
    Image.new("L", (2001, 10)).save(path)
    return path


def bomb(tmp_path):
    path = tmp_path / "bomb.png"
    Image.new("1", (10_001, 10_001)).save(path)
    return path


def numbers(tmp_path):
    path = tmp_path / "numbers.tif"
    Image.fromarray(np.linspace(0, 1, 64, dtype=np.float32).reshape(8, 8)).save(path)
    return path


def fifo(tmp_path):
    import os

    if not hasattr(os, "mkfifo"):
        pytest.skip("no FIFOs here")
    os.mkfifo(tmp_path / "fifo.png")
    return tmp_path / "fifo.png"


BAD = {
    "missing": (lambda folder: folder / "none.png", "no such file"),
    "folder": (lambda folder: folder, "folder"),
    "empty": (lambda folder: write(folder / "empty.png", b""), "empty"),
    "text": (lambda folder: write(folder / "text.jpg", b"hello"), "not a picture"),
    "cut PNG": (cut_png, "cannot be read"),
    "cut JPEG": (cut_jpeg, "cannot be read"),
    "strip": (strip, "strip"),
    "bomb": (bomb, "million pixels"),
    "32-bit numbers": (numbers, "32-bit numbers"),
    "PostScript": (
        lambda folder: write(folder / "a.eps", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"),
        "not a pic",
    ),
    "FIFO": (fifo, "not a regular file"),
}


@pytest.mark.parametrize("what", BAD)
def test_what_cannot_be_read_is_named_and_explained(tmp_path, what):
    make, says = BAD[what]
    path = make(tmp_path)
    with pytest.raises(SourceError) as caught:
        images.load(path)
    assert str(path) in caught.value.message
    assert says in caught.value.message
    assert caught.value.hint
