"""Parts of pictures, by four numbers."""

import pytest

from vlmcli.errors import UsageError
from vlmcli.pictures import images, regions


@pytest.mark.parametrize(
    ("given", "box"),
    [
        ("0,0,10,10", (0, 0, 10, 10)), ("0,0,1,1", (0, 0, 200, 100)), ("0.5,0.25,0.5,0.5", (100, 25, 200, 75)),
        ([20, 30, 40, 50], (20, 30, 60, 80)), (["0.1", 0, 0.1, 1], (20, 0, 40, 100)),
        ("190,90,50,50", (190, 90, 200, 100)),
        ("10.5,10.5,3,3", (10, 10, 14, 14)), ("0.999,0.999,0.0001,0.0001", (199, 99, 200, 100)),
    ],
)  # fmt: skip
def test_a_region_is_a_box_in_whole_pixels_of_the_picture(given, box):
    assert regions.read(given).box((200, 100)) == box


def test_pixels_of_a_picture_that_was_scaled_down():
    assert regions.read("100,0,100,50").box((100, 50), scale=0.5) == (50, 0, 100, 25)
    assert regions.read("0.5,0,0.5,0.5").box((100, 50), scale=0.5) == (50, 0, 100, 25)


@pytest.mark.parametrize(
    "given",
    [
        "", "1", "1,2,3", "1,2,3,4,5", "a,b,c,d", "1;2;3;4", [1, 2, 3], [True, 0, 1, 1], [[1], 2, 3, 4], {}, 7, None,
        "0,0,inf,1", "nan,0,1,1", "0,0,0,5", "0,0,5,0", "-1,0,5,5", "0,0,-5,5", "0.5,0,10,10", "1e999,0,1,1",
    ],
)  # fmt: skip
def test_what_is_no_region_is_an_error(given):
    with pytest.raises(UsageError, match="the region"):
        regions.read(given)


def test_a_region_outside_says_how_large_the_picture_is():
    with pytest.raises(UsageError, match="200x100 pixels"):
        regions.read("200,0,5,5").box((200, 100))
    with pytest.raises(UsageError, match="400x200 pixels"):
        regions.read("400,0,5,5").box((200, 100), scale=0.5)


def test_a_part_has_its_pixels_and_an_identity_of_its_own(scene):
    part = regions.cut(scene, (320, 0, 640, 480))
    assert part.size == (320, 480)
    rows = [scene.pixels()[row * 1920 + 960 : (row + 1) * 1920] for row in range(480)]
    assert part.pixels() == b"".join(rows)
    assert part.identity == images.from_pixels(b"".join(rows), (320, 480), "").identity != scene.identity
    assert regions.cut(scene, (0, 0, 640, 480)) is scene
