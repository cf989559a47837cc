"""A TIFF of several pictures: its pages are asked about one by one, and what is left out is said."""

import io

import numpy as np
import pytest
from PIL import Image

from tests.support import tiffs
from tests.support.files import BLUE, GREEN, RED, array, write
from tests.support.program import vlm
from vlmcli.errors import SourceError
from vlmcli.pictures import images, sources

RGB = 2
COLORS = RED, GREEN, BLUE
REDUCED, PAGE, MASK = {254: (4, [1])}, {254: (4, [2])}, {254: (4, [4])}


def plain(color, size=(40, 30), tags=None, below=()):
    """A page of one colour, width by height."""
    return tiffs.page(np.full((size[1], size[0], 3), color, np.uint8), RGB, tags=tags, below=below)


def color_of(picture):
    return tuple(array(picture)[5, 5])


def names(path):
    return [source.name.removeprefix(f"{path.parent}/") for source in sources.find([str(path)])]


def loaded(path):
    return [source.load() for source in sources.find([str(path)])]


@pytest.mark.parametrize("name", ["a.tif", "A.TIFF", "scan", "fax.001"])
@pytest.mark.parametrize(("order", "big"), [("<", False), (">", False), ("<", True), (">", True)])
def test_pages_are_pictures_of_their_own_whatever_the_name(tmp_path, name, order, big):
    pages = [tiffs.page(np.full((30, 40, 3), color, np.uint8), RGB, order=order) for color in COLORS]
    path = write(tmp_path / name, tiffs.file(*pages, order=order, big=big))
    found = list(sources.find([str(path)]))
    assert names(path) == [f"{name}#1", f"{name}#2", f"{name}#3"]
    assert [source.expanded for source in found] == [True] * 3
    assert [color_of(source.load()) for source in found] == list(COLORS)
    assert not any("the first of" in text for source in found for text in source.load().notices)
    (one,) = sources.find([f"{path}#2"])
    assert color_of(one.load()) == GREEN
    with pytest.raises(SourceError, match="there is no number 4; the file has 3 pages"):
        images.load(path, frame=4)


def test_a_file_of_one_page_needs_no_number(tmp_path):
    path = write(tmp_path / "a.tif", tiffs.file(plain(RED)))
    assert names(path) == ["a.tif"]
    assert color_of(images.load(path, frame=1)) == RED
    with pytest.raises(SourceError, match="there is no number 2; the file has one picture"):
        images.load(path, frame=2)


def test_bytes_without_a_number_are_the_first_page_and_it_is_said():
    picture = images.load(tiffs.file(*map(plain, COLORS)), "https://x.org/a.tif")
    assert color_of(picture) == RED
    assert (
        "https://x.org/a.tif: only the first of its 3 pages is used; to ask about the next: https://x.org/a.tif#2"
        in picture.notices
    )


