"""How often the demo model is right, asked through the engine: `python -m vlmcli.demo.training.accuracy`.

Pictures that were never trained on (another seed), wordings that were kept out of training, every other picture a
640x480 JPEG. Prints the table of docs/demo-model.md; with `--confusion FOLDER` it draws which colours and shapes are
taken for which.
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from vlmcli.demo import FILES, scenes
from vlmcli.demo.scenes import COLORS, FAMILIES, SHAPES, SMALLEST_LETTER, UNSEEN_FAMILIES, Scene
from vlmcli.demo.training import questions, wordings
from vlmcli.demo.training.questions import DONT_KNOW, Item
from vlmcli.engine import Engine, Observer
from vlmcli.pictures import images
from vlmcli.values import Answer, Message, ModelFiles, Picture, Request

SEED = 20261129
"""Of the pictures measured; training draws from other streams, whatever its seed."""


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
    for number in range(count // 4):
        rng = Random(f"{seed} pair {number}")
        size = (640, 480) if number % 2 == 0 else None
        first, second = (scenes.make(rng, size=size, letters=letters) for _ in range(2))
        paths = tuple(_saved(s, folder / f"pair-{number}-{i}", size is not None) for i, s in enumerate((first, second)))
        yield Case(questions.which(rng, first, second, True), paths, len(first.shapes))
        yield Case(questions.nth(rng, first, second, True), paths, len(first.shapes))
        first, second, item = questions.differ(rng, first, True)
        places = (folder / f"differ-{number}-{i}" for i in range(2))
        paths = tuple(_saved(s, place, size is not None) for s, place in zip((first, second), places, strict=True))
        yield Case(item, paths, len(first.shapes))
    for number in range(count // 3):
        rng = Random(f"{seed} follow-up {number}")
        turns = None
        while turns is None:
            scene = scenes.make(rng, size=(640, 480) if number % 2 == 0 else None, letters=letters)
            turns = questions.follow_up(rng, scene, True)
        path = _saved(scene, folder / f"follow-up-{number}", number % 2 == 0)
        yield Case(turns[1], (path,), len(scene.shapes), before=turns[0])
    families = (*FAMILIES, *UNSEEN_FAMILIES)
    for number in range(count // 3):
        rng = Random(f"{seed} outside {number}")
        family = families[number % len(families)]
        picture = scenes.outside(rng, family, (640, 480) if number % 2 == 0 else None)
        path = folder / f"outside-{number}.{'jpg' if number % 2 == 0 else 'png'}"
        picture.save(path)
        for _ in range(2):
            item = Item("outside picture", questions.of_anything(rng, True), DONT_KNOW)
            yield Case(item, (path,), -1, family=family)
    for number, question in enumerate(wordings.UNSEEN_OUTSIDE * 2):
        rng = Random(f"{seed} outside question {number}")
        scene = scenes.make(rng, letters=letters)
        path = _saved(scene, folder / f"asked-{number}", number % 2 == 0)
        kind = "outside question" if question in wordings.UNSEEN_FIRST else "outside later"
        yield Case(Item(kind, question.format(i="image"), DONT_KNOW), (path,), len(scene.shapes))
        yield Case(Item("outside noun", questions.about_noun(rng, True), DONT_KNOW), (path,), len(scene.shapes))


def _saved(scene: Scene, path: Path, jpeg: bool) -> Path:
    path = path.with_name(f"{path.name}.{'jpg' if jpeg else 'png'}")
    scenes.draw(scene).save(path, quality=75 + scene.seed % 18)  # PNG has no quality and ignores it
    return path


def requests(cases: Iterable[Case], firsts: dict[int, str] | None = None) -> Iterator[Request]:
    """The cases as requests; a follow-up has the model's own first answer before it."""
    for number, case in enumerate(cases):
        pictures: tuple[Picture, ...] = tuple(images.load(path) for path in case.pictures)
        turns: tuple[Message, ...]
        if case.before is None:
            turns = (Message("user", (*pictures, case.item.question)),)
        elif firsts is None:
            turns = (Message("user", (*pictures, case.before.question)),)
        else:
            turns = (
                Message("user", (*pictures, case.before.question)),
                Message("assistant", (firsts[number],)),
                Message("user", (case.item.question,)),
            )
        yield Request(turns, max_tokens=256)


