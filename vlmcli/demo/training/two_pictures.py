"""Questions about two pictures, and their right answers: which has a thing, what one shows, what differs."""

from __future__ import annotations

from dataclasses import replace
from math import dist
from random import Random

from vlmcli.demo.training.english import capitalized, joined, with_article
from vlmcli.demo.training.facts import absent, named_things, unique
from vlmcli.demo.training.phrasing import worded
from vlmcli.demo.training.questions import EMPTY, Item
from vlmcli.demo.world import APART, BACKGROUNDS, COLORS, Scene


def which(rng: Random, first: Scene, second: Scene, held_out: bool = False) -> Item:
    """The question which of two pictures has a thing."""
    shapes = (*first.shapes, *second.shapes)
    if not shapes or rng.random() < 0.12:
        question = worded(rng, "which", held_out, a=with_article(absent(rng, shapes)))
        return Item("which", question, "Neither image.")
    shape = rng.choice(shapes)
    by_name = rng.random() < 0.5
    thing = shape.name if by_name else str(shape)
    has = [any((s.name if by_name else str(s)) == thing for s in scene.shapes) for scene in (first, second)]
    answer = "Both images." if all(has) else "The first image." if has[0] else "The second image."
    return Item("which", worded(rng, "which", held_out, a=with_article(thing)), answer)


def nth(rng: Random, first: Scene, second: Scene, held_out: bool = False) -> Item:
    """The question what the first, or the second, of two pictures shows."""
    place = rng.randrange(2)
    things = named_things((first, second)[place])
    question = worded(rng, "nth", held_out, n=("first", "second")[place])
    return Item("nth", question, capitalized(joined(things)) + "." if things else EMPTY)


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
    if kind == "color" and shape in unique(scene, lambda s: s.name):
        for _ in range(20):
            name = rng.choice([n for n in COLORS if n != shape.color])
            rgb = rng.choice(COLORS[name])
            if dist(rgb, scene.rgb) >= APART:
                shapes = (*scene.shapes[:place], replace(shape, color=name, rgb=rgb), *scene.shapes[place + 1 :])
                answer = f"The {shape.name} is {shape.color} in the first image and {name} in the second."
                return replace(scene, shapes=shapes), answer
    if shape not in unique(scene, str):
        return scene, "Nothing."
    return replace(scene, shapes=rest), f"Only the first image has {with_article(shape)}."


def differ(rng: Random, scene: Scene, held_out: bool = False) -> tuple[Scene, Scene, Item]:
    """The scene and another that differs in one thing or in none, in either order, and the question what differs."""
    other, answer = changed(rng, scene)
    other = replace(other, seed=rng.getrandbits(32))
    first, second = scene, other
    if answer.startswith("Only") and rng.random() < 0.5:
        first, second, answer = other, scene, answer.replace("first", "second")
    return first, second, Item("differ", worded(rng, "differ", held_out), answer)


def differ_wording(rng: Random, held_out: bool = False) -> str:
    """Any way of asking what differs."""
    return worded(rng, "differ", held_out)
