"""Questions about drawn scenes, their right answers, and how an answer is judged.

Every question here has one right answer that follows from the scene. Where a scene leaves it open (two shapes about
equally far left, a shape on the border of two regions), the question is not asked.

    from random import Random
    from vlmcli.demo import questions, scenes
    rng = Random(7)
    print(questions.ask(rng, scenes.make(rng), "left"))
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from math import dist
from random import Random
from typing import Any

from vlmcli.demo.scenes import APART, BACKGROUNDS, COLORS, SHAPES, Scene, Shape
from vlmcli.demo.training import wordings

DONT_KNOW = "I don't know."
NO_PICTURE = "There is no picture."
EMPTY = "Nothing, the image is empty."

SIDES, EXTREMES = ("left", "right", "top", "bottom"), ("biggest", "smallest")
IMAGE_NOUNS = ("image", "picture", "photo")
_NUMBERS = ("no", "one", "two", "three", "four", "five")


@dataclass(frozen=True)
class Item:
    """A question, its right answer, and the kind of question it is."""

    kind: str
    question: str
    answer: str


# --- Wordings ---

_LISTS: dict[str, Sequence[str]] = {
    "what": wordings.WHAT, "describe": wordings.DESCRIBE, "detail": wordings.DETAIL, "count": wordings.COUNT,
    "count of": wordings.COUNT_OF, "color": wordings.COLOR, "shape": wordings.SHAPE, "exist": wordings.EXIST,
    "left": wordings.LEFT, "right": [w.replace("left", "right") for w in wordings.LEFT],
    "top": wordings.TOP, "bottom": wordings.BOTTOM, "middle": wordings.MIDDLE, "where": wordings.WHERE,
    "biggest": wordings.BIGGEST,
    "smallest": [
        w.replace("biggest", "smallest").replace("largest", "tiniest").replace("bigger", "smaller")
        for w in wordings.BIGGEST
    ],
    "background": wordings.BACKGROUND, "read": wordings.READ, "says": wordings.SAYS, "has text": wordings.HAS_TEXT,
    "text color": wordings.TEXT_COLOR, "json": wordings.JSON, "box": wordings.BOX, "which": wordings.WHICH,
    "nth": wordings.NTH, "differ": wordings.DIFFER, "it color": wordings.IT_COLOR, "it where": wordings.IT_WHERE,
    "it box": wordings.IT_BOX, **{f"is {side}": words for side, words in wordings.RELATION.items()},
}  # fmt: skip


def wordings_of(kind: str, held_out: bool) -> Sequence[str]:
    """The wordings of a kind of question that are trained on, or those that are kept for measuring."""
    return _LISTS[kind][1 if held_out else 0 :: 2]


def _worded(rng: Random, kind: str, held_out: bool, **slots: str) -> str:
    return _said(rng, _wording(rng, kind, held_out), held_out, **slots)


def _wording(rng: Random, kind: str, held_out: bool) -> str:
    """One of the list, or, for training, what one of the patterns gives that is not kept for measuring."""
    if held_out or rng.random() < 0.3:
        return rng.choice(wordings_of(kind, held_out))
    while True:
        wording = expand(rng, rng.choice(wordings.MORE[kind]))
        if not _kept().search(_plain(wording)):
            return wording


def expand(rng: Random, pattern: str) -> str:
    """A pattern with one alternative taken of each pair of brackets."""
    while "[" in pattern:
        pattern = re.sub(r"\[([^\[\]]*)\]", lambda found: rng.choice(found.group(1).split("|")), pattern)
    pattern = re.sub(r" +", " ", pattern)
    return re.sub(r" ([.?!,:])", r"\1", pattern).strip()


def _plain(wording: str) -> str:
    return re.sub(r"[^a-z{}]+", " ", wording.lower()).strip()


@lru_cache(maxsize=1)
def _kept() -> re.Pattern[str]:
    """Finds a wording that is kept for measuring: alone, or, if it has three words, inside a longer one."""
    plain = {_plain(wording) for kind in _LISTS for wording in wordings_of(kind, True)}
    inside = "|".join(re.escape(w) for w in sorted(plain) if w.count(" ") >= 2)
    alone = "|".join(re.escape(w) for w in sorted(plain) if w.count(" ") < 2)
    return re.compile(rf"(?<![a-z{{}}])(?:{inside})(?![a-z{{}}])|^(?:{alone})$")


def _said(rng: Random, question: str, held_out: bool, **slots: str) -> str:
    noun = "image" if rng.random() < 0.4 else rng.choice(IMAGE_NOUNS)
    generic = rng.choice(("shape", "object", "one", "thing"))
    if rng.random() < 0.35:
        question = question.replace("color", "colour")
        question = question.replace("center", "centre") if rng.random() < 0.5 else question
    question = question.format(i=noun, g=generic, **slots)
    if held_out:
        return question
    if rng.random() < 0.2 and not question.startswith(("OCR", "JSON")):
        question = question[0].lower() + question[1:]
    if rng.random() < 0.15:
        question = question.rstrip("?.")
    chance = rng.random()
    if chance < 0.12:
        question = rng.choice(wordings.OPENINGS) + question
    elif chance < 0.18:
        question += rng.choice(wordings.CLOSINGS)
    elif chance < 0.21:  # a slip of the finger
        place = rng.randrange(len(question))
        question = question[:place] + question[place + 1 :]
    return question


# --- How things are said ---


def _a(thing: object) -> str:
    text = str(thing)
    return f"{'an' if text[0] in 'aeiou' else 'a'} {text}"


def _joined(things: Sequence[str]) -> str:
    return things[0] if len(things) == 1 else f"{', '.join(things[:-1])} and {things[-1]}"


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]


def plural(word: str) -> str:
    """Of a shape's name."""
    return word + ("es" if word.endswith(("s", "sh", "ch", "x")) else "s")


