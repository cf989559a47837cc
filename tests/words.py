"""Every text of vlm that a person can read: `python -m tests.words` prints them, each with its file and line.

Help comes from the program itself, as it prints it. Messages come from the code: the arguments of errors, log messages
and the calls of `Ui`, and whatever else reads like words, because a reason is often put together elsewhere. `{…}`
stands for what is filled in. The demo model's training and the benchmark are left out: no user meets them.

`tests/test_words.py` holds these texts to the rules of how vlm speaks.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tests.map import PACKAGE
from tests.support import ROOT
from tests.support.program import vlm
from vlmcli.cli import app, help

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

HOLE = "{…}"
SKIPPED = ("demo/training", "bench")
"""Folders whose texts only maintainers see."""
DATA = {"demo/world.py", "demo/chance.py", "demo/outside.py", "demo/questions.py"}
"""Modules whose strings are questions to the demo model and its answers."""

UNSEEN = {"seen"}
"""Keys of the TOML files whose values nobody is shown."""

ERROR, HINT, UI, LOG, TEXT, HELP = "error", "hint", "ui", "log", "text", "help"
_LOGS = {"debug", "info", "warning", "error", "exception", "log"}
_UI = {"say", "notice", "notices", "status", "about", "rows", "line", "transfer", "confirmed", "glossary", "check"}
_NO_TEXT = {"compile", "match", "search", "fullmatch", "sub", "split", "finditer", "findall", "unpack", "Struct"}
"""Functions whose strings are patterns."""
_CODE = re.compile(r"import sys;|<!DOCTYPE|\{%|</|box-sizing|^<")
_WORDS = re.compile(r"[A-Za-z'’]{2,}[,:;]?[ \n]+(?:\(?[\"“]?)[A-Za-z'’]{1,}")


@dataclass(frozen=True)
class Text:
    """One text.

    Attributes:
        place: file and line, relative to the project; for help the command.
        kind: what it is used as.
        text: with `HOLE` for what is filled in.
    """

    place: str
    kind: str
    text: str

    @property
    def file(self) -> str:
        """The place without the line."""
        return self.place.rpartition(":")[0] or self.place


def texts() -> list[Text]:
    """All of them."""
    return [*helps(), *messages()]


@cache
def helps() -> tuple[Text, ...]:
    """What `vlm --help`, and each verb with `--help`, print."""
    made = []
    for verb in [[], *([name] for name in app.VERBS)]:
        done = vlm(*verb, "--help")
        assert done.returncode == 0, done.stderr
        made.append(Text(" ".join(["vlm", *verb, "--help"]), HELP, done.stdout))
    return tuple(made)


def pages(columns: int) -> dict[str, str]:
    """The help of `vlm` and of each verb, as a terminal of this width shows it."""
    return {"vlm": app.root_page(columns)} | {
        name: help.page(f"vlm {name}", app.function_of(name), columns) for name in app.VERBS
    }


@cache
def messages() -> tuple[Text, ...]:
    """The texts in the code and in its TOML files."""
    found: list[Text] = []
    for file in sorted(PACKAGE.rglob("*.py")):
        name = file.relative_to(PACKAGE).as_posix()
        if name not in DATA and not name.startswith(SKIPPED):
            found += _of_module(file)
    for file in sorted(PACKAGE.rglob("*.toml")):
        found += _of_toml(file)
    return tuple(found)


@cache
def errors() -> frozenset[str]:
    """The names of the classes of errors, in every module."""
    bases = {
        node.name: {getattr(base, "id", getattr(base, "attr", "")) for base in node.bases}
        for file in PACKAGE.rglob("*.py")
        for node in ast.walk(_parsed(file))
        if isinstance(node, ast.ClassDef)
    }
    known = {"VlmError"}
    while more := {name for name, above in bases.items() if above & known} - known:
        known |= more
    return frozenset(known)


@cache
def _parsed(file: Path) -> ast.Module:
    return ast.parse(file.read_text("utf-8"))


def _of_module(file: Path) -> Iterator[Text]:
    path = file.relative_to(ROOT).as_posix()
    yield from sorted(
        (Text(f"{path}:{line}", kind, text) for line, kind, text in _Reader().read(_parsed(file))),
        key=lambda one: int(one.place.rpartition(":")[2]),
    )


def _of_toml(file: Path) -> Iterator[Text]:
    """The strings of a TOML file that are more than a name."""
    source = file.read_text("utf-8")
    path = file.relative_to(ROOT).as_posix()
    at = 0
    for text in _strings(tomllib.loads(source)):
        at = max(at, source.find(text.strip().splitlines()[0], at))
        yield Text(f"{path}:{source.count(chr(10), 0, at) + 1}", TEXT, text)


def _strings(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        for key, one in value.items():
            if key not in UNSEEN:
                yield from _strings(one)
    elif isinstance(value, list):
        for one in value:
            yield from _strings(one)
    elif isinstance(value, str) and _WORDS.search(value):
        yield value


class _Reader:
    """Goes through a module's tree and keeps what reads like words, with what it is used as."""

    def __init__(self) -> None:
        self._found: list[tuple[int, str, str]] = []

    def read(self, tree: ast.Module) -> list[tuple[int, str, str]]:
        self._visit(tree, "")
        return self._found

    def _visit(self, node: ast.AST, kind: str) -> None:
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            return  # a docstring
        if isinstance(node, ast.Call):
            self._call(node, kind)
        elif (text := _text(node)) is not None:
            self._keep(node, kind, text)
            for hole in _holes(node):
                self._visit(hole, kind and TEXT)
        else:
            for child in ast.iter_child_nodes(node):
                passed = isinstance(node, ast.IfExp | ast.BoolOp | ast.Tuple | ast.List | ast.Starred | ast.BinOp)
                self._visit(child, kind if passed else "")

    def _call(self, node: ast.Call, kind: str) -> None:
        name = getattr(node.func, "id", getattr(node.func, "attr", ""))
        owner = ast.unparse(node.func.value) if isinstance(node.func, ast.Attribute) else ""
        self._visit(node.func, "")
        if name in _NO_TEXT and owner == "re":
            return
        for number, argument in enumerate(node.args):
            if name in errors():
                used = ERROR if number == 0 else HINT if number == 1 else ""
            elif owner in ("log", "_log", "logger") and name in _LOGS:
                used = LOG
            elif name in _UI and owner.rpartition(".")[2] in ("ui", "_ui"):
                used = UI
            else:
                used = kind if name in ("join", "str") else ""
            self._visit(argument, used)
        for keyword in node.keywords:
            used = {"help": HELP, "hint": HINT, "message": ERROR}.get(keyword.arg or "", "")
            self._visit(keyword.value, used)

    def _keep(self, node: ast.AST, kind: str, text: str) -> None:
        plain = text.replace(HOLE, " ")
        if _CODE.search(text):
            return
        if kind and kind is not TEXT:
            wanted = re.search(r"[A-Za-z]{2}", plain) is not None
        else:
            wanted = _WORDS.search(plain) is not None
        if wanted:
            self._found.append((node.lineno, kind or TEXT, text))  # type: ignore[attr-defined]


def _text(node: ast.AST) -> str | None:
    """A string as it is written, with `HOLE` for what is filled in; None for anything else."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(value.value if isinstance(value, ast.Constant) else HOLE for value in node.values)  # type: ignore
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        left, right = _text(node.left), _text(node.right)
        return None if left is None and right is None else (left or HOLE) + (right or HOLE)
    return None


def _holes(node: ast.AST) -> Iterator[ast.AST]:
    if isinstance(node, ast.JoinedStr):
        for value in node.values:
            if isinstance(value, ast.FormattedValue):
                yield value.value
    elif isinstance(node, ast.BinOp):
        for side in (node.left, node.right):
            if _text(side) is None:
                yield side
            else:
                yield from _holes(side)


def main() -> None:
    """Print them: the help texts whole, the messages one per line."""
    for one in helps():
        print(f"== {one.place}\n{one.text}")
    for one in messages():
        print(f"{one.place}: {one.kind}: {one.text.strip()!r}" if "\n" in one.text.strip() else _line(one))


def _line(one: Text) -> str:
    return f"{one.place}: {one.kind}: {one.text.strip()}"


if __name__ == "__main__":
    main()
