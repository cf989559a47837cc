"""AVIF files are cropped as they say, and shown without what only libavif minds."""

import struct

import numpy as np
import pytest
from PIL import Image, UnidentifiedImageError

from tests.support.files import UNDO, array, of, write
from vlmcli.errors import SourceError
from vlmcli.pictures import images

SIZE = (64, 48)
RAMP = np.dstack([np.tile(np.arange(64) * 4, (48, 1)), np.tile(np.arange(48)[:, None] * 5, (1, 64)),
                  np.full((48, 64), 90)]).astype(np.uint8)  # fmt: skip
"""Each place has a colour of its own, and a crop that is one pixel off is another picture."""
ALPHA = np.full((48, 64), 255, np.uint8)
ALPHA[:, 40:] = 0


def saved(path, image, **how):
    image.save(path, quality=100, subsampling="4:4:4", **how)
    return path.read_bytes()


def moved(data, at, more):
    """The file with bytes more at a place: the boxes of properties around it are larger, and all places later."""
    out = bytearray(data[:at] + more + data[at:])
    for name in (b"meta", b"iprp", b"ipco", b"ipma"):
        start = data.index(name) - 4
        size = struct.unpack_from(">I", data, start)[0]
        if start < at <= start + size:  # what is put at the end of a box is in it
            struct.pack_into(">I", out, start, size + len(more))
    iloc = out.index(b"iloc") - 4
    assert out[iloc + 8] == 0 and out[iloc + 12 : iloc + 14] == b"\x44\0", "the form of libavif"
    place = iloc + 16
    for _ in range(struct.unpack_from(">H", out, iloc + 14)[0]):
        extents = struct.unpack_from(">H", out, place + 4)[0]
        for extent in range(place + 6, place + 6 + 8 * extents, 8):
            struct.pack_into(">I", out, extent, struct.unpack_from(">I", out, extent)[0] + len(more))
        place += 6 + 8 * extents
    return bytes(out)


def with_clap(data, *numbers):
    """The file whose first item has a clean aperture, in front of its turning."""
    ipma = data.index(b"ipma") - 4
    box = struct.pack(">I4s4I4i", 40, b"clap", *numbers)
    known, at = 1, data.index(b"ipco") + 4
    while at < ipma:
        at, known = at + struct.unpack_from(">I", data, at)[0], known + 1
    assert at == ipma
    entry = ipma + 18
    data = bytearray(data)
    data[entry] += 1
    return moved(moved(bytes(data), entry + 1, bytes([0x80 | known])), ipma, box)


CROPS = {  # the numbers: width, height, and how far the middle is right and below; and the part of the picture
    "a middle": ((32, 1, 24, 1, 0, 1, 0, 1), (16, 12, 48, 36)),
    "top left": ((20, 1, 10, 1, -22, 1, -19, 1), (0, 0, 20, 10)),
    "bottom right": ((20, 1, 10, 1, 22, 1, 19, 1), (44, 38, 64, 48)),
    "halves": ((31, 1, 23, 1, -33, 2, -25, 2), (0, 0, 31, 23)),
    "odd fractions": ((96, 3, 46, 2, 15, 2, 5, 2), (23, 15, 55, 38)),
    "all": ((64, 1, 48, 1, 0, 1, 0, 1), (0, 0, 64, 48)),
}


@pytest.mark.parametrize("turned", [1, 2, 3, 4, 5, 6, 7, 8])
@pytest.mark.parametrize("name", CROPS)
def test_a_clean_aperture_is_cut_out_before_the_picture_is_turned(tmp_path, name, turned):
    numbers, box = CROPS[name]
    exif = Image.Exif()
    exif[0x0112] = turned
    data = saved(tmp_path / "a.avif", Image.fromarray(RAMP), exif=exif)
    whole = array(images.load(data))
    left, top, right, bottom = box
    wanted = upright(stored(whole, turned)[top:bottom, left:right], turned)
    found = array(images.load(write(tmp_path / "b.avif", with_clap(data, *numbers))))
    assert found.shape == wanted.shape
    assert (found == wanted).all()
    assert np.abs(stored(found, turned).astype(int) - RAMP[top:bottom, left:right]).max() <= 12


def stored(pixels, turned):
    """Upright pixels as they are in the file."""
    return UNDO[turned](pixels)


def upright(pixels, turned):
    return UNDO[{6: 8, 8: 6}.get(turned, turned)](pixels)


@pytest.mark.parametrize("alpha", [True, False])
def test_the_alpha_is_cut_with_the_colours(tmp_path, alpha):
    data = saved(tmp_path / "a.avif", of(RAMP, ALPHA) if alpha else Image.fromarray(RAMP))
    found = array(images.load(with_clap(data, 32, 1, 24, 1, 0, 1, 0, 1)))
    assert (found == array(images.load(data))[12:36, 16:48]).all()
    assert (found[:, 25:] == 255).all() == alpha