def region(shape: Shape, scene: Scene) -> str:
    """One of nine: "top left" … "center"; "" where it is on a border of two."""
    width, height = scene.view
    x, y = shape.x / width, shape.y / height
    if any(min(abs(v - 0.36), abs(v - 0.64)) < 0.03 for v in (x, y)):
        return ""
    across = "left" if x < 0.36 else "right" if x > 0.64 else ""
    down = "top" if y < 0.36 else "bottom" if y > 0.64 else ""
    return f"{down} {across}".strip() or "center"


def _in(place: str) -> str:
    word = "in" if place == "center" or " " in place else "at" if place in ("top", "bottom") else "on"
    return f"{word} the {place}"


def box(shape: Shape, scene: Scene) -> list[int]:
    """[left, top, right, bottom] of a shape in thousandths of the picture's width and height, in steps of ten."""
    width, height = scene.view
    left, top, right, bottom = shape.box
    parts = (left / width, top / height, right / width, bottom / height)
    return [max(0, min(1000, round(part * 100) * 10)) for part in parts]


def _things(scene: Scene) -> list[str]:
    named = [_a(shape) for shape in scene.shapes]
    return [*named, f'the text "{scene.text}"'] if scene.text else named


def as_json(scene: Scene) -> str:
    """The scene as the JSON object the model answers with."""
    shapes = [{"shape": s.name, "color": s.color, "box": box(s, scene)} for s in scene.shapes]
    return json.dumps({"shapes": shapes, "text": scene.text or None})


# --- One picture ---


def _unique(scene: Scene, key: Callable[[Shape], str]) -> list[Shape]:
    counts = Counter(key(shape) for shape in scene.shapes)
    return [shape for shape in scene.shapes if counts[key(shape)] == 1]


def _absent(rng: Random, shapes: Sequence[Shape]) -> str:
    """A thing like those in the picture that is not there."""
    there = {str(shape) for shape in shapes}
    while True:
        color, name = rng.choice(tuple(COLORS)), rng.choice(SHAPES)
        if shapes and rng.random() < 0.7:
            near = rng.choice(shapes)
            color, name = (near.color, name) if rng.random() < 0.5 else (color, near.name)
        if f"{color} {name}" not in there:
            return f"{color} {name}"


def _called(rng: Random, scene: Scene, shape: Shape) -> str:
    """What to call one shape so that no other is meant: "red circle", or "circle" where there is one; "" if neither."""
    if rng.random() < 0.35 and shape in _unique(scene, lambda s: s.name):
        return shape.name
    return str(shape) if shape in _unique(scene, str) else ""


def _what(rng: Random, scene: Scene, held_out: bool) -> Item:
    things = _things(scene)
    return Item("what", _worded(rng, "what", held_out), _capital(_joined(things)) + "." if things else EMPTY)


