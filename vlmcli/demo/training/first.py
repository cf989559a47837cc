"""What people type first about a picture or two, and the right answers: `ask`, `ask_both`, `outside`.

A first question is short, often without a capital or a question mark, and about "it": "what colour is it?", "is it
round?", "what differs?". Most of its kinds have the answers of `questions` and `two_pictures`; those that only make
sense where there is one thing ("it") are asked where there is one, or where all things in the picture agree.

The wordings are those of `first_kept`, which only measure, and of `first_asked`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import dist
from random import Random

from vlmcli.demo import scenes
from vlmcli.demo.training import questions, two_pictures
from vlmcli.demo.training.english import capitalized, in_place, joined, plural, with_article
from vlmcli.demo.training.facts import named_things, region
from vlmcli.demo.training.questions import DONT_KNOW, EMPTY, Item
from vlmcli.demo.world import APART, COLORS, SHAPES, Scene, Shape

Found = tuple[str, dict[str, str]]
"""The right answer, and what a wording's words in braces stand for."""
Answer = Callable[[Random, Scene, bool], "Found | None"]
"""Of a scene, and of whether the wording names a colour; None where the scene leaves the answer open."""


# --- One picture ---


def _as(kind: str) -> Answer:
    """The answer of a kind of `questions`."""

    def answer(rng: Random, scene: Scene, colored: bool) -> Found | None:
        item = questions.ask(rng, scene, kind)
        return (item.answer, {}) if item else None

    return answer


def _of_it(said: Callable[[Shape, Scene], str]) -> Answer:
    """What is said of the only thing; of several, what they are."""

    def answer(rng: Random, scene: Scene, colored: bool) -> Found | None:
        if scene.texts:
            return None
        if len(scene.shapes) != 1:
            return (capitalized(joined(named_things(scene))) + "." if scene.shapes else EMPTY), {}
        told = said(scene.shapes[0], scene)
        return (told, {}) if told else None

    return answer


def _place(shape: Shape, scene: Scene) -> str:
    place = region(shape, scene)
    return f"It is {in_place(place)}." if place else ""


def _where(rng: Random, scene: Scene, colored: bool) -> Found | None:
    return _of_it(_place)(rng, scene, colored) if len(scene.shapes) == 1 else None


def _agreed(holds: Sequence[bool]) -> str | None:
    """Whether it holds: Yes. of all things, No. of none, None of some."""
    return "Yes." if holds and all(holds) else None if any(holds) else "No."


def _is_color(rng: Random, scene: Scene, colored: bool) -> Found | None:
    if scene.texts or not scene.shapes:
        return None
    behind = scene.background.split()[-1]  # "is there something white?" is not about the paper
    there = [s.color for s in scene.shapes if s.color != behind]
    others = [color for color in COLORS if color != behind]
    color = rng.choice(there if there and rng.random() < 0.5 else others)
    answer = _agreed([s.color == color for s in scene.shapes])
    return (answer, {"c": color}) if answer else None


def _is_shape(rng: Random, scene: Scene, colored: bool) -> Found | None:
    if scene.texts or not scene.shapes:
        return None
    seen = rng.choice(scene.shapes)
    name, color = seen.name, seen.color
    chance = rng.random()
    if chance < 0.4:
        name = rng.choice([n for n in SHAPES if n != name])
    elif chance < 0.55:
        color = rng.choice([c for c in COLORS if c != color])
    answer = _agreed([s.name == name and (s.color == color or not colored) for s in scene.shapes])
    return (answer, {"s": name, "c": color}) if answer else None


def _round(rng: Random, scene: Scene, colored: bool) -> Found | None:
    if scene.texts or not scene.shapes:
        return None
    answer = _agreed([s.name == "circle" for s in scene.shapes])
    return (answer, {}) if answer else None


def _anything(rng: Random, scene: Scene, colored: bool) -> Found | None:
    return None if scene.texts else ("Yes." if scene.shapes else "No.", {})


def _empty(rng: Random, scene: Scene, colored: bool) -> Found | None:
    return None if scene.texts else ("No." if scene.shapes else "Yes.", {})


def _exist(rng: Random, scene: Scene, colored: bool) -> Found | None:
    seen = rng.choice(scene.shapes) if scene.shapes and rng.random() < 0.6 else None
    name = seen.name if seen else rng.choice(SHAPES)
    color = seen.color if seen and rng.random() < 0.8 else rng.choice(tuple(COLORS))
    there = any(s.name == name and (s.color == color or not colored) for s in scene.shapes)
    return "Yes." if there else "No.", {"s": name, "c": color, "p": plural(name)}


