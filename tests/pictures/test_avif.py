"""AVIF files whose items have an `ipma` box each: browsers show them, and so do we."""

import struct

import numpy as np
import pytest
from PIL import Image, UnidentifiedImageError

from tests.support.files import FIELDS, array, of, write
from vlmcli.errors import SourceError
from vlmcli.pictures import avif, images

ALPHA = np.full((48, 64), 255, np.uint8)
ALPHA[:, 40:] = 0


def split(data):
    """The same file with an `ipma` box for each item: 16 bytes more for each but the first, and all places later."""
    meta = data.index(b"meta") - 4
    iprp, ipma = data.index(b"iprp") - 4, data.index(b"ipma") - 4
    size, (flags, count) = struct.unpack_from(">I", data, ipma)[0], struct.unpack_from(">II", data, ipma + 8)
    boxes, at = b"", ipma + 16
    for _ in range(count):
        end = at + 3 + data[at + 2] * (1 + (flags & 1))
        boxes += struct.pack(">I4sII", 16 + end - at, b"ipma", flags, 1) + data[at:end]
        at = end
    assert at == ipma + size
    more = len(boxes) - size
    assert more == 16 * (count - 1) > 0
    out = bytearray(data[:ipma] + boxes + data[ipma + size :])
    for box in (meta, iprp):
        struct.pack_into(">I", out, box, struct.unpack_from(">I", out, box)[0] + more)
    iloc = out.index(b"iloc") - 4
    assert out[iloc + 8] == 0, "the form of libavif: version 0, places of four bytes and no base"
    assert out[iloc + 12 : iloc + 14] == b"\x44\0"
    at = iloc + 16
    for _ in range(struct.unpack_from(">H", out, iloc + 14)[0]):
        extents = struct.unpack_from(">H", out, at + 4)[0]
        for extent in range(at + 6, at + 6 + 8 * extents, 8):
            struct.pack_into(">I", out, extent, struct.unpack_from(">I", out, extent)[0] + more)
        at += 6 + 8 * extents
    return bytes(out)


PICTURES = {
    "colours and an alpha": (of(FIELDS, ALPHA), {}),
    "grey and an alpha": (Image.merge("LA", [Image.fromarray(FIELDS[..., 0]), Image.fromarray(ALPHA)]), {}),
    "an alpha and EXIF": (of(FIELDS, ALPHA), {"exif": b"Exif\0\0II*\0\x08\0\0\0\0\0\0\0\0\0"}),
    "all of it": (of(FIELDS, np.full((48, 64), 255, np.uint8) - (ALPHA == 0)), {}),
}


@pytest.mark.parametrize("name", PICTURES)
def test_a_file_with_an_association_box_for_each_item_is_the_same_picture(tmp_path, name):
    image, how = PICTURES[name]
    image.save(tmp_path / "a.avif", quality=95, **how)
    one = (tmp_path / "a.avif").read_bytes()
    many = write(tmp_path / "b.avif", split(one))
    with pytest.raises(UnidentifiedImageError):
        Image.open(many)
    assert (array(images.load(many)) == array(images.load(tmp_path / "a.avif"))).all()
    assert (array(images.load(many.read_bytes())) == array(images.load(many))).all()
    assert images.facts(many).size == (64, 48)
    assert avif.mended(one) is None


def test_what_is_mended_is_as_long_as_it_was_and_its_data_where_it_was(tmp_path):
    of(FIELDS, ALPHA).save(tmp_path / "a.avif")
    many = split((tmp_path / "a.avif").read_bytes())
    found = avif.mended(many)
    assert len(found) == len(many)
    at = many.index(b"mdat")
    assert found[at:] == many[at:]


def test_a_damaged_one_is_an_error_that_names_it(tmp_path):
    of(FIELDS, ALPHA).save(tmp_path / "a.avif")
    many = split((tmp_path / "a.avif").read_bytes())
    place = many.index(b"ipma")
    for at in range(place - 40, place + 60):
        for value in (0, 255):
            path = write(tmp_path / "b.avif", many[:at] + bytes([value]) + many[at + 1 :])
            try:
                images.load(path)
            except SourceError as error:
                assert str(path) in error.message
    for cut in range(0, len(many) - 300, 37):
        with pytest.raises(SourceError, match=r"b\.avif"):
            images.load(write(tmp_path / "b.avif", many[:cut]))