def answers(engine: Engine, cases: Sequence[Case]) -> list[str]:
    """What the model says to each case."""
    said = [o.text if isinstance(o, Answer) else f"({o})" for o in engine.run(requests(cases))]
    later = [number for number, case in enumerate(cases) if case.before is not None]
    follow_ups = [cases[number] for number in later]
    firsts = {place: said[number] for place, number in enumerate(later)}
    for number, outcome in zip(later, engine.run(requests(follow_ups, firsts)), strict=True):
        said[number] = outcome.text if isinstance(outcome, Answer) else f"({outcome})"
    return said


class YesNo(Observer):
    """Watches each answer's first token: how likely was "Yes" against "No"?"""

    def __init__(self, files: ModelFiles) -> None:
        self.engine = Engine(files, observer=self)
        self._tokens: list[int] = []
        self._seen: dict[int, float] = {}

    def picking(self, id: int, number: int, logits: Any) -> None:
        """Keeps what the first token says."""
        if number:
            return
        if not self._tokens:
            self._tokens = [self.engine.model.tokenize(word, False)[0] for word in ("Yes", "No")]
        yes, no = (float(logits[token]) for token in self._tokens)
        self._seen[id] = 1 / (1 + math.exp(min(50.0, no - yes)))

    def likelihoods(self, cases: Sequence[Case]) -> list[tuple[float, bool]]:
        """(probability of "Yes", whether it was right) of the yes/no cases, which were the engine's first requests."""
        return [
            (self._seen[number], case.item.answer == "Yes.")
            for number, case in enumerate(cases)
            if case.item.answer in ("Yes.", "No.") and number in self._seen
        ]


def calibration(pairs: Sequence[tuple[float, bool]], edges: Sequence[float] = (0, 0.1, 0.3, 0.5, 0.7, 0.9, 1)) -> str:
    """How often "Yes" was right where the model gave it a probability, as Markdown."""
    lines = ["| probability of “Yes” | cases | mean | share truly yes |", "|---|---|---|---|"]
    for low, high in pairwise(edges):
        inside = [(p, true) for p, true in pairs if low <= p < high or p == high == 1]
        if inside:
            mean, share = (100 * sum(values) / len(inside) for values in zip(*inside, strict=True))
            lines.append(f"| {100 * low:.0f}–{100 * high:.0f} % | {len(inside)} | {mean:.1f} % | {share:.1f} % |")
    return "\n".join(lines)


# --- Judging ---


@dataclass
class Tally:
    """Points out of a number of cases, or the three counts of an F1."""

    points: float = 0.0
    cases: int = 0
    named: int = 0
    true: int = 0
    f1: bool = False
    wrong: list[tuple[Case, str]] = field(default_factory=list)

    @property
    def value(self) -> float:
        """The share, mean or F1; nan of nothing."""
        if self.f1:
            return 2 * self.points / (self.named + self.true) if self.named + self.true else float("nan")
        return self.points / self.cases if self.cases else float("nan")


ROWS: dict[str, float] = {
    "what is this": 0.97, "which shape": 0.97, "which colour": 0.97, "background": 0.97, "is there text": 0.97,
    "is there …": 0.96, "left, right, top, bottom (2–3 shapes)": 0.95, "biggest (2–3 shapes)": 0.95,
    "relation of two (2–3 shapes)": 0.95, "count": 0.95, "count of a colour or shape": 0.92,
    "describe, F1 (1–3 shapes)": 0.95, "describe, F1 (4–5 shapes)": 0.88, "words and numbers": 0.90,
    "where is …": 0.92, "boxes, mean IoU": 0.65, "two pictures": 0.93, "follow-up turns": 0.93,
    "JSON, valid": 1.0, "JSON, F1 of its shapes": 0.93, "“I don't know.” on other pictures": 0.95,
    "“I don't know.” on other questions": 0.95, "“I don't know.” on its own world (at most)": 0.01,
}  # fmt: skip
"""The rows that have a bound, and the bound; the last one is an upper one."""

