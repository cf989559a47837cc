"""How right the demo model's decisions are, on drawn scenes that it was not trained on, and how sure it may be.

    python -m tests.decisions                        # 300 scenes of each kind
    python -m tests.decisions --plot reliability.svg

`tests/engine/test_decisions.py` does the same with fewer scenes.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from random import Random

from PIL import ImageFilter

from tests.support.engines import opened, outcomes
from vlmcli import demo
from vlmcli.decisions import Option, Question
from vlmcli.demo import scenes
from vlmcli.demo.world import COLORS, SHAPES
from vlmcli.pictures import images
from vlmcli.reports import reliability
from vlmcli.tasks import questions
from vlmcli.tasks.calibration import Sample, Scaling, expected_error, fitted
from vlmcli.tasks.decide import Decide
from vlmcli.tasks.task import joined

BLUR = 4.0
"""Radius in view units (demo/world.py) of scenes of which the model gets 60 to 90 % right."""


def drawn(scene, name, blur=0.0):
    """A picture of a scene."""
    image = scenes.draw(scene).convert("RGB")
    if blur:
        image = image.filter(ImageFilter.GaussianBlur(blur * scene.scale))
    return images.from_pixels(image.tobytes(), image.size, name)


def decided(engine, asked):
    """What the engine decides: a decision for each (picture, question)."""
    tasks = [Decide((question,), prompts=tuple(sorted(demo.FILES.card.prompts.items()))) for _, question in asked]
    requests = [task.requests([picture])[0] for task, (picture, _) in zip(tasks, asked, strict=True)]
    found = []
    for task, answer in zip(tasks, outcomes(engine, requests), strict=True):
        result = task.result(["scene"], joined([answer]), "demo")
        assert result.error is None, result.error
        found.append(result.decisions[0])
    return found


def matches(count, seed=1):
    """Scenes, half of which have a thing that is asked about: (picture, question, whether it is there)."""
    rng, found = Random(seed), []
    while len(found) < count:
        scene = scenes.make(rng)
        thing = f"{rng.choice(tuple(COLORS))} {rng.choice(SHAPES)}"
        if len(found) % 2 == 0:
            if not scene.shapes:
                continue
            thing = str(rng.choice(scene.shapes))
        article = "an" if thing[0] in "aeiou" else "a"
        there = thing in map(str, scene.shapes)
        found.append((drawn(scene, "scene"), questions.match(f"{article} {thing}"), there))
    return found


def colours(count, seed=2):
    """Scenes with one shape of a kind, whose colour is asked: (picture, question, the right option)."""
    options = tuple(map(Option, COLORS))
    return _of_one(count, seed, lambda shape: shape.name, lambda shape: shape.color, options,
                   "What color is the {}?", "The {} is {{}}.")  # fmt: skip


def shapes(count, seed=3):
    """Scenes with one shape of a colour, whose kind is asked: (picture, question, the right option)."""
    options = tuple(map(Option, SHAPES))
    return _of_one(count, seed, lambda shape: shape.color, lambda shape: shape.name, options,
                   "What shape is {}?", "The {} shape is a {{}}.")  # fmt: skip


def _of_one(count, seed, known, asked, options, question, form):
    rng, found = Random(seed), []
    while len(found) < count:
        scene = scenes.make(rng)
        names = [known(shape) for shape in scene.shapes]
        alone = [shape for shape in scene.shapes if names.count(known(shape)) == 1]
        if not alone:
            continue
        shape = rng.choice(alone)
        wanted = questions.choice(question.format(known(shape)), options, form.format(known(shape)))
        right = [option.text for option in options].index(asked(shape))
        found.append((drawn(scene, "scene"), wanted, right))
    return found


def blurred(count, seed):
    """Blurred scenes, half of which have a circle: (picture, question, whether it has)."""
    rng, found = Random(seed), []
    question = Question("predicate", "is there a circle?")
    while len(found) < count:
        scene = scenes.make(rng)
        there = any(shape.name == "circle" for shape in scene.shapes)
        if there == (len(found) % 2 == 0):
            found.append((drawn(scene, "scene", BLUR), question, there))
    return found


def share_right(engine, items):
    """The share of the items that the engine decides as they are."""
    decisions = decided(engine, [(picture, question) for picture, question, _ in items])
    right = sum(
        (decision.value if decision.question.kind == "predicate" else decision.best) == truth
        for decision, (_, _, truth) in zip(decisions, items, strict=True)
    )
    return right / len(items)


def samples(engine, items):
    """Predicates and their truths, for calibration."""
    decisions = decided(engine, [(picture, question) for picture, question, _ in items])
    return [
        Sample(tuple(math.log(max(1e-12, one)) for one in decision.probabilities), int(not truth))
        for decision, (_, _, truth) in zip(decisions, items, strict=True)
    ]


def main():
    """Print what is right of each kind, and how far the probabilities are off before and after calibration."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--scenes", type=int, default=300)
    parser.add_argument("--plot", type=Path)
    options = parser.parse_args()
    with opened(demo.FILES, choices=True, threads=2) as engine:
        print(f"match: {share_right(engine, matches(options.scenes)):.1%} right")
        print(f"classify, colour: {share_right(engine, colours(options.scenes)):.1%} right")
        print(f"classify, shape: {share_right(engine, shapes(options.scenes)):.1%} right")
        fit, held_out = (samples(engine, blurred(options.scenes, seed)) for seed in (4, 5))
    scaling = fitted("predicate", fit)
    right = sum(max(range(2), key=one.logits.__getitem__) == one.truth for one in held_out) / len(held_out)
    before, after = (expected_error(held_out, one) for one in (Scaling(), scaling))
    print(f"blurred scenes: {right:.1%} right; expected calibration error {before:.3f}, calibrated {after:.3f}")
    print(f"temperature {scaling.temperature:.2f}, bias {scaling.bias:+.2f}, fitted to other {len(fit)} scenes")
    if options.plot is not None:
        title = "is there a circle? blurred scenes, demo"
        options.plot.write_text(reliability.plot(held_out, scaling, title), "utf-8")


if __name__ == "__main__":
    main()
