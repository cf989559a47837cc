"""Every format, mode and orientation: the pixels of a `Picture` against a reference made with numpy alone."""

import io
import struct

import numpy as np
import pillow_heif
import pytest
from PIL import Image, ImageCms

from tests.support.files import (
    BLACK,
    BLUE,
    FIELDS,
    GRAY,
    GREEN,
    INDEX,
    NOISE,
    RED,
    TABLE,
    UNDO,
    WHITE,
    array,
    cmyk,
    of,
    palette,
    pdf,
    thrice,
)
from vlmcli.errors import SourceError
from vlmcli.pictures import images

ALPHA = np.random.default_rng(1).integers(0, 256, (48, 64), np.uint8)
ALPHA[:, :8], ALPHA[:, 8:16] = 0, 255
SIXTEEN = np.random.default_rng(2).integers(0, 65536, (48, 64), np.uint16)
ON_WHITE = ((NOISE.astype(int) * ALPHA[..., None] + 255 * (255 - ALPHA[..., None].astype(int))) / 255 + 0.5).astype(int)
GRAY_ON_WHITE = ((GRAY.astype(int) * ALPHA + 255 * (255 - ALPHA.astype(int))) / 255 + 0.5).astype(int)


def two(gray, alpha):
    return Image.merge("LA", [Image.fromarray(gray), Image.fromarray(alpha)])


def bilevel():
    return Image.fromarray(((GRAY > 127) * 255).astype(np.uint8)).convert("1", dither=Image.Dither.NONE)


def with_key(image, name, key):
    """A picture one of whose colours is see-through."""
    image.info["transparency"] = key
    return image


SEEN = np.arange(16) != 5  # palette entry 5 is see-through
BILEVEL = thrice((GRAY > 127) * 255)

# name → (picture, how it is saved, the pixels it must have)
LOSSLESS = {
    "rgb.png": (of(NOISE), {}, NOISE),
    "fast.png": (of(NOISE), {"compress_level": 0}, NOISE),
    "gray.png": (Image.fromarray(GRAY), {}, thrice(GRAY)),
    "rgba.png": (of(NOISE, ALPHA), {}, ON_WHITE),
    "la.png": (two(GRAY, ALPHA), {}, thrice(GRAY_ON_WHITE)),
    "sixteen.png": (Image.fromarray(SIXTEEN), {}, thrice(SIXTEEN >> 8)),
    "one.png": (bilevel(), {}, BILEVEL),
    "palette.png": (palette(), {}, TABLE[INDEX]),
    "palette4.png": (palette(), {"bits": 4}, TABLE[INDEX]),
    "key.png": (palette(), {"transparency": 5}, np.where(SEEN[INDEX][..., None], TABLE[INDEX], 255)),
    "rgbkey.png": (of(FIELDS), {"transparency": RED}, np.where((FIELDS == RED).all(-1)[..., None], 255, FIELDS)),
    "graykey.png": (Image.fromarray(GRAY), {"transparency": 9}, thrice(np.where(GRAY == 9, 255, GRAY))),
    "rgb.bmp": (of(NOISE), {}, NOISE),
    "gray.bmp": (Image.fromarray(GRAY), {}, thrice(GRAY)),
    "palette.bmp": (palette(), {}, TABLE[INDEX]),
    "one.bmp": (bilevel(), {}, BILEVEL),
    "rgba.bmp": (of(NOISE, ALPHA), {}, NOISE),  # in its header, the fourth byte means nothing
    "palette.gif": (palette(), {}, TABLE[INDEX]),
    "interlaced.gif": (palette(), {"interlace": 1}, TABLE[INDEX]),
    "key.gif": (palette(), {"transparency": 5}, np.where(SEEN[INDEX][..., None], TABLE[INDEX], 255)),
    "gray.gif": (Image.fromarray(GRAY), {}, thrice(GRAY)),
    "rgb.tif": (of(NOISE), {}, NOISE),
    "lzw.tif": (of(NOISE), {"compression": "tiff_lzw"}, NOISE),
    "deflate.tif": (of(NOISE), {"compression": "tiff_adobe_deflate"}, NOISE),
    "gray.tif": (Image.fromarray(GRAY), {}, thrice(GRAY)),
    "sixteen.tif": (Image.fromarray(SIXTEEN), {}, thrice(SIXTEEN >> 8)),
    "one.tif": (bilevel(), {"compression": "group4"}, BILEVEL),
    "palette.tif": (palette(), {}, TABLE[INDEX]),
    "rgba.tif": (of(NOISE, ALPHA), {}, ON_WHITE),
    "cmyk.tif": (cmyk(NOISE), {}, NOISE),
    "la.tif": (two(GRAY, ALPHA), {}, thrice(GRAY_ON_WHITE)),
    "rgb.webp": (of(NOISE), {"lossless": True}, NOISE),
    "rgba.webp": (of(NOISE, ALPHA), {"lossless": True, "exact": True}, ON_WHITE),
}  # fmt: skip

