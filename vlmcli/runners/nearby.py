"""Is the model in memory already? A look that imports nothing, as most commands find no server in the background."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vlmcli.placement import Wanted
from vlmcli.settings import SERVER_FILE, Settings, caching, state_folder
from vlmcli.values import ModelFiles

if TYPE_CHECKING:
    from vlmcli.runners.attached import Attached


def is_possible() -> bool:
    """Whether a model may be in memory, so that llama.cpp need not be loaded here."""
    return (state_folder() / SERVER_FILE).exists()


def attached(files: ModelFiles, settings: Settings) -> Attached | None:
    """The model in memory, if it is there and alike (`vlm serve --background`)."""
    if files.servers or settings.gpus or not is_possible():
        return None
    from vlmcli.runners.warm import joined

    wanted = Wanted(settings.ctx, settings.threads, settings.gpu_layers)
    return joined(state_folder(), wanted, caching(settings), files, settings.patience)
