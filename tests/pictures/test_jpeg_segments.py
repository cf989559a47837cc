"""JPEG files with bytes between their segments, or with damaged ones, are the picture that libjpeg shows."""

import io
import struct

import numpy as np
import pytest
from PIL import Image, ImageCms

from tests.support.files import FIELDS, NOISE, UNDO, array, of, write
from vlmcli.errors import SourceError
from vlmcli.pictures import images


def jpeg(pixels=FIELDS, **how):
    kept = io.BytesIO()
    Image.fromarray(pixels).save(kept, "JPEG", quality=95, **how)
    return kept.getvalue()


def segment(marker, body):
    return bytes((0xFF, marker)) + struct.pack(">H", 2 + len(body)) + body


PLAIN = jpeg()
ODD = {
    "a byte behind the first marker": PLAIN[:2] + b"\0" + PLAIN[2:],
    "all bytes behind the first marker": PLAIN[:2] + bytes(range(256)) + PLAIN[2:],
    "text behind the first marker": PLAIN[:2] + b"hello" * 99 + PLAIN[2:],
    "all bytes behind the second": PLAIN[:20] + bytes(range(256)) + PLAIN[20:],
    "padding": PLAIN[:2] + b"\xff" * 40 + PLAIN[2:],
    "a marker of no contents": PLAIN[:20] + b"\xff\x01\xff\xd3" + PLAIN[20:],
    "and behind the first": PLAIN[:2] + b"\xff\x01" + PLAIN[2:],
    "an empty JFIF": PLAIN[:2] + segment(0xE0, b"JFIF\0") + PLAIN[20:],
    "a cut JFIF": PLAIN[:2] + segment(0xE0, b"JFIF\0\1") + PLAIN[20:],
    "an empty Adobe": PLAIN[:20] + segment(0xEE, b"Adobe") + PLAIN[20:],
    "a cut MPF": PLAIN[:20] + segment(0xE2, b"MPF\0II*\0") + PLAIN[20:],
    "Photoshop's, cut": PLAIN[:20] + segment(0xED, b"Photoshop 3.0\0008BIM\4\4") + PLAIN[20:],
}


@pytest.mark.parametrize("name", ODD)
def test_what_stands_between_segments_is_passed_over(tmp_path, name):
    path = write(tmp_path / "a.jpg", ODD[name])
    wanted = array(images.load(PLAIN))
    assert (array(images.load(path)) == wanted).all()
    assert (array(images.load(ODD[name])) == wanted).all()
    assert images.facts(path).size == (64, 48)


def test_colours_and_orientation_are_kept(tmp_path):
    """The profile, the transform of CMYK, and EXIF count in a file with damaged segments, too."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    swapped = profile.replace(b"rXYZ", b"_XYZ").replace(b"gXYZ", b"rXYZ").replace(b"_XYZ", b"gXYZ")
    other = swapped.replace("sRGB built-in".encode("utf-16-be"), "another one !".encode("utf-16-be"))
    exif = Image.Exif()
    exif[0x0112] = 6
    cmyk = io.BytesIO()
    Image.fromarray(NOISE).convert("CMYK").save(cmyk, "JPEG", quality=95)
    for data in (jpeg(icc_profile=other), jpeg(exif=exif), cmyk.getvalue(), jpeg(progressive=True)):
        odd = data[:2] + b"\0\1\2" + data[2:]
        assert (array(images.load(odd)) == array(images.load(data))).all()
    assert (array(images.load(jpeg(icc_profile=other))) != array(images.load(PLAIN))).any()
    assert images.load(jpeg(exif=exif)[:2] + b"\0" + jpeg(exif=exif)[2:]).size == (48, 64)


@pytest.mark.parametrize("how", [{}, {"progressive": True}, {"restart_marker_blocks": 2}])
@pytest.mark.parametrize("junk", [b"", b"\0", bytes(range(256))])
def test_one_that_is_cut_stays_an_error(tmp_path, how, junk):
    whole = jpeg(NOISE, **how)
    data = whole[:2] + junk + whole[2:]
    for end in (len(data) - 400, len(data) // 2, 300 + len(junk), 2 + len(junk)):
        with pytest.raises(SourceError, match=r"a\.jpg"):
            images.load(write(tmp_path / "a.jpg", data[:end]))


ENTRIES = {
    "a number cut off": struct.pack("<HHII", 0x011A, 5, 1, 0xFFFFFF),
    "a number with no denominator": struct.pack("<HHII", 0x011A, 5, 1, 38) + struct.pack("<I", 0) + bytes(8),
    "a type that is none": struct.pack("<HHII", 0x0110, 77, 4, 0),
    "a text of two gigabytes": struct.pack("<HHII", 0x0110, 2, 0x7FFFFFFF, 8),
}


@pytest.mark.parametrize("bound", [0, 32])
@pytest.mark.parametrize("turned", [1, 6, 7])
@pytest.mark.parametrize("name", ENTRIES)
def test_a_damaged_tag_beside_the_orientation_does_no_harm(tmp_path, name, turned, bound):
    """Also where the picture is scaled or turned."""
    entries = struct.pack("<HHIHH", 0x0112, 3, 1, turned, 0) + ENTRIES[name]
    exif = b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<H", 2) + entries
    data = jpeg(UNDO[turned](FIELDS))
    path = write(tmp_path / "a.jpg", data[:2] + segment(0xE1, exif) + data[2:])
    wanted = of(FIELDS)
    if bound:
        wanted.thumbnail((bound, bound))
    found = array(images.load(path, bound=bound))
    assert np.abs(found.astype(int) - np.asarray(wanted)).mean() < 8
