"""`vlm templates`: the templates of the package and the user's own, one per line."""

from __future__ import annotations

import typer

from vlmcli import settings
from vlmcli.errors import Exit, UsageError
from vlmcli.records.lines import escape
from vlmcli.tasks import templates
from vlmcli.terminal.ui import Ui


def list_templates() -> None:
    """List the templates for questions.

    Use one with `vlm ask -t NAME`.

    vlm templates
    """
    rows: list[tuple[str, ...]] = []
    failed = False
    with Ui() as ui:
        for path in templates.names(settings.config_folder() / "templates").values():
            try:
                one = templates.read(path)
                where = "shipped" if one.shipped else str(path)
                rows.append((*map(escape, (one.name, where, one.description)),))
            except UsageError as error:
                ui.error(error)
                failed = True
        ui.rows(rows)
    if failed:
        raise typer.Exit(int(Exit.SOME_FAILED))
