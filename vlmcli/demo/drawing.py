"""Draws a scene: from what a picture shows to its pixels.

The same scene always gives the same pixels. Nothing here is left to chance, and nothing knows how scenes are made.
"""

from __future__ import annotations

import io
from functools import lru_cache
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from vlmcli.demo import lettering
from vlmcli.demo.world import Scene


def draw(scene: Scene) -> Image.Image:
    """Draw a scene as an RGB picture of its width and height. The same scene always gives the same pixels."""
    over = 2 if max(scene.width, scene.height) <= 480 else 1  # drawn larger and shrunk: smooth edges
    image = Image.new("RGB", (scene.width * over, scene.height * over), scene.rgb)
    if scene.gradient[:2] != (1.0, 1.0):
        image = _shade(image, scene.gradient)
    pen, scale = ImageDraw.Draw(image), scene.scale * over
    for shape in scene.shapes:
        if shape.name == "circle":
            pen.ellipse([v * scale for v in shape.box], fill=shape.rgb)
        else:
            pen.polygon([(x * scale, y * scale) for x, y in shape.outline()], fill=shape.rgb)
    if over > 1:
        image = image.resize((scene.width, scene.height), Image.Resampling.BOX)
    pen, scale = ImageDraw.Draw(image), scene.scale
    for text in scene.texts:
        font = lettering.font(text.font, round(text.size * scale, 1))
        pen.text((text.x * scale, text.y * scale - font.getbbox(text.text)[1]), text.text, font=font, fill=text.rgb)
    if scene.noise:
        image = add_noise(image, scene.noise, scene.seed)
    if scene.jpeg:
        image = through_jpeg(image, scene.jpeg)
    return image


def _shade(image: Image.Image, gradient: tuple[float, float, bool]) -> Image.Image:
    """The picture's one colour, brighter or darker from one end to the other, as `Scene.gradient` says."""
    first, last, downwards = gradient
    steps = np.linspace(first, last, image.height if downwards else image.width, dtype=np.float32)
    row = np.asarray(image.getpixel((0, 0)), np.float32) * steps[:, None]
    line = np.clip(row + 0.5, 0, 255).astype(np.uint8)
    strip = Image.fromarray(line[:, None] if downwards else line[None])
    return strip.resize(image.size, Image.Resampling.NEAREST)


@lru_cache(maxsize=1)
def _grain() -> Any:
    """Standard normal numbers, float32 [2 ** 21]: drawing as many for each picture is most of drawing it."""
    return np.random.default_rng(0).standard_normal(2**21, np.float32)


def add_noise(image: Image.Image, deviation: float, seed: int) -> Image.Image:
    """The picture with Gaussian noise of this standard deviation, in levels of 255."""
    pixels, grain = np.asarray(image, np.float32), _grain()
    start = seed % (grain.size // 2)
    if pixels.size <= grain.size // 2:
        noise = grain[start : start + pixels.size].reshape(pixels.shape)
    else:
        noise = np.resize(np.roll(grain, start), pixels.shape)
    return Image.fromarray(np.clip(pixels + noise * np.float32(deviation) + 0.5, 0, 255).astype(np.uint8))


def through_jpeg(image: Image.Image, quality: int) -> Image.Image:
    """The picture after JPEG compression at this quality."""
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return Image.open(file).convert("RGB")
