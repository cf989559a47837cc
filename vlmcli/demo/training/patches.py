"""A picture as the encoder gets it, in patches, and the labels that say what each patch shows.

Knows nothing of questions, rows and tokens.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from vlmcli.demo import scenes
from vlmcli.demo.training import facts
from vlmcli.demo.world import BACKGROUNDS, CHARACTERS, COLORS, SHAPES, VIEW, Scene, Shape

PATCH = 16
"""Side of a patch in pixels of the view."""
CELLS = VIEW // PATCH
"""Patches along a side of the view."""
PATCHES = CELLS * CELLS
"""Patches of a picture."""
COLUMNS = 4
"""Characters are labelled in so many columns of a patch."""
WAVES = (1, 2, 4)
"""Multiples of a side of a box whose sine and cosine are labels, too."""
BOX_NUMBERS = 4 * (1 + 2 * len(WAVES))
"""A box's four sides, each as itself and as the sine and cosine of its multiples: fine places, easy to read off."""
PADDING = (122, 116, 104)
"""The gray, RGB, that llama.cpp pads a picture with that is not square."""
TEXT_LENGTH = 5
"""Most characters of a text of the world."""
SUPERLATIVES = (*facts.SIDES, *facts.EXTREMES)
"""What one shape of several can be: the furthest on a side, the biggest, the smallest."""
UNKNOWN = 255
"""A label that is not asked for."""
REGIONS = ("top left", "top", "top right", "left", "center", "right", "bottom left", "bottom", "bottom right")
"""The parts of a picture, as `facts.region` names them."""
UNCHANGED, REMOVED, ADDED, RECOLORED, REPAINTED = range(5)
"""What `changes` says of a patch of the second picture of two, compared with the first."""