_PLAIN = {
    "what": "what is this", "shape": "which shape", "color": "which colour", "background": "background",
    "has text": "is there text", "exist": "is there …", "count": "count", "count of": "count of a colour or shape",
    "where": "where is …", "which": "two pictures", "nth": "two pictures", "differ": "two pictures",
    "outside picture": "“I don't know.” on other pictures", "outside question": "“I don't know.” on other questions",
    "outside later": "“I don't know.” on other questions", "outside noun": "“I don't know.” on other questions",
    "middle": "in the middle", "smallest": "smallest",
    "text color": "colour of the text", "detail": "describe in detail",
}  # fmt: skip


_PARTS = {
    "outside question": "other questions: fifty that were looked at before",
    "outside later": "other questions: fifty that were not", "outside noun": "other questions: about other things",
}  # fmt: skip
"""Rows of their own for parts of a row."""


def is_right(item: Item, answer: str) -> bool:
    """Whether an answer is the right one; the order of things named does not count."""
    if item.kind in ("what", "nth"):
        return answer == item.answer or _names_the_same(answer, item.answer)
    if item.kind == "describe":
        alike = _names_the_same(answer, item.answer) and _ground(answer) == _ground(item.answer)
        return answer == item.answer or alike
    if item.kind == "it box":
        return _iou(item.answer, answer) >= 0.5
    if item.kind in ("read", "says"):  # bare or in a sentence: the word counts
        return (_quoted(answer) or answer) == (_quoted(item.answer) or item.answer)
    return answer == item.answer


def _names_the_same(answer: str, truth: str) -> bool:
    """The same shapes in any order, and the same text; never true of two that name nothing."""
    named = questions.named_shapes(truth)
    quoted = _quoted(truth)
    return bool(named or quoted) and questions.named_shapes(answer) == named and _quoted(answer) == quoted


def _ground(answer: str) -> str:
    return answer.rpartition(" on ")[2]


def _quoted(answer: str) -> str:
    return answer.split('"')[1] if answer.count('"') == 2 else ""


def _iou(truth: str, answer: str) -> float:
    wanted, said = questions.box_in(truth), questions.box_in(answer)
    if wanted is None:
        return float(truth == answer)
    return questions.overlap(wanted, said) if said else 0.0


