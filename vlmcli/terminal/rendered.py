"""Pieces of an answer's Markdown as a terminal shows them: the only importer of rich's reader of Markdown.

Knows marks, colours and the terminal's width. Does not know what a piece is (`markdown` tells them apart), nor writes.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, TextIO

from vlmcli.settings import wants_colours
from vlmcli.terminal.markdown import Piece
from vlmcli.terminal.streams import terminal_width

if TYPE_CHECKING:
    from rich.markdown import Markdown
    from rich.syntax import Syntax

_CODES = re.compile(r"\x1b\[[0-9;]*m")
_TAIL = re.compile(rf"(?: |{_CODES.pattern})+\Z")


def _letters(text: str) -> Counter[str]:
    """How often each letter and figure is in a text."""
    return Counter(letter for letter in text if letter.isalnum())


class Rendered:
    """Pieces of Markdown as a terminal shows them, without a line break at the end.

    Blocks were told apart before, so only what is inside a line, and tables, are read as Markdown; HTML, escapes and
    entities are not, because text would vanish.
    """

    def __init__(self, stdout: TextIO) -> None:
        from markdown_it import MarkdownIt
        from rich.console import Console
        from rich.markdown import Markdown
        from rich.syntax import Syntax
        from rich.theme import Theme

        styles = Theme({"markdown.code": "cyan", "markdown.link": "underline", "markdown.link_url": "none"})
        self._console = Console(
            file=stdout, highlight=False, emoji=False, markup=False, theme=styles, no_color=not wants_colours()
        )
        self._markdown, self._syntax = Markdown, Syntax
        self._parser = MarkdownIt("zero").enable(["emphasis", "backticks", "link", "strikethrough", "table"])
        unicode = self._console.encoding.lower().startswith("utf")
        self._bullet, self._bar, self._dash = ("\u2022", "\u2502", "\u2500") if unicode else ("-", ">", "-")

    @property
    def _width(self) -> int:
        return terminal_width(self._console.file) or self._console.width

    def __call__(self, piece: Piece) -> str:
        """A piece's text with a terminal's codes; as it is, where a letter or figure would be lost."""
        if piece.kind == "rule":
            return self._dash * self._width
        if piece.kind == "code":
            return self._code(piece.text)
        make = {"marked": self._marked, "heading": self._heading, "table": self._table}.get(piece.kind, self._item)
        shown = make(piece.text)
        return shown if _letters(_CODES.sub("", shown)) == _letters(piece.text) else piece.text

    def _marked(self, text: str) -> str:
        inner = text.strip()
        before, after = text[: text.index(inner)], text[text.index(inner) + len(inner) :]
        return before + self._inline(inner) + after

    def _heading(self, text: str) -> str:
        marks, _, title = text.strip().partition(" ")
        return self._inline(re.sub(r"\s#+\Z", "", title.strip()), "bold underline" if len(marks) == 1 else "bold")

    def _item(self, text: str) -> str:
        """An item of a list, or a line of a quotation, wrapped behind its mark."""
        found = re.match(r"(\s*)(>|[-*+]|\d+[.)])\s*", text)
        if found is None:
            return text
        quoted = found[2] == ">"
        mark = self._bar if quoted else found[2] if found[2][0].isdigit() else self._bullet
        first = f"{found[1]}{mark} "
        rest = first if quoted else " " * len(first)
        lines = self._inline(text[found.end() :].rstrip(), width=self._width - len(first)).split("\n")
        return "\n".join((rest if number else first) + line for number, line in enumerate(lines))

    def _table(self, text: str) -> str:
        tokens = self._parser.parse(text)
        if not tokens or tokens[0].type != "table_open":
            return text
        return self._print(self._parsed(text), self._width)

    def _code(self, text: str) -> str:
        """Lines of code in their colours, four columns in."""
        head, *lines = text.split("\n")
        mark, indent = head.strip(), len(head) - len(head.lstrip())
        if lines and not lines[-1].strip(" " + mark[0]):
            lines.pop()
        code = "\n".join(line[min(indent, len(line) - len(line.lstrip())) :] for line in lines)
        language = mark.strip(mark[0]).split()
        syntax = self._syntax(
            code, language[0] if language else "text", theme="ansi_dark", word_wrap=True, background_color="default"
        )
        shown = self._print(syntax, self._width - 4)
        return "\n".join(f"    {line}" if line else "" for line in shown.split("\n"))

    def _inline(self, text: str, style: str = "none", width: int | None = None) -> str:
        """The marks inside a line; without a width the terminal breaks it, so that it can be copied whole."""
        return self._print(self._parsed(text, style), width)

    def _parsed(self, text: str, style: str = "none") -> Markdown:
        markdown = self._markdown("", style=style, hyperlinks=False)
        markdown.parsed = self._parser.parse(text)
        return markdown

    def _print(self, what: Markdown | Syntax, width: int | None) -> str:
        with self._console.capture() as captured:
            self._console.print(what, width=max(8, width) if width else None, soft_wrap=width is None)
        lines = [_TAIL.sub(lambda tail: "".join(_CODES.findall(tail[0])), one) for one in captured.get().split("\n")]
        full = [number for number, line in enumerate(lines) if _CODES.sub("", line).strip()]
        return "\n".join(lines[full[0] : full[-1] + 1]) if full else ""
