"""Drawn scenes with known contents: what the demo model is trained on, tested on and shown with.

A `Scene` says everything about a picture: what is in it, where, and how it is spoilt (gradient, noise, JPEG). The
same scene always gives the same pixels. Places are in *view units*: the longer side of every scene is `VIEW`, the
side of the square the model sees, so that a unit is one pixel of what the model gets, whatever the picture's size.

    from random import Random
    from vlmcli.demo import scenes
    scenes.draw(scenes.make(Random(7))).save("scene.png")

The world, which is also what the model may be asked about: one to five of six shapes in ten colours, or none, on a
plain background of nine colours, and at most one word or number of up to five capital letters and digits. Shapes are
at least 14 and letters at least 12 units high. `outside` draws what is not in that world: textures, photograph-like
pictures, pages of text.
"""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageFont

RGB = tuple[int, int, int]
Point = tuple[float, float]

VIEW = 128
"""Side of the model's input in pixels, and the longer side of every scene in view units."""

SHAPES = ("circle", "square", "triangle", "star", "diamond", "cross")

COLORS: dict[str, tuple[RGB, ...]] = {
    "red": ((255, 0, 0), (220, 30, 30), (200, 20, 40)),
    "orange": ((255, 165, 0), (255, 140, 0), (245, 120, 20)),
    "yellow": ((255, 255, 0), (250, 220, 20), (255, 225, 30)),
    "green": ((0, 128, 0), (0, 235, 0), (30, 160, 50), (50, 205, 50)),
    "blue": ((0, 0, 255), (30, 80, 220), (30, 144, 255)),
    "purple": ((128, 0, 128), (130, 40, 170), (148, 0, 211)),
    "pink": ((255, 192, 203), (255, 105, 180), (255, 130, 185)),
    "brown": ((139, 69, 19), (125, 70, 25), (150, 75, 0)),
    "black": ((0, 0, 0), (25, 25, 25)),
    "white": ((255, 255, 255), (240, 240, 240)),
}

# No gray near (122, 116, 104), which llama.cpp pads a picture with that is not square.
BACKGROUNDS: dict[str, tuple[RGB, ...]] = {
    "white": ((255, 255, 255), (240, 240, 240)),
    "black": ((0, 0, 0), (20, 20, 20)),
    "gray": ((170, 170, 170), (185, 185, 185), (150, 150, 150)),
    "light blue": ((200, 225, 250), (173, 216, 230)),
    "light green": ((205, 240, 205), (190, 235, 190)),
    "light yellow": ((255, 250, 205), (250, 245, 190)),
    "dark blue": ((15, 20, 70), (20, 30, 90)),
    "dark green": ((10, 50, 20), (15, 65, 30)),
    "dark red": ((75, 10, 15), (90, 15, 20)),
}

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
DIGITS = "0123456789"
CHARACTERS = LETTERS + DIGITS
_UNMISTAKABLE = "".join(c for c in CHARACTERS if c not in "O0I1")
_FONTS = Path(__file__).parent / "fonts"
FONTS = ("DejaVuSans", "DejaVuSans-Bold", "DejaVuSansMono-Bold", "DejaVuSerif-Bold", "")
"""Names of the fonts in the package; "" is Pillow's own."""

WORDS = (
    "CAT", "DOG", "HELLO", "STOP", "OPEN", "EXIT", "SALE", "TAXI", "HOME", "FISH", "BIRD", "TREE", "STAR", "MOON",
    "SUN", "YES", "NO", "GO", "UP", "ON", "OFF", "IN", "OUT", "BUS", "CAR", "BOOK", "FREE", "COOL", "HOT", "COLD",
    "WARM", "LOVE", "PLAY", "PUSH", "PULL", "HELP", "INFO", "MENU", "BACK", "NEXT", "TEST", "DEMO", "LLAMA",
    "WORLD", "APPLE", "GREEN", "BLUE", "RED", "PINK", "ZOO", "BOX", "JAZZ", "QUIZ", "WAX", "VAN", "KEY", "INK",
    "EGG", "ICE", "JAM",
)  # fmt: skip

APART = 110
"""Least distance of a shape's or a text's colour from the background's, in RGB."""
SMALLEST_RADIUS = 7.0
"""View units."""
SMALLEST_LETTER = 12.0
"""Height of a capital letter in view units."""


