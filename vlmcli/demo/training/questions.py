"""Questions about one drawn scene, and their right answers.

Every question here has one right answer that follows from the scene. Where a scene leaves it open (two shapes about
equally far left, a shape on the border of two regions), the question is not asked.

    from random import Random
    from vlmcli.demo import scenes
    from vlmcli.demo.training import questions
    rng = Random(7)
    print(questions.ask(rng, scenes.make(rng), "left"))
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from vlmcli.demo.training.english import capitalized, in_place, joined, plural, with_article
from vlmcli.demo.training.facts import absent, as_json, box, called, extreme, named_things, outermost, region, unique
from vlmcli.demo.training.phrasing import worded
from vlmcli.demo.world import COLORS, SHAPES, Scene

DONT_KNOW = "I don't know."
"""The right answer to a question that the model's world has no answer to."""
NO_PICTURE = "There is no picture."
"""The right answer to a question about a picture that was not given."""
EMPTY = "Nothing, the image is empty."
"""The right answer to "what is this?" of a scene without shapes and text."""


@dataclass(frozen=True)
class Item:
    """A question, its right answer, the kind of question it is, and another answer if one is as right."""

    kind: str
    question: str
    answer: str
    also: str = ""


def _what(rng: Random, scene: Scene, held_out: bool) -> Item:
    things = named_things(scene)
    return Item("what", worded(rng, "what", held_out), capitalized(joined(things)) + "." if things else EMPTY)


def _describe(rng: Random, scene: Scene, held_out: bool) -> Item:
    things, ground = named_things(scene), f"{with_article(scene.background)} background"
    answer = f"The image shows {joined(things)} on {ground}." if things else f"The image shows only {ground}."
    return Item("describe", worded(rng, "describe", held_out), answer)


def _detail(rng: Random, scene: Scene, held_out: bool) -> Item | None:
    places = [region(shape, scene) for shape in scene.shapes]
    if not all(places):
        return None
    things = [f"{with_article(shape)} {in_place(place)}" for shape, place in zip(scene.shapes, places, strict=True)]
    things += [f'the text "{scene.text}"'] if scene.text else []
    first = f"{capitalized(joined(things))}. " if things else ""
    return Item("detail", worded(rng, "detail", held_out), f"{first}The background is {scene.background}.")


def _count(rng: Random, scene: Scene, held_out: bool) -> Item:
    count = len(scene.shapes)
    answer = "There is 1 shape." if count == 1 else f"There are {count or 'no'} shapes."
    return Item("count", worded(rng, "count", held_out), answer)


def _count_of(rng: Random, scene: Scene, held_out: bool) -> Item:
    by_name = rng.random() < 0.5
    values = [shape.name if by_name else shape.color for shape in scene.shapes]
    value = rng.choice(values) if values and rng.random() < 0.75 else rng.choice(SHAPES if by_name else tuple(COLORS))
    count = values.count(value)
    noun = "" if by_name else " shape"
    many = plural(value) if by_name else f"{value} shapes"
    answer = f"There is 1 {value}{noun}." if count == 1 else f"There are {count or 'no'} {many}."
    return Item("count of", worded(rng, "count of", held_out, p=many), answer)


def _color(rng: Random, scene: Scene, held_out: bool) -> Item | None:
    alone = unique(scene, lambda s: s.name)
    missing = [name for name in SHAPES if name not in {shape.name for shape in scene.shapes}]
    if missing and (not alone or rng.random() < 0.12):
        name = rng.choice(missing)
        return Item("color", worded(rng, "color", held_out, s=name), f"There is no {name}.")
    if not alone:
        return None
    shape = rng.choice(alone)
    return Item("color", worded(rng, "color", held_out, s=shape.name), f"The {shape.name} is {shape.color}.")


def _shape(rng: Random, scene: Scene, held_out: bool) -> Item | None:
    alone = unique(scene, lambda s: s.color)
    missing = [color for color in COLORS if color not in {shape.color for shape in scene.shapes}]
    if not alone or rng.random() < 0.1:
        color = rng.choice(missing)
        return Item("shape", worded(rng, "shape", held_out, c=color), f"There is no {color} shape.")
    shape = rng.choice(alone)
    answer = f"The {shape.color} shape is {with_article(shape.name)}."
    return Item("shape", worded(rng, "shape", held_out, c=shape.color), answer)