def _describe(rng: Random, scene: Scene, held_out: bool) -> Item:
    things, ground = _things(scene), f"{_a(scene.background)} background"
    answer = f"The image shows {_joined(things)} on {ground}." if things else f"The image shows only {ground}."
    return Item("describe", _worded(rng, "describe", held_out), answer)


def _detail(rng: Random, scene: Scene, held_out: bool) -> Item | None:
    places = [region(shape, scene) for shape in scene.shapes]
    if not all(places):
        return None
    things = [f"{_a(shape)} {_in(place)}" for shape, place in zip(scene.shapes, places, strict=True)]
    things += [f'the text "{scene.text}"'] if scene.text else []
    first = f"{_capital(_joined(things))}. " if things else ""
    return Item("detail", _worded(rng, "detail", held_out), f"{first}The background is {scene.background}.")


def _count(rng: Random, scene: Scene, held_out: bool) -> Item:
    count = len(scene.shapes)
    answer = "There is 1 shape." if count == 1 else f"There are {count or 'no'} shapes."
    return Item("count", _worded(rng, "count", held_out), answer)


def _count_of(rng: Random, scene: Scene, held_out: bool) -> Item:
    by_name = rng.random() < 0.5
    values = [shape.name if by_name else shape.color for shape in scene.shapes]
    value = rng.choice(values) if values and rng.random() < 0.75 else rng.choice(SHAPES if by_name else tuple(COLORS))
    count = values.count(value)
    noun = "" if by_name else " shape"
    many = plural(value) if by_name else f"{value} shapes"
    answer = f"There is 1 {value}{noun}." if count == 1 else f"There are {count or 'no'} {many}."
    return Item("count of", _worded(rng, "count of", held_out, p=many), answer)


def _color(rng: Random, scene: Scene, held_out: bool) -> Item | None:
    alone = _unique(scene, lambda s: s.name)
    missing = [name for name in SHAPES if name not in {shape.name for shape in scene.shapes}]
    if missing and (not alone or rng.random() < 0.12):
        name = rng.choice(missing)
        return Item("color", _worded(rng, "color", held_out, s=name), f"There is no {name}.")
    if not alone:
        return None
    shape = rng.choice(alone)
    return Item("color", _worded(rng, "color", held_out, s=shape.name), f"The {shape.name} is {shape.color}.")


def _shape(rng: Random, scene: Scene, held_out: bool) -> Item | None:
    alone = _unique(scene, lambda s: s.color)
    missing = [color for color in COLORS if color not in {shape.color for shape in scene.shapes}]
    if not alone or rng.random() < 0.1:
        color = rng.choice(missing)
        return Item("shape", _worded(rng, "shape", held_out, c=color), f"There is no {color} shape.")
    shape = rng.choice(alone)
    answer = f"The {shape.color} shape is {_a(shape.name)}."
    return Item("shape", _worded(rng, "shape", held_out, c=shape.color), answer)


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
        thing, there = _absent(rng, scene.shapes), False
        many = plural(thing)
    return Item("exist", _worded(rng, "exist", held_out, a=_a(thing), p=many), "Yes." if there else "No.")


def outermost(kind: str, scene: Scene) -> Shape | None:
    """Of `SIDES`: the shape that is furthest there, if one is by 8 % of the picture."""
    across = kind in ("left", "right")
    side = scene.view[0 if across else 1]
    ranked = sorted(scene.shapes, key=lambda s: s.x if across else s.y, reverse=kind in ("right", "bottom"))
    places = [(s.x if across else s.y) / side for s in ranked]
    return ranked[0] if len(ranked) > 1 and abs(places[0] - places[1]) >= 0.08 else None


def extreme(kind: str, scene: Scene) -> Shape | None:
    """Of `EXTREMES`: the shape whose radius is 1.3 times the next's, or the next's 1.3 times its own."""
    ranked = sorted(scene.shapes, key=lambda s: s.radius, reverse=kind == "biggest")
    if len(ranked) < 2:
        return None
    larger, smaller = sorted((ranked[0].radius, ranked[1].radius), reverse=True)
    return ranked[0] if larger >= 1.3 * smaller else None


def _end(kind: str) -> Callable[[Random, Scene, bool], Item | None]:
    def asked(rng: Random, scene: Scene, held_out: bool) -> Item | None:
        if not scene.shapes:
            return Item(kind, _worded(rng, kind, held_out), "Nothing.") if rng.random() < 0.3 else None
        shape = outermost(kind, scene)
        return Item(kind, _worded(rng, kind, held_out), _capital(_a(shape)) + ".") if shape else None

    return asked


