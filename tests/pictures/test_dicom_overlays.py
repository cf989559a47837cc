"""Overlays: planes of one bit that viewers draw in white, against references made with numpy alone."""

import shutil
import subprocess

import numpy as np
import pytest
from PIL import Image
from pydicom import uid
from pydicom.dataset import Dataset

from tests.support.dicom_files import save, spread
from tests.support.files import NOISE, array, thrice
from vlmcli.pictures import dicom_header, images

RANDOM = np.random.default_rng(12)
TWELVE = RANDOM.integers(0, 4096, (48, 64), np.uint16)
BITS = RANDOM.integers(0, 2, (48, 64)).astype(bool)
KINDS = {0x10: "US", 0x11: "US", 0x15: "IS", 0x40: "CS", 0x50: "SS", 0x51: "US", 0x100: "US", 0x102: "US"}


def overlaid(path, pixels, planes, order="little", **how):
    """A DICOM file with overlays: each is its bits, or None for those in the pixels, and other attributes by number."""
    more = Dataset()
    for at, (bits, attributes) in enumerate(planes):
        group = 0x6000 + 2 * at
        values = {0x40: "G", 0x50: [1, 1], 0x100: 1, 0x102: 0} | attributes
        if bits is not None:
            values = {0x10: bits.shape[-2], 0x11: bits.shape[-1]} | values
            data = np.packbits(bits, bitorder="little").tobytes()
            data += b"\0" * (len(data) % 2)
            if order == "big":
                data = np.frombuffer(data, "<u2").astype(">u2").tobytes()
            more.add_new((group, 0x3000), "OW", data)
        for number, value in values.items():
            more.add_new((group, number), KINDS[number], value)
    syntax = uid.ExplicitVRBigEndian if order == "big" else how.pop("syntax", uid.ExplicitVRLittleEndian)
    return save(path, pixels, syntax=syntax, extra=more, **how)


def placed(seen, bits, top=0, left=0):
    """The picture with white where bits are one, at a place that may be partly outside."""
    wanted = np.array(seen)
    for (row, column), one in np.ndenumerate(bits):
        if one and 0 <= row + top < wanted.shape[0] and 0 <= column + left < wanted.shape[1]:
            wanted[row + top, column + left] = 255
    return wanted


def test_overlays_are_white(tmp_path):
    seen = thrice(spread(TWELVE))
    path = overlaid(tmp_path / "a.dcm", TWELVE, [(BITS, {})], stored=12)
    assert (array(images.load(path)) == placed(seen, BITS)).all()
    assert len(images.load(path).notices) == 1
    big = overlaid(tmp_path / "b.dcm", TWELVE, [(BITS, {})], "big", stored=12)
    assert (array(images.load(big)) == placed(seen, BITS)).all()
    implicit = overlaid(tmp_path / "c.dcm", TWELVE, [(BITS, {})], stored=12, syntax=uid.ImplicitVRLittleEndian)
    assert (array(images.load(implicit)) == placed(seen, BITS)).all()
    packed = overlaid(tmp_path / "d.dcm", TWELVE, [(BITS, {})], stored=12, syntax=uid.DeflatedExplicitVRLittleEndian)
    assert (array(images.load(packed)) == placed(seen, BITS)).all()


def test_overlays_are_white_on_the_inverse_and_in_colours(tmp_path):
    inverse = overlaid(tmp_path / "a.dcm", TWELVE, [(BITS, {})], kind="MONOCHROME1")
    values = TWELVE.astype(float)
    seen = np.rint(255 - (values - values.min()) / (values.max() - values.min()) * 255)
    assert (array(images.load(inverse)) == placed(thrice(seen), BITS)).all()
    colours = overlaid(tmp_path / "b.dcm", NOISE, [(BITS, {})], kind="RGB")
    assert (array(images.load(colours)) == placed(NOISE, BITS)).all()


@pytest.mark.parametrize("place", [(1, 1), (5, 9), (-3, 40), (40, -10), (100, 100)])
def test_an_overlay_has_a_place_and_several_have_one_each(tmp_path, place):
    small, other = BITS[:13, :21], BITS[20:29, 30:41]
    planes = [(small, {0x50: list(place)}), (other, {0x50: [2, 3]})]
    found = array(images.load(overlaid(tmp_path / "a.dcm", TWELVE, planes)))
    wanted = placed(placed(thrice(spread(TWELVE)), small, place[0] - 1, place[1] - 1), other, 1, 2)
    assert (found == wanted).all()


def test_overlays_of_frames(tmp_path):
    frames = np.stack([TWELVE, TWELVE // 2, TWELVE // 3])
    several = RANDOM.integers(0, 2, (2, 48, 63)).astype(bool)
    path = overlaid(tmp_path / "a.dcm", frames, [(several, {0x15: 2, 0x51: 2})], frames=3)
    assert (array(images.load(path, frame=1)) == thrice(spread(frames[0]))).all()
    for at in (1, 2):
        found = array(images.load(path, frame=at + 1))
        assert (found == placed(thrice(spread(frames[at])), several[at - 1])).all()
    path = overlaid(tmp_path / "b.dcm", frames, [(BITS, {})], frames=3)
    for at in range(3):
        assert (array(images.load(path, frame=at + 1)) == placed(thrice(spread(frames[at])), BITS)).all()


@pytest.mark.parametrize("order", ["little", "big"])
@pytest.mark.parametrize("position", [12, 14, 15])
def test_overlays_in_bits_of_the_pixels(tmp_path, order, position):
    words = TWELVE | BITS.astype(np.uint16) << position
    path = overlaid(tmp_path / "a.dcm", words, [(None, {0x10: 48, 0x11: 64, 0x100: 16, 0x102: position})], order,
                    stored=12)  # fmt: skip
    assert (array(images.load(path)) == placed(thrice(spread(TWELVE)), BITS)).all()


def test_what_is_not_drawn_is_said(tmp_path, monkeypatch):
    seen = thrice(spread(TWELVE))
    region = overlaid(tmp_path / "a.dcm", TWELVE, [(BITS, {0x40: "R"})])
    short = overlaid(tmp_path / "b.dcm", TWELVE, [(BITS[:5], {0x10: 48})])
    nowhere = overlaid(tmp_path / "c.dcm", TWELVE, [(None, {0x10: 48, 0x11: 64, 0x102: 99})])
    huge = overlaid(tmp_path / "d.dcm", TWELVE, [(BITS, {})])
    for path, says in ((region, "region of interest is not drawn"), (short, "damaged"), (nowhere, "damaged")):
        picture = images.load(path)
        assert (array(picture) == seen).all()
        assert says in picture.notices[1]
    monkeypatch.setattr(dicom_header, "HEADER", 700)
    picture = images.load(huge)
    assert (array(picture) == seen).all()
    assert "too large to be drawn" in picture.notices[1]


@pytest.mark.skipif(not shutil.which("dcm2pnm"), reason="DCMTK's dcm2pnm is not installed")
def test_dcm2pnm_draws_the_same(tmp_path):
    planes = [(BITS[:20, :30], {0x50: [4, 7]}), (BITS[:9, :9], {0x40: "R"})]
    path = overlaid(tmp_path / "a.dcm", TWELVE, planes[:1], stored=12, WindowCenter=2048, WindowWidth=4096)
    subprocess.run(["dcm2pnm", "--use-window", "1", str(path), str(tmp_path / "a.pgm")], check=True)
    with Image.open(tmp_path / "a.pgm") as image:
        off = np.abs(array(images.load(path)).astype(int) - thrice(np.asarray(image)))
    assert off.max() <= 1
