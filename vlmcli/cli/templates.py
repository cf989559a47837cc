"""`vlm templates`: the templates of the package and the user's own, in a list, and the file of one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vlmcli import files, settings, typed
from vlmcli.cli import meant
from vlmcli.errors import Exit, UsageError
from vlmcli.records.lines import escape
from vlmcli.tasks import templates
from vlmcli.terminal.ui import Ui


def list_templates(
    words: Annotated[
        list[str] | None,
        typer.Argument(metavar="[list | show NAME]", help="List all templates (list, the default), or show one."),
    ] = None,
) -> None:
    """List question templates, or show one.

    Use one with `vlm ask -t NAME`. To make your own, save the output of `show` as a file and edit it.

    vlm templates

    vlm templates show receipt
    """
    what, *names = words or ("list",)
    with Ui() as ui:
        if what == "show" and len(names) == 1:
            _show(ui, names[0])
        elif what == "list" and not names:
            _list(ui)
        else:
            raise _usage(what, names)


def _usage(what: str, names: list[str]) -> UsageError:
    """The error for words that are neither `list` nor `show NAME`."""
    if what == "show":
        problem = "vlm templates show takes one template" if names else "no template named"
        return UsageError(problem, f"name one template: vlm templates show {names[0] if names else 'NAME'}")
    if what == "list":
        return UsageError("vlm templates list takes no argument", "to print a template: vlm templates show NAME")
    known = templates.names(_own())
    problem = f"vlm templates takes list, or show and a name, but not {what[:200]}"
    if not names and what in known:
        return UsageError(problem, f"to print this template: vlm templates show {typed.word(what)}")
    close = meant.closest(what, ("list", "show"))
    if close and len(names) == (close == "show"):
        return UsageError(problem, f"did you mean: {typed.command(('vlm', 'templates', close, *names))}")
    if not names and (near := meant.closest(what, known)):
        return UsageError(problem, f"did you mean: {typed.command(('vlm', 'templates', 'show', near))}")
    return UsageError(problem, "vlm templates lists the templates")


def _own() -> Path:
    return settings.config_folder() / "templates"


def _show(ui: Ui, name: str) -> None:
    """Print a template's file as it is, also where something in it is wrong."""
    path = templates.path_of(name, _own())
    try:
        text = files.read(path, templates.MAX_BYTES).decode("utf-8-sig", "replace")
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror})", "check the path") from error
    ui.line(text.replace("\r\n", "\n").removesuffix("\n"))


def _list(ui: Ui) -> None:
    """Print a line for each template. Raises typer.Exit where one of them is wrong."""
    rows: list[tuple[str, ...]] = []
    failed = False
    for path in templates.names(_own()).values():
        try:
            one = templates.read(path)
            where = "built in" if one.shipped else str(path)
            rows.append((*map(escape, (one.name, where, one.description)),))
        except UsageError as error:
            ui.error(error)
            failed = True
    ui.rows(rows)
    if failed:
        raise typer.Exit(int(Exit.SOME_FAILED))