@dataclass(frozen=True)
class Shape:
    """One shape: centre, radius (of the circle around it) in view units, and how far it is turned, in radians."""

    name: str
    color: str
    rgb: RGB
    x: float
    y: float
    radius: float
    turn: float = 0.0

    def __str__(self) -> str:
        """As it is spoken of: "red circle"."""
        return f"{self.color} {self.name}"

    def outline(self) -> list[Point]:
        """The corners in view units; none for a circle."""
        cos, sin = math.cos(self.turn), math.sin(self.turn)
        return [
            (self.x + self.radius * (x * cos - y * sin), self.y + self.radius * (x * sin + y * cos))
            for x, y in _OUTLINES[self.name]
        ]

    @property
    def box(self) -> tuple[float, float, float, float]:
        """(left, top, right, bottom) of what is drawn, in view units."""
        if self.name == "circle":
            r = self.radius * _CIRCLE
            return self.x - r, self.y - r, self.x + r, self.y + r
        xs, ys = zip(*self.outline(), strict=True)
        return min(xs), min(ys), max(xs), max(ys)


_CIRCLE = 0.92  # a circle's radius as a share of `Shape.radius`, so that shapes look of one size
_OUTLINES: dict[str, tuple[Point, ...]] = {
    "circle": (),
    "square": ((-0.82, -0.82), (0.82, -0.82), (0.82, 0.82), (-0.82, 0.82)),
    "diamond": ((0, -1), (0.75, 0), (0, 1), (-0.75, 0)),
    "triangle": ((0, -0.95), (0.95, 0.8), (-0.95, 0.8)),
    "star": tuple(
        (r * math.cos(a), r * math.sin(a))
        for r, a in ((1.0 if i % 2 == 0 else 0.42, -math.pi / 2 + i * math.pi / 5) for i in range(10))
    ),
    "cross": tuple(
        (0.95 * x if abs(x) > 0.5 else x, 0.95 * y if abs(y) > 0.5 else y)
        for x, y in (
            (-0.32, -1), (0.32, -1), (0.32, -0.32), (1, -0.32), (1, 0.32), (0.32, 0.32),
            (0.32, 1), (-0.32, 1), (-0.32, 0.32), (-1, 0.32), (-1, -0.32), (-0.32, -0.32),
        )
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Text:
    """One line of text. `x`, `y`: the left end and the top of its ink; `size`: the font's, all in view units."""

    text: str
    font: str
    color: str
    rgb: RGB
    x: float
    y: float
    size: float

    @property
    def edges(self) -> list[float]:
        """Where each character begins, and the end of the last, in view units."""
        font = _font(self.font, 100)
        return [self.x + font.getlength(self.text[:i]) * self.size / 100 for i in range(len(self.text) + 1)]

    @property
    def height(self) -> float:
        """Of its ink, in view units."""
        return _ink(self.text, self.font) * self.size


@dataclass(frozen=True)
class Scene:
    """What a picture shows and how it is drawn.

    Attributes:
        width, height: of the picture in pixels.
        background: its colour's name; rgb: the colour.
        shapes: from left to right.
        texts: none or one in the model's world; more only on the pages that the encoder is trained with.
        gradient: brightness of the background at its two ends, and whether it runs downwards.
        noise: standard deviation in levels of 255; seed: of the noise.
        jpeg: quality of a JPEG the picture went through, or 0.
    """

    width: int
    height: int
    background: str
    rgb: RGB
    shapes: tuple[Shape, ...] = ()
    texts: tuple[Text, ...] = ()
    gradient: tuple[float, float, bool] = (1.0, 1.0, False)
    noise: float = 0.0
    jpeg: int = 0
    seed: int = 0

    @property
    def scale(self) -> float:
        """Pixels of the picture in one view unit."""
        return max(self.width, self.height) / VIEW

    @property
    def view(self) -> tuple[float, float]:
        """Width and height in view units."""
        return self.width / self.scale, self.height / self.scale

    @property
    def text(self) -> str:
        """The word or number, or ""."""
        return self.texts[0].text if self.texts else ""


@lru_cache(maxsize=4096)
def _font(name: str, size: float) -> Any:
    if not name:
        return ImageFont.load_default(size)
    return ImageFont.truetype(str(_FONTS / f"{name}.ttf"), size)


@lru_cache(maxsize=65536)
def _ink(text: str, font: str) -> float:
    """Height of a text's ink for a font of size 1."""
    _, top, _, bottom = _font(font, 100).getbbox(text)
    return float(bottom - top) / 100


# --- Making one ---


def make(
    rng: Random,
    *,
    size: tuple[int, int] | None = None,
    shapes: int | None = None,
    text: str | bool | None = None,
    letters: float = SMALLEST_LETTER,
) -> Scene:
    """A scene of the model's world.

    Args:
        rng: decides everything that is left open, and nothing else does.
        size: of the picture; by default the longer side is 64 to 2,000 pixels, the sides 1:3 to 3:1.
        shapes: how many, 0 to 5. Fewer come where the picture is too narrow for them.
        text: a word to write, True for any, False for none.
        letters: least height of a capital, in view units.
    """
    width, height = size or _size(rng)
    scene = Scene(width, height, "white", (255, 255, 255), seed=rng.getrandbits(32))
    w, h = scene.view
    background = rng.choice([*BACKGROUNDS, "white", "white", "black"])
    rgb = _near(rng, rng.choice(BACKGROUNDS[background]), 5)
    if background in ("white", "black") and rng.random() < 0.35:
        rgb = BACKGROUNDS[background][0]
    if text is None and shapes is None:
        kind = rng.choices(("shapes", "text", "both", "empty"), (66, 18, 14, 2))[0]
    else:
        kind = "text" if text and shapes in (None, 0) else "both" if text else "empty" if shapes == 0 else "shapes"
    if shapes is None:
        shapes = {"shapes": rng.choice((1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 5, 5)), "both": rng.choice((1, 1, 2, 2, 3))}.get(
            kind, 0
        )
    texts: tuple[Text, ...] = ()
    if kind in ("text", "both"):
        word = text if isinstance(text, str) else some_text(rng)
        lowest = max(letters, 9.0 / scene.scale)  # readable in the picture itself, too
        while not isinstance(text, str) and not _has_room(word, w, h, lowest):
            word = some_text(rng)
        texts = (_place_text(rng, word, w, h, lowest, rgb, with_shapes=shapes > 0),)
    placed = _place_shapes(rng, shapes, w, h, scene.scale, rgb, texts)
    gradient = (1.0, 1.0, False)
    if rng.random() < 0.35:
        ends = (rng.uniform(0.82, 1.0), rng.uniform(0.97, 1.06))
        gradient = (*(ends if rng.random() < 0.5 else ends[::-1]), rng.random() < 0.5)
    return Scene(
        width, height, background, rgb, placed, texts, gradient,
        noise=rng.uniform(1, 9) if rng.random() < 0.45 else 0.0,
        jpeg=rng.randint(55, 95) if rng.random() < 0.25 else 0,
        seed=scene.seed,
    )  # fmt: skip


def _size(rng: Random) -> tuple[int, int]:
    longest = rng.choice((64, 96, 112, 128, 128, 160, 192, 224, 224, 256, 256, 288, 320, 320))
    if rng.random() < 0.1:
        longest = rng.choice((480, 640, 640, 800, 1024, rng.randint(64, 2000)))
    ratio = rng.choice((1.0, 1.0, 1.0, 4 / 3, 4 / 3, 3 / 2, 16 / 9, rng.uniform(1, 3)))
    other = max(32, round(longest / ratio))
    return (longest, other) if rng.random() < 0.62 else (other, longest)


def _near(rng: Random, rgb: RGB, spread: int) -> RGB:
    r, g, b = (max(0, min(255, value + rng.randint(-spread, spread))) for value in rgb)
    return r, g, b


def _color(rng: Random, background: RGB) -> tuple[str, RGB]:
    """A colour that can be told from the background."""
    for _ in range(60):
        name = rng.choice(tuple(COLORS))
        rgb = _near(rng, rng.choice(COLORS[name]), 8)
        if math.dist(rgb, background) >= APART:
            return name, rgb
    return ("black", (0, 0, 0)) if sum(background) > 380 else ("white", (255, 255, 255))


def some_text(rng: Random) -> str:
    """A word, or one to five random letters, digits or both, that no font makes ambiguous."""
    kind, length = rng.random(), rng.choice((1, 2, 3, 3, 4, 4, 5, 5))
    if kind < 0.25:
        return rng.choice(WORDS)
    alphabet = LETTERS if kind < 0.5 else DIGITS if kind < 0.78 else _UNMISTAKABLE
    text = "".join(rng.choice(alphabet) for _ in range(length))
    return text if any(c in _UNMISTAKABLE for c in text) else some_text(rng)


def _has_room(text: str, w: float, h: float, lowest: float) -> bool:
    """Whether a view of this size can show the text in some font."""
    sizes = [(name, lowest * 1.02 / _ink("H", name)) for name in FONTS]
    return any(
        _font(name, 100).getlength(text) / 100 * size <= 0.96 * w and _ink(text, name) * size <= 0.9 * h
        for name, size in sizes
    )


def _place_text(rng: Random, text: str, w: float, h: float, lowest: float, background: RGB, with_shapes: bool) -> Text:
    fonts = list(FONTS)
    rng.shuffle(fonts)
    for name in fonts:
        ink, length = _ink(text, name), _font(name, 100).getlength(text) / 100
        smallest = lowest * 1.02 / _ink("H", name)
        largest = min(h * (0.34 if with_shapes else 0.75) / ink, w * 0.94 / length)
        if largest >= smallest:
            break
        largest = min(h * 0.9 / ink, w * 0.96 / length)  # one that just fits rather than none
        if largest >= smallest:
            break
    size = (
        rng.uniform(smallest, max(smallest, largest))
        if rng.random() < 0.6
        else min(max(smallest, largest), smallest * rng.uniform(1, 1.8))
    )
    room_x, room_y = max(0.0, w - length * size), max(0.0, h - ink * size)
    x = rng.uniform(0, room_x) if rng.random() < 0.6 else room_x / 2
    if with_shapes:
        y = room_y * (rng.uniform(0, 0.08) if rng.random() < 0.5 else rng.uniform(0.92, 1))
    else:
        y = rng.uniform(0, room_y) if rng.random() < 0.6 else room_y / 2
    color, rgb = _color(rng, background)
    return Text(text, name, color, rgb, x, y, size)


_LARGEST = (0.0, 0.45, 0.30, 0.25, 0.21, 0.19)


def _place_shapes(
    rng: Random, count: int, w: float, h: float, scale: float, background: RGB, texts: Sequence[Text]
) -> tuple[Shape, ...]:
    placed: list[Shape] = []
    smallest = max(SMALLEST_RADIUS, 6 / scale, 0.1 * min(w, h))
    largest = min(_LARGEST[count] * math.sqrt(w * h), 0.46 * min(w, h))
    for _ in range(count):
        for attempt in range(80):
            radius = rng.uniform(smallest, max(smallest, largest))
            if attempt > 40:
                radius = smallest
            if 2 * radius >= min(w, h) - 1:
                radius = (min(w, h) - 2) / 2
            x, y = rng.uniform(radius + 1, w - radius - 1), rng.uniform(radius + 1, h - radius - 1)
            if any(y + radius > t.y - 1.5 and y - radius < t.y + t.height + 1.5 for t in texts):
                continue
            if any(math.hypot(x - s.x, y - s.y) < (radius + s.radius) * 1.02 + 1 for s in placed):
                continue
            name = rng.choice(placed).name if placed and rng.random() < 0.25 else rng.choice(SHAPES)
            color, rgb = _color(rng, background)
            if placed and rng.random() < 0.15:
                other = rng.choice(placed)
                color, rgb = other.color, other.rgb
            turn = rng.uniform(-0.17, 0.17) if rng.random() < 0.4 else 0.0
            placed.append(Shape(name, color, rgb, x, y, radius, turn))
            break
    return tuple(sorted(placed, key=lambda shape: shape.x))


def page(rng: Random) -> Scene:
    """A square full of lines of random characters: what the encoder learns reading from, no part of the world."""
    background = rng.choice([*BACKGROUNDS, "white", "white", "black"])
    rgb = _near(rng, rng.choice(BACKGROUNDS[background]), 5)
    texts, y, middle = [], rng.uniform(0, 14), rng.uniform(11, 32)
    while True:
        font = rng.choice(FONTS)
        size = max(13.0, min(middle * rng.uniform(0.8, 1.3), 60) / 0.73)
        alphabet = rng.choice((LETTERS, DIGITS, CHARACTERS, _UNMISTAKABLE))
        text = "".join(rng.choice(alphabet) for _ in range(14))
        height = _ink(text, font) * size
        if y + height > VIEW - 1:
            break
        x = rng.uniform(0, 20)
        length = len(text)
        while length > 1 and x + _font(font, 100).getlength(text[:length]) * size / 100 > VIEW - 1:
            length -= 1
        text = text[: max(1, length - rng.choice((0, 0, 1, 2)))]
        color, ink = _color(rng, rgb)
        texts.append(Text(text, font, color, ink, x, y, size))
        y += height + rng.uniform(2, 12)
    noise = rng.uniform(1, 9) if rng.random() < 0.4 else 0.0
    return Scene(VIEW, VIEW, background, rgb, (), tuple(texts), noise=noise, seed=rng.getrandbits(32))


# --- Drawing ---


def draw(scene: Scene) -> Image.Image:
    """The scene's pixels, RGB; the same each time."""
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
        font = _font(text.font, round(text.size * scale, 1))
        pen.text((text.x * scale, text.y * scale - font.getbbox(text.text)[1]), text.text, font=font, fill=text.rgb)
    if scene.noise:
        image = add_noise(image, scene.noise, scene.seed)
    if scene.jpeg:
        image = through_jpeg(image, scene.jpeg)
    return image


def _shade(image: Image.Image, gradient: tuple[float, float, bool]) -> Image.Image:
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
    """Gaussian noise with this standard deviation, in levels of 255."""
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


# --- What is outside the world ---

FAMILIES = (
    "gradient", "noise", "clouds", "stripes", "checks", "dots", "page", "window", "landscape", "blobs", "clutter",
)  # fmt: skip
"""Pictures the model is trained to say "I don't know." about."""
UNSEEN_FAMILIES = ("bricks", "face", "city", "receipt")
"""The same, kept out of training: do they get the same answer?"""


def outside(rng: Random, family: str | None = None, size: tuple[int, int] | None = None) -> Image.Image:
    """A picture of one of `FAMILIES` (any by default) or `UNSEEN_FAMILIES`."""
    family = family or rng.choice(FAMILIES)
    width, height = size or _size(rng)
    most = max(width, height)
    small = (width, height) if most <= 320 else (max(32, width * 320 // most), max(32, height * 320 // most))
    image = _OUTSIDE[family](rng, *small)
    if small != (width, height):
        image = image.resize((width, height), Image.Resampling.BICUBIC)
    if rng.random() < 0.3:
        image = add_noise(image, rng.uniform(1, 10), rng.getrandbits(32))
    if rng.random() < 0.3:
        image = through_jpeg(image, rng.randint(55, 95))
    return image


def _any(rng: Random) -> RGB:
    return rng.randrange(256), rng.randrange(256), rng.randrange(256)


def _apart(rng: Random, other: RGB, least: float = 120) -> RGB:
    while True:
        rgb = _any(rng)
        if math.dist(rgb, other) >= least:
            return rgb


def _gradient(rng: Random, w: int, h: int) -> Image.Image:
    """Two to four colours that run into one another."""
    first = _any(rng)
    corners = [first, _apart(rng, first), _any(rng), _any(rng)]
    rng.shuffle(corners)
    pixels = np.asarray(corners, np.uint8).reshape(2, 2, 3)
    if rng.random() < 0.3:
        pixels = pixels[:1]
    return Image.fromarray(pixels).resize((w, h), Image.Resampling.BICUBIC)


def _noise(rng: Random, w: int, h: int) -> Image.Image:
    """Grains of one to eight pixels, gray or coloured."""
    grain = rng.choice((1, 1, 2, 4, 8))
    generator = np.random.default_rng(rng.getrandbits(32))
    channels = rng.choice((1, 3))
    pixels = generator.integers(0, 256, (max(2, h // grain), max(2, w // grain), channels), np.uint8)
    return Image.fromarray(np.repeat(pixels, 3 // channels, 2)).resize((w, h), Image.Resampling.NEAREST)


def _clouds(rng: Random, w: int, h: int) -> Image.Image:
    """Noise at many scales, coarse ones stronger, as in photographs."""
    generator = np.random.default_rng(rng.getrandbits(32))
    total = np.zeros((h, w, 3), np.float32)
    strength, cells = 1.0, rng.choice((2, 3, 4))
    while cells < max(w, h):
        rough = generator.standard_normal((max(2, cells * h // max(w, h)), max(2, cells * w // max(w, h)), 3))
        rough = rough.mean(2, keepdims=True) * 0.8 + rough * 0.4
        for channel in range(3):
            layer = Image.fromarray(rough[..., channel].astype(np.float32))
            total[..., channel] += np.asarray(layer.resize((w, h), Image.Resampling.BICUBIC)) * strength
        strength *= rng.uniform(0.5, 0.75)
        cells *= 2
    total = total / max(1e-3, float(total.std())) * rng.uniform(35, 65) + np.asarray(_any(rng), np.float32) * 0.6 + 50
    return Image.fromarray(np.clip(total, 0, 255).astype(np.uint8))


def _stripes(rng: Random, w: int, h: int) -> Image.Image:
    image = Image.new("RGB", (w, h), first := _any(rng))
    pen, reach = ImageDraw.Draw(image), w + h
    angle, step = rng.uniform(0, math.pi), rng.uniform(5, 24)
    colors = [_apart(rng, first, 80) for _ in range(rng.choice((1, 1, 2, 3)))]
    dx, dy = math.cos(angle), math.sin(angle)
    for i in range(int(reach / step) + 2):
        along = i * step - reach / 2
        x, y = w / 2 + dx * along, h / 2 + dy * along
        ends = [(x - dy * reach, y + dx * reach), (x + dy * reach, y - dx * reach)]
        pen.line(ends, fill=colors[i % len(colors)], width=max(1, int(step * rng.uniform(0.3, 0.6))))
    return image


def _checks(rng: Random, w: int, h: int) -> Image.Image:
    image = Image.new("RGB", (w, h), first := _any(rng))
    pen, step, other = ImageDraw.Draw(image), max(4, int(max(w, h) / rng.uniform(7, 22))), _apart(rng, first, 80)
    plaid = rng.random() < 0.4
    for j in range(h // step + 1):
        for i in range(w // step + 1):
            if (i + j) % 2 == 0:
                pen.rectangle([i * step, j * step, i * step + step - 1, j * step + step - 1], fill=other)
            elif plaid and i % 2:
                pen.rectangle([i * step, j * step, i * step + step - 1, j * step + step - 1], fill=_mix(first, other))
    return image


def _mix(a: RGB, b: RGB, share: float = 0.5) -> RGB:
    r, g, b_ = (int(x * share + y * (1 - share)) for x, y in zip(a, b, strict=True))
    return r, g, b_


def _dots(rng: Random, w: int, h: int) -> Image.Image:
    image = Image.new("RGB", (w, h), first := _any(rng))
    pen, step = ImageDraw.Draw(image), max(w, h) / rng.uniform(8, 20)
    color = _apart(rng, first, 80)
    radius = step * rng.uniform(0.2, 0.42)
    for j in range(int(h / step) + 1):
        for i in range(int(w / step) + 1):
            x, y = (i + 0.5 + (j % 2) * 0.5) * step, (j + 0.5) * step
            pen.ellipse([x - radius, y - radius, x + radius, y + radius], fill=color)
    return image


_LOWER = "etaoinshrdlucmfwypvbgkqjxz"


def _prose(rng: Random, words: int) -> str:
    return " ".join("".join(rng.choice(_LOWER[:14]) for _ in range(rng.randint(2, 9))) for _ in range(words))


def _page_of_text(rng: Random, w: int, h: int) -> Image.Image:
    """Many lines, small or middling, as on a scanned page or a screenshot of one."""
    dark = rng.random() < 0.25
    image = Image.new("RGB", (w, h), (rng.randint(15, 50),) * 3 if dark else (rng.randint(235, 255),) * 3)
    pen, ink = ImageDraw.Draw(image), (220, 220, 220) if dark else (rng.randint(0, 70),) * 3
    size = max(w, h) / rng.uniform(12, 34)
    font, y, left = _font(rng.choice(FONTS), round(size, 1)), size * rng.uniform(0.4, 2), rng.uniform(2, w * 0.1)
    if rng.random() < 0.5:
        pen.text((left, y), _prose(rng, 2).title(), font=_font("DejaVuSans-Bold", round(size * 1.5, 1)), fill=ink)
        y += size * 2.4
    while y < h - size * 0.5:
        if rng.random() > 0.12:
            line = _prose(rng, rng.randint(2, 12))
            while len(line) > 2 and left + font.getlength(line) > w * 0.97:
                line = line[:-1]
            pen.text((left, y), line, font=font, fill=ink)
        y += size * rng.choice((1.3, 1.3, 1.3, 1.6))
    return image


def _window(rng: Random, w: int, h: int) -> Image.Image:
    """A screenshot: bars, panels, buttons, labels."""
    image = Image.new("RGB", (w, h), (rng.randint(200, 250),) * 3 if rng.random() < 0.7 else (rng.randint(20, 60),) * 3)
    pen = ImageDraw.Draw(image)
    pen.rectangle([0, 0, w, h * rng.uniform(0.06, 0.15)], fill=_any(rng))
    if rng.random() < 0.6:
        pen.rectangle([0, 0, w * rng.uniform(0.15, 0.3), h], fill=_any(rng))
    for _ in range(rng.randint(4, 12)):
        x, y = int(rng.uniform(0, w * 0.8)), int(rng.uniform(h * 0.1, h * 0.9))
        bw, bh = rng.uniform(w * 0.1, w * 0.5), rng.uniform(h * 0.04, h * 0.25)
        right, low, radius = max(x, int(x + bw)), max(y, int(y + bh)), int(min(bw / 3, bh / 3, 6))
        pen.rounded_rectangle([x, y, right, low], radius=radius, fill=_any(rng), outline=_any(rng))
    for _ in range(rng.randint(6, 16)):
        size = max(5.0, max(w, h) / rng.uniform(14, 34))
        place = (rng.uniform(0, w * 0.8), rng.uniform(0, h * 0.95))
        pen.text(place, _prose(rng, rng.randint(1, 3)), font=_font("DejaVuSans", round(size, 1)), fill=_any(rng))
    return image


def _landscape(rng: Random, w: int, h: int) -> Image.Image:
    """Sky, a sun, hills one behind the other."""
    sky = _mix((90, 150, 230), _any(rng), 0.6)
    pixels = np.asarray([[sky], [_mix(sky, (255, 235, 200), 0.4)]], np.uint8)
    image = Image.fromarray(pixels).resize((w, h), Image.Resampling.BILINEAR)
    pen = ImageDraw.Draw(image)
    if rng.random() < 0.6:
        x, y, r = rng.uniform(0, w), rng.uniform(0, h * 0.4), rng.uniform(0.05, 0.12) * max(w, h)
        pen.ellipse([x - r, y - r, x + r, y + r], fill=(255, rng.randint(200, 250), rng.randint(120, 220)))
    base = _mix((40, 90, 40), _any(rng), 0.6)
    for layer in range(rng.randint(2, 5)):
        level, phase = h * (0.45 + 0.12 * layer), rng.uniform(0, 6)
        waves = [(rng.uniform(0.01, 0.09) * 160 / w * 2, rng.uniform(2, 0.09 * h + 2)) for _ in range(3)]
        line = [(x, level + sum(a * math.sin(f * x + phase * (i + 1)) for i, (f, a) in enumerate(waves)))
                for x in range(0, w + 4, 4)]  # fmt: skip
        pen.polygon([*line, (w, h), (0, h)], fill=_mix(base, (0, 0, 0), 1 - 0.18 * layer))
    if rng.random() < 0.7:
        image = _blur(image, rng.uniform(0.5, 2))
    return add_noise(image, rng.uniform(4, 16), rng.getrandbits(32))


def _blur(image: Image.Image, radius: float) -> Image.Image:
    return image.filter(ImageFilter.GaussianBlur(radius))


def _blobs(rng: Random, w: int, h: int) -> Image.Image:
    """Soft overlapping patches of colour under light and grain: a photograph out of focus."""
    image = Image.new("RGB", (w, h), _any(rng))
    pen = ImageDraw.Draw(image)
    for _ in range(rng.randint(8, 40)):
        x, y = rng.uniform(0, w), rng.uniform(0, h)
        rx, ry = rng.uniform(0.04, 0.35) * w, rng.uniform(0.04, 0.35) * h
        pen.ellipse([x - rx, y - ry, x + rx, y + ry], fill=_any(rng))
    image = _blur(image, rng.uniform(0.01, 0.06) * max(w, h))
    light = _clouds(rng, w, h).convert("L").convert("RGB")
    return ImageChops.multiply(image, light) if rng.random() < 0.4 else image


def _clutter(rng: Random, w: int, h: int) -> Image.Image:
    """Dozens of small things on top of one another."""
    image = Image.new("RGB", (w, h), _any(rng))
    pen, reach = ImageDraw.Draw(image), 0.18 * max(w, h)
    for _ in range(rng.randint(25, 90)):
        x, y, kind = rng.uniform(0, w), rng.uniform(0, h), rng.random()
        around = [(x + rng.uniform(-reach, reach), y + rng.uniform(-reach, reach)) for _ in range(rng.randint(3, 6))]
        if kind < 0.4:
            pen.polygon(around, fill=_any(rng))
        elif kind < 0.7:
            pen.line(around, fill=_any(rng), width=rng.randint(1, 6))
        else:
            r = rng.uniform(2, reach * 0.6)
            pen.ellipse([x - r, y - r * rng.uniform(0.3, 1), x + r, y + r], fill=_any(rng), outline=_any(rng))
    return image


def _bricks(rng: Random, w: int, h: int) -> Image.Image:
    image = Image.new("RGB", (w, h), (rng.randint(170, 210),) * 3)
    pen, bh = ImageDraw.Draw(image), max(w, h) / rng.uniform(8, 16)
    bw = bh * 2.2
    for j in range(int(h / bh) + 1):
        for i in range(-1, int(w / bw) + 1):
            x, y = (i + (j % 2) * 0.5) * bw, j * bh
            fill = _near(rng, (165, 80, 60), 25)
            pen.rectangle([x + 1, y + 1, x + bw - bh * 0.15, y + bh * 0.87], fill=fill)
    return add_noise(image, 8, rng.getrandbits(32))


def _face(rng: Random, w: int, h: int) -> Image.Image:
    """A head with shoulders before a blurred room."""
    image = _blobs(rng, w, h)
    pen, cx, r = ImageDraw.Draw(image), w * rng.uniform(0.4, 0.6), min(w, h) * rng.uniform(0.2, 0.28)
    cy = h * 0.42
    skin = _near(rng, rng.choice(((235, 195, 165), (190, 140, 100), (110, 75, 50))), 12)
    hair = _near(rng, (50, 35, 25), 25)
    pen.ellipse([cx - r * 2, cy + r * 1.1, cx + r * 2, cy + r * 4.4], fill=_any(rng))
    pen.ellipse([cx - r * 1.1, cy - r * 1.4, cx + r * 1.1, cy + r * 0.8], fill=hair)
    pen.ellipse([cx - r * 0.85, cy - r, cx + r * 0.85, cy + r * 1.2], fill=skin)
    for side in (-1, 1):
        x = cx + side * r * 0.35
        pen.ellipse([x - r * 0.14, cy - r * 0.1, x + r * 0.14, cy + r * 0.08], fill=(250, 250, 250))
        pen.ellipse([x - r * 0.06, cy - r * 0.08, x + r * 0.06, cy + r * 0.06], fill=(40, 30, 30))
    pen.arc([cx - r * 0.4, cy + r * 0.2, cx + r * 0.4, cy + r * 0.8], 20, 160, fill=(150, 50, 50), width=3)
    return add_noise(_blur(image, 1.2), 6, rng.getrandbits(32))


def _city(rng: Random, w: int, h: int) -> Image.Image:
    """Towers with lit windows at night."""
    image = _gradient(rng, w, h).point(lambda v: v // 4)
    pen, x = ImageDraw.Draw(image), 0.0
    while x < w:
        bw, top = rng.uniform(0.06, 0.16) * w, rng.uniform(0.15, 0.7) * h
        shade = rng.randint(15, 60)
        pen.rectangle([x, top, x + bw, h], fill=(shade, shade, shade + 10))
        for wy in range(int(top) + 4, h, 7):
            for wx in range(int(x) + 3, int(x + bw) - 3, 6):
                if rng.random() < 0.5:
                    pen.rectangle([wx, wy, wx + 2, wy + 3], fill=(250, rng.randint(190, 240), rng.randint(90, 180)))
        x += bw + rng.uniform(0, 4)
    return image


def _receipt(rng: Random, w: int, h: int) -> Image.Image:
    """A narrow slip of print on a table."""
    image = _clouds(rng, w, h)
    pen = ImageDraw.Draw(image)
    left, right = w * rng.uniform(0.1, 0.3), w * rng.uniform(0.65, 0.9)
    pen.rectangle([left, 2, right, h - 2], fill=(245, 243, 238))
    size = max(5.0, max(w, h) / 22)
    font, y = _font("DejaVuSansMono-Bold", round(size, 1)), size
    while y < h - size * 2:
        line = _prose(rng, 2)[:12].ljust(12) + f"{rng.uniform(1, 99):6.2f}"
        while len(line) > 2 and left + 4 + font.getlength(line) > right:
            line = line[1:]
        pen.text((left + 4, y), line, font=font, fill=(60, 60, 60))
        y += size * 1.4
    return image


_OUTSIDE = {
    "gradient": _gradient, "noise": _noise, "clouds": _clouds, "stripes": _stripes, "checks": _checks, "dots": _dots,
    "page": _page_of_text, "window": _window, "landscape": _landscape, "blobs": _blobs, "clutter": _clutter,
    "bricks": _bricks, "face": _face, "city": _city, "receipt": _receipt,
}  # fmt: skip
