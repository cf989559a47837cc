"""The help pages: plain text, in groups, as wide as the terminal.

`-h` shows what people need most, `--help` everything. Knows how a page is laid out, and which options belong
together. Does not know what a command does: its function's signature and docstring say that.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from vlmcli.cli.parameters import Parameter, parameters

GROUPS: Mapping[str, str] = {
    "Question": "question questions template param length focus layout"
    " labels labels-file as multi other per-token subtract-neutral threshold calibrate-on"
    " schema schema-multi choices regex grammar system each together",
    "Pictures": "allow files-from null include exclude detail picture-tokens allow-local-urls",
    "Model": "model server allow-upload concurrency yes max-tokens temperature seed option think mmproj chat-template",
    "Output": "not count scores print0 top draw crop yolo boxes json format html plot stats plain no-thumbnails"
    " sidecar sidecar-name existing write-metadata field keywords touch in-place",
    "Server": "background status stop models host port ollama ollama-port api-key no-auth keep-alive max-loaded queue"
    " max-body"
    " allow-pull allow-urls cors allow-host",
    "Folder runs": "output dry-run limit retry-errors fail-fast timeout unordered journal ray actors ship-model engine",
    "Engine": "ctx threads gpu-layers gpus no-cache worker verbose",
}
"""Options by their long names, the common ones first."""

COMMON = (
    "question", "template", "length", "focus", "layout", "labels", "as", "top", "multi",
    "not", "count", "scores", "print0", "each", "model", "models", "allow", "host", "port", "ollama", "api-key",
    "background", "stop", "max-tokens", "json", "html", "output", "sidecar",
    "dry-run",
)  # fmt: skip
"""The options that -h shows, in its order."""

FEW = 12
"""So many options need no groups, and -h shows them all."""

NARROWEST, WIDEST = 40, 100
"""Columns of a page, whatever the terminal has."""


def page(path: str, function: Callable[..., Any], width: int, *, short: bool = False) -> str:
    """The help of a command.

    Args:
        path: how it is called: "vlm ask".
        function: whose signature and docstring say the rest.
        width: columns of the terminal.
        short: only the commonest options, and two examples.
    """
    width = max(NARROWEST, min(width, WIDEST))
    taken = parameters(function)
    options = [one for one in taken if one.names]
    arguments = [one for one in taken if not one.names]
    summary, *rest = paragraphs(function)
    examples = [text for text in rest if text.startswith("vlm")]
    few = len(options) <= FEW
    parts = [_wrapped(f"Usage: {usage(path, taken)}", width, " " * len("Usage: ")), _wrapped(summary, width)]
    if not short:
        parts += [_wrapped(text, width) for text in rest if text not in examples]
    text_of = _brief if short and not few else str
    described = [(one.metavar, text_of(one.help)) for one in arguments if one.help]
    sections = {"Arguments": described} if described else {}
    for title, members in _grouped(options, short=short and not few, few=few).items():
        sections[title] = [(_label(one), text_of(one.help)) for one in members]
    parts += _sections(sections, width)
    if examples:
        parts.append("\n".join(["Examples:", *(f"  {text}" for text in examples[: 2 if short else None])]))
    if short and not few:
        parts.append(f"`{path} --help` shows all options.")
    return "\n\n".join(parts) + "\n"


def root_page(
    summary: str,
    verbs: Mapping[str, Mapping[str, str]],
    options: Sequence[tuple[str, str]],
    example: str,
    width: int,
) -> str:
    """The help of `vlm` itself.

    Args:
        summary: what it is.
        verbs: titles of groups, each with its commands and their summaries.
        options: names and help of its own options.
        example: a command to begin with.
        width: columns of the terminal.
    """
    width = max(NARROWEST, min(width, WIDEST))
    parts = [_wrapped(summary, width), f"Usage: vlm COMMAND [OPTIONS] ...\n  e.g. {example}"]
    parts += _sections({title: list(group.items()) for title, group in verbs.items()}, width)
    if options:
        parts += _sections({"Options": options}, width)
    parts.append(_wrapped("`vlm COMMAND -h` shows the common options of a command, `--help` all of them.", width))
    return "\n\n".join(parts) + "\n"


def usage(path: str, taken: Sequence[Parameter]) -> str:
    """How a command is typed, in a line."""
    options = " [OPTIONS]" if any(one.names for one in taken) else ""
    return f"{path}{options}{''.join(f' {one.metavar}' for one in taken if not one.names)}"


def paragraphs(function: Callable[..., Any]) -> list[str]:
    """Those of a function's docstring, each as one line; the first is the command's summary."""
    text = textwrap.dedent("    " + (function.__doc__ or ""))
    return [" ".join(one.split()) for one in text.split("\n\n") if one.strip()]


def _grouped(options: Sequence[Parameter], *, short: bool, few: bool) -> dict[str, list[Parameter]]:
    """Options under the titles of their groups, in the order of the page."""
    known = {key: title for title, keys in GROUPS.items() for key in keys.split()}
    order = list(known)
    own = [one for one in options if one.key not in known]
    shared = sorted((one for one in options if one.key in known), key=lambda one: order.index(one.key))
    if few:
        return {"Options": [*own, *shared]} if options else {}
    if short:
        chosen = sorted((one for one in shared if one.key in COMMON), key=lambda one: COMMON.index(one.key))
        return {"Common options": [*own, *chosen]}
    groups: dict[str, list[Parameter]] = {"Options": own} if own else {}
    for one in shared:
        groups.setdefault(known[one.key], []).append(one)
    return groups


def _brief(text: str) -> str:
    """The first part of an option's help."""
    return re.split(r"[;.] ", text)[0].rstrip(".") + "."


def _label(one: Parameter) -> str:
    """The left column: the option's names and its value; names without a letter stand below the long ones."""
    short = next((name for name in one.names if not name.startswith("--")), "")
    long = next((name for name in one.names if name.startswith("--")), "")
    names = f"{short}, {long}" if short and long else short or f"    {long}"
    names += "".join(f", {name}" for name in one.negative)
    return f"{names} {one.metavar}".rstrip()


def _sections(sections: Mapping[str, Sequence[tuple[str, str]]], width: int) -> list[str]:
    """Titles, each with rows of two columns; a name that is too long for its column has a line of its own."""
    most = 26 if width >= 80 else 22
    lengths = [len(name) for rows in sections.values() for name, _ in rows]
    column = 2 + max((length for length in lengths if length <= most), default=most) + 2
    found = []
    for title, rows in sections.items():
        lines = [f"{title}:"]
        for name, text in rows:
            wrapped = textwrap.wrap(text, width - column, break_long_words=False, break_on_hyphens=False)
            if len(name) <= most and wrapped:
                lines.append(f"  {name}".ljust(column) + wrapped.pop(0))
            else:
                lines.append(f"  {name}")
            lines += [" " * column + line for line in wrapped]
        found.append("\n".join(lines))
    return found


def _wrapped(text: str, width: int, indent: str = "") -> str:
    return textwrap.fill(text, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)
