"""The fields of an answer that is JSON, as the values of the XMP properties that were chosen for them.

A field that is null, missing or blank has no value. Numbers are text in XMP, and booleans are True or False.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from vlmcli.errors import VlmError
from vlmcli.pictures import properties
from vlmcli.pictures.properties import Property

SEPARATOR = "; "
"""Between the items of a list in a property that holds one text."""


def values(text: str, chosen: Sequence[tuple[str, Property]], name: str = "the answer") -> dict[Property, list[str]]:
    """What goes to each property: of a list its items, of any other one text. Properties without a value are left out.

    Args:
        text: the answer, JSON.
        chosen: names of fields, each with its property; several may go to one.
        name: of what was asked about, for errors.

    Raises:
        VlmError: for what is not JSON, for a date that XMP does not know, and for several where one has its place.
    """
    try:
        read = json.loads(text)
    except (ValueError, RecursionError):
        raise VlmError(f"{name}: the recorded answer is not JSON", "ask about it again") from None
    found: dict[Property, list[str]] = {}
    for field, what in chosen:
        texts = _texts(read, field)
        for one in texts if what.is_date else ():
            if not properties.is_date(one):
                raise VlmError(
                    f"{name}: {field} is not a date that {what} can hold: {one[:60]}",
                    'describe the field in the schema, as in "date: as YYYY-MM-DD", or use "format": "date"',
                )
        if texts:
            found.setdefault(what, []).extend(texts)
        if what.is_date and not what.is_list and len(found.get(what, ())) > 1:
            raise VlmError(f"{name}: several dates for {what}, which can hold one", "choose another property")
    return {what: texts if what.is_list else [SEPARATOR.join(texts)] for what, texts in found.items()}


def has_any(text: str, chosen: Sequence[tuple[str, Property]]) -> bool:
    """Whether any of the chosen fields has a value; so it is, too, of an answer that `values` refuses."""
    try:
        read = json.loads(text)
    except (ValueError, RecursionError):
        return True
    return any(_texts(read, field) for field, _ in chosen)


def _texts(read: Any, field: str) -> list[str]:
    """The texts of a field: one for each item of a list; none where there is no such field."""
    value = read.get(field) if isinstance(read, dict) else None
    items = value if isinstance(value, list) else [value]
    return [text for text in map(_text, items) if text]


def _text(value: Any) -> str:
    """A value as XMP has it; empty for null. What has fields itself stays JSON."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value)
    return value.strip() if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
