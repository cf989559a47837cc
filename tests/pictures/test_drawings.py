"""Drawings are told from photographs by their colours."""

from random import Random

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter

from tests.support.program import SCENE
from vlmcli.demo import outside, scenes
from vlmcli.pictures import images
from vlmcli.pictures.drawings import is_drawn


def judged(image):
    image = image.convert("RGB")
    return is_drawn(images.from_pixels(image.tobytes(), image.size, "a picture"))


def screenshot():
    """A window with a bar, lines of text and a button."""
    image = Image.new("RGB", (1280, 800), (245, 245, 245))
    pen = ImageDraw.Draw(image)
    pen.rectangle((0, 0, 1280, 60), (40, 60, 90))
    for line in range(20):
        pen.text((40, 100 + 30 * line), "A line of text in a window, as large as the others", (20, 20, 20))
    pen.rectangle((1000, 700, 1200, 760), (30, 120, 220))
    return image


def photograph(seed=0, size=(640, 480)):
    """Light from one side over a texture, out of focus in part, with the noise of a sensor."""
    random = np.random.default_rng(seed)
    grain = Image.fromarray(random.integers(0, 256, (12, 16, 3), np.uint8)).resize(size, Image.Resampling.BICUBIC)
    light = np.linspace(0.3, 1.1, size[0])[None, :, None]
    pixels = np.asarray(grain.filter(ImageFilter.GaussianBlur(3)), np.float64) * light
    return Image.fromarray(np.clip(pixels + random.normal(0, 4, pixels.shape), 0, 255).astype(np.uint8))


def test_drawn_scenes_are_drawings():
    random = Random(5)
    drawn = [judged(scenes.draw(scenes.make(random))) for _ in range(200)]
    assert sum(drawn) >= 192  # with noise, gradients and compression as they come


@pytest.mark.parametrize("image", [screenshot(), Image.open(SCENE), Image.new("RGB", (50, 20), "red")])
def test_screens_and_plain_pictures_are_drawings(image):
    assert judged(image)


@pytest.mark.parametrize("seed", range(5))
def test_what_looks_like_a_photograph_is_none(seed):
    assert not judged(photograph(seed))
    assert not judged(photograph(seed, (4000, 3000)))
    assert not judged(outside.picture(Random(seed), "clouds"))
    assert not judged(outside.picture(Random(seed), "face"))


def test_noise_and_a_gradient_of_colours_are_none():
    random = np.random.default_rng(0)
    assert not judged(Image.fromarray(random.integers(0, 256, (200, 300, 3), np.uint8)))
    corners = np.array([[[255, 0, 0], [0, 255, 0]], [[0, 0, 255], [255, 255, 0]]], np.uint8)
    assert not judged(Image.fromarray(corners).resize((300, 200), Image.Resampling.BICUBIC))


@pytest.mark.parametrize("size", [(1, 1), (1, 100), (3, 2)])
def test_tiny_pictures_are_judged_too(size):
    assert judged(Image.new("RGB", size, "blue"))
