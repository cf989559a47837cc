"""A part of a picture, as somebody names it: `x,y,width,height` in pixels, or in fractions of its sides."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from PIL import Image

from vlmcli.errors import UsageError
from vlmcli.pictures import images
from vlmcli.values import Picture

EXAMPLES = "write 100,50,400,300 (x, y, width, height in pixels) or 0.5,0,0.5,1 (fractions)"


@dataclass(frozen=True)
class Region:
    """A part of a picture.

    Attributes:
        x, y, width, height: from the left and the top of the upright picture.
        fractions: whether these are fractions of its sides, and not pixels.
    """

    x: float
    y: float
    width: float
    height: float
    fractions: bool

    def box(self, size: tuple[int, int], scale: float = 1.0) -> tuple[int, int, int, int]:
        """Left, top, right and bottom in whole pixels of a picture, within it, and at least one pixel wide and high.

        Args:
            size: width and height of the picture.
            scale: its pixels per pixel of the region; fractions need none.

        Raises UsageError where the region is outside of the picture.
        """
        wide, high = size if self.fractions else (scale, scale)
        left, top = max(0, math.floor(self.x * wide)), max(0, math.floor(self.y * high))
        right = min(size[0], math.ceil((self.x + self.width) * wide))
        bottom = min(size[1], math.ceil((self.y + self.height) * high))
        if right <= left or bottom <= top:
            whole = "x".join(str(round(side / scale)) for side in size)
            raise UsageError(f"the region is outside of the picture, which has {whole} pixels", EXAMPLES)
        return left, top, right, bottom


def read(given: Any) -> Region:
    """A region of a text, or of a list of four numbers. Raises UsageError.

    Where no number is above 1, they are fractions: a region of one pixel shows nothing.
    """
    parts: Sequence[Any] = given.split(",") if isinstance(given, str) else given if isinstance(given, list) else ()
    shown = ",".join(map(str, parts))[:80] if parts else str(given)[:80]
    try:
        numbers = [float(part) for part in parts if not isinstance(part, bool)]
    except (TypeError, ValueError):
        numbers = []
    if len(numbers) != 4 or len(parts) != 4 or not all(map(math.isfinite, numbers)):
        raise UsageError(f"the region {shown!r} is not four numbers", EXAMPLES)
    x, y, width, height = numbers
    if min(x, y) < 0 or min(width, height) <= 0:
        raise UsageError(f"the region {shown!r} has a negative number, or no width or height", EXAMPLES)
    fractions = max(numbers) <= 1
    if not fractions and any(0 < number < 1 for number in numbers):
        raise UsageError(f"the region {shown!r} mixes pixels and fractions", EXAMPLES)
    return Region(x, y, width, height, fractions)


def cut(picture: Picture, box: tuple[int, int, int, int]) -> Picture:
    """The part of a picture in a box of left, top, right and bottom; the picture itself where that is all of it."""
    if box == (0, 0, *picture.size):
        return picture
    image = Image.frombytes("RGB", picture.size, picture.pixels()).crop(box)
    return images.from_pixels(image.tobytes(), image.size, picture.source, picture.notices)
