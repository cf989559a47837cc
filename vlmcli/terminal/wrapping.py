"""Text for a person, broken between words where a terminal's line ends. Pure: knows no stream."""

from __future__ import annotations

import re

from vlmcli.terminal.live import cells

_COMMAND = r"(?<=: )(?:vlm|pip|uv|sudo|export|find|ls)\s.*"
"""A command to be typed, which ends a text: it is not broken, so that it can be copied whole."""
_PIECE = re.compile(rf"\s*(?:{_COMMAND}|`[^`]*`\S*|\S+)\s?", re.DOTALL)


def wrapped(text: str, columns: int, indent: int = 0) -> str:
    """A text as lines of at most so many columns, broken at spaces.

    A word that is longer than a line is left for the terminal to break: a path with a line break in it could not be
    copied.

    Args:
        text: on one line.
        columns: of the terminal; 0 for any number.
        indent: spaces before all lines but the first.
    """
    if not columns or cells(text) <= columns:
        return text
    indent = indent if columns >= 2 * indent else 0
    lines, line, bare = [], "", True
    for piece in _PIECE.findall(text):
        if not bare and cells(line + piece.rstrip()) > columns:
            lines.append(line.rstrip())
            line, piece = " " * indent, piece.lstrip()
        line += piece
        bare = cells(line.rstrip()) < indent or not line.strip()  # "vlm:" is no line of its own
    return "\n".join([*lines, line.rstrip()])
