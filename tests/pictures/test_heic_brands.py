"""What a HEIC calls itself does not matter: libheif decides whether there is a picture in it."""

import re

import numpy as np
import pillow_heif
import pytest

from tests.support.files import FIELDS, array, of, write
from vlmcli.errors import SourceError
from vlmcli.pictures import images


def branded(tmp_path, major, others):
    """A HEIC with those brands, none of which is longer than the ones it had."""
    path = tmp_path / "a.heic"
    pillow_heif.from_pillow(of(FIELDS)).save(path, quality=95)
    data = path.read_bytes()
    end = int.from_bytes(data[:4], "big")
    named = data[:8] + major + bytes(4) + others
    assert data[4:8] == b"ftyp" and len(named) <= end
    return write(path, named.ljust(end, b"\0") + data[end:])


@pytest.mark.parametrize("major", [b"heic", b"mif1", b"mif2", b"miaf", b"heix", b"abcd"])
@pytest.mark.parametrize("others", [b"mif1", b"mif2mif1", b"heic"])
def test_any_brand_that_is_no_film(tmp_path, major, others):
    path = branded(tmp_path, major, others)
    for file in (path, path.read_bytes()):
        assert np.abs(array(images.load(file)).astype(int) - FIELDS).mean() < 4
        assert images.facts(file).format == "HEIF"


@pytest.mark.parametrize(
    ("head", "what"),
    [
        (b"mp42\0\0\0\0mp42isom", "a video (MP4), not a picture"),
        (b"qt  \0\0\0\0qt  \0\0\0\0", "a video (QuickTime MOV), not a picture"),
        (b"crx \0\0\0\1crx isom", "a camera's raw file (Canon CR3), which vlm cannot read"),
        (b"none\0\0\0\0noneisom", "not a picture in a format that vlm reads"),
    ],
)
def test_a_film_and_a_camera_s_own_file_are_no_pictures(tmp_path, head, what):
    film = b"\0\0\0\x18ftyp" + head + b"\0\0\0\x08moov" + b"\0\0\0\x40mdat" + bytes(56)
    with pytest.raises(SourceError, match=re.escape(f"a.heic: {what}")):
        images.load(write(tmp_path / "a.heic", film))


def test_one_that_is_cut_is_an_error(tmp_path):
    data = branded(tmp_path, b"mif2", b"mif1").read_bytes()
    for end in (20, 60, len(data) // 2, len(data) - 99):
        with pytest.raises(SourceError, match=r"b\.heic"):
            images.load(write(tmp_path / "b.heic", data[:end]))
