"""A picture that is see-through is laid on a ground on which it can be seen.

Models know no transparency, and files hold any colour where nothing is to be seen. White is what most pictures are
meant for; a white drawing on nothing would be lost on it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vlmcli.pictures.bounds import Tell

SIDE = 512
"""Pixels of the longer side of what is looked at to choose the ground."""
CONTRAST = 48
"""Of neighbouring pixels, 0 to 255: from here on an edge is plain to see, and does not count for more."""
MORE = 1.5
"""As much again must another ground show than white."""
BARELY = 8
"""An alpha up to here, of 255, is nothing that anybody sees."""
GROUNDS = {"white": 255, "black": 0, "grey": 128}


def laid(image: Image.Image, alpha: Image.Image, tell: Tell) -> Image.Image:
    """The picture on its ground.

    Args:
        image: RGB.
        alpha: L, of the same size; 255 is opaque.
        tell: hears of it where the ground is not white, or the transparency is left out.
    """
    least, most = alpha.getextrema()
    if least == 255:
        return image
    if isinstance(most, int | float) and most <= BARELY and _has_contrast(image):
        tell("every pixel is transparent; the colours are shown as if none were")
        return image
    name = _ground(image, alpha)
    if name != "white":
        tell(f"a transparent picture that could hardly be seen on white; it is laid on {name}")
    ground = Image.new("RGB", image.size, (GROUNDS[name],) * 3)
    ground.paste(image, mask=alpha)
    return ground


def _has_contrast(image: Image.Image) -> bool:
    return any(high > low + BARELY for low, high in image.getextrema())  # type: ignore[misc]  # of each channel


def _ground(image: Image.Image, alpha: Image.Image) -> str:
    """White, or that of the others on which half as many edges again can be seen."""
    factor = max(1, max(image.size) // SIDE)
    whole = Image.merge("RGBA", [*image.split(), alpha]).convert("RGBa").reduce(factor)
    pixels = np.asarray(whole).astype(np.int32)
    shown = {name: _edges(pixels[..., :3] + (255 - pixels[..., 3:]) * value // 255) for name, value in GROUNDS.items()}
    best = max(("black", "grey"), key=lambda name: shown[name])  # black, where they are equal
    return best if shown[best] > MORE * shown["white"] else "white"


def _edges(pixels: NDArray[Any]) -> float:
    """How much can be seen: the differences of neighbours, height x width x 3, none counting for more than is plain."""
    return sum(float(np.abs(np.diff(pixels, axis=axis)).max(-1).clip(0, CONTRAST).sum()) for axis in (0, 1))
