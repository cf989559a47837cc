"""The reader of TIFF: which pictures a file has, and each of them as 8-bit colours, upright.

    tiff.pages(Path("scan.tif"), "scan.tif")                # (1, 2, 3), or () where there is one
    tiff.page(Path("scan.tif"), "scan.tif", 2, 4096, tell)  # a Pillow image: L, LA, RGB, RGBA or CMYK

Pillow reads the usual layouts of TIFF and takes some unusual ones for these. So the tags are read here (`tiff_tags`),
the layout is checked (`tiff_layout`), and segments become numbers (`tiff_samples`) and numbers colours
(`tiff_colours`). Pillow decompresses, and reads the JPEG of old (compression 6) as a whole.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from PIL import Image

from vlmcli import amounts
from vlmcli.errors import SourceError
from vlmcli.pictures import bounds, given, tiff_layout, tiff_tags
from vlmcli.pictures.bounds import Tell
from vlmcli.pictures.tiff_layout import Layout
from vlmcli.pictures.tiff_tags import Contents, Directory

HEADS = tuple(tiff_tags.HEADS)
"""The first four bytes of a TIFF."""
_MAX_PLAIN = 1_200_000_000
"""Bytes of a picture's decompressed segments: an A4 page at 1200 dpi in colours of 16 bits has 835 million."""
RAW = "its raw picture"
"""How a notice begins that a camera's raw picture is not read."""
_SUB_DIRECTORIES = 64
"""That are looked at, for a larger picture than their parent's."""


def pages(file: Path | bytes, source: str) -> tuple[int, ...]:
    """The numbers of a file's pictures, where it has several; what is a smaller copy or a mask of another is none.

    Raises SourceError where it is no TIFF, or has no picture.
    """
    with tiff_tags.opened(file, source) as tiff:
        numbers = tiff_tags.contents(tiff).numbers
    return numbers if len(numbers) > 1 else ()


def facts(file: Path | bytes, source: str) -> tuple[tuple[int, int], str, int, int]:
    """Of the first picture: size as it is stored, what its pixels are, EXIF orientation; and how many there are.

    Raises SourceError where it is no TIFF, or has no picture.
    """
    with tiff_tags.opened(file, source) as tiff:
        contents = tiff_tags.contents(tiff)
        layout = tiff_layout.layout(_chosen(contents, 0, source, _say_nothing))
        return layout.size, f"({layout})", layout.orientation, len(contents.numbers)


