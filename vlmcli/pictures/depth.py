"""Numbers of more than 8 bits become 8 bits, by the bits that are used.

    from vlmcli.pictures import depth
    gray, notice = depth.to_8_bits(values)               # an array of unsigned 16-bit numbers, of any shape
    image, notice = depth.of_image(Image.open("x.png"))  # a Pillow image of the mode I;16, I;16B or I

Cameras, scanners and medical devices store 10, 12 or 14 bits in 16. Taking the upper eight of those would be a picture
that is four to sixty-four times too dark. A picture whose upper four bits are zero in every pixel is taken for one of
these, and the notice says so; a photo that is only dark is left dark.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

SENSORS = (8, 10, 12)
"""The depths that pictures have beyond their own containers of 16 bits."""


def used_bits(greatest: int, bits: int = 16, said: int = 0) -> int:
    """How many of the bits of a picture's numbers are used.

    Args:
        greatest: the greatest number in the picture.
        bits: that each number is stored with.
        said: the greatest number that the file says there can be (TIFF's MaxSampleValue); 0 where it says nothing.
            It is believed if it is all ones, as 16383 for 14 bits, and no number is greater.

    Returns:
        `bits` where that may be: it is less only if the file says so, or the upper four bits are not used.
    """
    if said >= greatest and 0 < said < (1 << bits) - 1 and said & (said + 1) == 0:
        return said.bit_length()
    if greatest <= 0 or greatest >> (bits - 4):
        return bits
    needed = greatest.bit_length()
    if needed < SENSORS[0]:  # the numbers of a mask or of labels
        return needed
    return next((depth for depth in SENSORS if depth >= needed), bits)


def scaled(values: npt.NDArray[Any], bits: int) -> npt.NDArray[np.uint8]:
    """Unsigned integers of so many bits as numbers from 0 to 255; of more than 8 bits the upper 8 are taken."""
    found: npt.NDArray[np.uint8]
    if bits >= 8:
        found = (values >> values.dtype.type(bits - 8)).astype(np.uint8)
    else:
        found = (np.arange(1 << bits) * 255 / ((1 << bits) - 1) + 0.5).astype(np.uint8)[values]
    return found


def notice(used: int, bits: int = 16) -> str:
    """What the user is told where fewer bits are used than are stored, or nothing."""
    return f"only {used} of its {bits} bits are used; stretched to the full range" if used < bits else ""


def to_8_bits(values: npt.NDArray[Any], bits: int = 16, said: int = 0) -> tuple[npt.NDArray[np.uint8], str]:
    """A picture's unsigned integers as numbers from 0 to 255, and what the user is to be told, or nothing.

    Args:
        values: unsigned integers of any shape; all channels of the picture, as they are stretched alike.
        bits: that each number is stored with.
        said: as in `used_bits`.
    """
    used = used_bits(int(values.max(initial=0)), bits, said)
    return scaled(values, used), notice(used, bits)


def of_image(image: Image.Image) -> tuple[Image.Image, str]:
    """A Pillow image of 16-bit grey (modes I;16, I;16L, I;16B, I;16N, or I) as one of mode L, and the notice.

    What the image knows beside its pixels (`info`) is kept. Numbers outside 0 to 65535 are clipped.
    """
    values = np.asarray(image)
    if values.dtype != np.uint16:
        values = np.clip(values, 0, 65535).astype(np.uint16)
    gray, told = to_8_bits(values)
    small = Image.fromarray(gray)
    small.info = image.info
    return small, told


def stretch(image: Image.Image, again: Callable[[], AbstractContextManager[Any]]) -> str:
    """Stretch the colours of a PNG of 16 bits, of which Pillow has taken the upper eight, if only lower bits are used.

    Args:
        image: RGB or RGBA, decoded; it is changed in place.
        again: opens the same file, not decoded, for its lower bytes.

    Returns:
        The notice, or nothing.
    """
    if image.mode not in ("RGB", "RGBA"):
        return ""
    upper = np.asarray(image)[..., :3]
    if upper.max(initial=0) >= 16:
        return ""
    values = upper.astype(np.uint16) << 8
    lower = lower_bytes(again)
    if lower is not None:  # else it is grey, of which four bits are left
        values |= lower[..., :3]
    colours, told = to_8_bits(values)
    changed = Image.fromarray(colours)
    if image.mode == "RGBA":
        changed.putalpha(image.getchannel("A"))
    image.paste(changed)
    return told


def lower_bytes(again: Callable[[], AbstractContextManager[Any]]) -> npt.NDArray[np.uint8] | None:
    """The lower bytes of a PNG of 16 bits in colour, height x width x 3 or 4; None for any other file.

    `again` opens the file, not decoded.
    """
    with again() as image:
        tiles = [tile._replace(args=tile.args.replace("16B", "16L")) for tile in getattr(image, "tile", ())]
        if not tiles or any(tile.args not in ("RGB;16L", "RGBA;16L") for tile in tiles):
            return None
        image.tile = tiles
        return np.asarray(image)
