"""What no frame of a GIF has covered is see-through, as in every browser.

GIF89a names a background colour for it, and Pillow paints with it: around a first frame that is smaller than the
screen, and where a frame is taken away again (disposal 2). Browsers have always shown nothing there. Knows Pillow's GIF
images; does not know files.
"""

from __future__ import annotations

from typing import Any

from PIL import Image

from vlmcli.pictures import bounds


def clear(image: Image.Image, source: str, *, animated: bool) -> None:
    """Make an opened GIF, whose first frame is not yet decoded, show nothing where no frame has been.

    What is no GIF is left alone, as is a first frame that covers the screen or has its own see-through colour, unless
    frames are to follow (`animated`): Pillow lays them on what is there. Raises SourceError where that needs too
    much memory.
    """
    if image.format != "GIF" or not getattr(image, "tile", ()):
        return
    opened: Any = image
    frame = opened.tile[0][1]
    covers, clear_color = frame == (0, 0, *image.size), image.info.get("transparency")
    if not animated and (covers or clear_color is not None):
        return
    bounds.check_size(source, image.size, 4)
    image.load()
    whole = image.convert("RGBA")
    if clear_color is None and not covers:
        alpha = Image.new("L", image.size, 0)
        alpha.paste(255, frame)
        whole.putalpha(alpha)
    opened.im, opened._mode, opened.palette = whole.im, "RGBA", None
    opened.info["transparency"] = clear_color or 0  # else Pillow takes a frame away by painting the background
    if opened.disposal_method >= 2:  # what was there before the first frame is nothing, too
        left, top, right, bottom = opened.dispose_extent
        opened.dispose = Image.new("RGBA", (right - left, bottom - top)).im


def forget(image: Any) -> None:
    """Before an opened picture that is a GIF goes to its next frame: one that says nothing of it stays (disposal 0).

    Pillow would take it away as the one before it.
    """
    if image.format == "GIF":
        image.disposal_method = 0
