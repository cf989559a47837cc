"""JSON that came from the network becomes values, or an error: the only reader of it.

Python's reader trusts what it reads: it calls itself for each bracket until the stack is full, makes a float of 1e999
and of the word NaN, and a number of any length. So brackets and values are counted before it sees them. Does not know
what the values mean.
"""

from __future__ import annotations

import json
import math
from typing import Any

MAX_DEPTH = 32
"""Brackets inside brackets. The Hub's listings have about eight (the measurements in a card); Python's reader fails at
some hundreds or thousands, by its version, or ends the process."""
MAX_VALUES = 500_000
"""Values, names and brackets. A listing has 18 for each file; this many take some tens of MB when they are read."""
MAX_DIGITS = 25
"""Digits of a whole number: 2^64 has 20."""

_ALL_BUT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))


def read(data: bytes) -> Any:
    """The value of a JSON text in UTF-8. Raises ValueError, which says what is wrong in a few words.

    All text in it can be written in UTF-8: there are no halves of surrogate pairs.
    """
    text = data.decode("utf-8")
    _count(data)
    try:
        value = json.loads(text, parse_int=_whole, parse_float=_number, parse_constant=_constant)
    except json.JSONDecodeError:
        raise ValueError("not JSON") from None
    if "\\u" in text:
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    return value


def _count(data: bytes) -> None:
    """Raise ValueError where there are too many values, or brackets inside brackets."""
    if data.count(b'"') // 2 + sum(map(data.count, (b",", b"[", b"{"))) > MAX_VALUES:
        raise ValueError(f"more than {MAX_VALUES:,} values")
    outside = data.replace(b"\\\\", b"").replace(b'\\"', b"").split(b'"')[::2]  # of what is between quotes
    depth = 0
    for bracket in b"".join(outside).translate(None, _ALL_BUT_BRACKETS):
        depth += 1 if bracket in b"[{" else -1
        if depth > MAX_DEPTH:
            raise ValueError(f"nested more than {MAX_DEPTH} deep")


def _whole(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise ValueError(f"a number of {len(digits)} digits")
    return int(digits)


def _number(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise ValueError("a number that is too large")
    return value


def _constant(word: str) -> Any:
    raise ValueError(f"{word} instead of a number")