def tally(cases: Sequence[Case], said: Sequence[str]) -> dict[str, Tally]:
    """The table's rows."""
    rows: dict[str, Tally] = defaultdict(Tally)

    def add(name: str, points: float, case: Case, answer: str) -> None:
        rows[name].points += points
        rows[name].cases += 1
        if points < 1:
            rows[name].wrong.append((case, answer))

    def add_f1(name: str, found: Counter[str], truth: Counter[str], case: Case, answer: str) -> None:
        shared, named, true = questions.f1(found, truth)
        row = rows[name]
        row.f1, row.points, row.named, row.true = True, row.points + shared, row.named + named, row.true + true
        row.cases += 1
        if found != truth:
            row.wrong.append((case, answer))

    for case, answer in zip(cases, said, strict=True):
        item, right = case.item, is_right(case.item, answer)
        few = case.shapes in (2, 3)
        if item.kind == "describe":
            found, truth = questions.named_shapes(answer), questions.named_shapes(item.answer)
            if case.shapes:
                add_f1(f"describe, F1 ({'1–3' if case.shapes <= 3 else '4–5'} shapes)", found, truth, case, answer)
        elif item.kind == "json":
            shapes = questions.shapes_in_json(answer)
            add("JSON, valid", shapes is not None, case, answer)
            truth = questions.shapes_in_json(item.answer) or Counter()
            add_f1("JSON, F1 of its shapes", shapes or Counter(), truth, case, answer)
        elif item.kind == "box":
            add("boxes, mean IoU", _iou(item.answer, answer), case, answer)
        elif item.kind in ("read", "says"):
            written = item.answer != "There is no text."
            add("words and numbers" if written else "nothing to read", right, case, answer)
        elif item.kind in ("left", "right", "top", "bottom"):
            add(f"left, right, top, bottom ({'2–3' if few else 'other'} shapes)", right, case, answer)
        elif item.kind in ("biggest", "relation"):
            name = "biggest" if item.kind == "biggest" else "relation of two"
            add(f"{name} ({'2–3' if few else 'other'} shapes)", right, case, answer)
        elif item.kind.startswith("it "):
            add("follow-up turns", right, case, answer)
        else:
            add(_PLAIN[item.kind], right, case, answer)
            if item.kind in _PARTS:
                add(_PARTS[item.kind], right, case, answer)
        if not item.kind.startswith("outside"):
            add("“I don't know.” on its own world (at most)", answer == DONT_KNOW, case, answer)
    return rows


def by_shapes(cases: Sequence[Case], said: Sequence[str]) -> dict[str, list[Tally]]:
    """Exactly right answers by kind, in scenes of 0 to 5 shapes."""
    table: dict[str, list[Tally]] = defaultdict(lambda: [Tally() for _ in range(6)])
    for case, answer in zip(cases, said, strict=True):
        if case.shapes < 0 or case.item.kind.startswith("outside"):
            continue
        kind = case.item.kind
        points = float(is_right(case.item, answer))
        if kind == "box":
            points = _iou(case.item.answer, answer)
        elif kind == "json":
            points = float(questions.shapes_in_json(answer) == questions.shapes_in_json(case.item.answer))
        table[kind][case.shapes].points += points
        table[kind][case.shapes].cases += 1
    return table


# --- Showing ---


def report(rows: dict[str, Tally], shapes: dict[str, list[Tally]]) -> str:
    """Both tables as Markdown."""
    lines = ["| question | cases | wanted | measured | |", "|---|---|---|---|---|"]
    for name in [*ROWS, *sorted(set(rows) - set(ROWS))]:
        row, bound = rows.get(name, Tally()), ROWS.get(name)
        most = name.endswith("(at most)")
        held = bound is None or (row.value <= bound if most else row.value >= bound)
        wanted = "" if bound is None else f"{'≤' if most else '≥'} {_figure(name, bound)}"
        cells = (name.removesuffix(" (at most)"), str(row.cases), wanted, _figure(name, row.value))
        lines.append(f"| {' | '.join(cells)} | {'' if held else '**short**'} |")
    lines += [
        "",
        "| exactly right, by shapes in the picture | 0 | 1 | 2 | 3 | 4 | 5 |",
        "|---|---|---|---|---|---|---|",
    ]
    for kind, tallies in shapes.items():
        figures = [f"{100 * t.value:.0f} ({t.cases})" if t.cases else "–" for t in tallies]
        lines.append(f"| {kind} | {' | '.join(figures)} |")
    return "\n".join(lines)


def _figure(name: str, value: float) -> str:
    return f"{value:.3f}" if "F1" in name or "IoU" in name else f"{100 * value:.1f} %"


def confusion(cases: Sequence[Case], said: Sequence[str], kind: str, names: Sequence[str]) -> Counter[tuple[str, str]]:
    """(what it is, what was said) → how often, over the answers to one kind of question."""
    counts: Counter[tuple[str, str]] = Counter()
    for case, answer in zip(cases, said, strict=True):
        if case.item.kind == kind and not case.item.answer.startswith("There is no"):
            true, found = (next((w for w in reversed(text.rstrip(".").split()) if w in names), "other")
                           for text in (case.item.answer, answer))  # fmt: skip
            counts[true, found] += 1
    return counts