def test_what_is_asked_of_a_folder_is_asked_of_each_page(tmp_path):
    folder = tmp_path / "scans"
    folder.mkdir()
    write(folder / "a.tif", tiffs.file(*map(plain, COLORS)))
    write(folder / "b.tif", tiffs.file(plain(RED)))
    done = vlm("ask", "-m", "demo", "scans", "what is this?", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert [line.split("\t")[0] for line in done.stdout.splitlines()] == [
        "scans/a.tif#1", "scans/a.tif#2", "scans/a.tif#3", "scans/b.tif",
    ]  # fmt: skip


def detailed(size):
    """A picture of some detail, width by height."""
    y, x = np.mgrid[: size[1], : size[0]]
    return np.stack([x * 255 // size[0], y * 255 // size[1], x * 0 + 99], -1).astype(np.uint8)


def copy_of(size, tags=None):
    return tiffs.page(detailed(size), RGB, tags=tags)


# name → (the size and tags of each page, what is said)
LEFT_OUT = {
    "a thumbnail first": ([((32, 24),), ((640, 480),)], "page 1 of the file, a thumbnail of 32x24, is"),
    "a thumbnail last": ([((641, 480),), ((160, 120),)], "page 2 of the file, a thumbnail of 160x120, is"),
    "a thumbnail by its tag": (
        [((100, 90), REDUCED), ((120, 90),)], "page 1 of the file, a thumbnail of 100x90, is skipped",
    ),
    "a thumbnail by its old tag": (
        [((100, 90), {255: (3, [2])}), ((120, 90),)], "page 1 of the file, a thumbnail of 100x90, is",
    ),
    "a mask": ([((120, 90),), ((120, 90), MASK)], "page 2 of the file, a mask of 120x90, is skipped"),
    "levels by their tags": (
        [((1200, 900),), ((600, 450), REDUCED), ((300, 225), REDUCED)], "pages 2, 3 of the file",
    ),
    "levels without tags": (
        [((2401, 1800),), ((1200, 900),), ((600, 450),)], "pages 2, 3 of the file, smaller copies",
    ),
    "icons": ([((n, n),) for n in (16, 32, 64, 128, 256)], "pages 1, 2, 3, 4 of the file, smaller copies"),
}  # fmt: skip


@pytest.mark.parametrize("name", LEFT_OUT)
def test_smaller_copies_and_masks_are_left_out_and_it_is_said(tmp_path, name):
    copies, says = LEFT_OUT[name]
    pages = [copy_of(*one) for one in copies]
    path = write(tmp_path / "a.tif", tiffs.file(*pages))
    assert names(path) == ["a.tif"]
    (picture,) = loaded(path)
    largest = max((page.tags[256][1][0], page.tags[257][1][0]) for page in pages)
    assert picture.size == largest
    assert len(picture.notices) == 1
    assert picture.notices[0].startswith(f"{path}: {says}")
    assert picture.notices == images.load(path).notices
    for number, page in enumerate(pages, 1):  # each can be asked about
        assert images.load(path, frame=number).size == (page.tags[256][1][0], page.tags[257][1][0])


def test_what_is_left_out_of_several_pages_is_said_once(tmp_path):
    pages = [copy_of((32, 24), REDUCED), plain(RED, (640, 480)), plain(GREEN, (640, 480))]
    path = write(tmp_path / "a.tif", tiffs.file(*pages))
    assert names(path) == ["a.tif#2", "a.tif#3"]
    first, second = loaded(path)
    assert (color_of(first), color_of(second)) == (RED, GREEN)
    assert any("page 1 of the file, a thumbnail of 32x24, is skipped" in text for text in first.notices)
    assert not any("thumbnail" in text for text in second.notices)


OWN = {
    "of other shapes": [(640, 480), (480, 640), (100, 400)],
    "of one size": [(64, 48)] * 3,
    "of a little less": [(640, 480), (400, 300)],
    "of two resolutions": [(2480, 3508), (1240, 1754)],
    "a small one of another shape": [(300, 300), (640, 480)],
}


@pytest.mark.parametrize("name", OWN)
def test_pages_of_several_sizes_are_pictures_of_their_own(tmp_path, name):
    path = write(tmp_path / "a.tif", tiffs.file(*(plain(RED, size) for size in OWN[name])))
    assert images.pages(path) == tuple(range(1, len(OWN[name]) + 1))


def test_pages_that_say_they_are_pages(tmp_path):
    path = write(tmp_path / "a.tif", tiffs.file(plain(RED, tags=PAGE), plain(BLUE, tags=PAGE)))
    assert names(path) == ["a.tif#1", "a.tif#2"]
    only = write(tmp_path / "b.tif", tiffs.file(plain(RED, tags=REDUCED)))
    assert color_of(images.load(only)) == RED


def test_a_larger_picture_below_the_first_is_shown(tmp_path):
    below = plain(GREEN, (400, 300))
    path = write(tmp_path / "a.tif", tiffs.file(plain(RED, (40, 30), REDUCED, [plain(BLUE, (80, 60)), below])))
    picture = images.load(path)
    assert (picture.size, color_of(picture)) == ((400, 300), GREEN)
    assert f"{path}: the larger picture of 400x300 below its first page is used" in picture.notices
    pyramid = images.load(tiffs.file(plain(RED, (400, 300), None, [plain(BLUE, (200, 150)), plain(BLUE, (100, 75))])))
    assert color_of(pyramid) == RED
    assert not any("below" in text for text in pyramid.notices)


def test_a_larger_picture_below_is_turned_as_its_parent_says():
    below = plain(GREEN, (400, 300))
    turned = tiffs.file(plain(RED, (40, 30), REDUCED | {274: (3, [6])}, [below]))
    assert images.load(turned).size == (300, 400)


def test_a_raw_picture_of_a_camera_is_shown_by_its_preview_and_it_is_said():
    raw = tiffs.page(np.zeros((600, 800), np.uint16), 32803, 16)
    picture = images.load(tiffs.file(plain(RED, (40, 30), REDUCED, [raw, plain(GREEN, (400, 300), REDUCED)])), "a.nef")
    assert (picture.size, color_of(picture)) == ((400, 300), GREEN)
    assert (
        "a.nef: its raw picture of 800x600 cannot be read; the one of 400x300 in the same file is used"
        in picture.notices
    )


def test_a_chain_that_is_cut_or_loops(tmp_path):
    whole = tiffs.file(*map(plain, COLORS))
    one = tiffs.file(plain(RED), end=9_999_999)
    picture = images.load(one, "a.tif")
    assert color_of(picture) == RED
    assert "a.tif: everything after page 1 is damaged or missing, and is skipped" in picture.notices
    path = write(tmp_path / "loop.tif", tiffs.file(*map(plain, COLORS), end=0))
    with Image.open(io.BytesIO(whole)) as image:
        first = image.tag_v2.offset
    write(path, tiffs.file(*map(plain, COLORS), end=first))
    assert images.pages(path) == (1, 2, 3)


def test_facts_say_what_is_in_the_file(tmp_path):
    path = write(tmp_path / "a.tif", tiffs.file(copy_of((32, 24)), *(copy_of((640, 480)) for _ in range(2))))
    found = images.facts(path)
    assert (found.format, found.size, found.frames, found.orientation) == ("TIFF", (640, 480), 2, 1)
    assert "RGB, 3 x 8 bits" in found.mode
