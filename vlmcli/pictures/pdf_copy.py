"""What PDFium cannot be asked about a page: which annotations are on layers that are off, and the unit of its sizes.

PDFium draws what a page itself holds by its layers (optional content), and annotations whatever their layer is. So this
module reads a copy that PDFium has written: every object plain, none encrypted, one table (ISO 32000-1, 7.3, 7.5.4,
8.11 and table 30). Knows nothing of PDFium.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

DEPTH = 32
"""Of a tree of pages, of an expression: deeper ones are not looked into."""

_TOKEN = re.compile(
    rb"\s*(?:(?P<open><<|\[)|(?P<close>>>|\])|/(?P<name>[^\s()<>\[\]{}/%]*)|(?P<text>\((?:\\.|[^\\()])*\)|<[^<>]*>)"
    rb"|(?P<reference>\d+)\s+\d+\s+R\b|(?P<word>[^\s()<>\[\]{}/%]+))",
    re.DOTALL,
)
_ROW = re.compile(rb"(\d{10}) (\d{5}) n")


class _Reference(NamedTuple):
    """What stands for another object."""

    number: int


class Copy:
    """The objects of a PDF that PDFium has written.

    A dictionary is a dict, an array a list, a name a str, a number a float; texts are left out (None).
    """

    def __init__(self, data: bytes) -> None:
        """Raises ValueError where it is no such copy."""
        self._data = data
        self._at: dict[int, int] = {}
        start = data.rfind(b"startxref")
        table = int(data[start + 9 : start + 40].split()[0]) if start >= 0 else 0
        trailer = data.find(b"trailer", table)
        if data[table : table + 4] != b"xref" or trailer < 0:
            raise ValueError("no table")
        number = 0
        for line in data[table + 4 : trailer].splitlines():
            words = line.split()
            if len(words) == 2:
                number = int(words[0])
            elif words:
                if row := _ROW.match(line):
                    self._at[number] = int(row[1])
                number += 1
        self.root = self.dictionary(self.dictionary(self._value(trailer + 7)).get("Root"))

    def get(self, value: Any) -> Any:
        """The value itself, or the object that it refers to; None for one that is not there."""
        if isinstance(value, _Reference):
            at = self._at.get(value.number)
            value = None if at is None else self._value(self._data.index(b"obj", at) + 3)
        return value

    def dictionary(self, value: Any) -> dict[str, Any]:
        """The dictionary that a value is or refers to; an empty one for others."""
        found = self.get(value)
        return found if isinstance(found, dict) else {}

    def array(self, value: Any) -> list[Any]:
        """The array that a value is or refers to; an empty one for others."""
        found = self.get(value)
        return found if isinstance(found, list) else []

    def page(self, number: int) -> dict[str, Any]:
        """The dictionary of a page, counted from 0; an empty one where there is none."""
        pages, seen = [(self.root.get("Pages"), 0)], 0
        while pages:
            node, depth = pages.pop()
            found = self.dictionary(node)
            if "Kids" in found:
                if depth < DEPTH:
                    pages += [(kid, depth + 1) for kid in reversed(self.array(found["Kids"]))]
                continue
            if seen == number:
                return found
            seen += 1
        return {}

    def _value(self, at: int) -> Any:
        """The value that begins there."""
        stack: list[list[Any]] = [[]]
        while True:
            token = _TOKEN.match(self._data, at)
            if not token:
                raise ValueError(f"not understood at {at}")
            at, kind, word = token.end(), token.lastgroup, token[token.lastgroup or 0]
            value: Any
            if kind == "open":
                stack.append([])
                continue
            if kind == "close" and len(stack) > 1:
                inner = stack.pop()
                value = dict(zip(inner[::2], inner[1::2], strict=False)) if word == b">>" else inner
            elif kind == "reference":
                value = _Reference(int(word))
            else:
                value = _plain(kind, word)
            stack[-1].append(value)
            if len(stack) == 1:
                return value


def _plain(kind: str | None, word: bytes) -> Any:
    """A name or a number; None for all else."""
    if kind == "name":
        return word.decode("latin-1")
    try:
        return float(word) if kind == "word" else None
    except ValueError:
        return None


def off(copy: Copy, page: int) -> list[int]:
    """The numbers, from 0, of a page's annotations that are on a layer that is off on a screen."""
    setting = copy.dictionary(copy.dictionary(copy.root.get("OCProperties")).get("D"))
    layers = _Layers(copy, setting)
    annotations = map(copy.dictionary, copy.array(copy.page(page).get("Annots")))
    return [number for number, one in enumerate(annotations) if "OC" in one and not layers.shown(one["OC"])]


class _Layers:
    """What is on and what is off in a document's own setting."""

    def __init__(self, copy: Copy, setting: dict[str, Any]) -> None:
        self._copy = copy
        self._base = setting.get("BaseState") != "OFF"
        self._on, self._off = (copy.array(setting.get(key)) for key in ("ON", "OFF"))
        self._used = [
            group
            for use in map(copy.dictionary, copy.array(setting.get("AS")))
            if use.get("Event") == "View" and "View" in copy.array(use.get("Category"))
            for group in copy.array(use.get("OCGs"))
        ]

    def shown(self, layer: Any) -> bool:
        """Whether what is on a layer (a group, or what says so of several groups) is shown."""
        found = self._copy.dictionary(layer)
        if found.get("Type") != "OCMD":
            return self._is_on(layer)
        if "VE" in found:
            return self._holds(found["VE"], 0)
        groups = self._copy.get(found.get("OCGs"))
        states = [self._is_on(one) for one in (groups if isinstance(groups, list) else [found.get("OCGs")]) if one]
        if not states:
            return True
        how = found.get("P")
        if how in ("AllOn", "AnyOff"):
            return all(states) is (how == "AllOn")
        return any(states) is (how != "AllOff")

    def _is_on(self, group: Any) -> bool:
        """Whether a group is on."""
        view = self._copy.dictionary(self._copy.dictionary(self._copy.dictionary(group).get("Usage")).get("View"))
        if group in self._used and "ViewState" in view:
            return bool(view["ViewState"] != "OFF")
        return (self._base or group in self._on) and group not in self._off

    def _holds(self, expression: Any, depth: int) -> bool:
        """Whether a visibility expression is true: a group, or an array of And, Or or Not and expressions."""
        found = self._copy.get(expression)
        if not isinstance(found, list):
            return self._is_on(expression)
        if depth > DEPTH or not found:
            return True
        parts = (self._holds(part, depth + 1) for part in found[1:])
        if found[0] == "Not":
            return not next(parts, False)
        return any(parts) if found[0] == "Or" else all(parts)


def unit(copy: Copy, page: int) -> float:
    """How many points a page's unit is; 1 where it does not say."""
    found = copy.get(copy.page(page).get("UserUnit"))
    return found if isinstance(found, float) and 0 < found < 1e6 else 1.0
