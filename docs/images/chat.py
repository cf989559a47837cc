"""Draws chat.svg: a conversation on a terminal, as it was: `python docs/images/chat.py` (with the extra `dev`)."""

from __future__ import annotations

import io
import os
import re
import shutil
import sys
import tempfile
from itertools import groupby
from pathlib import Path

from pyte.screens import Char
from rich.console import Console
from rich.style import Style
from rich.text import Text

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent.parent))

from tests.support.terminal import CTRL_D, Terminal  # noqa: E402

WIDTH = 88
LINES = (
    "'my scene.png'", "what is this?", "What color is the square?", "/undo", "Is there a green star?", "/images",
    "/imagse", "/tokens", "/save talk.md",
)  # fmt: skip


def drawn() -> str:
    """The conversation's screen, as SVG."""
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(HERE / "scene.png", Path(folder, "my scene.png"))
        os.environ["XDG_STATE_HOME"] = folder
        with Terminal("chat", "-m", "demo", cwd=folder, columns=WIDTH) as terminal:
            terminal.wait(r">>> a question")
            for line in LINES:
                terminal.line(line)
            terminal.type(CTRL_D)
            terminal.end()
            rows = [_row(terminal.screen.buffer[number]) for number in range(len(terminal.text.splitlines()))]
            place = str(Path(folder).resolve())
        console = Console(record=True, width=WIDTH, file=io.StringIO())
        for row in rows:
            console.print(Text(row.plain.replace(place, "~")) if place in row.plain else row)  # that folder is gone
    svg = re.sub(r"\s*@font-face \{.*?\}", "", console.export_svg(title="vlm chat", unique_id="chat"), flags=re.DOTALL)
    return svg.replace("Fira Code", "ui-monospace, Menlo, Consolas")  # a picture in a page fetches no fonts


def _row(cells: dict[int, Char]) -> Text:
    """A line of the screen, in its colours."""
    text = Text()
    for style, run in groupby((cells[column] for column in range(WIDTH)), _style):
        text.append("".join(cell.data for cell in run), style)
    text.rstrip()
    return text


def _style(cell: Char) -> Style:
    names = {"default": None, "brown": "yellow", "brightblack": "bright_black"}
    color = f"#{cell.fg}" if re.fullmatch("[0-9a-f]{6}", cell.fg) else names.get(cell.fg, cell.fg)
    return Style(color=color, bold=cell.bold, italic=cell.italics, underline=cell.underscore)


if __name__ == "__main__":
    (HERE / "chat.svg").write_text(drawn(), "utf-8")