@pytest.mark.parametrize(
    "numbers",
    [(80, 1, 24, 1, 0, 1, 0, 1), (32, 0, 24, 1, 0, 1, 0, 1), (32, 1, 24, 1, 40, 1, 0, 1), (0, 1, 0, 1, 0, 1, 0, 1)],
)
def test_an_aperture_that_cannot_be_is_left_out(tmp_path, numbers):
    data = saved(tmp_path / "a.avif", Image.fromarray(RAMP))
    assert (array(images.load(with_clap(data, *numbers))) == array(images.load(data))).all()


def test_a_damaged_aperture_is_a_picture_or_an_error_that_names_it(tmp_path):
    data = with_clap(saved(tmp_path / "a.avif", of(RAMP, ALPHA)), 32, 1, 24, 1, 0, 1, 0, 1)
    at = data.index(b"clap")
    for place in [*range(at - 60, at + 90), *range(data.index(b"pitm") - 8, data.index(b"pitm") + 12)]:
        for value in (0, 1, 255):
            path = write(tmp_path / "b.avif", data[:place] + bytes([value]) + data[place + 1 :])
            try:
                images.load(path)
            except SourceError as error:
                assert str(path) in error.message


def without_size(data):
    """The alpha's size taken away: its property becomes a free one."""
    kinds = [b""]
    at = data.index(b"ipco") + 4
    ipma = data.index(b"ipma") - 4
    while at < ipma:
        kinds.append(data[at + 4 : at + 8])
        at += struct.unpack_from(">I", data, at)[0]
    second = ipma + 18 + data[ipma + 18] + 1
    items = range(second + 3, second + 3 + data[second + 2])
    sizes = [at for at in items if kinds[data[at] & 127] == b"ispe"]
    assert len(sizes) == 1
    out = bytearray(data)
    out[sizes[0]] = next(data[at] & 127 for at in items if kinds[data[at] & 127] == b"pixi")  # named twice, no size
    return bytes(out)


@pytest.mark.parametrize("image", [of(RAMP, ALPHA), of(RAMP[..., 0], ALPHA), of(RAMP[::2], ALPHA[::2])])
def test_an_alpha_without_a_size_has_that_of_its_picture(tmp_path, image):
    data = saved(tmp_path / "a.avif", image)
    path = write(tmp_path / "b.avif", without_size(data))
    with pytest.raises((UnidentifiedImageError, RuntimeError)):
        Image.open(path)
    assert (array(images.load(path)) == array(images.load(data))).all()


@pytest.mark.parametrize("image", [of(RAMP, ALPHA), of(RAMP[..., 0], ALPHA), of(RAMP, 255 - ALPHA)])
def test_a_still_picture_that_refers_to_nothing_is_left_out_beside_a_sequence(tmp_path, image):
    data = saved(tmp_path / "a.avif", image, save_all=True, append_images=[image.transpose(Image.Transpose.ROTATE_180)])
    at = data.index(b"auxl") + 8
    assert data[at : at + 2] == b"\0\1"
    path = write(tmp_path / "b.avif", data[:at] + b"\0\0" + data[at + 2 :])
    with pytest.raises((UnidentifiedImageError, RuntimeError)):
        Image.open(path)
    assert (array(images.load(path)) == array(images.load(data))).all()
    assert images.facts(path).frames == 2


@pytest.mark.parametrize("image", [of(RAMP, ALPHA), of(RAMP[..., 0], ALPHA), of(RAMP[::2, ::2], ALPHA[::2, ::2])])
def test_a_gain_map_that_is_broken_refuses_no_picture(tmp_path, image):
    """An item that says it is a gain map, and has no numbers."""
    data = saved(tmp_path / "a.avif", image)
    second = data.index(b"infe", data.index(b"infe") + 4) + 12
    assert data[second : second + 4] == b"av01"
    data = data[:second] + b"tmap" + data[second + 4 :]
    data = data.replace(b"auxl", b"dimg").replace(b"MA1A", b"tmap").replace(b"MA1B", b"tmap")
    group = struct.pack(">I4sIIIII", 28, b"altr", 0, 9, 2, 2, 1)
    end = data.index(b"meta") - 4 + struct.unpack_from(">I", data, data.index(b"meta") - 4)[0]
    path = write(tmp_path / "b.avif", at_the_end(data, end, struct.pack(">I4s", 36, b"grpl") + group))
    with pytest.raises((UnidentifiedImageError, RuntimeError)):
        Image.open(path)
    assert np.abs(array(images.load(path)).astype(int) - image.convert("RGB")).max() <= 12


def at_the_end(data, end, more):
    """The file with a box at the end of its `meta` box, where that of the properties ends, too."""
    out = bytearray(moved(data, end, more))
    for name in (b"iprp", b"ipma"):
        start = data.index(name) - 4
        if start + struct.unpack_from(">I", data, start)[0] == end:
            struct.pack_into(">I", out, start, end - start)
    return bytes(out)
