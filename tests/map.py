"""The folders of vlmcli: what each is for and which others it may import. `python -m tests.map` prints them.

The order is that of the floors of a house: a folder imports only folders above it in this table, and of those only
the ones it names. tests/test_layers.py holds the code to it.
"""

from __future__ import annotations

import ast
import textwrap
from pathlib import Path

from tests.support import ROOT

PACKAGE = ROOT / "vlmcli"
TOP = "vlmcli"
"""The files at the top: words that everybody uses."""

MAY_IMPORT = {
    TOP: "",
    "network": "",
    "pictures": "vlmcli network",
    "models": "vlmcli network",
    "tasks": "vlmcli",
    "demo": "vlmcli",
    "machine": "vlmcli models",
    "records": "vlmcli pictures tasks",
    "engine/native": "vlmcli",
    "engine": "vlmcli models machine engine/native",
    "runners": "vlmcli pictures tasks machine engine engine/native",
    "batch": "vlmcli pictures models tasks records",
    "cluster": "vlmcli pictures models tasks demo records runners batch",
    "python": "vlmcli pictures models tasks demo machine records engine runners batch",
    "chat": "vlmcli pictures",
    "reports": "vlmcli pictures models tasks machine engine",
    "terminal": "vlmcli pictures tasks records batch",
    "server": "vlmcli pictures models tasks records engine runners",
    "mcp": "vlmcli pictures tasks records runners",
    "cli": "vlmcli pictures models tasks demo machine records engine engine/native runners batch chat reports terminal"
    " server mcp cluster",
    "demo/training": "vlmcli pictures demo engine",
    "bench": "vlmcli pictures models tasks demo machine records engine engine/native batch cluster cli",
}
"""Who may import whom. A folder inside another that is not named here is part of it."""

LIBRARIES = {
    "filelock": "models",
    "fsspec": "pictures",
    "gguf": "bench demo/training",
    "httpcore2": "network pictures models",
    "httpx2": "models runners cluster",
    "huggingface_hub": "models",
    "imagecodecs": "pictures bench",
    "jinja2": "engine",
    "llama_cpp": "engine/native bench",  # bench: a peer's own handler is a contestant
    "markdown_it": "terminal",
    "markupsafe": "engine",
    "jsonschema": "tasks",
    "llguidance": "engine",
    "matplotlib": "demo/training",
    "mcp": "mcp",
    "numpy": "pictures records engine engine/native demo demo/training bench",
    "PIL": "pictures python terminal demo demo/training bench",  # python: for the type checker only
    "pillow_heif": "pictures bench",
    "platformdirs": "vlmcli",
    "prompt_toolkit": "terminal",
    "prometheus_client": "server",
    "pyarrow": "pictures records",
    "pydicom": "pictures bench",
    "pypdfium2": "pictures bench",
    "ray": "cluster",
    "referencing": "tasks",
    "rich": "terminal",
    "starlette": "server",
    "tokenizers": "demo/training",
    "torch": "demo/training",
    "typer": "cli",
    "typing_extensions": "python",  # for the type checker only
    "uvicorn": "server",
}
"""Which folders may import a library. bench/ measures with its peers' libraries, and demo/ draws and trains."""


def folder_of(file: Path) -> str:
    """The folder of the table that a module of vlmcli lies in."""
    parts = file.relative_to(PACKAGE).parts[:-1]
    while parts and "/".join(parts) not in MAY_IMPORT:
        parts = parts[:-1]
    return "/".join(parts) or TOP


def purpose(folder: str) -> str:
    """What a folder is for: the first paragraph of its package's docstring."""
    package = PACKAGE if folder == TOP else PACKAGE / folder
    text = ast.get_docstring(ast.parse((package / "__init__.py").read_text("utf-8"))) or ""
    return " ".join(text.split("\n\n")[0].split())


def drawn(width: int = 100) -> str:
    """The table as text."""
    lines = []
    for folder in [TOP, *sorted(set(MAY_IMPORT) - {TOP})]:
        name = f"{folder}/" if folder == TOP else f"  {'  ' * folder.count('/')}{folder.rpartition('/')[2]}/"
        wrapped = textwrap.wrap(purpose(folder), width - 16)
        lines += [f"{name if first else '':<16}{line}".rstrip() for first, line in _marked(wrapped)]
    return "\n".join(lines)


def _marked(lines: list[str]) -> list[tuple[bool, str]]:
    return [(not number, line) for number, line in enumerate(lines)]


if __name__ == "__main__":
    print(drawn())
