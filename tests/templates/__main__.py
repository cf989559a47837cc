"""`python -m tests.templates DIR`: the command that is described in the package's docstring."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import tests.templates
from tests.templates import record, sources
from tests.templates.conversations import CONVERSATIONS
from tests.templates.rendering import Template
from tests.templates.upstream import Server, pair


def options(words: list[str] | None) -> argparse.Namespace:
    """The command's options."""
    parser = argparse.ArgumentParser(
        "python -m tests.templates",
        description=tests.templates.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", type=Path, metavar="DIR")
    parser.add_argument("--server", metavar="BIN", help="llama-server: ask it too, and write the record")
    parser.add_argument("--only", default="", metavar="TEXT", help="only templates whose name has this text")
    parser.add_argument("--show", action="store_true", help="print renderings that differ")
    return parser.parse_args(words)


def compared(source: str, ours: dict[str, str], known: dict[str, Any] | None) -> str:
    """How a template and its renderings stand to the record, in words."""
    if known is None:
        return "new"
    if record.whole(source) != known["sha256"]:
        return "another template"
    then = {name: record.ours(one) for name, one in known["renderings"].items()}
    changed = [name for name, text in ours.items() if then.get(name) != record.digest(text)]
    return f"changed: {'; '.join(changed)}" if changed else "as recorded"


def asked(
    name: str, source: str, ours: dict[str, str], asked_for: argparse.Namespace, files: tuple[Path, Path]
) -> dict[str, object]:
    """What the record says of each conversation, with llama.cpp's rendering."""
    found: dict[str, object] = {}
    with tempfile.TemporaryDirectory() as temporary:
        path = Path(temporary) / "template.jinja"
        path.write_text(source, "utf-8")
        with Server(asked_for.server, files, sources.BUILTIN.get(name, path)) as server:
            for one, conversation in CONVERSATIONS.items():
                theirs, reason = server.render(conversation), record.why(name, one)
                told = record.TOLD.get(reason)
                if told and record.digest(server.render(conversation, **told)) != record.digest(ours[one]):
                    reason = ""
                found[one] = record.rendering(ours[one], theirs, reason)
                if asked_for.show and isinstance(found[one], list):
                    print(f"  {name}: {one}\n    vlm       {ours[one][-300:]!r}\n    llama.cpp {theirs[-300:]!r}")
    return found


def summary(renderings: dict[str, object]) -> str:
    """How many renderings are llama.cpp's too, and why the others are not."""
    reasons = Counter(one[2] or "unexplained" for one in renderings.values() if isinstance(one, list))
    equal = len(renderings) - reasons.total()
    return ", ".join([f"{equal} equal", *(f"{count} {reason}" for reason, count in reasons.items())])


def main(words: list[str] | None = None) -> int:
    """Run the command, and return its exit code."""
    asked_for = options(words)
    if not asked_for.folder.is_dir():
        print(f"{asked_for.folder}: not a folder", file=sys.stderr)
        return 2
    paths = sorted(asked_for.folder.rglob("*.jinja"))
    texts = {**{path.name: path.read_text("utf-8") for path in paths}, **sources.own()}
    known, bad = record.read(), 0
    with tempfile.TemporaryDirectory() as temporary:
        files = pair(Path(temporary)) if asked_for.server else (Path(), Path())
        for name, source in texts.items():
            if asked_for.only not in name:
                continue
            template = Template(source)
            ours = {one: template.ours(conversation) for one, conversation in CONVERSATIONS.items()}
            if asked_for.server:
                renderings = asked(name, source, ours, asked_for, files)
                known[name] = record.entry(source, template.has_word, renderings)
                record.write(known)
                state, good = summary(renderings), "unexplained" not in summary(renderings)
            else:
                state = compared(source, ours, known.get(name))
                good = state == "as recorded"
            bad += not good
            written = record.digest("".join(ours.values()))[:12]
            print(f"{name:<52} {record.whole(source)[:12]} {written} {state}", flush=True)
    print(f"{bad} {'with an unexplained difference' if asked_for.server else 'not as recorded'}")
    return int(bad > 0)


if __name__ == "__main__":
    sys.exit(main())