def draw_confusion(counts: dict[tuple[str, str], int], names: Sequence[str], path: Path) -> None:
    """A grid: what it is downwards, what the model said across, shares of a row in per cent."""
    cell, margin = 44, 90
    said = [*names, "other"]
    image = Image.new("RGB", (margin + cell * len(said) + 10, margin + cell * len(names) + 10), "white")
    pen, font = ImageDraw.Draw(image), ImageFont.load_default(13)
    for i, name in enumerate(said):
        label = Image.new("L", (margin, 20))
        ImageDraw.Draw(label).text((2, 2), name, font=font, fill=255)
        label = label.rotate(90, expand=True)
        image.paste("black", (margin + i * cell + 12, 0), label)
    for j, true in enumerate(names):
        pen.text((4, margin + j * cell + 14), true, font=font, fill="black")
        total = sum(counts.get((true, name), 0) for name in said)
        for i, name in enumerate(said):
            share = counts.get((true, name), 0) / total if total else 0.0
            shade = int(255 - 200 * share)
            left, top = margin + i * cell, margin + j * cell
            fill = (shade, shade, 255) if name == true else (255, shade, shade)
            pen.rectangle([left, top, left + cell - 2, top + cell - 2], fill=fill, outline="#dddddd")
            if share:
                ink = "white" if share > 0.6 else "black"
                pen.text((left + 10, top + 13), f"{100 * share:.0f}", font=font, fill=ink)
    image.save(path)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m vlmcli.demo.training.accuracy", description=__doc__.split("\n")[0])
    parser.add_argument("--pictures", type=int, default=1000, help="scenes (default 1000); eight questions about each")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--letters", type=float, default=SMALLEST_LETTER, help="least height in the model's view")
    parser.add_argument("--model", type=Path, help="other files than the package's: the language model")
    parser.add_argument("--mmproj", type=Path, help="and its projector")
    parser.add_argument("--keep", type=Path, help="a folder for the pictures and answers.jsonl")
    parser.add_argument("--confusion", type=Path, help="a folder for confusion-colors.png and confusion-shapes.png")
    parser.add_argument("--wrong", type=int, default=0, help="show so many wrong answers a row")
    options = parser.parse_args()
    files = ModelFiles("demo", options.model, options.mmproj) if options.model else FILES
    with tempfile.TemporaryDirectory(prefix="vlm-demo-") as temporary:
        folder = options.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        cases = list(held_out(folder, options.pictures, seed=options.seed, letters=options.letters))
        watched = YesNo(files)
        try:
            said = answers(watched.engine, cases)
        finally:
            watched.engine.close()
        if options.keep:
            with (folder / "answers.jsonl").open("w", encoding="utf-8") as file:
                for case, answer in zip(cases, said, strict=True):
                    item = case.item
                    file.write(json.dumps({
                        "kind": item.kind, "question": item.question, "right": item.answer, "said": answer,
                        "files": [path.name for path in case.pictures], "shapes": case.shapes, "family": case.family,
                    }) + "\n")  # fmt: skip
    rows = tally(cases, said)
    print(report(rows, by_shapes(cases, said)))  # noqa: T201 — the command's output
    print(f"\n{calibration(watched.likelihoods(cases))}")  # noqa: T201
    for name, row in rows.items():
        for case, answer in row.wrong[: options.wrong]:
            print(f"{name}: {case.pictures[0].name}: {case.item.question} {case.item.answer!r}, said {answer!r}")  # noqa: T201
    if options.confusion:
        options.confusion.mkdir(parents=True, exist_ok=True)
        for kind, names in (("color", tuple(COLORS)), ("shape", SHAPES)):
            counts = confusion(cases, said, kind, names)
            draw_confusion(counts, names, options.confusion / f"confusion-{kind}s.png")


if __name__ == "__main__":
    main()
