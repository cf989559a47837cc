"""How many image tokens a picture of a model takes at most, as the user has said."""

from __future__ import annotations

from dataclasses import replace

from vlmcli.errors import UsageError
from vlmcli.machine import tiling
from vlmcli.models import gguf
from vlmcli.settings import Settings
from vlmcli.values import ModelFiles


def budgeted(files: ModelFiles, chosen: Settings) -> ModelFiles:
    """The files, with as many image tokens for a picture as the user has said. Raises UsageError where none can be."""
    most = chosen.picture_tokens
    if not most:
        return files
    if gguf.read(files.projector).projector_type not in tiling.BUDGETED:
        if chosen.sources.get("picture_tokens") != "--picture-tokens":
            return files
        raise UsageError(
            f"--picture-tokens does nothing with {files.name}, which decides by itself how many a picture takes",
            "leave it out; --detail changes the size of pictures",
        )
    budget = (min(files.card.budget[0], most), most)
    return replace(files, card=replace(files.card, budget=budget, reading_budget=budget))