def view(image: Image.Image) -> Any:
    """The picture as the encoder gets it, uint8 [VIEW, VIEW, 3]: scaled to fit, centred, padded, as llama.cpp does."""
    width, height = image.size
    scale = min(np.float32(VIEW) / np.float32(width), np.float32(VIEW) / np.float32(height))
    size = tuple(min(math.ceil(np.float32(side) * scale), VIEW) for side in (width, height))
    scaled = image if size == image.size else image.resize(size, Image.Resampling.BICUBIC)
    padded = Image.new("RGB", (VIEW, VIEW), PADDING)
    padded.paste(scaled, ((VIEW - size[0]) // 2, (VIEW - size[1]) // 2))
    return np.asarray(padded)


@dataclass(frozen=True)
class Labels:
    """What each patch of a picture shows; `UNKNOWN` where it is not asked."""

    shape: Any  # uint8 [CELLS, CELLS]: 0 none, 1… SHAPES, last: outside the world
    color: Any  # uint8 [CELLS, CELLS]: 0 none, 1… COLORS
    character: Any  # uint8 [CELLS, CELLS, COLUMNS]: 0 none, 1… CHARACTERS
    order: Any  # uint8 [CELLS, CELLS, COLUMNS]: which one of its text a character is: 0 none, 1… TEXT_LENGTH
    spelled: Any  # uint8 [CELLS, CELLS, TEXT_LENGTH]: the text's first … last character, if here, as in `character`
    region: Any  # uint8 [CELLS, CELLS]: 0 none, 1… REGIONS
    most: Any  # uint8 [CELLS, CELLS, SUPERLATIVES]: 0 no, 1 yes
    same: Any  # uint8 [CELLS, CELLS, 3]: how many shapes there are, in all, of this one's colour, of its name
    box: Any  # float32 [CELLS, CELLS, BOX_NUMBERS]: nan where there is no shape
    background: int
    count: int


LABEL_NAMES = (
    "shape",
    "color",
    "character",
    "order",
    "spelled",
    "region",
    "most",
    "same",
    "box",
    "background",
    "count",
)


def labels(scene: Scene) -> Labels:
    """The labels of a scene's patches."""
    width, height = scene.view_size
    left, top = (VIEW - math.ceil(width)) // 2, (VIEW - math.ceil(height)) // 2
    shape = np.zeros((CELLS, CELLS), np.uint8)
    color, region = shape.copy(), shape.copy()
    character = np.zeros((CELLS, CELLS, COLUMNS), np.uint8)
    order, spelled = character.copy(), np.zeros((CELLS, CELLS, TEXT_LENGTH), np.uint8)
    most, same = (np.full((CELLS, CELLS, size), UNKNOWN, np.uint8) for size in (len(SUPERLATIVES), 3))
    ends = [facts.outermost(side, scene) for side in facts.SIDES]
    ends += [facts.extreme(kind, scene) for kind in facts.EXTREMES]
    box = np.full((CELLS, CELLS, BOX_NUMBERS), np.nan, np.float32)
    nearest = np.full((CELLS, CELLS), np.inf)
    middles = (np.arange(CELLS) + 0.5) * PATCH
    for s in scene.shapes:
        x, y = s.x + left, s.y + top
        distance = np.hypot(middles[None] - x, middles[:, None] - y)
        covered = distance <= max(s.radius * 0.95, 8.5)
        covered[min(CELLS - 1, int(y // PATCH)), min(CELLS - 1, int(x // PATCH))] = True
        covered &= distance < nearest
        nearest[covered] = distance[covered]
        shape[covered] = SHAPES.index(s.name) + 1
        color[covered] = list(COLORS).index(s.color) + 1
        place = facts.region(s, scene)
        region[covered] = REGIONS.index(place) + 1 if place else UNKNOWN
        most[covered] = [UNKNOWN if end is None else end is s for end in ends]
        alike = (sum(o.color == s.color for o in scene.shapes), sum(o.name == s.name for o in scene.shapes))
        same[covered] = (len(scene.shapes), *alike)
        box[covered] = shape_box(s, scene)
    for text in scene.texts:
        edges = [e + left for e in text.edges]
        y0, y1 = text.y + top, text.y + top + text.height
        number = list(COLORS).index(text.color) + 1
        for row in range(CELLS):
            shared = min(y1, (row + 1) * PATCH) - max(y0, row * PATCH)
            if shared < min(6, (y1 - y0) / 2) and int((y0 + y1) / 2 // PATCH) != row:
                continue
            for column in range(CELLS * COLUMNS):
                x = (column + 0.5) * PATCH / COLUMNS
                for i, written in enumerate(text.text):
                    if edges[i] <= x < edges[i + 1]:
                        spot = row, column // COLUMNS, column % COLUMNS
                        character[spot] = CHARACTERS.index(written) + 1
                        order[spot] = i + 1 if len(scene.texts) == 1 and i < TEXT_LENGTH else UNKNOWN
                        if order[spot] != UNKNOWN:
                            spelled[row, column // COLUMNS, i] = character[spot]
            inked = character[row].any(-1) & (color[row] == 0)
            color[row][inked] = number
    ground = list(BACKGROUNDS).index(scene.background)
    return Labels(shape, color, character, order, spelled, region, most, same, box, ground, len(scene.shapes))


def shape_box(shape: Shape, scene: Scene) -> Any:
    """A shape's sides as shares of the picture's, float32 [BOX_NUMBERS]: themselves in -1…1, then waves of them."""
    sides = np.asarray(shape.box, np.float32) / np.asarray(scene.view_size * 2, np.float32)
    turns = [wave for k in WAVES for wave in (np.sin(2 * np.pi * k * sides), np.cos(2 * np.pi * k * sides))]
    return np.concatenate([sides * 2 - 1, *turns])


def outside_labels() -> Labels:
    """The labels of a picture outside the world, which say only that it is one."""
    shape = np.full((CELLS, CELLS), len(SHAPES) + 1, np.uint8)
    unknown = np.full((CELLS, CELLS), UNKNOWN, np.uint8)
    columns, letters, most, same = (
        np.full((CELLS, CELLS, size), UNKNOWN, np.uint8) for size in (COLUMNS, TEXT_LENGTH, len(SUPERLATIVES), 3)
    )
    box = np.full((CELLS, CELLS, BOX_NUMBERS), np.nan, np.float32)
    return Labels(shape, unknown, columns, columns, letters, unknown, most, same, box, UNKNOWN, UNKNOWN)


LabelledPicture = tuple[Any, Labels]
"""A picture's pixels, as `view` gives them, and its labels."""


def drawn(scene: Scene) -> LabelledPicture:
    """A scene, drawn: its pixels and its labels."""
    return view(scenes.draw(scene)), labels(scene)


def left_and_above(one: Shape, other: Shape, scene: Scene) -> list[int]:
    """Whether one shape is left of another, and above it: 0 no, 1 yes, `UNKNOWN` where they are about level."""
    width, height = scene.view_size
    gaps = ((other.x - one.x) / width, (other.y - one.y) / height)
    return [UNKNOWN if abs(gap) < 0.08 else int(gap > 0) for gap in gaps]


def changes(first: Labels, second: Labels) -> Any:
    """Per patch, what the second of two pictures that differ in one thing shows; `UNKNOWN` where it is open.

    Returns: uint8 [PATCHES]; where nothing is drawn, another background is `REPAINTED`.
    """
    found = np.full((CELLS, CELLS), UNKNOWN, np.uint8)
    before, after = first.shape, second.shape
    found[(before == after) & (first.color == second.color)] = UNCHANGED
    found[(before > 0) & (after == 0)] = REMOVED
    found[(before == 0) & (after > 0)] = ADDED
    found[(before > 0) & (before == after) & (first.color != second.color)] = RECOLORED
    if first.background != second.background:
        found[(before == 0) & (after == 0)] = REPAINTED
    return found.ravel()