LOSSY = {
    "rgb.jpg": (of(FIELDS), {"quality": 95, "subsampling": 0}, FIELDS),
    "half.jpg": (of(FIELDS), {"quality": 95, "subsampling": 2}, FIELDS),
    "progressive.jpg": (of(FIELDS), {"quality": 95, "progressive": True}, FIELDS),
    "gray.jpg": (Image.fromarray(FIELDS[..., 2]), {"quality": 95}, thrice(FIELDS[..., 2])),
    "cmyk.jpg": (cmyk(FIELDS), {"quality": 95}, FIELDS),
    "mpo.jpg": (of(FIELDS), {"format": "MPO", "save_all": True, "append_images": [of(NOISE)], "quality": 95}, FIELDS),
    "rgb.webp": (of(FIELDS), {"quality": 95}, FIELDS),
    "rgb.avif": (of(FIELDS), {"quality": 95}, FIELDS),
    "rgba.avif": (of(FIELDS, np.full((48, 64), 255, np.uint8)), {"quality": 95}, FIELDS),
    "rgb.heic": (of(FIELDS), {"quality": 95}, FIELDS),
    "gray.heic": (Image.fromarray(FIELDS[..., 2]), {"quality": 95}, thrice(FIELDS[..., 2])),
    "rgba.heic": (of(FIELDS, np.full((48, 64), 255, np.uint8)), {"quality": 95}, FIELDS),
}


@pytest.fixture(autouse=True, scope="module")
def _writes_heic():
    pillow_heif.register_heif_opener()


@pytest.mark.parametrize("name", LOSSLESS)
def test_a_lossless_file_gives_exactly_its_pixels(tmp_path, name):
    image, how, wanted = LOSSLESS[name]
    image.save(tmp_path / name, **how)
    assert (array(images.load(tmp_path / name)) == wanted).all()