def _exist(rng: Random, scene: Scene, held_out: bool) -> Item:
    kind = rng.random()
    names, colors = {s.name for s in scene.shapes}, {s.color for s in scene.shapes}
    if kind < 0.22:
        thing = rng.choice(sorted(names)) if names and rng.random() < 0.5 else rng.choice(SHAPES)
        there, many = thing in names, plural(thing)
    elif kind < 0.3:
        color = rng.choice(sorted(colors)) if colors and rng.random() < 0.5 else rng.choice(tuple(COLORS))
        thing, there, many = f"{color} shape", color in colors, f"{color} shapes"
    elif scene.shapes and kind < 0.65:
        thing, there = str(rng.choice(scene.shapes)), True
        many = plural(thing)
    else:
        thing, there = absent(rng, scene.shapes), False
        many = plural(thing)
    return Item("exist", worded(rng, "exist", held_out, a=with_article(thing), p=many), "Yes." if there else "No.")


def _end(kind: str) -> Callable[[Random, Scene, bool], Item | None]:
    def asked(rng: Random, scene: Scene, held_out: bool) -> Item | None:
        if not scene.shapes:
            return Item(kind, worded(rng, kind, held_out), "Nothing.") if rng.random() < 0.3 else None
        shape = outermost(kind, scene)
        return Item(kind, worded(rng, kind, held_out), capitalized(with_article(shape)) + ".") if shape else None

    return asked


def _middle(rng: Random, scene: Scene, held_out: bool) -> Item | None:
    places = [region(shape, scene) for shape in scene.shapes]
    central = [shape for shape, place in zip(scene.shapes, places, strict=True) if place == "center"]
    if not all(places) or len(central) > 1 or scene.texts:
        return None
    if not central and rng.random() < 0.6:
        return None
    answer = capitalized(with_article(central[0])) + "." if central else "Nothing."
    return Item("middle", worded(rng, "middle", held_out), answer)


def _where(rng: Random, scene: Scene, held_out: bool) -> Item | None:
    if not scene.shapes:
        return None
    if rng.random() < 0.06:
        thing = absent(rng, scene.shapes)
        return Item("where", worded(rng, "where", held_out, o=thing), f"There is no {thing}.")
    shape = rng.choice(scene.shapes)
    thing, place = called(rng, scene, shape), region(shape, scene)
    if not thing or not place:
        return None
    return Item("where", worded(rng, "where", held_out, o=thing), f"The {thing} is {in_place(place)}.")


def _relation(rng: Random, scene: Scene, held_out: bool) -> Item | None:
    alone = unique(scene, str)
    if len(alone) < 2:
        return None
    one, other = rng.sample(alone, 2)
    width, height = scene.view_size
    sides = ("left", "right", "above", "below")
    side = rng.choice(sides if held_out else (*sides, "left", "right"))  # these are learnt more slowly
    lead = {
        "left": (other.x - one.x) / width,
        "right": (one.x - other.x) / width,
        "above": (other.y - one.y) / height,
        "below": (one.y - other.y) / height,
    }[side]
    if abs(lead) < 0.08:
        return None
    names = [called(rng, scene, one), called(rng, scene, other)]
    question = worded(rng, f"is {side}", held_out, o=names[0], u=names[1])
    return Item("relation", question, "Yes." if lead > 0 else "No.")


def _extreme(kind: str) -> Callable[[Random, Scene, bool], Item | None]:
    def asked(rng: Random, scene: Scene, held_out: bool) -> Item | None:
        shape = extreme(kind, scene)
        return Item(kind, worded(rng, kind, held_out), f"The {shape}.") if shape else None

    return asked


def _background(rng: Random, scene: Scene, held_out: bool) -> Item:
    return Item("background", worded(rng, "background", held_out), f"The background is {scene.background}.")


