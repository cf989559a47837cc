"""The tables of the measure, from cases and what was said to them: counted here, and written as Markdown."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from vlmcli.demo.training import judging
from vlmcli.demo.training.cases import Case
from vlmcli.demo.training.questions import DONT_KNOW

BOUNDS: dict[str, float] = {
    "what is this": 0.97, "which shape": 0.97, "which colour": 0.97, "background": 0.97, "is there text": 0.97,
    "is there …": 0.96, "left, right, top, bottom (2–3 shapes)": 0.95, "biggest (2–3 shapes)": 0.95,
    "relation of two (2–3 shapes)": 0.95, "count": 0.95, "count of a colour or shape": 0.92,
    "describe, F1 (1–3 shapes)": 0.95, "describe, F1 (4–5 shapes)": 0.88, "words and numbers": 0.90,
    "where is …": 0.92, "boxes, mean IoU": 0.65, "two pictures": 0.93, "follow-up turns": 0.93,
    "JSON, valid": 1.0, "JSON, F1 of its shapes": 0.93, "“I don't know.” on other pictures": 0.95,
    "“I don't know.” on other questions": 0.95, "“I don't know.” on its own world (at most)": 0.01,
    "first wordings: one shape": 0.95, "first wordings: two pictures": 0.95,
    "first wordings: “I don't know.” on another world": 0.95,
}  # fmt: skip
"""The rows that have a bound, and the bound; one says that it is an upper one."""

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


def tally(cases: Sequence[Case], said: Sequence[str]) -> dict[str, Tally]:
    """Count the answers, in the cases' order, into the rows of the first table, by their names."""
    rows: dict[str, Tally] = defaultdict(Tally)

    def add(name: str, points: float, case: Case, answer: str) -> None:
        rows[name].points += points
        rows[name].cases += 1
        if points < 1:
            rows[name].wrong.append((case, answer))

    def add_f1(name: str, found: Counter[str], truth: Counter[str], case: Case, answer: str) -> None:
        shared, named, true = judging.f1(found, truth)
        row = rows[name]
        row.f1, row.points, row.named, row.true = True, row.points + shared, row.named + named, row.true + true
        row.cases += 1
        if found != truth:
            row.wrong.append((case, answer))

    for case, answer in zip(cases, said, strict=True):
        item, right = case.item, judging.is_right(case.item, answer)
        few = case.shapes in (2, 3)
        if item.kind == "describe":
            found, truth = judging.named_shapes(answer), judging.named_shapes(item.answer)
            if case.shapes:
                add_f1(f"describe, F1 ({'1–3' if case.shapes <= 3 else '4–5'} shapes)", found, truth, case, answer)
        elif item.kind == "json":
            shapes = judging.shapes_in_json(answer)
            add("JSON, valid", shapes is not None, case, answer)
            truth = judging.shapes_in_json(item.answer) or Counter()
            add_f1("JSON, F1 of its shapes", shapes or Counter(), truth, case, answer)
        elif item.kind == "box":
            add("boxes, mean IoU", judging.iou(item.answer, answer), case, answer)
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
        elif item.kind.startswith("first "):
            add(_first_row(case), right, case, answer)
        else:
            add(_PLAIN[item.kind], right, case, answer)
            if item.kind in _PARTS:
                add(_PARTS[item.kind], right, case, answer)
        if not item.kind.startswith(("outside", "first ")):
            add("“I don't know.” on its own world (at most)", answer == DONT_KNOW, case, answer)
    return rows


def _first_row(case: Case) -> str:
    """The row of a first wording."""
    if case.item.kind == "first outside":
        return "first wordings: “I don't know.” on another world"
    if len(case.pictures) == 2:
        return "first wordings: two pictures"
    return f"first wordings: {'one shape' if case.shapes <= 1 else 'two or three shapes'}"


def by_shapes(cases: Sequence[Case], said: Sequence[str]) -> dict[str, list[Tally]]:
    """Exactly right answers by kind, in scenes of 0 to 5 shapes."""
    table: dict[str, list[Tally]] = defaultdict(lambda: [Tally() for _ in range(6)])
    for case, answer in zip(cases, said, strict=True):
        if case.shapes < 0 or case.item.kind.startswith(("outside", "first ")):
            continue
        kind = case.item.kind
        points = float(judging.is_right(case.item, answer))
        if kind == "box":
            points = judging.iou(case.item.answer, answer)
        elif kind == "json":
            points = float(judging.shapes_in_json(answer) == judging.shapes_in_json(case.item.answer))
        table[kind][case.shapes].points += points
        table[kind][case.shapes].cases += 1
    return table


def report(rows: dict[str, Tally], shapes: dict[str, list[Tally]]) -> str:
    """The table of all rows against their bounds, and the one by number of shapes, as Markdown."""
    lines = ["| question | cases | wanted | measured | |", "|---|---|---|---|---|"]
    for name in [*BOUNDS, *sorted(set(rows) - set(BOUNDS))]:
        row, bound = rows.get(name, Tally()), BOUNDS.get(name)
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


def calibration(pairs: Sequence[tuple[float, bool]], edges: Sequence[float] = (0, 0.1, 0.3, 0.5, 0.7, 0.9, 1)) -> str:
    """How often "Yes" was right where the model gave it a probability, as Markdown."""
    lines = ["| probability of “Yes” | cases | mean | share truly yes |", "|---|---|---|---|"]
    for low, high in pairwise(edges):
        inside = [(p, true) for p, true in pairs if low <= p < high or p == high == 1]
        if inside:
            mean, share = (100 * sum(values) / len(inside) for values in zip(*inside, strict=True))
            lines.append(f"| {100 * low:.0f}–{100 * high:.0f} % | {len(inside)} | {mean:.1f} % | {share:.1f} % |")
    return "\n".join(lines)
