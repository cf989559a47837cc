"""How often a model is right, by how sure it is, as a picture (SVG): the reliability diagram. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from vlmcli.tasks.calibration import Sample, Scaling, expected_error, reliability

WIDTH, HEIGHT = 520, 440
_LEFT, _TOP, _SIDE = 70, 46, 330
_BEFORE, _AFTER = "#d55e00", "#0072b2"
"""Okabe and Ito's vermilion and blue, which colour-blind people can tell apart; the shapes differ, too."""


def plot(samples: Sequence[Sample], scaling: Scaling, title: str) -> str:
    """The diagram of answers before and after a calibration; a point is a range of confidence, as large as its count.

    Args:
        samples: answers whose truth is known.
        scaling: of the calibration.
        title: what was asked of which model.
    """
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" '
        'font-size="13" fill="#222">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
        f'<text x="{_LEFT}" y="26" font-size="15">{escape(title[:70])}</text>',
        f'<rect x="{_LEFT}" y="{_TOP}" width="{_SIDE}" height="{_SIDE}" fill="none" stroke="#888"/>',
        f'<path d="M{_x(0)} {_y(0)} L{_x(1)} {_y(1)}" stroke="#888" stroke-dasharray="5 4"/>',
    ]
    for tick in (0.0, 0.25, 0.5, 0.75, 1.0):
        parts.append(f'<text x="{_x(tick)}" y="{_y(0) + 18:.0f}" text-anchor="middle">{tick:g}</text>')
        parts.append(f'<text x="{_LEFT - 8}" y="{_y(tick) + 4:.0f}" text-anchor="end">{tick:g}</text>')
    middle = _TOP + _SIDE / 2
    parts.append(f'<text x="{_x(0.5)}" y="{_y(0) + 40:.0f}" text-anchor="middle">confidence</text>')
    parts.append(
        f'<text transform="translate(20 {middle}) rotate(-90)" text-anchor="middle">share that is right</text>'
    )
    each = (("before", Scaling(), _BEFORE), ("calibrated", scaling, _AFTER))
    for number, (name, one, colour) in enumerate(each):
        parts += _points(samples, one, colour, square=not number)
        error = expected_error(samples, one)
        parts += _mark(_LEFT + 22, _TOP + 20 + 22 * number, 6, colour, square=not number)
        parts.append(f'<text x="{_LEFT + 36}" y="{_TOP + 25 + 22 * number}">{name}: error {error:.3f}</text>')
    return "\n".join([*parts, "</svg>\n"])


def _x(share: float) -> float:
    return round(_LEFT + share * _SIDE, 1)


def _y(share: float) -> float:
    return round(_TOP + (1 - share) * _SIDE, 1)


def _points(samples: Sequence[Sample], scaling: Scaling, colour: str, *, square: bool) -> list[str]:
    found = []
    for one in reliability(samples, scaling):
        size = 4 + 10 * (one.count / len(samples)) ** 0.5
        found += _mark(_x(one.confidence), _y(one.right), size, colour, square=square)
    return found


def _mark(x: float, y: float, size: float, colour: str, *, square: bool) -> list[str]:
    look = f'fill="{colour}" fill-opacity="0.55" stroke="{colour}"'
    if square:
        return [f'<rect x="{x - size:.1f}" y="{y - size:.1f}" width="{2 * size:.1f}" height="{2 * size:.1f}" {look}/>']
    return [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{size:.1f}" {look}/>']