def _read(rng: Random, scene: Scene, held_out: bool) -> Item | None:
    if not scene.text and rng.random() < 0.8:
        return None
    return Item("read", worded(rng, "read", held_out), scene.text or "There is no text.")


def _says(rng: Random, scene: Scene, held_out: bool) -> Item | None:
    if not scene.text and rng.random() < 0.8:
        return None
    answer = f'The text says "{scene.text}".' if scene.text else "There is no text."
    return Item("says", worded(rng, "says", held_out), answer)


def _has_text(rng: Random, scene: Scene, held_out: bool) -> Item:
    return Item("has text", worded(rng, "has text", held_out), "Yes." if scene.text else "No.")


def _text_color(rng: Random, scene: Scene, held_out: bool) -> Item | None:
    if not scene.texts:
        return None
    return Item("text color", worded(rng, "text color", held_out), f"The text is {scene.texts[0].color}.")


def _json(rng: Random, scene: Scene, held_out: bool) -> Item:
    return Item("json", worded(rng, "json", held_out), as_json(scene))


def _box(rng: Random, scene: Scene, held_out: bool) -> Item | None:
    if not scene.shapes:
        return None
    if rng.random() < 0.06:
        thing = absent(rng, scene.shapes)
        return Item("box", worded(rng, "box", held_out, o=thing), f"There is no {thing}.")
    shape = rng.choice(scene.shapes)
    thing = called(rng, scene, shape)
    return Item("box", worded(rng, "box", held_out, o=thing), json.dumps(box(shape, scene))) if thing else None


_ASKED: dict[str, Callable[[Random, Scene, bool], Item | None]] = {
    "what": _what, "describe": _describe, "detail": _detail, "count": _count, "count of": _count_of, "color": _color,
    "shape": _shape, "exist": _exist, "left": _end("left"), "right": _end("right"), "top": _end("top"),
    "bottom": _end("bottom"), "middle": _middle, "where": _where, "relation": _relation,
    "biggest": _extreme("biggest"), "smallest": _extreme("smallest"), "background": _background, "read": _read,
    "says": _says, "has text": _has_text, "text color": _text_color, "json": _json, "box": _box,
}  # fmt: skip

KINDS = tuple(_ASKED)
"""Kinds of question about one picture."""


def ask(rng: Random, scene: Scene, kind: str, held_out: bool = False) -> Item | None:
    """A question of this kind; None where the scene has no one right answer to it.

    Args:
        rng: decides what is asked about and the wording.
        scene: what the picture shows.
        kind: one of `KINDS`.
        held_out: word it in a way that is kept out of training.
    """
    return _ASKED[kind](rng, scene, held_out)


# --- Follow-up turns ---


def follow_up(rng: Random, scene: Scene, held_out: bool = False) -> tuple[Item, Item] | None:
    """A question that picks one shape, and one about "it" that only the picture answers."""
    if not scene.shapes:
        return None
    choice = rng.random()
    if choice < 0.4:
        kinds = ("left", "right", "top", "bottom", "biggest", "smallest", "middle")
        first = ask(rng, scene, rng.choice(kinds), held_out)
        named = [s for s in scene.shapes if first and str(s) in first.answer.lower()]
    else:
        shape = rng.choice(scene.shapes)
        named = [shape]
        if choice < 0.75:
            many = plural(shape.name)
            first = Item("exist", worded(rng, "exist", held_out, a=with_article(shape.name), p=many), "Yes.")
            if shape not in unique(scene, lambda s: s.name):
                return None
        else:
            if shape not in unique(scene, lambda s: s.color):
                return None
            answer = f"The {shape.color} shape is {with_article(shape.name)}."
            first = Item("shape", worded(rng, "shape", held_out, c=shape.color), answer)
    if first is None or len(named) != 1:
        return None
    shape, place = named[0], region(named[0], scene)
    kind = rng.choice(("it color", "it color", "it where", "it box"))
    if kind == "it where" and not place:
        kind = "it color"
    answer = {
        "it color": f"It is {shape.color}.",
        "it where": f"It is {in_place(place)}.",
        "it box": json.dumps(box(shape, scene)),
    }[kind]
    return first, Item(kind, worded(rng, kind, held_out), answer)
