"""The questions the demo model is measured with, each with its pictures as files and its right answer.

Pictures that were never trained on, in wordings that were kept out of training. No model is known here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

from vlmcli.demo import outside, scenes
from vlmcli.demo.outside import FAMILIES, UNSEEN_FAMILIES
from vlmcli.demo.training import first, first_kept, questions, two_pictures, unanswerable, wordings
from vlmcli.demo.training.questions import DONT_KNOW, Item
from vlmcli.demo.world import SMALLEST_LETTER, Scene

SEED = 20261129
"""Of the pictures measured; training draws from other streams, whatever its seed."""

FEWEST_FOR_FIRST = 100
"""Scenes from which on the first wordings are asked, too: each of them a few times, whatever the count."""


@dataclass(frozen=True)
class Case:
    """One question to the model.

    Attributes:
        item: the question, its kind and its right answer.
        pictures: files, in order.
        shapes: how many the (first) picture has; -1 for one outside the world.
        before: an earlier turn of the same conversation, answered by the model itself.
        family: of a picture outside the world.
    """

    item: Item
    pictures: tuple[Path, ...]
    shapes: int
    before: Item | None = None
    family: str = ""


def fixed(folder: Path, count: int = 60) -> list[Case]:
    """The scenes the tests assert one by one: chosen by seed before there was a model, one question each."""
    kinds = [kind for kind in questions.KINDS if kind not in ("detail", "json", "box")]
    cases = []
    for number in range(count):
        rng = Random(f"fixed {number}")
        kind = kinds[number % len(kinds)]
        while True:
            scene = scenes.make(rng, size=(640, 480) if number % 2 else None)
            item = questions.ask(rng, scene, kind, held_out=True)
            if item:
                break
        cases.append(Case(item, (_saved(scene, folder / f"fixed-{number}", number % 2 == 1),), len(scene.shapes)))
    return cases


def held_out(
    folder: Path, count: int, each: int = 8, seed: int = SEED, letters: float = SMALLEST_LETTER
) -> Iterator[Case]:
    """Questions about `count` scenes, `each` about each, and in proportion those about two pictures and the rest.

    Args:
        folder: for the pictures.
        count: of scenes.
        each: questions about one.
        seed: decides all of it.
        letters: least height of a capital in the model's view.
    """
    yield from _about_one(folder, count, each, seed, letters)
    yield from _about_two(folder, count // 4, seed, letters)
    yield from _follow_ups(folder, count // 3, seed, letters)
    yield from _outside_pictures(folder, count // 3, seed)
    yield from _outside_questions(folder, seed, letters)
    if count >= FEWEST_FOR_FIRST:
        yield from _first_about_one(folder, seed)
        yield from _first_about_two(folder, seed)


def _about_one(folder: Path, count: int, each: int, seed: int, letters: float) -> Iterator[Case]:
    """Questions about each of `count` scenes, at most `each` about one."""
    for number in range(count):
        rng = Random(f"{seed} scene {number}")
        scene = scenes.make(rng, size=(640, 480) if number % 2 == 0 else None, letters=letters)
        path = _saved(scene, folder / f"scene-{number}", number % 2 == 0)
        asked = 0
        for kind in rng.sample(questions.KINDS, len(questions.KINDS)):
            item = questions.ask(rng, scene, kind, held_out=True)
            if item and asked < each:
                asked += 1
                yield Case(item, (path,), len(scene.shapes))


def _about_two(folder: Path, count: int, seed: int, letters: float) -> Iterator[Case]:
    """Three questions about each of `count` pairs of pictures."""
    for number in range(count):
        rng = Random(f"{seed} pair {number}")
        size = (640, 480) if number % 2 == 0 else None
        first, second = (scenes.make(rng, size=size, letters=letters) for _ in range(2))
        paths = tuple(_saved(s, folder / f"pair-{number}-{i}", size is not None) for i, s in enumerate((first, second)))
        yield Case(two_pictures.which(rng, first, second, True), paths, len(first.shapes))
        yield Case(two_pictures.nth(rng, first, second, True), paths, len(first.shapes))
        first, second, item = two_pictures.differ(rng, first, True)
        places = (folder / f"differ-{number}-{i}" for i in range(2))
        paths = tuple(_saved(s, place, size is not None) for s, place in zip((first, second), places, strict=True))
        yield Case(item, paths, len(first.shapes))


def _follow_ups(folder: Path, count: int, seed: int, letters: float) -> Iterator[Case]:
    """Second turns of `count` conversations about one picture each."""
    for number in range(count):
        rng = Random(f"{seed} follow-up {number}")
        turns = None
        while turns is None:
            scene = scenes.make(rng, size=(640, 480) if number % 2 == 0 else None, letters=letters)
            turns = questions.follow_up(rng, scene, True)
        path = _saved(scene, folder / f"follow-up-{number}", number % 2 == 0)
        yield Case(turns[1], (path,), len(scene.shapes), before=turns[0])


def _outside_pictures(folder: Path, count: int, seed: int) -> Iterator[Case]:
    """Two questions about each of `count` pictures outside the world, the families by turns."""
    families = (*FAMILIES, *UNSEEN_FAMILIES)
    for number in range(count):
        rng = Random(f"{seed} outside {number}")
        family = families[number % len(families)]
        picture = outside.picture(rng, family, (640, 480) if number % 2 == 0 else None)
        path = folder / f"outside-{number}.{'jpg' if number % 2 == 0 else 'png'}"
        picture.save(path)
        for _ in range(2):
            item = Item("outside picture", unanswerable.any_question(rng, True), DONT_KNOW)
            yield Case(item, (path,), -1, family=family)


def _outside_questions(folder: Path, seed: int, letters: float) -> Iterator[Case]:
    """The questions without an answer, each twice and each time with another about a strange thing."""
    for number, question in enumerate(wordings.UNSEEN_OUTSIDE * 2):
        rng = Random(f"{seed} outside question {number}")
        scene = scenes.make(rng, letters=letters)
        path = _saved(scene, folder / f"asked-{number}", number % 2 == 0)
        kind = "outside question" if question in wordings.UNSEEN_FIRST else "outside later"
        yield Case(Item(kind, question.format(i="image"), DONT_KNOW), (path,), len(scene.shapes))
        yield Case(Item("outside noun", unanswerable.about_noun(rng, True), DONT_KNOW), (path,), len(scene.shapes))


def _first_about_one(folder: Path, seed: int) -> Iterator[Case]:
    """Each first wording about three pictures of one shape and one of two or three, and those of another world."""
    asked = [(kind, wording) for kind in first.ABOUT_ONE for wording in first_kept.KEPT[kind]]
    for number, (kind, wording) in enumerate(asked * 4):
        rng = Random(f"{seed} first {number}")
        item = None
        while item is None:
            shapes = rng.choice((2, 3)) if number >= 3 * len(asked) and kind != "where" else 1
            if kind in ("anything", "empty") and rng.random() < 0.4:
                shapes = 0
            scene = scenes.make(rng, size=(640, 480) if number % 2 else None, shapes=shapes, text=False)
            item = first.ask(rng, scene, kind, wording)
        path = _saved(scene, folder / f"first-{number}", number % 2 == 1)
        yield Case(item, (path,), len(scene.shapes))
        if number < 2 * len(first_kept.KEPT_OUTSIDE):
            yield Case(first.outside(first_kept.KEPT_OUTSIDE[number // 2]), (path,), len(scene.shapes))


def _first_about_two(folder: Path, seed: int) -> Iterator[Case]:
    """Each first wording about four pairs of pictures of one to three shapes, and those of another world."""
    asked = [(kind, wording) for kind in first.ABOUT_TWO for wording in first_kept.KEPT[kind]]
    for number, (kind, wording) in enumerate(asked * 4):
        rng = Random(f"{seed} first pair {number}")
        size = (640, 480) if number % 2 else None
        one = scenes.make(rng, size=size, shapes=rng.choice((1, 1, 2, 3)), text=False)
        one, other, differs = first.pair(rng, one)
        places = (folder / f"first-pair-{number}-{i}" for i in range(2))
        paths = tuple(_saved(s, place, size is not None) for s, place in zip((one, other), places, strict=True))
        yield Case(first.ask_both(rng, one, other, differs, kind, wording), paths, len(one.shapes))
        if number < 2 * len(first_kept.KEPT_OUTSIDE):
            yield Case(first.outside(first_kept.KEPT_OUTSIDE[number // 2]), paths, len(one.shapes))


def _saved(scene: Scene, path: Path, jpeg: bool) -> Path:
    path = path.with_name(f"{path.name}.{'jpg' if jpeg else 'png'}")
    scenes.draw(scene).save(path, quality=75 + scene.seed % 18)  # PNG has no quality and ignores it
    return path
