"""Boxes and points as models write them, and as pixels of the picture. Pure.

A model counts in one of these ways (`CONVENTIONS`), each as its makers describe it:

    0-1000      thousandths of width and height, x first (Qwen3-VL, Qwen3.5, InternVL)
    0-1000 yx   thousandths, y first (Gemma)
    pixels      pixels of the picture as it was scaled for the encoder, x first (Qwen2.5-VL)
    0-1         shares of width and height, x first (Kimi-VL)

and writes JSON with `bbox_2d`, `box_2d`, `box`, `bbox` or `point_2d`, `<box>[[…]]</box>` behind a `<ref>`, or
PaliGemma's `<loc0000>`, which are 1024ths, y first. Boxes are put into the picture's borders; what is none (no area, no
number, far outside) is an error, and not left out.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from vlmcli.decisions import Place
from vlmcli.errors import RequestError

CONVENTIONS = ("0-1000", "0-1000 yx", "pixels", "0-1")
"""How numbers count."""
_KEYS = ("bbox_2d", "box_2d", "box", "bbox", "bounding_box", "point_2d", "point")
_LABELS = ("label", "name", "text_content", "category")
_LOCATED = re.compile(r"((?:<loc\d{4}>){4})\s*([^<;\n]*)")
_REFERRED = re.compile(r"(?:<ref>(.*?)</ref>\s*)?<box>\s*(\[\[.*?\]\])\s*</box>", re.DOTALL)
_FENCE = re.compile(r"```(?:json)?\s*\n?(.*?)```", re.DOTALL)
FAR = 0.25
"""How far outside of the picture, as a share of its side, a number may be: models round, and overshoot a little."""


def read(text: str, convention: str, size: tuple[int, int], seen: tuple[int, int] | None = None) -> list[Place]:
    """The places in an answer; none where it says that there are none.

    Args:
        text: of the answer.
        convention: of `CONVENTIONS`.
        size: of the upright picture, in pixels.
        seen: width and height as the encoder got it, for the convention "pixels".

    Raises RequestError where the answer has no places and does not say so, or nonsense.
    """
    return [_placed(numbers, label, convention, size, seen) for label, numbers in _found(text, convention)]


def _found(text: str, convention: str) -> Iterator[tuple[str, list[float]]]:
    """Labels, and two or four numbers each, x first, as the convention counts."""
    if located := _LOCATED.findall(text):
        for numbers, label in located:
            top, left, bottom, right = (int(one) / 1024 for one in re.findall(r"\d{4}", numbers))
            yield label.strip(), [_counted(one, convention) for one in (left, top, right, bottom)]
        return
    if referred := _REFERRED.findall(text):
        for label, numbers in referred:
            for one in _json(numbers):
                yield label.strip(), _numbers(one, text)
        return
    value = _json(text)
    flat = isinstance(value, list) and len(value) in (2, 4) and all(isinstance(one, int | float) for one in value)
    for one in [value] if flat or isinstance(value, Mapping) else value:
        yield from _of(one, convention, text)


def _counted(share: float, convention: str) -> float:
    """A share of the picture in the numbers of a convention that does not depend on how it was scaled."""
    return share if convention == "0-1" else share * 1000


def _of(one: Any, convention: str, text: str) -> Iterator[tuple[str, list[float]]]:
    """The places of an object, or of the objects in it."""
    swapped = convention == "0-1000 yx"
    if isinstance(one, Mapping):
        key = next((key for key in _KEYS if key in one), None)
        if key is None:
            inner = [value for value in one.values() if isinstance(value, list)]
            if not inner:
                raise _nonsense(text)
            for value in inner:
                for each in value:
                    yield from _of(each, convention, text)
            return
        numbers = _numbers(one[key], text)
        yield _label(one, key), _swapped(numbers) if swapped else numbers
        return
    numbers = _numbers(one, text)
    yield "", _swapped(numbers) if swapped else numbers


def _label(one: Mapping[str, Any], key: str) -> str:
    """What an object is called: its label, or all of its other texts."""
    for name in _LABELS:
        if isinstance(one.get(name), str):
            return str(one[name]).strip()
    texts = [value for name, value in reversed(list(one.items())) if name != key and isinstance(value, str)]
    return " ".join(texts)


def _swapped(numbers: Sequence[float]) -> list[float]:
    return [numbers[index ^ 1] for index in range(len(numbers))]


def _numbers(value: Any, text: str) -> list[float]:
    if not isinstance(value, list) or len(value) not in (2, 4):
        raise _nonsense(text)
    if not all(isinstance(one, int | float) and not isinstance(one, bool) and math.isfinite(one) for one in value):
        raise _nonsense(text)
    return [float(one) for one in value]


def _json(text: str) -> Any:
    """The JSON in an answer, in a fence or not. Raises RequestError."""
    fenced = _FENCE.search(text)
    body = (fenced[1] if fenced else text).strip()
    start = next((index for index, letter in enumerate(body) if letter in "[{"), None)
    if start is None:
        raise RequestError(f"the answer has no boxes: {_short(text)}", "ask in other words, or use another model")
    try:
        return json.JSONDecoder().raw_decode(body[start:])[0]
    except (ValueError, RecursionError):
        raise RequestError(f"the answer's boxes are not JSON: {_short(text)}", "allow more with --max-tokens") from None


def _nonsense(text: str) -> RequestError:
    return RequestError(f"the answer's boxes make no sense: {_short(text)}", "check --boxes, or use another model")


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 80 else f"{line[:79]}…"


def _placed(
    numbers: Sequence[float], label: str, convention: str, size: tuple[int, int], seen: tuple[int, int] | None
) -> Place:
    """A place in pixels, within the picture's borders. Raises RequestError for what is far outside, or no box."""
    whole = {"0-1": (1.0, 1.0), "pixels": seen or size}.get(convention, (1000.0, 1000.0))
    shares = [number / whole[index % 2] for index, number in enumerate(numbers)]
    said = ", ".join(f"{number:g}" for number in numbers)
    if any(not -FAR <= share <= 1 + FAR for share in shares):
        raise RequestError(f"a box outside of the picture: {said}", "check --boxes, or use another model")
    x, y = ([min(1.0, max(0.0, share)) * size[axis] for share in shares[axis::2]] for axis in (0, 1))
    if len(numbers) == 2:
        return Place(label, x[0], y[0], x[0], y[0])
    (left, right), (top, bottom) = sorted(x), sorted(y)
    if right - left <= 0 or bottom - top <= 0:
        raise RequestError(f"a box without area: {said}", "check --boxes, or use another model")
    return Place(label, left, top, right, bottom)


def written(place: Place, convention: str, size: tuple[int, int], seen: tuple[int, int] | None = None) -> list[float]:
    """A place's numbers as a model would write them: the way back, for tests and for examples in prompts."""
    whole = {"0-1": (1.0, 1.0), "pixels": seen or size}.get(convention, (1000.0, 1000.0))
    corners = (place.left, place.top, place.right, place.bottom)[: 2 if place.is_point else 4]
    numbers = [corner / size[index % 2] * whole[index % 2] for index, corner in enumerate(corners)]
    rounded = numbers if convention == "0-1" else [float(round(number)) for number in numbers]
    return _swapped(rounded) if convention == "0-1000 yx" else rounded


def overlap(one: Place, other: Place) -> float:
    """Intersection over union of two boxes, 0 to 1."""
    width = min(one.right, other.right) - max(one.left, other.left)
    height = min(one.bottom, other.bottom) - max(one.top, other.top)
    if width <= 0 or height <= 0:
        return 0.0
    both = width * height
    areas = sum((each.right - each.left) * (each.bottom - each.top) for each in (one, other))
    return both / (areas - both)
