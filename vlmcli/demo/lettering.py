"""The fonts that scenes are lettered with, and how much room a text takes in them.

Knows Pillow's fonts and nothing of scenes.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

from PIL import ImageFont

_FOLDER = Path(__file__).parent / "fonts"

FONTS = ("DejaVuSans", "DejaVuSans-Bold", "DejaVuSansMono-Bold", "DejaVuSerif-Bold", "")
"""Names of the fonts in the package; "" is Pillow's own."""


@lru_cache(maxsize=4096)
def font(name: str, size: float) -> Any:
    """Pillow's font of this name, one of `FONTS`, in this size in pixels."""
    if not name:
        return ImageFont.load_default(size)
    return ImageFont.truetype(str(_FOLDER / f"{name}.ttf"), size)


@lru_cache(maxsize=65536)
def ink_height(text: str, name: str) -> float:
    """Height of a text's ink in a font of size 1: times the size, it is in the size's unit."""
    _, top, _, bottom = font(name, 100).getbbox(text)
    return float(bottom - top) / 100
