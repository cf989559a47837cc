"""The demo model's world: what can be in a picture, and the values that say what is in one.

A `Scene` says everything about a picture: what is in it, where, and how it is spoilt (gradient, noise, JPEG). Places
are in *view units*: the longer side of every scene is `VIEW`, the side of the square that the model sees, so that a
unit is one pixel of what the model gets, whatever the picture's size.

The world, which is also what the model may be asked about: one to five of six shapes in ten colours, or none, on a
plain background of nine colours, and at most one word or number of up to five capital letters and digits. Shapes are
at least 14 and letters at least 12 units high.

Nothing here draws, or leaves anything to chance.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from vlmcli.demo import lettering

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

APART = 110
"""Least distance in RGB between the colour of a shape or a text and that of the background."""
SMALLEST_RADIUS = 7.0
"""Least `Shape.radius`, in view units."""
SMALLEST_LETTER = 12.0
"""Least height of a capital letter, in view units."""


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
        """What the shape is called in questions and answers: "red circle"."""
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
    """One line of text: `x` and `y` are the left end and the top of its ink, `size` the font's, all in view units."""

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
        font = lettering.font(self.font, 100)
        return [self.x + font.getlength(self.text[:i]) * self.size / 100 for i in range(len(self.text) + 1)]

    @property
    def height(self) -> float:
        """Height of the text's ink, in view units."""
        return lettering.ink_height(self.text, self.font) * self.size


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
    def view_size(self) -> tuple[float, float]:
        """Width and height in view units."""
        return self.width / self.scale, self.height / self.scale

    @property
    def text(self) -> str:
        """The word or number in the picture; "" if there is none."""
        return self.texts[0].text if self.texts else ""
