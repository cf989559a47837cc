"""TIFFs that are cut, damaged or dangerous: an error that names them, soon, in bounded memory; and unusual ones.

What some programs write is unusual, but all there: it is read.
"""

import struct
import sys
import zlib

import numpy as np
import pytest

from tests.support import tiffs
from tests.support.files import NOISE, array, thrice, write
from tests.support.limits import assert_refused, outcomes
from tests.support.tiffs import tiff
from tests.support.zeros import packed_zeros
from vlmcli.errors import SourceError
from vlmcli.pictures import images

RGB, BLACK_0 = 2, 1
GRAY = NOISE[..., 0]

CUT = {
    "strips": {"rows": 8}, "tiles": {"tile": (16, 16)}, "lzw": {"compression": 5, "rows": 8},
    "deflate": {"compression": 8, "tile": (32, 32)}, "packbits": {"compression": 32773}, "planar": {"planar": True},
    "jpeg": {"compression": 7, "tile": (32, 32)}, "lzma": {"compression": 34925},
}  # fmt: skip


@pytest.mark.parametrize("name", CUT)
@pytest.mark.parametrize("big", [False, True])
def test_a_cut_file_is_an_error_that_names_it(name, big):
    """Also where the directory comes first, as libtiff's own tools do not write it, but cameras do."""
    last = tiff(NOISE, RGB, big=big, **CUT[name])
    first = directory_first(tiffs.page(NOISE, RGB, **CUT[name]))
    for data in (last, first):
        assert images.load(data).size == (64, 48)
        for share in (0.05, 0.3, 0.6, 0.9, 0.97):
            with pytest.raises(SourceError) as caught:
                images.load(data[: int(len(data) * share)], "cut.tif")
            assert caught.value.message.startswith("cut.tif: ")
            assert caught.value.hint


def directory_first(page):
    """A TIFF whose data comes after its directory."""
    offsets = 324 if 324 in page.tags else 273
    length = len(tiffs.file(tiffs.Page(page.tags | {offsets: (4, [1] * len(page.segments))})))
    kind, places = page.tags[offsets]
    ends = np.cumsum([length] + [len(segment) for segment in page.segments]).tolist()
    made = tiffs.file(tiffs.Page(page.tags | {offsets: (kind, ends[: len(places)])}))
    assert len(made) == length
    return made + b"".join(page.segments)


@pytest.mark.parametrize("name", ["strips", "tiles", "planar"])
def test_a_missing_part_in_the_middle_is_an_error(name):
    page = tiffs.page(NOISE, RGB, **CUT[name])
    offsets = 324 if 324 in page.tags else 273
    places = [8] * len(page.segments)
    places[1] = 10_000_000
    with pytest.raises(SourceError, match="some of its data is missing"):
        images.load(tiffs.file(tiffs.Page(page.tags | {offsets: (4, places)}, page.segments)))


# --- What is unusual, and all there ---


@pytest.mark.parametrize("compression", [1, 5, 8, 32773])
@pytest.mark.parametrize("counts", [None, (4, [0] * 6), (4, [1 << 30] * 6), (4, [0])])
def test_byte_counts_that_are_missing_or_wrong(compression, counts):
    data = tiff(NOISE, RGB, rows=8, compression=compression, tags={279: counts})
    assert (array(images.load(data)) == NOISE).all()


def test_byte_counts_that_are_too_small_of_what_is_not_compressed():
    data = tiff(NOISE, RGB, rows=8, tags={279: (4, [3] * 6)})
    assert (array(images.load(data)) == NOISE).all()


def test_the_offset_of_the_first_strip_only():
    data = tiff(NOISE, RGB, rows=8, tags={273: (4, [8]), 279: (4, [48 * 64 * 3])})
    assert (array(images.load(data)) == NOISE).all()


@pytest.mark.parametrize("rows", [0, 1 << 31, (1 << 32) - 1, 49])
def test_rows_per_strip_of_any_number(rows):
    assert (array(images.load(tiff(NOISE, RGB, tags={278: (4, [rows])}))) == NOISE).all()