def _middle(rng: Random, scene: Scene, held_out: bool) -> Item | None:
    places = [region(shape, scene) for shape in scene.shapes]
    central = [shape for shape, place in zip(scene.shapes, places, strict=True) if place == "center"]
    if not all(places) or len(central) > 1 or scene.texts:
        return None
    if not central and rng.random() < 0.6:
        return None
    answer = _capital(_a(central[0])) + "." if central else "Nothing."
    return Item("middle", _worded(rng, "middle", held_out), answer)


def _where(rng: Random, scene: Scene, held_out: bool) -> Item | None:
    if not scene.shapes:
        return None
    if rng.random() < 0.06:
        thing = _absent(rng, scene.shapes)
        return Item("where", _worded(rng, "where", held_out, o=thing), f"There is no {thing}.")
    shape = rng.choice(scene.shapes)
    thing, place = _called(rng, scene, shape), region(shape, scene)
    if not thing or not place:
        return None
    return Item("where", _worded(rng, "where", held_out, o=thing), f"The {thing} is {_in(place)}.")


def _relation(rng: Random, scene: Scene, held_out: bool) -> Item | None:
    alone = _unique(scene, str)
    if len(alone) < 2:
        return None
    one, other = rng.sample(alone, 2)
    width, height = scene.view
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
    names = [_called(rng, scene, one), _called(rng, scene, other)]
    question = _worded(rng, f"is {side}", held_out, o=names[0], u=names[1])
    return Item("relation", question, "Yes." if lead > 0 else "No.")


def _extreme(kind: str) -> Callable[[Random, Scene, bool], Item | None]:
    def asked(rng: Random, scene: Scene, held_out: bool) -> Item | None:
        shape = extreme(kind, scene)
        return Item(kind, _worded(rng, kind, held_out), f"The {shape}.") if shape else None

    return asked


def _background(rng: Random, scene: Scene, held_out: bool) -> Item:
    return Item("background", _worded(rng, "background", held_out), f"The background is {scene.background}.")


def _read(rng: Random, scene: Scene, held_out: bool) -> Item | None:
    if not scene.text and rng.random() < 0.8:
        return None
    return Item("read", _worded(rng, "read", held_out), scene.text or "There is no text.")


def _says(rng: Random, scene: Scene, held_out: bool) -> Item | None:
    if not scene.text and rng.random() < 0.8:
        return None
    answer = f'The text says "{scene.text}".' if scene.text else "There is no text."
    return Item("says", _worded(rng, "says", held_out), answer)


def _has_text(rng: Random, scene: Scene, held_out: bool) -> Item:
    return Item("has text", _worded(rng, "has text", held_out), "Yes." if scene.text else "No.")


def _text_color(rng: Random, scene: Scene, held_out: bool) -> Item | None:
    if not scene.texts:
        return None
    return Item("text color", _worded(rng, "text color", held_out), f"The text is {scene.texts[0].color}.")


def _json(rng: Random, scene: Scene, held_out: bool) -> Item:
    return Item("json", _worded(rng, "json", held_out), as_json(scene))


def _box(rng: Random, scene: Scene, held_out: bool) -> Item | None:
    if not scene.shapes:
        return None
    if rng.random() < 0.06:
        thing = _absent(rng, scene.shapes)
        return Item("box", _worded(rng, "box", held_out, o=thing), f"There is no {thing}.")
    shape = rng.choice(scene.shapes)
    thing = _called(rng, scene, shape)
    return Item("box", _worded(rng, "box", held_out, o=thing), json.dumps(box(shape, scene))) if thing else None


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


# --- Two pictures ---


def which(rng: Random, first: Scene, second: Scene, held_out: bool = False) -> Item:
    """Which of two pictures has a thing."""
    shapes = (*first.shapes, *second.shapes)
    if not shapes or rng.random() < 0.12:
        question = _worded(rng, "which", held_out, a=_a(_absent(rng, shapes)))
        return Item("which", question, "Neither image.")
    shape = rng.choice(shapes)
    by_name = rng.random() < 0.5
    thing = shape.name if by_name else str(shape)
    has = [any((s.name if by_name else str(s)) == thing for s in scene.shapes) for scene in (first, second)]
    answer = "Both images." if all(has) else "The first image." if has[0] else "The second image."
    return Item("which", _worded(rng, "which", held_out, a=_a(thing)), answer)


