"""Boxes and points drawn onto a picture, and boxes cut out of it.

The colours are Okabe and Ito's, which colour-blind people can tell apart (https://jfly.uni-koeln.de/color/); equal
labels have one colour. Lines and letters grow with the picture.
"""

from __future__ import annotations

import io
from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

from vlmcli.decisions import Place
from vlmcli.values import Picture

COLOURS = ((230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66), (0, 114, 178), (213, 94, 0), (204, 121, 167))
"""Of labels, in their order; then from the beginning again."""
_LEAST = 12
"""Pixels of letters at least."""


def marked(picture: Picture, places: Sequence[Place]) -> Image.Image:
    """The upright picture with its places: a frame and a label for a box, a cross in a ring for a point."""
    image = _image(picture)
    drawing = ImageDraw.Draw(image)
    side = max(image.size)
    width, letters = max(2, round(side / 300)), max(_LEAST, round(side / 45))
    font = ImageFont.load_default(letters)
    labels = list(dict.fromkeys(place.label for place in places))
    for place in places:
        colour = COLOURS[labels.index(place.label) % len(COLOURS)]
        left, top, right, bottom = place.corners
        if place.is_point:
            _cross(drawing, left, top, letters, width, colour)
        else:
            drawing.rectangle((left, top, right, bottom), outline=(0, 0, 0), width=width + 2)
            drawing.rectangle((left + 1, top + 1, right - 1, bottom - 1), outline=colour, width=width)
        if place.label:
            _write(drawing, place, font, colour, image.size)
    return image


def _cross(drawing: ImageDraw.ImageDraw, x: int, y: int, radius: int, width: int, colour: tuple[int, int, int]) -> None:
    for ink, wide in (((0, 0, 0), width + 2), (colour, width)):
        drawing.ellipse((x - radius, y - radius, x + radius, y + radius), outline=ink, width=wide)
        drawing.line((x - radius, y, x + radius, y), fill=ink, width=wide)
        drawing.line((x, y - radius, x, y + radius), fill=ink, width=wide)


def _write(
    drawing: ImageDraw.ImageDraw,
    place: Place,
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
    colour: tuple[int, int, int],
    size: tuple[int, int],
) -> None:
    """The label above its box, or within it where there is no room above."""
    text = place.label[:40]
    left, top, _, _ = place.corners
    x0, y0, x1, y1 = drawing.textbbox((0, 0), text, font=font)
    wide, high = int(x1 - x0) + 8, int(y1 - y0) + 6
    x = max(0, min(left, size[0] - wide))
    y = top - high if top >= high else min(top, size[1] - high)
    light = sum(part * weight for part, weight in zip(colour, (299, 587, 114), strict=True)) > 128_000
    drawing.rectangle((x, y, x + wide, y + high), fill=colour)
    drawing.text((x + 4 - x0, y + 3 - y0), text, font=font, fill=(0, 0, 0) if light else (255, 255, 255))


def cut(picture: Picture, place: Place) -> Image.Image | None:
    """What is in a box; None where that is less than a pixel."""
    left, top, right, bottom = place.corners
    right, bottom = min(right, picture.size[0]), min(bottom, picture.size[1])
    return _image(picture).crop((left, top, right, bottom)) if right > left and bottom > top else None


def encoded(image: Image.Image, suffix: str) -> bytes:
    """An image in the format of a file's name: JPEG for .jpg and .jpeg, else PNG."""
    data = io.BytesIO()
    if suffix.lower() in (".jpg", ".jpeg"):
        image.save(data, "JPEG", quality=92)
    else:
        image.save(data, "PNG")
    return data.getvalue()


def _image(picture: Picture) -> Image.Image:
    return Image.frombytes("RGB", picture.size, picture.pixels())