ABOUT_ONE: dict[str, Answer] = {
    "what": _as("what"),
    "describe": _as("describe"),
    "color": _of_it(lambda shape, _: f"It is {shape.color}."),
    "shape": _of_it(lambda shape, _: f"It is {with_article(shape.name)}."),
    "is color": _is_color,
    "is shape": _is_shape,
    "round": _round,
    "anything": _anything,
    "empty": _empty,
    "count": _as("count"),
    "where": _where,
    "exist": _exist,
    "background": _as("background"),
    "has text": _as("has text"),
}
"""Kinds of first question about one picture, and how the right answer follows from the scene."""


def ask(rng: Random, scene: Scene, kind: str, wording: str) -> Item | None:
    """The question in this wording about a picture; None where the scene has no one right answer to it."""
    found = ABOUT_ONE[kind](rng, scene, "{c}" in wording)
    return Item(f"first {kind}", wording.format(**found[1]), found[0]) if found else None


# --- Two pictures ---


def shown_in_both(first: Scene, second: Scene) -> str:
    """What two pictures show: "The first image shows a red circle, the second image a blue star."."""
    one, other = (joined(named_things(scene)) if named_things(scene) else "nothing" for scene in (first, second))
    return f"The first image shows {one}, the second image {other}."


def pair(rng: Random, first: Scene) -> tuple[Scene, Scene, str]:
    """The scene and another, in any order, and what differs: one thing, nothing, or what the two show."""
    chance = rng.random()
    if chance < 0.2:
        return first, replace(first, seed=rng.getrandbits(32)), "Nothing."
    if chance < 0.6:
        one, other, item = two_pictures.differ(rng, first)
        return one, other, item.answer
    if chance < 0.8 and first.shapes:
        second = _replaced(rng, first)
    else:
        second = scenes.make(rng, size=(first.width, first.height), shapes=rng.choice((1, 1, 1, 2, 2, 3)), text=False)
        if rng.random() < 0.5 and all(dist(s.rgb, first.rgb) >= APART for s in second.shapes):
            second = replace(second, background=first.background, rgb=first.rgb)
    if sorted(named_things(first)) == sorted(named_things(second)):
        one, other, item = two_pictures.differ(rng, first)
        return one, other, item.answer
    return first, second, shown_in_both(first, second)


def _replaced(rng: Random, scene: Scene) -> Scene:
    """The scene with other things at the places of its shapes."""
    shapes = []
    for shape in scene.shapes:
        name, color, rgb = rng.choice([n for n in SHAPES if n != shape.name]), shape.color, shape.rgb
        for _ in range(20):
            other = rng.choice(tuple(COLORS))
            ink = rng.choice(COLORS[other])
            if dist(ink, scene.rgb) >= APART:
                color, rgb = other, ink
                break
        shapes.append(replace(shape, name=name, color=color, rgb=rgb))
    return replace(scene, shapes=tuple(shapes), seed=rng.getrandbits(32))


def ask_both(rng: Random, first: Scene, second: Scene, differs: str, kind: str, wording: str) -> Item:
    """The question in this wording about two pictures, of a kind of `ABOUT_TWO`.

    Args:
        rng: decides what is asked about.
        first: what the first picture shows.
        second: what the second shows.
        differs: what differs, as `pair` says it.
        kind: of question.
        wording: of it.
    """
    slots: dict[str, str] = {}
    if kind == "differ":
        answer = differs
    elif kind in ("same", "different"):
        answer = "Yes." if (differs == "Nothing.") == (kind == "same") else "No."
    elif kind == "both":
        answer = shown_in_both(first, second)
    elif kind == "nth":
        place = rng.randrange(2)
        things = named_things((first, second)[place])
        answer = capitalized(joined(things)) + "." if things else EMPTY
        slots = {"n": ("first", "second")[place], "d": str(place + 1)}
    else:
        answer, slots = _which(rng, first, second, "{c}" in wording or "{a}" in wording)
    return Item(f"first {kind}", wording.format(**slots), answer)


def _which(rng: Random, first: Scene, second: Scene, by_both: bool) -> tuple[str, dict[str, str]]:
    shapes = (*first.shapes, *second.shapes)
    seen = rng.choice(shapes) if shapes and rng.random() < 0.9 else None
    name, color = (seen.name, seen.color) if seen else (rng.choice(SHAPES), rng.choice(tuple(COLORS)))
    has = [any(s.name == name and (s.color == color or not by_both) for s in one.shapes) for one in (first, second)]
    answer = {(1, 1): "Both images.", (1, 0): "The first image.", (0, 1): "The second image.", (0, 0): "Neither image."}
    return answer[has[0], has[1]], {"s": name, "c": color, "a": with_article(f"{color} {name}")}


ABOUT_TWO = ("differ", "same", "different", "which", "nth", "both")
"""Kinds of first question about two pictures."""


def outside(wording: str) -> Item:
    """A first question about another world."""
    return Item("first outside", wording, DONT_KNOW)