def nth(rng: Random, first: Scene, second: Scene, held_out: bool = False) -> Item:
    """What the first or the second of two pictures shows."""
    place = rng.randrange(2)
    things = _things((first, second)[place])
    question = _worded(rng, "nth", held_out, n=("first", "second")[place])
    return Item("nth", question, _capital(_joined(things)) + "." if things else EMPTY)


def changed(rng: Random, scene: Scene) -> tuple[Scene, str]:
    """The scene with one thing changed, and the answer to "what differs?"."""
    kind = rng.choice(["background", "same", *(["color", "removed"] * 2 + ["removed"] * 2 if scene.shapes else ())])
    if kind == "background":
        name = rng.choice([n for n in BACKGROUNDS if n != scene.background])
        rgb = BACKGROUNDS[name][0]
        inks = [s.rgb for s in scene.shapes] + [t.rgb for t in scene.texts]
        if any(dist(ink, rgb) < APART for ink in inks):
            return scene, "Nothing."
        answer = f"The background is {scene.background} in the first image and {name} in the second."
        return replace(scene, background=name, rgb=rgb), answer
    if kind == "same":
        return scene, "Nothing."
    place = rng.randrange(len(scene.shapes))
    shape = scene.shapes[place]
    rest = (*scene.shapes[:place], *scene.shapes[place + 1 :])
    if kind == "color" and shape in _unique(scene, lambda s: s.name):
        for _ in range(20):
            name = rng.choice([n for n in COLORS if n != shape.color])
            rgb = rng.choice(COLORS[name])
            if dist(rgb, scene.rgb) >= APART:
                shapes = (*scene.shapes[:place], replace(shape, color=name, rgb=rgb), *scene.shapes[place + 1 :])
                answer = f"The {shape.name} is {shape.color} in the first image and {name} in the second."
                return replace(scene, shapes=shapes), answer
    if shape not in _unique(scene, str):
        return scene, "Nothing."
    return replace(scene, shapes=rest), f"Only the first image has {_a(shape)}."


def differ(rng: Random, scene: Scene, held_out: bool = False) -> tuple[Scene, Scene, Item]:
    """Two pictures that differ in one thing, and the question what it is."""
    other, answer = changed(rng, scene)
    other = replace(other, seed=rng.getrandbits(32))
    first, second = scene, other
    if answer.startswith("Only") and rng.random() < 0.5:
        first, second, answer = other, scene, answer.replace("first", "second")
    return first, second, Item("differ", _worded(rng, "differ", held_out), answer)


def differ_wording(rng: Random, held_out: bool = False) -> str:
    """Any way of asking what differs."""
    return _worded(rng, "differ", held_out)


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
            first = Item("exist", _worded(rng, "exist", held_out, a=_a(shape.name), p=many), "Yes.")
            if shape not in _unique(scene, lambda s: s.name):
                return None
        else:
            if shape not in _unique(scene, lambda s: s.color):
                return None
            answer = f"The {shape.color} shape is {_a(shape.name)}."
            first = Item("shape", _worded(rng, "shape", held_out, c=shape.color), answer)
    if first is None or len(named) != 1:
        return None
    shape, place = named[0], region(named[0], scene)
    kind = rng.choice(("it color", "it color", "it where", "it box"))
    if kind == "it where" and not place:
        kind = "it color"
    answer = {
        "it color": f"It is {shape.color}.",
        "it where": f"It is {_in(place)}.",
        "it box": json.dumps(box(shape, scene)),
    }[kind]
    return first, Item(kind, _worded(rng, kind, held_out), answer)


# --- Outside its world ---


def about_noun(rng: Random, held_out: bool = False) -> str:
    """A question about a thing that is no drawn shape: "Is there a dog?"."""
    nouns = wordings.UNSEEN_NOUNS if held_out else wordings.NOUNS
    thing, other = rng.choice(nouns), rng.choice(nouns)
    if not held_out and rng.random() < 0.6:  # worded like questions that have an answer: only the noun is strange
        if rng.random() < 0.3:
            thing = _made_up(rng)
        kind = rng.choice(("exist", "count of", "color", "where", "box", "is left", "is right", "is above", "is below"))
        return _worded(rng, kind, False, a=_a(thing), o=thing, u=other, p=plural(thing), s=thing)
    if not held_out and rng.random() < 0.25:  # a made-up word: what it cannot know is not a list
        thing = _made_up(rng)
    question = rng.choice(wordings.ABOUT_NOUN[1 if held_out else 0 :: 2])
    return _said(rng, question, held_out, a=_a(thing), o=thing, u=other, p=plural(thing))


