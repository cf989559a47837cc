"""Makes scenes by chance. The same generator in the same state always makes the same scene.

Everything is decided here, down to the noise's seed. Nothing here draws: fonts are only asked how long a text is.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from random import Random

from vlmcli.demo import lettering
from vlmcli.demo.world import (
    APART,
    BACKGROUNDS,
    CHARACTERS,
    COLORS,
    DIGITS,
    LETTERS,
    RGB,
    SHAPES,
    SMALLEST_LETTER,
    SMALLEST_RADIUS,
    VIEW,
    Scene,
    Shape,
    Text,
)

_UNMISTAKABLE = "".join(c for c in CHARACTERS if c not in "O0I1")
"""Characters that no font makes look like another."""

WORDS = (
    "CAT", "DOG", "HELLO", "STOP", "OPEN", "EXIT", "SALE", "TAXI", "HOME", "FISH", "BIRD", "TREE", "STAR", "MOON",
    "SUN", "YES", "NO", "GO", "UP", "ON", "OFF", "IN", "OUT", "BUS", "CAR", "BOOK", "FREE", "COOL", "HOT", "COLD",
    "WARM", "LOVE", "PLAY", "PUSH", "PULL", "HELP", "INFO", "MENU", "BACK", "NEXT", "TEST", "DEMO", "LLAMA",
    "WORLD", "APPLE", "GREEN", "BLUE", "RED", "PINK", "ZOO", "BOX", "JAZZ", "QUIZ", "WAX", "VAN", "KEY", "INK",
    "EGG", "ICE", "JAM",
)  # fmt: skip
"""Words that a scene may have written in it; others are random characters."""


def make(
    rng: Random,
    *,
    size: tuple[int, int] | None = None,
    shapes: int | None = None,
    text: str | bool | None = None,
    letters: float = SMALLEST_LETTER,
) -> Scene:
    """Make a scene of the model's world.

    Args:
        rng: decides everything that is left open; nothing else does.
        size: of the picture; by default the longer side is 64 to 2,000 pixels, the sides 1:3 to 3:1.
        shapes: how many, 0 to 5. Fewer come where the picture is too narrow for them.
        text: a word to write, True for any, False for none.
        letters: least height of a capital, in view units.
    """
    width, height = size or picture_size(rng)
    scene = Scene(width, height, "white", (255, 255, 255), seed=rng.getrandbits(32))
    w, h = scene.view_size
    background = rng.choice([*BACKGROUNDS, "white", "white", "black"])
    rgb = nearby_color(rng, rng.choice(BACKGROUNDS[background]), 5)
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


def picture_size(rng: Random) -> tuple[int, int]:
    """Width and height in pixels: the longer side 64 to 2,000, mostly up to 320; the sides 1:3 to 3:1."""
    longest = rng.choice((64, 96, 112, 128, 128, 160, 192, 224, 224, 256, 256, 288, 320, 320))
    if rng.random() < 0.1:
        longest = rng.choice((480, 640, 640, 800, 1024, rng.randint(64, 2000)))
    ratio = rng.choice((1.0, 1.0, 1.0, 4 / 3, 4 / 3, 3 / 2, 16 / 9, rng.uniform(1, 3)))
    other = max(32, round(longest / ratio))
    return (longest, other) if rng.random() < 0.62 else (other, longest)


def nearby_color(rng: Random, rgb: RGB, spread: int) -> RGB:
    """A colour that differs from `rgb` by at most `spread` in each channel."""
    r, g, b = (max(0, min(255, value + rng.randint(-spread, spread))) for value in rgb)
    return r, g, b


def _color(rng: Random, background: RGB) -> tuple[str, RGB]:
    """Name and RGB of a colour that can be told from the background."""
    for _ in range(60):
        name = rng.choice(tuple(COLORS))
        rgb = nearby_color(rng, rng.choice(COLORS[name]), 8)
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
    sizes = [(name, lowest * 1.02 / lettering.ink_height("H", name)) for name in lettering.FONTS]
    return any(
        lettering.font(name, 100).getlength(text) / 100 * size <= 0.96 * w
        and lettering.ink_height(text, name) * size <= 0.9 * h
        for name, size in sizes
    )


def _place_text(rng: Random, text: str, w: float, h: float, lowest: float, background: RGB, with_shapes: bool) -> Text:
    fonts = list(lettering.FONTS)
    rng.shuffle(fonts)
    for name in fonts:
        ink, length = lettering.ink_height(text, name), lettering.font(name, 100).getlength(text) / 100
        smallest = lowest * 1.02 / lettering.ink_height("H", name)
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
    rgb = nearby_color(rng, rng.choice(BACKGROUNDS[background]), 5)
    texts, y, middle = [], rng.uniform(0, 14), rng.uniform(11, 32)
    while True:
        font = rng.choice(lettering.FONTS)
        size = max(13.0, min(middle * rng.uniform(0.8, 1.3), 60) / 0.73)
        alphabet = rng.choice((LETTERS, DIGITS, CHARACTERS, _UNMISTAKABLE))
        text = "".join(rng.choice(alphabet) for _ in range(14))
        height = lettering.ink_height(text, font) * size
        if y + height > VIEW - 1:
            break
        x = rng.uniform(0, 20)
        length = len(text)
        while length > 1 and x + lettering.font(font, 100).getlength(text[:length]) * size / 100 > VIEW - 1:
            length -= 1
        text = text[: max(1, length - rng.choice((0, 0, 1, 2)))]
        color, ink = _color(rng, rgb)
        texts.append(Text(text, font, color, ink, x, y, size))
        y += height + rng.uniform(2, 12)
    noise = rng.uniform(1, 9) if rng.random() < 0.4 else 0.0
    return Scene(VIEW, VIEW, background, rgb, (), tuple(texts), noise=noise, seed=rng.getrandbits(32))
