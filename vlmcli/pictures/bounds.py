"""How large a picture may be: in memory before it is decoded, and in pixels afterwards.

What counts is not how many pixels a file has but how much memory its decoder needs: a JPEG of 108 megapixels that is
decoded at half its sides needs less than a PNG of 40. Knows Pillow's images; does not know files or formats.
"""

from __future__ import annotations

from collections.abc import Callable

from PIL import Image

from vlmcli import amounts
from vlmcli.errors import SourceError

MAX_MEMORY = 600_000_000
"""Bytes of a decoded picture: an A4 page in colour at 1200 dpi has 557 million."""
MAX_PIXELS = 300_000_000
"""Of a decoded picture, whatever its pixels take: an A3 page at 1200 dpi has 279 million."""
MAX_RATIO = 200
"""Of the longer side to the shorter; encoders refuse or misread thinner strips."""
LONG = 5
"""Longer side to shorter: models scale such pictures down so much that small print is lost."""
LARGE = 2048
"""Pixels of the longer side from which on that is worth saying."""
_BAND = 64
"""Rows of a bilevel or palette picture that are turned into colours at a time, times the factor it is reduced by."""

Tell = Callable[[str], None]
"""Takes a sentence about the picture for whoever asks about it."""


def check_size(source: str, size: tuple[int, int], each: int = 4) -> None:
    """Raise SourceError for a picture that needs too much memory to be decoded, or is too thin to be seen.

    Args:
        source: what the user called it.
        size: width and height in pixels, as they will be decoded.
        each: bytes that a pixel takes while it is decoded; Pillow has four for a colour.
    """
    width, height = size
    if min(size) < 1:
        raise SourceError(f"{source}: an empty picture ({width}x{height} pixels)", "copy or download the picture again")
    if width * height * each > MAX_MEMORY or width * height > MAX_PIXELS:
        most = amounts.size(min(MAX_MEMORY, MAX_PIXELS * each))
        raise SourceError(
            f"{source}: {width}x{height} pixels need {amounts.size(width * height * each)} of memory; the limit is"
            f" {most}",
            "scale it down first",
        )
    if max(size) > MAX_RATIO * min(size):
        raise SourceError(f"{source}: a strip of {width}x{height} pixels is too thin to be seen", "crop a part of it")


def bounded(image: Image.Image, bound: int) -> Image.Image:
    """The image with no side longer than `bound`; before anything is copied, so that it is in memory once."""
    share = bound / max(image.size)
    if share >= 1:
        return image
    size = (max(1, round(image.width * share)), max(1, round(image.height * share)))
    kept = image.info
    if image.mode in ("1", "P", "PA"):
        image = _in_colors(image, max(1, int(1 / share)))
    small = image.resize(size, Image.Resampling.BICUBIC, reducing_gap=2.0)
    small.info = kept
    return small


def with_colors(image: Image.Image) -> Image.Image:
    """A palette's or bitmap's pixels as colours: L, RGB, or RGBA where some are see-through."""
    if image.mode == "1":
        return image.convert("L")
    return image.convert("RGBA" if image.mode == "PA" or "transparency" in image.info else "RGB")


def _in_colors(image: Image.Image, factor: int) -> Image.Image:
    """A bilevel or palette picture as colours, its sides divided by a whole number, some rows at a time.

    Such a picture takes a byte a pixel, and four of them in colour: at once, that might be more than there is room for.
    """
    small: Image.Image | None = None
    step = _BAND * factor
    for top in range(0, image.height, step):
        rows = with_colors(image.crop((0, top, image.width, min(top + step, image.height)))).reduce(factor)
        if small is None:
            small = Image.new(rows.mode, (rows.width, -(-image.height // factor)))
        small.paste(rows, (0, top // factor))
    assert small is not None  # it has at least one row
    return small


def remark(size: tuple[int, int], tell: Tell) -> None:
    """Tell of a picture that is so long that what is written in it will be too small to be read."""
    if max(size) > LARGE and max(size) >= LONG * min(size):
        width, height = size
        tell(
            f"very {'tall' if height > width else 'wide'} ({width}x{height} pixels), so a model may miss small text"
            " in it; --detail parts shows it in parts"
        )


def parts(image: Image.Image, most: int) -> list[Image.Image]:
    """A long picture cut along its longer side, in order, into parts that overlap by a tenth and are at most half as
    long again as they are wide, unless that would be more than `most` parts; itself where it is no longer than that.
    """
    longer, shorter = max(image.size), min(image.size)
    count = min(most, max(1, -(-round(1000 * (longer / shorter / 1.5 - 0.1)) // 900)))
    length = longer / (count - 0.1 * (count - 1))
    edges = [(round(0.9 * length * number), round(0.9 * length * number + length)) for number in range(count)]
    if image.height >= image.width:
        return [image.crop((0, top, image.width, min(bottom, image.height))) for top, bottom in edges]
    return [image.crop((left, 0, min(right, image.width), image.height)) for left, right in edges]