@pytest.mark.parametrize("planar", [False, True])
@pytest.mark.parametrize("missing", [1, 16 * 15 * 3])
def test_the_last_tile_may_lack_what_lies_outside_the_picture(planar, missing):
    pixels = NOISE[:17, :17]
    data = directory_first(tiffs.page(pixels, RGB, tile=(16, 16), planar=planar))
    assert (array(images.load(data[: -missing // (3 if planar else 1)])) == pixels).all()


@pytest.mark.parametrize("compression", [1, 5, 8, 7])
def test_tiles_without_data_are_left_empty_and_it_is_said(compression):
    """As GDAL writes the tiles of which nothing is known."""
    page = tiffs.page(GRAY, BLACK_0, tile=(16, 16), compression=compression)
    page.segments[1] = b""
    page.tags[325] = 4, [len(segment) for segment in page.segments]
    picture = images.load(tiffs.file(page), "map.tif")
    wanted = thrice(GRAY).copy()
    wanted[:16, 16:32] = 0
    off = np.abs(array(picture).astype(int) - wanted).max()
    assert off == 0 or (compression == 7 and off < 60)
    assert "map.tif: 1 of its 12 parts have no data and stay empty" in picture.notices


def test_a_tile_larger_than_the_picture_and_one_row_to_a_strip():
    for how in ({"tile": (256, 256)}, {"rows": 1}, {"tile": (16, 1)}, {"tile": (1, 16)}):
        assert (array(images.load(tiff(NOISE, RGB, **how))) == NOISE).all()


# --- What is dangerous ---


def fields(width, height, more=None, tail=b"", big=False):
    """A TIFF of one strip of four bytes, whatever it says of itself."""
    tags = {256: (4, [width]), 257: (4, [height]), 258: (3, [8]), 259: (3, [1]), 262: (3, [1]), 273: (4, [8]),
            278: (4, [height]), 279: (4, [4])}  # fmt: skip
    tags.update(more or {})
    return tiffs.file(
        tiffs.Page({tag: value for tag, value in tags.items() if value}), before=b"\0" * 4, after=tail, big=big
    )


def raw_tag(tag, kind, count, value, data=None):
    """A TIFF one of whose tags says so many values at that place."""
    data = bytearray(data or fields(8, 8))
    (at,) = struct.unpack_from("<I", data, 4)
    (many,) = struct.unpack_from("<H", data, at)
    rows = [data[at + 2 + 12 * n : at + 14 + 12 * n] for n in range(many)]
    rows = [row for row in rows if struct.unpack_from("<H", row)[0] != tag]
    rows.append(struct.pack("<HHII", tag, kind, count, value))
    return bytes(data[:at] + struct.pack("<H", len(rows)) + b"".join(rows) + bytes(4))


def chain(count, size=0):
    """As many directories one after the other, or within one another."""
    each = size or 2 + 12 * 2 + 4
    body = bytearray()
    for number in range(count):
        at = 8 + number * each
        body += struct.pack("<HHHIIHHIII", 2, 256, 4, 1, 8 + number % 500, 257, 4, 1, 8, at + each)
    return b"II*\0" + struct.pack("<I", 8) + bytes(body)


def parts(count, data, across=1, **tags):
    """A TIFF of many strips or tiles that all are the same few bytes."""
    offsets, counts = (324, 325) if across > 1 else (273, 279)
    found = {offsets: (4, [8] * count), counts: (4, [len(data)] * count)} | {
        int(tag[1:]): value for tag, value in tags.items()
    }
    base = {256: (4, [1]), 257: (4, [1]), 258: (3, [8]), 262: (3, [1])}
    return tiffs.file(tiffs.Page(base | found), before=data)


def hostile():
    """Name → the bytes."""
    return {
        "a loop of one": fields(0, 0, {256: None}),
        "too many directories": chain(150_000),
        "a tag of 4 GB": raw_tag(273, 4, 1 << 30, 8),
        "a tag of 32 MB that is not there": raw_tag(273, 16, 1 << 22, 8),
        "offsets of negative length": raw_tag(273, 9, 1, 0xFFFFFFF0),
        "a width of text": raw_tag(256, 2, 4, 0x41414141),
        "a width of bytes": raw_tag(256, 7, 9, 8),
        "infinite width": raw_tag(256, 11, 1, 0x7F800000),
        "NaN for a compression": raw_tag(259, 11, 1, 0x7FC00000),
        "samples without end": fields(8, 8, {277: (4, [1 << 31])}),
        "a thousand samples": fields(8000, 8000, {277: (4, [1024]), 258: (3, [8])}),
        "64 bits of each": fields(15_000, 15_000, {258: (3, [64])}),
        "a tile of a terabyte": fields(8, 8, {322: (4, [1 << 20]), 323: (4, [1 << 20])}),
        "a deflated tile of a gigabyte": parts(
            1, packed_zeros(64), 2, t322=(4, [1 << 15]), t323=(4, [1 << 15]), t259=(3, [8])
        ),
        "a deflated tile of a terabyte": parts(
            1, packed_zeros(64), 2, t322=(4, [1 << 20]), t323=(4, [1 << 20]), t259=(3, [8])
        ),
        "an LZW strip of 90 MB": parts(
            1, tiffs.lzw(bytes(1 << 16)), t256=(4, [9000]), t257=(4, [10_000]), t278=(4, [10_000]), t259=(3, [5])
        ),
        "a fax of 3,600 million": fields(60_000, 60_000, {258: (3, [1]), 259: (3, [4])}),
        "a fax of nothing": fields(9000, 9000, {258: (3, [1]), 259: (3, [4])}),
        "a million strips": parts(1_000_000, b"\0", t256=(4, [9]), t257=(4, [1_000_000]), t278=(4, [1])),
        "half a million strips, deflated": parts(
            90_000, zlib.compress(bytes(2000)), t256=(4, [2001]), t257=(4, [90_000]), t278=(4, [1]), t259=(3, [8])
        ),
        "JPEG of another size": parts(
            1,
            tiffs.jpeg(np.zeros((8, 8, 1), np.uint8)).replace(b"\0\x08\0\x08\x01", b"\xff\xff\xff\xff\x01"),
            t256=(4, [8]),
            t257=(4, [8]),
            t259=(3, [7]),
        ),
        "old JPEG of nothing": fields(8, 8, {259: (3, [6]), 262: (3, [6]), 277: (3, [3])}),
        "old JPEG of all there is": fields(60_000, 60_000, {259: (3, [6]), 262: (3, [6]), 277: (3, [3])}),
        "a palette of nothing": fields(8, 8, {262: (3, [3])}),
        "a palette of 32 bits": fields(8, 8, {262: (3, [3]), 258: (3, [32])}),
        "no scale of YCbCr": fields(1, 1, {262: (3, [6]), 277: (3, [3]), 530: (3, [1, 1]), 529: (5, [0, 0, 0])}),
        "a sub-directory that is itself": fields(9000, 9000, {330: (4, [8, 8, 8])}),
        "a million sub-directories": fields(9000, 9000, {330: (4, [8] * 1_000_000)}),
        "a BigTIFF of 4 bytes": fields(9000, 9000, big=True),
        "too many tags": b"II*\0\x08\0\0\0" + struct.pack("<H", 65_535) + bytes(12 * 65_535 + 4),
        "a header": b"II*\0",
        "a header of a BigTIFF": b"II+\0\x08\0\0\0",
        "a directory beyond the end": b"MM\0*\x7f\xff\xff\xff",
        "no directory": b"MM\0*\0\0\0\0",
        "an empty directory": b"II*\0\x08\0\0\0" + bytes(6),
    }


@pytest.mark.skipif(sys.platform == "win32", reason="the child's memory is not bounded there")
def test_what_is_dangerous_is_an_error_soon_and_in_little_memory(tmp_path):
    words = {name: write(tmp_path / f"{number}.tif", data) for number, (name, data) in enumerate(hostile().items())}
    for (name, word), outcome in zip(words.items(), outcomes(words.values()), strict=True):
        try:
            assert_refused(outcome, word)
        except AssertionError as error:
            raise AssertionError(f"{name}: {error}") from None


def test_many_pages_are_counted_soon(tmp_path):
    """Within one another, so that a small file has as many as there may be."""
    path = write(tmp_path / "a.tif", chain(20_000, 30))
    (outcome,) = outcomes([f"{path}#19999"])
    assert_refused(outcome, f"{path}#19999")


@pytest.mark.parametrize("seed", range(4))
def test_any_damage_is_a_picture_or_a_named_error(seed):
    random = np.random.default_rng(seed)
    made = [tiff(NOISE[:20, :20], RGB, order=order, **how) for how in CUT.values() for order in "<>"]
    made.append(tiff(GRAY[:9, :9].astype(np.float32), BLACK_0, 32, kind="f", compression=8, predictor=3))
    for data in made:
        for _ in range(25):
            broken = bytearray(data)
            for at in random.integers(0, len(data), random.integers(1, 6)):
                broken[at] = random.integers(0, 256)
            for at in random.integers(len(data) - 200, len(data), random.integers(0, 3)):  # its tags
                broken[at] = random.integers(0, 256)
            try:
                images.load(bytes(broken), "broken.tif")
            except SourceError as error:
                assert error.message.startswith("broken.tif: "), error.message
                assert "must be" not in error.message
