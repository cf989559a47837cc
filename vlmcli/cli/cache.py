"""`vlm cache`: what is kept for later commands, and how it is removed.

Does not know which kinds there are: `reports.kept` does.
"""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any

import typer

from vlmcli import settings, typed
from vlmcli.amounts import duration, size
from vlmcli.cli import meant, options
from vlmcli.entries import Kept
from vlmcli.errors import UsageError, VlmError
from vlmcli.records.lines import object_line
from vlmcli.reports import kept
from vlmcli.reports.kept import Kind
from vlmcli.settings import caching
from vlmcli.terminal.ui import Ui

_SECONDS = {"h": 3600, "d": 86_400, "w": 7 * 86_400}


def cache(
    words: Annotated[
        list[str] | None,
        typer.Argument(metavar="[clear]", help="Remove what is kept; without it: list what is kept."),
    ] = None,
    older_than: Annotated[
        str | None,
        typer.Option(
            "--older-than", metavar="AGE", help="Only remove what was not used for this long, such as 12h, 30d or 2w."
        ),
    ] = None,
    json: options.Json = False,
) -> None:
    """List or clear cached results.

    What the model has made of a picture and of a prompt is kept, so that the next question about the picture is
    answered sooner. Without it, answers are the same, and take longer.

    vlm cache

    vlm cache clear --older-than 30d
    """
    _check(words or [], older_than)
    unused = None if older_than is None else _seconds(older_than)
    chosen = settings.load()
    where = caching(replace(chosen, cache=True))
    assert where is not None
    with Ui() as ui:
        found = kept.kinds(where)
        if words:
            _clear(ui, found, unused, json=json)
            return
        listed = [(one, one.entries.kept()) for one in found]
        if json:
            for kind, there in listed:
                ui.line(object_line(_record(kind, there)))
            return
        ui.rows([("KIND", "ENTRIES", "SIZE", "LIMIT", "HITS", "LAST USED"), *(_row(*one) for one in listed)])
        ui.glossary({**{one.name: one.what for one in found if one.what}, "folder": str(where.folder)})
        for one in found:
            if wrong := kept.problem(one.entries.folder):
                ui.say(f"{one.entries.folder} {wrong}; nothing is kept there")
        if not chosen.cache:
            ui.say(f"nothing is kept or used now ({chosen.sources['cache']})")


def _check(words: Sequence[str], older_than: str | None) -> None:
    """Raise UsageError for words that are not `clear`, or nothing."""
    if not words:
        if older_than is not None:
            raise UsageError("--older-than removes nothing by itself", f"vlm cache clear --older-than {older_than}")
        return
    if len(words) > 1 and words[0] == "clear":
        raise UsageError("vlm cache clear takes no argument", "it removes all kinds: vlm cache clear")
    if words[0] != "clear":
        close = meant.closest(words[0], ("clear",)) or words[0] in ("clean", "rm", "remove", "delete", "prune")
        hint = f"did you mean: {typed.command(('vlm', 'cache', 'clear'))}" if close else "vlm cache lists what is kept"
        raise UsageError(f"vlm cache takes clear, or nothing, but not {words[0][:200]}", hint)


def _seconds(age: str) -> int:
    """An age as --older-than takes it, in seconds. Raises UsageError."""
    found = re.fullmatch(r"([0-9]{1,6})([hdw])", age.strip().lower())
    if found is None:
        raise UsageError(
            f"--older-than {age[:60]}: not a number of hours, days or weeks", "use for example 12h, 30d or 2w"
        )
    return int(found[1]) * _SECONDS[found[2]]


def _row(kind: Kind, there: Kept) -> tuple[str, ...]:
    ago = f"{duration(max(0.0, time.time() - there.used))} ago" if there.used else ""
    limit = "" if kind.limit is None else size(kind.limit)
    return kind.name, f"{there.count:,}", size(there.size), limit, f"{there.hits:,}", ago


def _record(kind: Kind, there: Kept) -> dict[str, Any]:
    return {
        "kind": kind.name,
        "folder": str(kind.entries.folder),
        "entries": there.count,
        "size": there.size,
        "limit": kind.limit,
        "hits": there.hits,
        "used": int(there.used) or None,
    }


def _clear(ui: Ui, found: Sequence[Kind], unused: int | None, *, json: bool) -> None:
    """Remove entries of every kind. Raises VlmError where one cannot be removed."""
    nothing = True
    for kind in found:
        try:
            gone = kind.entries.clear(unused)
        except OSError as error:
            raise VlmError(
                f"{kind.entries.folder}: cannot be cleared ({error.strerror})", "check its permissions"
            ) from error
        nothing &= not gone.count
        if json:
            ui.line(object_line({"kind": kind.name, "removed": gone.count, "freed": gone.size}))
        elif gone.count:
            entries = f"{gone.count:,} entr{'ies' if gone.count > 1 else 'y'}"
            ui.say(f"removed {entries} from {kind.name}: {size(gone.size)} freed")
    if nothing and not json:
        ui.say("nothing to remove")
