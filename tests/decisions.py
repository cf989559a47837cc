"""How right the demo model's decisions are, on drawn scenes that it was not trained on, and how sure it may be.

    python -m tests.decisions                        # 300 scenes of each kind
    python -m tests.decisions --plot reliability.svg

`tests/engine/test_decisions.py` does the same with fewer scenes.
"""

from __future__ import annotations

import argparse
import json
import math
from functools import partial
from pathlib import Path
from random import Random

from PIL import ImageFilter

from tests.support.engines import opened, outcomes
from vlmcli import demo
from vlmcli.decisions import Option, Place, Question
from vlmcli.demo import scenes
from vlmcli.demo.world import COLORS, SHAPES
from vlmcli.pictures import images
from vlmcli.reports import reliability
from vlmcli.tasks import questions
from vlmcli.tasks.boxes import overlap
from vlmcli.tasks.calibration import Sample, Scaling, expected_error, fitted
from vlmcli.tasks.decide import Decide
from vlmcli.tasks.detect import Detect
from vlmcli.tasks.extract import Extract
from vlmcli.tasks.task import joined

BLUR = 4.0
"""Radius in view units (demo/world.py) of scenes of which the model gets 60 to 90 % right."""


FIELDS = {
    "type": "object",
    "properties": {
        "shape": {"enum": [*SHAPES, None]},
        "color": {"enum": [*COLORS, None]},
        "count": {"type": ["integer", "null"], "minimum": 0, "maximum": 99},
    },
    "required": ["shape", "color", "count"],
    "additionalProperties": False,
}
"""What is extracted."""


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


def found(engine, count, seed=6):
    """Mean overlap of the right boxes, and F1 at an overlap of 0.5, on scenes of one to three shapes."""
    rng, drawn_scenes = Random(seed), []
    while len(drawn_scenes) < count:
        scene = scenes.make(rng)
        if 1 <= len(scene.shapes) <= 3:
            drawn_scenes.append(scene)
    task = Detect("each shape", prompts=tuple(sorted(demo.FILES.card.prompts.items())))
    pictures = [drawn(scene, "scene") for scene in drawn_scenes]
    answers = outcomes(engine, [task.requests([picture])[0] for picture in pictures])
    overlaps, said, there = [], 0, 0
    for scene, picture, answer in zip(drawn_scenes, pictures, answers, strict=True):
        result = task.result(["scene"], answer, "demo")
        places = list(result.places or ())
        said, there = said + len(places), there + len(scene.shapes)
        for shape in scene.shapes:
            corners = [one * scene.scale for one in shape.box]
            truth = Place(str(shape), *(min(max(0.0, one), picture.size[axis % 2]) for axis, one in enumerate(corners)))
            best = max((one for one in places if one.label == truth.label), key=partial(overlap, truth), default=None)
            if best is not None and overlap(truth, best) >= 0.5:
                overlaps.append(overlap(truth, best))
                places.remove(best)
    return math.fsum(overlaps) / len(overlaps), 2 * len(overlaps) / (said + there)


def share_valid(engine, count, seed=7):
    """The share of scenes whose {shape, colour, count} is read as JSON that is valid."""
    rng = Random(seed)
    task = Extract(json.dumps(FIELDS))
    requests = [task.requests([drawn(scenes.make(rng), "scene")])[0] for _ in range(count)]
    results = [task.result(["scene"], answer, "demo") for answer in outcomes(engine, requests)]
    return sum(result.error is None for result in results) / count


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
        mean, f1 = found(engine, options.scenes)
        print(f"detect: mean overlap {mean:.3f}, F1 {f1:.3f}")
        print(f"extract: {share_valid(engine, options.scenes):.1%} valid")
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
