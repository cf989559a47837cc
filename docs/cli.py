"""Writes cli.md from the code: `python docs/cli.py`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer

from vlmcli.cli.app import app

HEAD = """# Commands

What `vlm COMMAND --help` says. This page is written by `python docs/cli.py`; a test holds it to the code.
"""


def page() -> str:
    """The page: the help of the command and of each verb, 80 columns wide."""
    root: Any = typer.main.get_command(app)
    top = root.context_class(root, info_name="vlm", terminal_width=80, **root.context_settings)
    contexts = [top, *(v.context_class(v, info_name=name, parent=top) for name, v in root.commands.items())]
    parts = [HEAD]
    for context in contexts:
        parts.append(f"## {context.command_path}\n\n```text\n{context.command.get_help(context).strip()}\n```\n")
    return "\n".join(parts)


if __name__ == "__main__":
    Path(__file__).with_name("cli.md").write_text(page(), "utf-8")
