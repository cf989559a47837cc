"""A picture that is see-through is laid on a ground on which it can be seen.

Models know no transparency, and files hold any colour where nothing is to be seen. White is what most pictures are
meant for; a white drawing on nothing would be lost on it.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vlmcli.pictures import depth
from vlmcli.pictures.bounds import Tell

SIDE = 512
"""Pixels of the longer side of what is looked at to choose the ground."""
CONTRAST = 48
"""Of neighbouring pixels, 0 to 255: from here on an edge is plain to see, and does not count for more."""
MORE = 1.5
"""As much again must another ground show than white."""
BARELY = 8
"""An alpha up to here, of 255, is nothing that anybody sees."""
_BAND = 256
"""Rows whose colours are compared at a time."""
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
        tell("every pixel is transparent; the colours are shown as if opaque")
        return image
    name = _ground(image, alpha)
    if name != "white":
        tell(f"a transparent picture, hardly visible on white; shown on {name}")
    ground = Image.new("RGB", image.size, (GROUNDS[name],) * 3)
    ground.paste(image, mask=alpha)
    return ground


def keyed(image: Image.Image, bits: int, again: Callable[[], AbstractContextManager[Any]]) -> Image.Image | None:
    """The alpha of a picture in grey or RGB, one of whose colours is see-through: 0 there, 255 elsewhere; or None.

    Pillow keeps a PNG's colour as the file has it (tRNS), and pixels of 8 bits: the two are alike only if the file has
    8 bits, too. So they are compared here as the file has them, all 16 bits (PNG, third edition, 11.3.1.1).

    Args:
        image: decoded. Its mark of that colour is taken away.
        bits: of each number in its file.
        again: opens the same file, not decoded, for the lower bytes of 16 bits.
    """
    color = image.info.get("transparency")
    if image.mode not in ("1", "L", "I;16", "RGB") or not isinstance(color, int | tuple):
        return None
    del image.info["transparency"]
    wanted = np.atleast_1d(np.array(color) & (1 << bits) - 1)
    lower = None
    if image.mode == "RGB" and bits == 16:
        lower, wanted, below = depth.lower_bytes(again), wanted >> 8, wanted & 255
    elif bits < 8:
        wanted = wanted * 255 // ((1 << bits) - 1)
    alpha = Image.new("L", image.size, 255)
    for top in range(0, image.height, _BAND):
        box = (0, top, image.width, min(top + _BAND, image.height))
        rows = image.crop(box)
        clear = np.asarray(rows.convert("L") if rows.mode == "1" else rows).reshape(*rows.size[::-1], -1) == wanted
        if lower is not None:
            clear &= lower[top : box[3], :, :3] == below
        alpha.paste(0, box, Image.fromarray(clear.all(-1)))
    return alpha


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
