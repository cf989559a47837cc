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
from vlmcli.demo.training import first_asked, questions, two_pictures, unanswerable
from vlmcli.demo.training.english import capitalized, in_place, joined, plural, with_article
from vlmcli.demo.training.facts import named_things, region
from vlmcli.demo.training.phrasing import expand, filled, is_kept_before, is_kept_first
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


def ask(rng: Random, scene: Scene, kind: str, wording: str = "") -> Item | None:
    """The question in this wording, or in any of training, about a picture; None where the answer is left open."""
    form = wording or _any_wording(rng, first_asked.ASKED[kind], first_asked.PATTERNS[kind])
    found = ABOUT_ONE[kind](rng, scene, "{c}" in form)
    if not found:
        return None
    answer, slots = found
    if not wording and _is_kept(form.format(i="image", **slots)):
        return None
    return Item(f"first {kind}", form.format(**slots) if wording else _typed(rng, form, **slots), answer)


# --- Two pictures ---


def shown_in_both(first: Scene, second: Scene) -> str:
    """What two pictures show: "The first image shows a red circle, the second image a blue star."."""
    one, other = (joined(named_things(scene)) if named_things(scene) else "nothing" for scene in (first, second))
    return f"The first image shows {one}, the second image {other}."


def pair(rng: Random, first: Scene, same: float = 0.2) -> tuple[Scene, Scene, str]:
    """The scene and another, in any order, and what differs: one thing, nothing, or what the two show.

    Args:
        rng: decides it.
        first: one of the two.
        same: share of pairs that are made equal.
    """
    chance = (rng.random() - same) / (1 - same) * 0.8 + 0.2
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


def ask_both(rng: Random, first: Scene, second: Scene, differs: str, kind: str, wording: str = "") -> Item:
    """The question in this wording, or in any of training, about two pictures.

    Args:
        rng: decides what is asked about, and the wording where none is given.
        first: what the first picture shows.
        second: what the second shows.
        differs: what differs, as `pair` says it.
        kind: one of `ABOUT_TWO`.
        wording: of it.
    """
    form = wording or _any_wording(rng, first_asked.ASKED[kind], first_asked.PATTERNS[kind])
    slots: dict[str, str] = {}
    also = ""
    if kind == "differ":
        answer = differs
        if sorted(named_things(first)) != sorted(named_things(second)):
            also = shown_in_both(first, second)
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
        answer, slots = _which(rng, first, second, "{c}" in form or "{a}" in form)
        if not wording and _is_kept(form.format(i="image", **slots)):
            return ask_both(rng, first, second, differs, kind)
    return Item(f"first {kind}", form.format(**slots) if wording else _typed(rng, form, **slots), answer, also)


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


# --- Training ---

_NOUNS = ("image", "image", "picture", "picture", "photo", "pic", "drawing")
_WEIGHTS = {
    "what": 5, "describe": 1.5, "color": 3, "shape": 2.5, "is color": 2, "is shape": 2.5, "round": 1.5, "anything": 1.5,
    "empty": 1, "count": 1, "where": 1.2, "exist": 1.2, "background": 0.6, "has text": 0.8,
    "differ": 4, "same": 3, "different": 3, "which": 1.2, "nth": 1.5, "both": 3.5,
}  # fmt: skip
"""How often each kind is asked in training."""


def scene(rng: Random) -> Scene:
    """What the first picture of somebody may show: mostly one thing, seldom nothing."""
    chance = rng.random()
    if chance < 0.8:
        shapes = 1 if chance < 0.5 else rng.choice((2, 2, 3)) if chance < 0.7 else 0
        return scenes.make(rng, shapes=shapes, text=False)
    return scenes.make(rng)


def trained(rng: Random, shown: Scene) -> Item:
    """A first question about one picture for training, of any kind that the scene answers, or about another world."""
    while True:
        if rng.random() < 0.24:
            return trained_outside(rng)
        item = ask(rng, shown, _kind(rng, tuple(ABOUT_ONE)))
        if item:
            return item


def trained_both(rng: Random, first: Scene, second: Scene, differs: str) -> Item:
    """A first question about two pictures for training, or one about another world."""
    chance = rng.random()
    if chance < 0.18:
        return trained_outside(rng)
    if chance < 0.24:
        return Item("differ", two_pictures.differ_wording(rng), differs)
    return ask_both(rng, first, second, differs, _kind(rng, ABOUT_TWO))


def trained_outside(rng: Random) -> Item:
    """A question about another world for training, mostly one like those that people type first."""
    if rng.random() < 0.28:
        return unanswerable.ask(rng)
    wording = _any_wording(rng, first_asked.OUTSIDE, first_asked.OUTSIDE_PATTERNS, 0.2)
    return outside(_typed(rng, wording, **unanswerable.strange_things(rng)))


def _kind(rng: Random, kinds: Sequence[str]) -> str:
    return rng.choices(kinds, [_WEIGHTS[kind] for kind in kinds])[0]


def _any_wording(rng: Random, listed: Sequence[str], some: Sequence[str], share: float = 0.35) -> str:
    """A wording of the list, in a share of draws, or one that a pattern gives; none that is kept for measuring."""
    while True:
        wording = rng.choice(listed) if rng.random() < share else expand(rng, rng.choice(some))
        if not _is_kept(wording.replace("{i}", "image")):
            return wording


def _typed(rng: Random, wording: str, **slots: str) -> str:
    """The wording as somebody may type it: with a capital or not, with a question mark or not, with a slip."""
    while True:
        text = wording.replace("{i}", rng.choice(_NOUNS))
        if rng.random() < 0.4:
            text = capitalized(text)
        if rng.random() < 0.35:
            text = text.rstrip("?.!")
        told = filled(rng, text, False, **slots)
        if not _is_kept(told):
            return told


def _is_kept(question: str) -> bool:
    return is_kept_first(question) or is_kept_before(question)
