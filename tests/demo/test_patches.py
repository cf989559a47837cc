"""Labels say what each patch of a picture shows."""

from dataclasses import replace
from random import Random

import numpy as np
import pytest

from vlmcli.demo import chance, scenes, world
from vlmcli.demo.training import patches
from vlmcli.demo.training.patches import REGIONS, UNKNOWN


def test_labels_say_what_each_patch_shows():
    circle = scenes.Shape("circle", "red", (255, 0, 0), 24.0, 24.0, 14.0)
    text = scenes.Text("AB", "", "blue", (0, 0, 255), 64.0, 96.0, 20.0)
    found = patches.labels(scenes.Scene(256, 256, "white", (255, 255, 255), (circle,), (text,)))
    assert found.shape[1, 1] == 1
    assert found.color[1, 1] == list(world.COLORS).index("red") + 1
    assert REGIONS[found.region[1, 1] - 1] == "top left"
    assert found.box[1, 1, :4] == pytest.approx([v / 128 * 2 - 1 for v in circle.box], abs=1e-6)
    assert np.isnan(found.box[5, 1]).all()
    assert found.shape.sum() == (found.shape == 1).sum()
    assert set(found.character[6, 4].tolist()) == {1, 2}  # A and B
    assert (found.background, found.count) == (0, 1)
    outside = patches.outside_labels()
    assert (outside.shape == len(world.SHAPES) + 1).all()
    assert (outside.color == UNKNOWN).all()


def test_sides_say_which_is_left_and_which_is_above():
    one, other = (scenes.Shape("circle", "red", (255, 0, 0), x, y, 14.0) for x, y in ((24.0, 64.0), (104.0, 60.0)))
    scene = scenes.Scene(256, 256, "white", (255, 255, 255), (one, other))
    assert patches.left_and_above(one, other, scene) == [1, UNKNOWN]
    assert patches.left_and_above(other, one, scene) == [0, UNKNOWN]
    assert patches.left_and_above(replace(one, y=100.0), other, scene) == [1, 0]


def test_changes_say_what_the_second_picture_does_not_share():
    circle = scenes.Shape("circle", "red", (255, 0, 0), 24.0, 24.0, 14.0)
    white = scenes.Scene(256, 256, "white", (255, 255, 255), (circle,))
    one = patches.labels(white)

    def against(**other):
        return patches.changes(one, patches.labels(replace(white, **other))).reshape(8, 8)

    assert (against() == patches.UNCHANGED).all()
    assert against(shapes=())[1, 1] == patches.REMOVED
    assert against(shapes=(replace(circle, color="blue"),))[1, 1] == patches.RECOLORED
    more = against(shapes=(circle, replace(circle, x=104.0)))
    assert (more[1, 1], more[1, 6], more[6, 6]) == (patches.UNCHANGED, patches.ADDED, patches.UNCHANGED)
    grey = against(background="gray")
    assert (grey[1, 1], grey[6, 6]) == (patches.UNCHANGED, patches.REPAINTED)


def test_a_page_of_many_lines_has_no_order():
    found = patches.labels(chance.page(Random(2)))
    written = found.character > 0
    assert written.any()
    assert (found.order[written] == UNKNOWN).all()
    assert not found.spelled.any()


def test_a_view_is_scaled_to_fit_and_padded_as_llama_cpp_pads():
    picture = scenes.draw(scenes.make(Random(1), size=(300, 100)))
    seen = patches.view(picture)
    assert seen.shape == (128, 128, 3)
    assert (seen[:42] == patches.PADDING).all()
    assert (seen[-42:] == patches.PADDING).all()
    assert not (seen[64] == patches.PADDING).all()
