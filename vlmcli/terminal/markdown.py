"""An answer's text, while it comes, as pieces to show for good: what is plain at once, Markdown when it is whole.

Line by line, because a model's line breaks mean something: a list item, a heading or a quotation is a line, code and
tables are several. Inside a line, words without marks come as soon as they are whole, and words between marks when the
marks are closed. Nothing is lost: the pieces' texts are the text. How a piece looks is `ui`'s. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

PieceKind = Literal["text", "marked", "heading", "item", "quote", "rule", "code", "table"]

_RULE = re.compile(r" {0,3}([-*_])(\s*\1){2,}\s*\Z")
_HEADING = re.compile(r" {0,3}#{1,6}\s+\S")
_QUOTE = re.compile(r" {0,3}>")
_ITEM = re.compile(r"[ \t]*([-*+]|\d{1,3}[.)])[ \t]+\S")
_BLOCKS: tuple[tuple[PieceKind, re.Pattern[str]], ...] = (
    ("rule", _RULE), ("heading", _HEADING), ("quote", _QUOTE), ("item", _ITEM),
)  # fmt: skip
_FENCE = re.compile(r"[ \t]*(`{3,}[^`]*|~{3,}.*)\Z")
_MAYBE_BLOCK = re.compile(r"\||\s*(`{3}|~{3}|([-*+#>]|\d{1,3}[.)]|#{1,6})\s*\Z|[-*_\s]*\Z)")
_MARK = re.compile(r"`|~~|\[|\*(?!\s)|(?<!\s)\*|(?<!\w)_|_(?!\w)")
_CODE_SPAN = re.compile(r"(`+)[^`]+\1")

MAX_WORD = 80
"""Letters without a space; more of them are no word to wait for."""


@dataclass(frozen=True)
class Piece:
    """Some of the text: plain, a part of a line with marks in it, or a block without the line break at its end."""

    kind: PieceKind
    text: str


class Pieces:
    """Feed it an answer's text; each call gives the pieces that will not change any more."""

    def __init__(self) -> None:
        self._held = ""
        self._block = ""  # lines of a block that is not over
        self._fence = ""  # what closes it, if it is code
        self._midline = False

    def feed(self, text: str) -> Iterator[Piece]:
        """The pieces that are certain now."""
        *lines, self._held = (self._held + text).split("\n")
        for line in lines:
            yield from self._line(line)
        if not self._block:
            yield from self._words()

    def finish(self) -> Iterator[Piece]:
        """What was held back, once no more text comes."""
        last, self._held = self._held, ""
        if self._fence:
            yield Piece("code", self._block + last)
        elif self._block and last.startswith("|"):
            yield Piece("table", self._block + last)
        else:
            yield from self._close()
            if last:
                yield self._whole(last)
        self._block = self._fence = ""

    def _line(self, line: str) -> Iterator[Piece]:
        """A line that is over."""
        if self._fence:
            self._block += line
            if line.strip().startswith(self._fence) and not line.strip().strip(self._fence[0]):
                yield Piece("code", self._block)
                yield Piece("text", "\n")
                self._block = self._fence = ""
            else:
                self._block += "\n"
            return
        if not self._midline:
            if line.startswith("|"):
                self._block += line + "\n"
                return
            yield from self._close()
            if _FENCE.fullmatch(line):
                mark = line.lstrip()
                self._fence = mark[: len(mark) - len(mark.lstrip(mark[0]))]
                self._block = line + "\n"
                return
        if line:
            yield self._whole(line)
        yield Piece("text", "\n")
        self._midline = False

    def _close(self) -> Iterator[Piece]:
        """A table ends where something else begins."""
        if self._block:
            yield Piece("table", self._block[:-1])
            yield Piece("text", "\n")
            self._block = ""

    def _whole(self, line: str) -> Piece:
        """A line, or the rest of one."""
        if not self._midline:
            for kind, pattern in _BLOCKS:
                if pattern.match(line):
                    return Piece(kind, line)
        return Piece("marked" if _MARK.search(line) else "text", line)

    def _words(self) -> Iterator[Piece]:
        """Of a line that is not over, the words that are certain."""
        held = self._held
        words = held[: _border(held)]
        if not self._midline and (not words.strip() or _MAYBE_BLOCK.match(held) or _block(held)):
            return
        mark = _MARK.search(words)
        if mark is not None and not _closed(words):
            words = words[: _border(words[: mark.start()])]
            mark = None
        if words:
            self._held = held[len(words) :]
            self._midline = True
            yield Piece("text" if mark is None else "marked", words)


def _block(line: str) -> bool:
    return any(pattern.match(line) for _, pattern in _BLOCKS)


def _border(text: str) -> int:
    """Where the last word begins, which may go on; scripts without spaces have a border after each letter."""
    for end in range(len(text), max(0, len(text) - MAX_WORD), -1):
        if text[end - 1].isspace() or ord(text[end - 1]) >= 0x2E80:
            return end
    return 0 if len(text) <= MAX_WORD else len(text)


def _closed(words: str) -> bool:
    """Whether every mark that is opened in these words is closed in them."""
    rest = _CODE_SPAN.sub("", words)
    single = rest.replace("**", "")
    return (
        "`" not in rest
        and rest.count("**") % 2 == 0
        and single.count("*") % 2 == 0
        and rest.count("~~") % 2 == 0
        and len(re.findall(r"(?<!\w)_|_(?!\w)", rest)) % 2 == 0
        and rest.count("[") == rest.count("]")
        and ("](" not in rest or rest.count("(") == rest.count(")"))
    )
