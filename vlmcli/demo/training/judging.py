"""Whether an answer is right, and how much of it: named shapes, boxes, JSON. Knows answers as text, and no model."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from vlmcli.demo.training.questions import Item
from vlmcli.demo.world import COLORS, SHAPES


def is_right(item: Item, answer: str) -> bool:
    """Whether an answer is the right one, or one as right; the order of things named does not count."""
    if item.also and is_right(replace(item, answer=item.also, also=""), answer):
        return True
    if ", the second image " in item.answer:
        halves = zip(answer.split(", the second image "), item.answer.split(", the second image "), strict=False)
        return answer == item.answer or (
            answer.count(", the second image ") == 1 and all(_shows_the_same(said, true) for said, true in halves)
        )
    if item.kind in ("what", "nth", "first what", "first nth", "first color", "first shape"):
        return answer == item.answer or _names_the_same(answer, item.answer)
    if item.kind in ("describe", "first describe"):
        alike = _names_the_same(answer, item.answer) and _ground(answer) == _ground(item.answer)
        return answer == item.answer or alike
    if item.kind == "it box":
        return iou(item.answer, answer) >= 0.5
    if item.kind in ("read", "says"):  # bare or in a sentence: the word counts
        return (_quoted(answer) or answer) == (_quoted(item.answer) or item.answer)
    return answer == item.answer


def _names_the_same(answer: str, truth: str) -> bool:
    """The same shapes in any order, and the same text; never true of two that name nothing."""
    named = named_shapes(truth)
    quoted = _quoted(truth)
    return bool(named or quoted) and named_shapes(answer) == named and _quoted(answer) == quoted


def _shows_the_same(answer: str, truth: str) -> bool:
    """The same shapes in any order, and the same text; or nothing in both."""
    return _names_the_same(answer, truth) or answer.rstrip(".") == truth.rstrip(".")


def _ground(answer: str) -> str:
    """The background that a description names."""
    return answer.rpartition(" on ")[2]


def _quoted(answer: str) -> str:
    """The text between an answer's two quotation marks; "" if it has not just two."""
    return answer.split('"')[1] if answer.count('"') == 2 else ""


def iou(truth: str, answer: str) -> float:
    """Intersection over union of the boxes that the right answer and the given one give, 0 to 1.

    Where the right answer has no box: 1 if both are the same text, else 0.
    """
    wanted, said = box_in(truth), box_in(answer)
    if wanted is None:
        return float(truth == answer)
    return overlap(wanted, said) if said else 0.0


def named_shapes(answer: str) -> Counter[str]:
    """The shapes an answer names, as "red circle", and how often each."""
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
    """The box [left, top, right, bottom] an answer gives; None if it has not just four numbers."""
    numbers = [int(n) for n in re.findall(r"\d+", answer)]
    return numbers if len(numbers) == 4 else None


def f1(answer: Counter[str], truth: Counter[str]) -> tuple[int, int, int]:
    """How many shapes are (named and there, named, there). Added up over pictures, they give F1 = 2a / (b + c)."""
    return sum((answer & truth).values()), sum(answer.values()), sum(truth.values())


def shapes_in_json(answer: str) -> Counter[str] | None:
    """The shapes of a JSON answer as "red circle", or None if it does not have the form that was asked for."""
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
