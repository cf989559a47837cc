"""A picture of Pillow's, which a program has in memory, as the bytes of a file: then it is read as any other is.

So its colours become sRGB, what is see-through is laid on a ground, and its orientation is undone, as in a file.
"""

from __future__ import annotations

import io
from typing import Any

from PIL import Image

from vlmcli.errors import SourceError

_KEPT = ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")
"""Modes that a PNG has; others become RGB."""


def is_image(value: Any) -> bool:
    """Whether a value is a picture of Pillow's."""
    return isinstance(value, Image.Image)


def file_of(image: Image.Image, name: str) -> bytes:
    """A PNG of the picture, or of its frame that is current. Raises SourceError for what has no colours.

    Args:
        image: it.
        name: what it is called in errors.
    """
    if image.mode in ("I", "F"):
        raise SourceError(
            f"{name}: its pixels are numbers (mode {image.mode!r})", 'convert it first: image.convert("L")'
        )
    kept = io.BytesIO()
    try:
        profile = image.info.get("icc_profile")
        if image.mode not in _KEPT:
            image, profile = image.convert("RGBA" if image.mode in ("PA", "RGBa", "La") else "RGB"), None
        image.save(kept, "PNG", compress_level=1, icc_profile=profile, exif=image.getexif())
    except (OSError, ValueError, SyntaxError) as error:
        raise SourceError(f"{name}: cannot be read ({error})", "the file may be damaged") from None
    return kept.getvalue()
