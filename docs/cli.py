"""Writes cli.md from the code: `python docs/cli.py`."""

from __future__ import annotations

from pathlib import Path

from vlmcli.cli import help
from vlmcli.cli.app import VERBS, function_of, root_page

WIDTH = 80

HEAD = """# Commands

What `vlm COMMAND --help` shows; `-h` shows less. `python docs/cli.py` writes this page; a test compares them.
"""


def page() -> str:
    """The page: the help of `vlm` and of each command, 80 columns wide."""
    pages = {"vlm": root_page(WIDTH)}
    pages |= {f"vlm {name}": help.page(f"vlm {name}", function_of(name), WIDTH) for name in VERBS}
    parts = [f"## {path}\n\n```text\n{text.strip()}\n```\n" for path, text in pages.items()]
    return "\n".join([HEAD, *parts])


if __name__ == "__main__":
    Path(__file__).with_name("cli.md").write_text(page(), "utf-8")
