"""The model in the package: a very small LLaVA, trained on drawn scenes, for first steps and for tests."""

from __future__ import annotations

from pathlib import Path

from vlmcli.values import Card, ModelFiles

_FOLDER = Path(__file__).parent

NOTICE = "the demo model sees drawn shapes and short words only; it cannot read photographs"

CARD = Card(
    about=(
        "demo: a LLaVA in miniature (3 million parameters, 3.4 MB), part of vlm, trained on drawn scenes.",
        "It names shapes, colours, places and counts, and reads words of up to five letters, in 128x128 pixels.",
        "It cannot read photographs: what it says of one means nothing. For those, name a real model with -m.",
    ),
    notice=NOTICE,
    unsure="I don't know.",
    unsure_hint="for photographs take a real model: -m FILE.gguf, see docs/models.md (vlm pull will fetch one, later)",
)

FILES = ModelFiles("demo", _FOLDER / "demo.gguf", _FOLDER / "mmproj-demo.gguf", CARD)
