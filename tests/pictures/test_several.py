"""Files of several pictures that are not documents: the first is shown, and it is said that there are others."""

import pillow_heif
import pytest
from PIL import Image

from tests.support.files import BLUE, FIELDS, GREEN, NOISE, RED, array, of
from vlmcli.pictures import images, sources

FRAMES = [Image.new("RGB", (20, 20), color) for color in (RED, GREEN, BLUE)]
SAID = {
    "gif": "only the first frame of the animation is used; to ask about the second: {}#2",
    "webp": "only the first of the animation's 3 frames is used; to ask about the second: {}#2",
    "png": "only the first of the animation's 3 frames is used; to ask about the second: {}#2",
    "avif": "only the first of the animation's 3 frames is used; to ask about the second: {}#2",
    "heic": "only one of its 3 pictures is used; choose another: {}#1 to {}#3",
}


@pytest.mark.parametrize("kind", SAID)
def test_that_there_are_others_is_said_unless_one_is_named(tmp_path, kind):
    pillow_heif.register_heif_opener()
    path = tmp_path / f"a.{kind}"
    FRAMES[0].save(path, save_all=True, append_images=FRAMES[1:], quality=95)
    (source,) = sources.find([str(path)])
    says = f"{path}: {SAID[kind].format(path, path)}"
    assert says in source.load().notices
    assert says in images.load(path.read_bytes(), str(path)).notices
    for number, color in enumerate((RED, GREEN, BLUE), 1):
        picture = images.load(path, frame=number)
        assert abs(array(picture)[9, 9].astype(int) - color).max() < 9
        assert not any("shown" in text for text in picture.notices)


@pytest.mark.parametrize("kind", SAID)
def test_of_a_single_picture_nothing_is_said(tmp_path, kind):
    pillow_heif.register_heif_opener()
    of(FIELDS).save(tmp_path / f"a.{kind}")
    assert images.load(tmp_path / f"a.{kind}").notices == ()


def test_a_gif_whose_second_frame_is_damaged_is_its_first(tmp_path):
    path = tmp_path / "a.gif"
    FRAMES[0].save(path, save_all=True, append_images=FRAMES[1:])
    data = path.read_bytes()
    second = data.index(b"\x21\xf9", data.index(b"\x21\xf9") + 2)
    assert tuple(array(images.load(data[: second + 3]))[9, 9]) == RED


@pytest.mark.parametrize(("kind", "told"), [(0x020002, True), (0x020001, True), (0x010001, False), (0, False)])
def test_stereo_pictures_are_told_from_thumbnails_and_gain_maps(tmp_path, kind, told):
    """By the type of the second entry of the MPF index (CIPA DC-007, table 4)."""
    path = tmp_path / "a.mpo"
    of(FIELDS).save(path, "MPO", save_all=True, append_images=[of(NOISE)])
    data = path.read_bytes()
    first = data.index(b"\0\0\3\0", data.index(b"\x02\xb0"))  # which is the main picture, in Pillow's order of bytes
    path.write_bytes(data[: first + 16] + kind.to_bytes(4, "little") + data[first + 20 :])
    notices = images.load(path).notices
    assert (f"{path}: only the first of its 2 pictures is used; to ask about the second: {path}#2" in notices) == told
    assert told or notices == ()