def _made_up(rng: Random) -> str:
    return "".join(rng.choice("bcdfghjklmnprstvwz") + rng.choice("aeiou") for _ in range(rng.randint(2, 4)))


def outside(rng: Random, held_out: bool = False) -> Item:
    """A question with no answer in the model's world; right is `DONT_KNOW`."""
    if rng.random() < (0.45 if held_out else 0.55):
        question = about_noun(rng, held_out)
    elif held_out or rng.random() < 0.25:
        question = _said(rng, rng.choice(wordings.UNSEEN_OUTSIDE if held_out else wordings.OUTSIDE), held_out)
    else:
        question = _outside_pattern(rng)
    return Item("outside", question, DONT_KNOW)


def _outside_pattern(rng: Random) -> str:
    """A question of `wordings.MORE_OUTSIDE` that contains none that is kept for measuring."""
    while True:
        pattern = expand(rng, rng.choice(wordings.MORE_OUTSIDE))
        thing, other = (_made_up(rng) if rng.random() < 0.3 else rng.choice(wordings.NOUNS) for _ in range(2))
        slots = {"a": _a(thing), "o": thing, "u": other, "p": plural(thing), "v": _made_up(rng)}
        told = pattern.format(i="{i}", **slots)
        if not any(kept in _plain(asked) for kept in _kept_outside() for asked in (pattern, told)):
            return _said(rng, told, False)


@lru_cache(maxsize=1)
def _kept_outside() -> frozenset[str]:
    return frozenset(_plain(wording) for wording in (*wordings.UNSEEN_OUTSIDE, *wordings.ABOUT_NOUN[1::2]))


def of_anything(rng: Random, held_out: bool = False) -> str:
    """Any question, as somebody might ask it about a picture that is not of the world."""
    kind = rng.choice([k for k in _LISTS if k not in ("which", "nth", "differ")])
    color, name, other = rng.choice(tuple(COLORS)), rng.choice(SHAPES), rng.choice(SHAPES)
    thing = f"{color} {name}"
    return _worded(
        rng, kind, held_out, a=_a(thing), o=thing, u=other, p=plural(thing), c=color, s=name
    )  # fmt: skip


# --- Judging ---


def named_shapes(answer: str) -> Counter[str]:
    """The (colour, shape) pairs an answer names, as "red circle", with how often."""
    pattern = rf"\b({'|'.join(COLORS)}) ({'|'.join(SHAPES)})\b"
    return Counter(" ".join(found) for found in re.findall(pattern, answer))


def overlap(one: Sequence[float], other: Sequence[float]) -> float:
    """Intersection over union of two boxes [left, top, right, bottom], 0 to 1."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    shared = max(0.0, width) * max(0.0, height)
    areas = sum(max(0.0, b[2] - b[0]) * max(0.0, b[3] - b[1]) for b in (one, other))
    return shared / (areas - shared) if areas > shared else 0.0


def box_in(answer: str) -> list[int] | None:
    """The box an answer gives, or None."""
    numbers = [int(n) for n in re.findall(r"\d+", answer)]
    return numbers if len(numbers) == 4 else None


def f1(answer: Counter[str], truth: Counter[str]) -> tuple[int, int, int]:
    """(named and there, named, there): add them up over pictures; F1 = 2a / (b + c)."""
    return sum((answer & truth).values()), sum(answer.values()), sum(truth.values())


def shapes_in_json(answer: str) -> Counter[str] | None:
    """The shapes of a JSON answer as "red circle", or None where it is not of the form that was asked for."""
    try:
        found: Any = json.loads(answer)
        if set(found) != {"shapes", "text"} or not isinstance(found["text"], (str, type(None))):
            return None
        for shape in found["shapes"]:
            if set(shape) != {"shape", "color", "box"} or len(shape["box"]) != 4:
                return None
        return Counter(f"{shape['color']} {shape['shape']}" for shape in found["shapes"])
    except (ValueError, TypeError, KeyError):
        return None
