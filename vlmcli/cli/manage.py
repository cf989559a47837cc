"""The verbs about what there is: models, pictures, templates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from vlmcli import gguf, settings, templates
from vlmcli.cli import options
from vlmcli.cli.asking import find_model
from vlmcli.cli.naming import Named, named_pictures
from vlmcli.cli.seeing import is_picture, show_pictures
from vlmcli.errors import Exit, UsageError
from vlmcli.records import escape
from vlmcli.ui import Ui
from vlmcli.values import ModelFiles


def show(
    words: Annotated[list[str] | None, typer.Argument(metavar="MODEL|PICTURES", show_default=False)] = None,
    preview: options.Preview = None,
    model: options.Model = None,
    mmproj: options.Mmproj = None,
    allow_local_urls: options.AllowLocalUrls = False,
) -> None:
    """Say what a model is, or a picture and what is seen of it.

    vlm show demo

    vlm show photo.jpg --preview seen.png
    """
    names = words or []
    with Ui() as ui:
        if names and all(is_picture(name) for name in names):
            chosen = settings.load({"model": model, "mmproj": mmproj})
            files = find_model(chosen) if chosen.model or preview else None
            found, _ = named_pictures(Named(names, None, False, allow_local_urls))
            code = show_pictures(ui, found, files, preview)
            if code:
                raise typer.Exit(int(code))
            return
        if len(names) > 1 or (names and model):
            other = next(name for name in names if not is_picture(name))
            raise UsageError(f"{other}: not a picture, and a model is shown by itself", "name pictures, or one model")
        if preview:
            raise UsageError("--preview shows a picture's pixels, and there is no picture", "name one")
        files = find_model(settings.load({"model": names[0] if names else model, "mmproj": mmproj}))
        ui.about(_about(files))


def _about(files: ModelFiles) -> Sequence[str]:
    if files.card.about:
        return files.card.about
    model, projector = gguf.read(files.model), gguf.read(files.projector)
    family = projector.metadata.get("clip.projector_type", "unnamed")
    return [
        f"{files.name}: {model.name}, {_count(model.parameters)} parameters, "
        f"{model.architecture}, context {model.number('context_length')}",
        f"model {files.model} ({model.file_size >> 20} MiB)",
        f"projector {files.projector} ({projector.file_size >> 20} MiB, "
        f"{family}, {_count(projector.parameters)} parameters)",
    ]


def _count(number: int) -> str:
    return f"{number / 1e9:.1f} billion" if number >= 1e9 else f"{number / 1e6:.1f} million"


def list_templates() -> None:
    """List the templates that `vlm ask -t NAME` takes.

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