@pytest.mark.parametrize("name", LOSSY)
def test_a_lossy_file_gives_nearly_its_pixels(tmp_path, name):
    image, how, wanted = LOSSY[name]
    image.save(tmp_path / name, **how)
    off = np.abs(array(images.load(tmp_path / name)).astype(int) - wanted)
    assert off.mean() < 4
    assert (off.max(-1) > 40).mean() < 0.12  # where fields meet


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["jpg", "png", "webp", "tif", "heic", "avif"])
def test_orientation_is_undone(tmp_path, kind, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = np.ascontiguousarray(UNDO[orientation](FIELDS))
    how = {"lossless": True} if kind == "webp" else {} if kind in ("png", "tif") else {"quality": 95}
    if kind == "tif":
        how["tiffinfo"] = {0x0112: orientation}
    else:
        how["exif"] = exif.tobytes()
    path = tmp_path / f"turned.{kind}"
    Image.fromarray(stored).save(path, **how)
    found = array(images.load(path))
    assert found.shape == FIELDS.shape
    off = np.abs(found.astype(int) - FIELDS)
    assert off.max() == 0 if kind in ("png", "tif", "webp") else off.mean() < 4


def test_a_wide_gamut_becomes_srgb(tmp_path):
    """The brightest red of sRGB, written in a profile whose red and green are swapped."""
    swapped = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    count = struct.unpack(">I", swapped[128:132])[0]
    tags = {bytes(swapped[at : at + 4]): at for at in range(132, 132 + 12 * count, 12)}
    swapped[tags[b"rXYZ"] : tags[b"rXYZ"] + 4], swapped[tags[b"gXYZ"] : tags[b"gXYZ"] + 4] = b"gXYZ", b"rXYZ"
    profile = bytes(swapped).replace("sRGB built-in".encode("utf-16-be"), "Odd  built-in".encode("utf-16-be"))
    assert profile != bytes(swapped)
    for name in ("odd.png", "odd.tif", "odd.webp"):
        of(FIELDS).save(tmp_path / name, icc_profile=profile, **({"lossless": True} if "webp" in name else {}))
        found = array(images.load(tmp_path / name)).astype(int)
        assert np.abs(found[:24, :32] - GREEN).max() <= 2
        assert np.abs(found[:24, 32:] - RED).max() <= 2
        assert np.abs(found[24:, :32] - BLUE).max() <= 2


def test_a_damaged_profile_is_said_and_left_out(tmp_path, caplog):
    of(NOISE).save(tmp_path / "a.png", icc_profile=b"not a profile at all")
    assert (array(images.load(tmp_path / "a.png")) == NOISE).all()
    assert "its colour profile cannot be used" in caplog.text


def test_an_srgb_profile_changes_nothing(tmp_path):
    of(NOISE).save(tmp_path / "a.png", icc_profile=ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    assert (array(images.load(tmp_path / "a.png")) == NOISE).all()


@pytest.mark.parametrize("kind", ["gif", "tif", "webp", "png"])
def test_another_frame_has_its_number(tmp_path, kind):
    path = tmp_path / f"frames.{kind}"
    colors = (RED, GREEN, BLUE)
    frames = [Image.new("RGB", (20, 20), color) for color in colors]
    how = {"lossless": True} if kind == "webp" else {}
    frames[0].save(path, save_all=True, append_images=frames[1:], **how)
    assert tuple(array(images.load(path))[0, 0]) == RED
    for number, color in enumerate(colors, 1):
        assert tuple(array(images.load(path, frame=number))[5, 5]) == color
    with pytest.raises(SourceError, match=r"there is no number 4; the file has 3 (frames|pages)"):
        images.load(path, frame=4)


def test_pages_of_a_pdf_are_drawn_on_white(tmp_path):
    path = tmp_path / "two.pdf"
    pdf(path, ((360, 180), RED), ((180, 360), BLUE))
    assert images.pages(path) == (1, 2)
    for number, size, color in ((1, (1000, 500), RED), (2, (500, 1000), BLUE)):
        picture = images.load(path, frame=number)
        assert picture.size == size
        found = array(picture)
        assert tuple(found[10, 10]) == color
        assert tuple(found[10, -10]) == WHITE
    with pytest.raises(SourceError, match="a PDF of 2 pages") as caught:
        images.load(path)
    assert "#1" in caught.value.hint
    with pytest.raises(SourceError, match="there is no page 3; the PDF has 2 pages"):
        images.load(path, frame=3)


def test_the_only_page_of_a_pdf_needs_no_number_and_a_poster_is_bounded(tmp_path):
    pdf(tmp_path / "poster.pdf", ((14_400, 7_200), GREEN))
    picture = images.load(tmp_path / "poster.pdf")
    assert picture.size == (images.BOUND, images.BOUND // 2)
    assert tuple(array(picture)[9, 9]) == GREEN


def test_a_picture_has_no_pages(tmp_path):
    of(NOISE).save(tmp_path / "a.png")
    assert images.pages(tmp_path / "a.png") == ()


@pytest.mark.parametrize("kind", ["jpg", "png"])
def test_a_large_picture_is_scaled_to_the_bound_and_stays_upright(tmp_path, kind):
    wide = np.zeros((1200, 9000, 3), np.uint8)
    wide[:600, :4500], wide[600:, 4500:] = RED, BLUE
    exif = Image.Exif()
    exif[0x0112] = 6
    path = tmp_path / f"large.{kind}"
    Image.fromarray(np.ascontiguousarray(np.rot90(wide))).save(path, exif=exif.tobytes())
    picture = images.load(path)
    assert picture.size[0] == images.BOUND
    assert abs(picture.size[1] - images.BOUND / 7.5) <= 1
    found = array(picture).astype(int)
    for at, color in (((100, 100), RED), ((500, 100), BLACK), ((100, 4000), BLACK), ((500, 4000), BLUE)):
        assert np.abs(found[at] - color).max() < 6


@pytest.mark.parametrize("kind", ["jpg", "png", "heic", "pdf"])
def test_a_picture_can_be_scaled_down_and_never_up(tmp_path, kind):
    """Red above, blue below, lying on its side; 3:2 upright."""
    path = tmp_path / f"a.{kind}"
    if kind == "pdf":
        pdf(path, ((108, 72), RED))
    else:
        upright = np.full((400, 600, 3), RED, np.uint8)
        upright[200:] = BLUE
        exif = Image.Exif()
        exif[0x0112] = 6
        Image.fromarray(np.ascontiguousarray(np.rot90(upright))).save(path, exif=exif.tobytes())
    whole = images.load(path).size
    for bound, size in ((96, (96, 64)), (whole[0] - 1, None), (10_000, whole), (0, whole)):
        picture = images.load(path, bound=bound)
        if size is None:  # of which PDFium rounds the height up
            size = bound, picture.size[1]
            assert 0 <= picture.size[1] - bound * whole[1] / whole[0] + 0.5 < 1.5
        assert picture.size == size
        found = array(picture).astype(int)
        assert np.abs(found[2, 2] - RED).max() < 6
        assert np.abs(found[-3, -3] - (WHITE if kind == "pdf" else BLUE)).max() < 6


def test_a_name_may_lie(tmp_path):
    data = io.BytesIO()
    of(NOISE).save(data, "PNG")
    (tmp_path / "really.heic").write_bytes(data.getvalue())
    assert (array(images.load(tmp_path / "really.heic")) == NOISE).all()
    of(FIELDS).save(tmp_path / "a.heic", quality=95)
    (tmp_path / "a.heic").rename(tmp_path / "a.jpg")
    assert images.load(tmp_path / "a.jpg").size == (64, 48)
