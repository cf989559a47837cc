"""What is see-through is laid on a ground that shows it; what is empty is said to be."""

import struct

import numpy as np
import pytest
from PIL import Image, ImageDraw

from tests.support.files import BLACK, NOISE, WHITE, array, of, write
from vlmcli.pictures import images

SIZE = (160, 120)
GREY = (128, 128, 128)


def drawing(*fills, corners=(0, 0, 0, 0)):
    """Bars of these colours side by side on nothing; what is nothing has the colour of `corners`."""
    image = Image.new("RGBA", SIZE, corners)
    pen = ImageDraw.Draw(image)
    for number, fill in enumerate(fills):
        left = 10 + number * 140 // len(fills)
        pen.rectangle([left, 30, left + 100 // len(fills), 90], fill=fill)
    return image


def ground(path):
    """The colour behind a drawing, and what is said of it."""
    picture = images.load(path)
    return tuple(array(picture)[0, 0]), " ".join(picture.notices)


WHITE_BAR, BLACK_BAR, RED_BAR = (255, 255, 255, 255), (0, 0, 0, 255), (220, 20, 20, 255)
DRAWINGS = {
    "white on nothing": (drawing(WHITE_BAR), BLACK),
    "white on white nothing": (drawing(WHITE_BAR, corners=(255, 255, 255, 0)), BLACK),
    "nearly white": (drawing((250, 250, 246, 255)), BLACK),
    "half seen white": (drawing((255, 255, 255, 128)), BLACK),
    "white and a little red": (drawing(*[WHITE_BAR] * 5, RED_BAR), BLACK),
    "black on nothing": (drawing(BLACK_BAR), WHITE),
    "black on black nothing": (drawing(BLACK_BAR, corners=(0, 0, 0, 0)), WHITE),
    "red on nothing": (drawing(RED_BAR), WHITE),
    "white and black": (drawing(WHITE_BAR, BLACK_BAR), GREY),
    "colours": (drawing(RED_BAR, (20, 90, 220, 255), (10, 140, 40, 255)), WHITE),
}


@pytest.mark.parametrize("kind", ["png", "webp", "tif"])
@pytest.mark.parametrize("name", DRAWINGS)
def test_the_ground_is_one_on_which_the_drawing_is_seen(tmp_path, name, kind):
    image, wanted = DRAWINGS[name]
    path = tmp_path / f"a.{kind}"
    image.save(path, **({"lossless": True, "exact": True} if kind == "webp" else {}))
    found, said = ground(path)
    assert found == wanted
    assert bool(said) == (wanted != WHITE)
    if said:
        assert said.startswith(f"{path}: a transparent picture")
        assert f"shown on {'black' if wanted == BLACK else 'grey'}" in said


def test_grey_and_palette_pictures_have_a_ground_too(tmp_path):
    bar = drawing(WHITE_BAR)
    bar.convert("LA").save(tmp_path / "la.png")
    bar.quantize(4).save(tmp_path / "p.png")
    bar.quantize(4).save(tmp_path / "p.gif")
    for name in ("la.png", "p.png", "p.gif"):
        assert ground(tmp_path / name)[0] == BLACK, name


def test_a_window_with_round_corners_stays_on_white(tmp_path):
    """White, full of text, and nothing at its corners: the usual screenshot."""
    image = Image.new("RGBA", (400, 300), WHITE_BAR)
    pen = ImageDraw.Draw(image)
    for row in range(20, 280, 14):
        pen.line([20, row, 370, row], fill=BLACK_BAR, width=2)
    image.paste((0, 0, 0, 0), (0, 0, 6, 6))
    image.save(tmp_path / "a.png")
    assert ground(tmp_path / "a.png") == (WHITE, "")


def bmp(path, rgb, alpha):
    """A BMP of 32 bits with a mask for its alpha (BITMAPV4HEADER)."""
    rows = np.dstack([rgb[::-1, :, ::-1], np.full(rgb.shape[:2], alpha, np.uint8)]).tobytes()
    masks = struct.pack("<4I", 0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    head = struct.pack("<IiiHHIIiiII", 108, rgb.shape[1], rgb.shape[0], 1, 32, 3, len(rows), 0, 0, 0, 0) + masks
    head = head.ljust(108, b"\0")
    return write(path, b"BM" + struct.pack("<IHHI", 122 + len(rows), 0, 0, 122) + head + rows)


@pytest.mark.parametrize("alpha", [0, 1, 8])
def test_an_alpha_that_is_all_nothing_is_left_out(tmp_path, alpha):
    """Programs leave a BMP's fourth byte at zero; PNGs whose alpha is empty exist, too."""
    of(NOISE, np.full(NOISE.shape[:2], alpha, np.uint8)).save(tmp_path / "a.png")
    for path in (bmp(tmp_path / "a.bmp", NOISE, alpha), tmp_path / "a.png"):
        picture = images.load(path)
        assert (array(picture) == NOISE).all()
        assert picture.notices == (f"{path}: every pixel is transparent; the colours are shown as if opaque",)


def test_half_a_transparency_counts(tmp_path):
    picture = images.load(bmp(tmp_path / "a.bmp", NOISE, 128))
    assert np.abs(array(picture).astype(int) - (NOISE.astype(int) * 128 + 255 * 127) / 255).max() <= 1
    assert picture.notices == ()


EMPTY = {
    "white": Image.new("RGB", SIZE, "white"),
    "black": Image.new("L", SIZE, 0),
    "nothing": Image.new("RGBA", SIZE, (0, 0, 0, 0)),
    "a palette": Image.new("P", SIZE, 3),
    "one bit": Image.new("1", SIZE, 1),
}


@pytest.mark.parametrize("name", EMPTY)
def test_a_picture_of_one_colour_is_said_to_be(tmp_path, name):
    EMPTY[name].save(tmp_path / "a.png")
    assert images.load(tmp_path / "a.png").notices == (
        f"{tmp_path / 'a.png'}: every pixel has the same colour, so there is nothing to see",
    )


def test_a_mask_of_a_few_dark_numbers_is_said_to_show_hardly_anything(tmp_path):
    labels = np.zeros((40, 40), np.uint8)
    labels[10:20], labels[20:] = 2, 5
    Image.fromarray(labels).save(tmp_path / "a.png")
    assert "differ by 5 of 255, so there is hardly anything" in images.load(tmp_path / "a.png").notices[0]
    labels[20:] = 40
    Image.fromarray(labels).save(tmp_path / "a.png")
    assert images.load(tmp_path / "a.png").notices == ()
