"""What is true of a scene: places, boxes, the furthest and the biggest, what it has once and what it lacks.

Where a scene leaves a fact open (two shapes about equally far left, a shape on the border of two regions), there is
none. How a fact is asked for is not known here.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from random import Random

from vlmcli.demo.training.english import with_article
from vlmcli.demo.world import COLORS, SHAPES, Scene, Shape

SIDES = ("left", "right", "top", "bottom")
"""Where a shape can be the furthest: `outermost`."""
EXTREMES = ("biggest", "smallest")
"""What a shape can be by its radius: `extreme`."""


def region(shape: Shape, scene: Scene) -> str:
    """Which of nine parts of the picture a shape is in: "top left" … "center"; "" where it is on the border of two."""
    width, height = scene.view_size
    x, y = shape.x / width, shape.y / height
    if any(min(abs(v - 0.36), abs(v - 0.64)) < 0.03 for v in (x, y)):
        return ""
    across = "left" if x < 0.36 else "right" if x > 0.64 else ""
    down = "top" if y < 0.36 else "bottom" if y > 0.64 else ""
    return f"{down} {across}".strip() or "center"


def box(shape: Shape, scene: Scene) -> list[int]:
    """[left, top, right, bottom] of a shape in thousandths of the picture's width and height, in steps of ten."""
    width, height = scene.view_size
    left, top, right, bottom = shape.box
    parts = (left / width, top / height, right / width, bottom / height)
    return [max(0, min(1000, round(part * 100) * 10)) for part in parts]


def named_things(scene: Scene) -> list[str]:
    """Everything in a scene as answers name it: "a red circle", 'the text "CAT"'."""
    named = [with_article(shape) for shape in scene.shapes]
    return [*named, f'the text "{scene.text}"'] if scene.text else named


def as_json(scene: Scene) -> str:
    """The scene as the JSON object the model answers with."""
    shapes = [{"shape": s.name, "color": s.color, "box": box(s, scene)} for s in scene.shapes]
    return json.dumps({"shapes": shapes, "text": scene.text or None})


def outermost(kind: str, scene: Scene) -> Shape | None:
    """The shape that is furthest at one of `SIDES`; None if no other is there, or one within 8 % of the picture."""
    across = kind in ("left", "right")
    side = scene.view_size[0 if across else 1]
    ranked = sorted(scene.shapes, key=lambda s: s.x if across else s.y, reverse=kind in ("right", "bottom"))
    places = [(s.x if across else s.y) / side for s in ranked]
    return ranked[0] if len(ranked) > 1 and abs(places[0] - places[1]) >= 0.08 else None


def extreme(kind: str, scene: Scene) -> Shape | None:
    """The shape that is one of `EXTREMES`; None if no other shape is there, or one whose radius is within 1.3 times."""
    ranked = sorted(scene.shapes, key=lambda s: s.radius, reverse=kind == "biggest")
    if len(ranked) < 2:
        return None
    larger, smaller = sorted((ranked[0].radius, ranked[1].radius), reverse=True)
    return ranked[0] if larger >= 1.3 * smaller else None


def unique(scene: Scene, key: Callable[[Shape], str]) -> list[Shape]:
    """The shapes that share their key (a colour, a name) with no other shape of the scene."""
    counts = Counter(key(shape) for shape in scene.shapes)
    return [shape for shape in scene.shapes if counts[key(shape)] == 1]


def absent(rng: Random, shapes: Sequence[Shape]) -> str:
    """A thing like those in the picture that is not there: "red circle"."""
    there = {str(shape) for shape in shapes}
    while True:
        color, name = rng.choice(tuple(COLORS)), rng.choice(SHAPES)
        if shapes and rng.random() < 0.7:
            near = rng.choice(shapes)
            color, name = (near.color, name) if rng.random() < 0.5 else (color, near.name)
        if f"{color} {name}" not in there:
            return f"{color} {name}"


def called(rng: Random, scene: Scene, shape: Shape) -> str:
    """What to call one shape so that no other is meant: "red circle", or "circle" where there is one; "" if neither."""
    if rng.random() < 0.35 and shape in unique(scene, lambda s: s.name):
        return shape.name
    return str(shape) if shape in unique(scene, str) else ""
