"""The verbs about models."""

from __future__ import annotations

from typing import Annotated

import typer

from vlmcli import gguf
from vlmcli.cli import options
from vlmcli.cli.asking import find_model
from vlmcli.settings import load as load_settings
from vlmcli.ui import Ui


def show(
    name: Annotated[str | None, typer.Argument(metavar="MODEL", show_default=False)] = None,
    mmproj: options.Mmproj = None,
) -> None:
    """Say what a model is.

    vlm show demo
    """
    files = find_model(load_settings({"model": name, "mmproj": mmproj}))
    with Ui() as ui:
        if files.card.about:
            ui.about(files.card.about)
            return
        model, projector = gguf.read(files.model), gguf.read(files.projector)
        family = projector.metadata.get("clip.projector_type", "unnamed")
        ui.about(
            [
                f"{files.name}: {model.name}, {_count(model.parameters)} parameters, "
                f"{model.architecture}, context {model.number('context_length')}",
                f"model {files.model} ({model.file_size >> 20} MiB)",
                f"projector {files.projector} ({projector.file_size >> 20} MiB, "
                f"{family}, {_count(projector.parameters)} parameters)",
            ]
        )


def _count(number: int) -> str:
    return f"{number / 1e9:.1f} billion" if number >= 1e9 else f"{number / 1e6:.1f} million"