def page(file: Path | bytes, source: str, number: int, bound: int, tell: Tell, *, whole: bool = True) -> Image.Image:
    """One picture of a file.

    Args:
        file: a TIFF, or its bytes.
        source: what the user called it.
        number: of the directory, from 1, whether `pages` names it or not; 0 for the first of those.
        bound: pixels of the longer side, to which the caller will scale it: a picture that is at least twice as large
            is brought nearer to it meanwhile.
        tell: hears what is left out, and how numbers without a scale are shown.
        whole: whether a long picture is shown as one, which is worth a remark.

    Returns:
        An image of mode L, LA, RGB, RGBA or CMYK, upright, whose `info` has the file's `icc_profile`.

    Raises:
        SourceError: where it is damaged, too large, or laid out in a way that is not read, which it names.
    """
    with tiff_tags.opened(file, source) as tiff:
        contents = tiff_tags.contents(tiff)
        directory = _chosen(contents, number, source, tell)
        if contents.left_out and number in (0, contents.numbers[0]):
            tell(contents.left_out)
        layout = tiff_layout.layout(_larger(directory, tell) if len(contents.numbers) == 1 else directory)
        orientation = layout.orientation if 274 in layout.directory else tiff_layout.orientation(directory)
        _remark(layout, tell)
        if whole:
            bounds.remark(layout.size if orientation < 5 else layout.size[::-1], tell)
        if layout.compression == tiff_layout.OLD_JPEG:
            return _by_pillow(file, layout)
        factor = max(1, max(layout.size) // bound)
        _check_size(layout, factor)
        decoded = _decoded(layout, factor, tell)
        turned = _upright(_scaled(decoded, layout.size, factor, bound) if factor > 1 else decoded, orientation)
        profile = layout.directory.raw(34675) or directory.raw(34675)
    turned.info = {"icc_profile": profile} if profile and layout.photometric not in _OWN_COLOURS else {}
    return turned


_OWN_COLOURS = {tiff_layout.CIELAB, tiff_layout.ICCLAB}
"""Which are sRGB when they are decoded, whatever the profile of the file says."""


def _say_nothing(text: str) -> None:
    """For who does not want to hear of it."""


def _chosen(contents: Contents, number: int, source: str, tell: Tell) -> Directory:
    """The directory of that number; the first picture for 0, which tells of the others."""
    if number == 0:
        number = contents.numbers[0]
        if len(contents.numbers) > 1:
            pages, after = len(contents.numbers), contents.numbers[1]
            tell(f"only the first of its {pages} pages is used; to ask about the next: {source}#{after}")
    found = next((one for one in contents.directories if one.number == number), None)
    if found is None:
        count, last = len(contents.directories), contents.directories[-1].number
        have = "one picture" if count == 1 else f"{count} pages"
        hint = f"choose a number from 1 to {last}" if count > 1 else f"leave out #{number}"
        raise SourceError(f"{source}: there is no number {number}; the file has {have}", hint)
    return found


def _larger(directory: Directory, tell: Tell) -> Directory:
    """The directory, or the largest of its subdirectories where that is larger and can be read.

    The previews of raw pictures of cameras have the picture itself below them, or the other way round.
    """
    best, raw = directory, None
    for at in directory.numbers(tiff_tags.SUB_DIRECTORIES, _SUB_DIRECTORIES):
        try:
            below = directory.tiff.directory(at, directory.number)
        except SourceError:
            continue
        if below.is_mask or _pixels(below) <= _pixels(best):
            continue
        try:
            if tiff_layout.layout(below).compression != tiff_layout.OLD_JPEG:
                best = below
        except SourceError:
            raw = below
    if raw is not None and _pixels(raw) > _pixels(best):
        size, shown = ("{}x{}".format(*one.size) for one in (raw, best))
        tell(f"{RAW} of {size} cannot be read; the one of {shown} in the same file is used")
    elif best is not directory:
        tell("the larger picture of {}x{} below its first page is used".format(*best.size))
    return best


def _pixels(directory: Directory) -> int:
    width, height = directory.size
    return width * height


def _remark(layout: Layout, tell: Tell) -> None:
    """Tell of samples that are not shown: neither colours nor alpha."""
    alphas = sum(kind in (tiff_layout.ASSOCIATED, tiff_layout.UNASSOCIATED) for kind in layout.extra)
    left = len(layout.extra) - min(alphas, 1)
    if left:
        what = "channel" if left == 1 else f"{left} channels"
        tell(f"its extra {what} {'is' if left == 1 else 'are'} not used")


def _check_size(layout: Layout, factor: int) -> None:
    """Raise SourceError where the picture needs too much memory or time."""
    tiff = layout.directory.tiff
    across, down = layout.grid
    stored = across * layout.tile[0], down * layout.tile[1] if layout.tiled else layout.size[1]
    plain = stored[0] * stored[1] * max(1, layout.samples * layout.bits // 8)
    if plain > _MAX_PLAIN:
        raise SourceError(
            f"{tiff.source}: its {layout.size[0]}x{layout.size[1]} pixels are {amounts.size(plain)} when"
            f" decompressed; the limit is {amounts.size(_MAX_PLAIN)}",
            "scale it down first",
        )
    bounds.check_size(tiff.source, layout.size, 1)
    reduced = -(-layout.size[0] // factor), -(-layout.size[1] // factor)
    bounds.check_size(tiff.source, reduced, 1 if layout.samples == 1 and layout.photometric < 2 else 4)


def _decoded(layout: Layout, factor: int, tell: Tell) -> Image.Image:
    """The picture, as it is stored, its sides divided by `factor`."""
    from vlmcli.pictures import tiff_colours, tiff_samples  # with numpy, which counting needs not

    empty: list[int] = []

    def bands() -> Iterable[tuple[int, Any]]:
        empty.clear()
        return tiff_samples.bands(layout, empty)

    image = tiff_colours.image(layout, bands, factor, tell)
    if empty:
        across, down = layout.grid
        missing, parts = len(set(empty)), across * down * (layout.samples if layout.planar else 1)
        if missing == parts:
            raise SourceError(
                f"{layout.directory.tiff.source}: a TIFF without data", "copy or download the picture again"
            )
        tell(f"{missing:,} of its {parts:,} parts have no data and stay empty")
    return image


def _scaled(image: Image.Image, size: tuple[int, int], factor: int, bound: int) -> Image.Image:
    """What is left of a picture of that size, divided by `factor`, with its longer side `bound`."""
    share = bound / max(size)
    small = max(1, round(size[0] * share)), max(1, round(size[1] * share))
    whole = (0, 0, size[0] / factor, size[1] / factor)  # the last pixels may stand for fewer than the others
    return image.resize(small, Image.Resampling.BICUBIC, whole, reducing_gap=2.0)


_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}  # fmt: skip


def _upright(image: Image.Image, orientation: int) -> Image.Image:
    """The picture turned as its orientation (1 to 8) says."""
    return image.transpose(_TURNS[orientation]) if orientation in _TURNS else image


def _by_pillow(file: Path | bytes, layout: Layout) -> Image.Image:
    """A picture of the JPEG of old, by libtiff."""
    directory = layout.directory
    bounds.check_size(directory.tiff.source, layout.size, 4)
    with given.opened(file) as stream, Image.open(stream, formats=("TIFF",)) as image:
        for number in range(1, directory.number):
            image.seek(number)
        image.load()  # which turns it upright, too
        copy: Image.Image = image.copy()
    return copy
