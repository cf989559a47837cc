"""Scenes hold what they say: same seed, same pixels; everything drawn where and as large as promised."""

from dataclasses import replace
from math import dist
from random import Random

import numpy as np
import pytest

from vlmcli.demo import chance, lettering, scenes, world
from vlmcli.demo.world import APART, SMALLEST_LETTER, SMALLEST_RADIUS, VIEW


def many(count=400, **kinds):
    return [scenes.make(Random(f"test {number}"), **kinds) for number in range(count)]


def test_a_seed_gives_the_same_pixels_each_time():
    for seed in ("a", "b", "c"):
        one, other = (scenes.draw(scenes.make(Random(seed))) for _ in range(2))
        assert one.size == other.size
        assert one.tobytes() == other.tobytes()
    assert scenes.make(Random("a")) != scenes.make(Random("b"))


def test_sizes_are_those_of_the_world():
    found = many()
    for scene in found:
        longer, shorter = max(scene.width, scene.height), min(scene.width, scene.height)
        assert 64 <= longer <= 2000
        assert longer / shorter <= 3.1
    assert max(max(s.width, s.height) for s in found) > 640
    assert {s.width > s.height for s in found} == {True, False}


def test_shapes_lie_inside_apart_and_large_enough():
    for scene in many():
        width, height = scene.view_size
        for number, shape in enumerate(scene.shapes):
            left, top, right, bottom = shape.box
            assert left >= 0
            assert top >= 0
            assert right <= width
            assert bottom <= height
            assert shape.radius >= SMALLEST_RADIUS
            assert dist(shape.rgb, scene.rgb) >= APART
            for other in scene.shapes[number + 1 :]:
                assert dist((shape.x, shape.y), (other.x, other.y)) > shape.radius + other.radius
        assert list(scene.shapes) == sorted(scene.shapes, key=lambda s: s.x)


def test_text_lies_inside_and_is_large_enough():
    written = [scene for scene in many() if scene.texts]
    assert len(written) > 50
    for scene in written:
        (text,) = scene.texts
        width, height = scene.view_size
        assert 1 <= len(text.text) <= 5
        assert text.x >= 0
        assert text.edges[-1] <= width + 0.5
        assert text.y + text.height <= height + 0.5
        assert lettering.ink_height("H", text.font) * text.size >= SMALLEST_LETTER
        assert dist(text.rgb, scene.rgb) >= APART


@pytest.mark.parametrize("name", world.SHAPES)
def test_what_is_drawn_lies_in_its_box_and_has_its_colour(name):
    shape = scenes.Shape(name, "red", (255, 0, 0), 40.0, 60.0, 22.0, 0.1)
    scene = scenes.Scene(512, 512, "white", (255, 255, 255), (shape,))
    pixels = np.asarray(scenes.draw(scene)).astype(int)
    assert tuple(pixels[(60 * 4), (40 * 4)]) == (255, 0, 0)
    rows, columns = np.nonzero((pixels != 255).any(-1))
    drawn = (columns.min() / 4, rows.min() / 4, columns.max() / 4, rows.max() / 4)
    assert drawn == pytest.approx(shape.box, abs=0.6)


def test_gradient_noise_and_jpeg_change_pixels_but_not_what_is_shown():
    plain = replace(
        scenes.make(Random("plain"), size=(320, 240), shapes=2), gradient=(1.0, 1.0, False), noise=0, jpeg=0
    )
    before = np.asarray(scenes.draw(plain)).astype(int)
    for change in ({"gradient": (0.85, 1.0, True)}, {"noise": 6.0}, {"jpeg": 60}):
        after = np.asarray(scenes.draw(replace(plain, **change))).astype(int)
        difference = np.abs(after - before)
        assert difference.max() > 0, change
        assert difference.mean() < 30, change


@pytest.mark.parametrize("count", range(6))
def test_the_number_of_shapes_is_what_was_asked(count):
    for number in range(20):
        scene = scenes.make(Random(f"count {number}"), size=(640, 480), shapes=count)
        assert len(scene.shapes) == count
        assert not scene.texts


def test_the_text_is_what_was_asked():
    scene = scenes.make(Random(1), text="CAFE7")
    assert (scene.text, scene.shapes) == ("CAFE7", ())
    assert scenes.make(Random(2), text="GO", shapes=2).text == "GO"


def test_a_pair_of_letters_that_no_font_tells_apart_is_never_written_alone():
    texts = {chance.some_text(Random(number)) for number in range(3000)}
    assert not texts & {"O", "0", "I", "1", "IO", "10", "OI", "01"}
    assert len(texts) > 1500


def test_view_units_are_pixels_of_the_models_square():
    scene = scenes.make(Random(3), size=(1280, 640))
    assert max(scene.view_size) == VIEW
    assert scene.scale == 10
