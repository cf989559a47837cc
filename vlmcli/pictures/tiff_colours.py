"""The numbers of a TIFF become colours of 8 bits: a Pillow image of mode L, LA, RGB, RGBA or CMYK.

Integers without a sign are taken as they are meant: 0 is black (or white), all ones the opposite; where only some of
the bits are used, by those. Floats are meant from 0 to 1. All others (signed integers, floats outside, numbers of more
than 16 bits that use only a part of them) are measurements without a scale: they are shown from the least to the
greatest, and the user is told.

Knows layouts and numbers. Does not know files or compressions.

Sources: TIFF 6.0, sections 3 to 6, 16, 18, 20, 21 and 23; CIE 15 for L*a*b*; GDAL's documentation for GDAL_NODATA.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from vlmcli.errors import SourceError
from vlmcli.pictures import depth
from vlmcli.pictures import tiff_layout as tl
from vlmcli.pictures.bounds import Tell
from vlmcli.pictures.tiff_layout import Layout

Array = npt.NDArray[Any]

MUCH_SMOOTHER = 0.9
"""Some programs call bytes signed that are not. Taken the wrong way, a picture has jumps where its middle grey is: they
are taken without their sign if neighbours differ by less than this share then."""
MIDDLE = 128
"""The grey of a picture of measurements that are all equal."""
_ROWS = 64
"""That are put into the image at a time, at least."""
_XYZ_TO_RGB = np.array([[3.1338561, -1.6168667, -0.4906146], [-0.9787684, 1.9161415, 0.0334540],
                        [0.0719453, -0.2289914, 1.4052427]], np.float32)  # fmt: skip
"""From XYZ of a white of D50 to linear sRGB of D65 (Bradford; B. Lindbloom)."""
_D50 = np.array([0.9642, 1.0, 0.8249], np.float32)


@dataclass
class Scale:
    """How the numbers of a picture become 0 to 255, and what was seen of them meanwhile.

    Attributes:
        layout: of the picture.
        used: bits of an unsigned integer that count.
        ends: the numbers that are shown as 0 and as 255, of measurements.
        least, greatest: of the finite numbers that have been seen.
        nothing: how many were no numbers, or stand for none.
        absent: a number that stands for none.
        steps: of numbers of 8 bits with a sign, how much neighbours differ: as they are, and taken without a sign.
        signless: whether they are taken without one.
    """

    layout: Layout
    used: int
    ends: tuple[float, float] | None
    least: float = math.inf
    greatest: float = -math.inf
    nothing: int = 0
    absent: float | None = field(default=None)
    steps: tuple[float, float] = (0.0, 0.0)
    signless: bool = False

    @classmethod
    def of(cls, layout: Layout) -> Scale:
        """The scale that is most likely."""
        ends = None
        if layout.format == tl.FLOAT:
            ends = 0.0, 1.0
        elif layout.format == tl.SIGNED:
            ends = -float(1 << (layout.bits - 1)), float((1 << (layout.bits - 1)) - 1)
        scale = cls(layout, layout.bits, ends)
        if 42113 in layout.directory and (ends or layout.bits > 16):
            try:
                scale.absent = float(layout.directory.raw(42113, 64).strip(b"\0 "))
            except ValueError:
                scale.absent = None
        return scale

    def __call__(self, numbers: Array) -> Array:
        """Numbers as uint8; they are looked at, too."""
        if self.signless:
            return numbers.view(np.uint8)
        if numbers.dtype == np.uint8 and self.ends is None and self.used == 8:
            return numbers
        if self.ends is None:
            self.greatest = max(self.greatest, float(numbers.max()))
            self.least = min(self.least, float(numbers.min()))
            return depth.scaled(numbers, self.used)
        wide = numbers.astype(np.float64 if self.layout.bits > 16 else np.float32)
        if numbers.dtype == np.int8:
            bare = numbers.view(np.uint8).astype(np.float32)
            more = (float(np.abs(np.diff(one, axis=1)).sum()) for one in (wide, bare))
            self.steps = (self.steps[0] + next(more), self.steps[1] + next(more))
        real = np.isfinite(wide)
        if self.absent is not None:
            real &= ~np.isclose(wide, self.absent, rtol=1e-6, atol=0)
        self.nothing += int(real.size - real.sum())
        if real.any():
            self.least = min(self.least, float(wide.min(where=real, initial=np.inf)))
            self.greatest = max(self.greatest, float(wide.max(where=real, initial=-np.inf)))
        low, high = self.ends
        shown = np.where(wide == np.inf, high, np.where(real, wide, low)).clip(low, high)
        if high == low:
            return np.where(real, MIDDLE, 0).astype(np.uint8)
        return np.asarray(np.rint((shown - low) * (255 / (high - low))).astype(np.uint8))

    def alpha(self, numbers: Array) -> Array:
        """How opaque pixels are, as uint8."""
        if self.signless:
            return numbers.view(np.uint8)
        if self.layout.format == tl.FLOAT:
            return np.asarray(np.rint(np.nan_to_num(numbers.astype(np.float32)).clip(0, 1) * 255)).astype(np.uint8)
        if self.layout.format == tl.SIGNED:
            return depth.scaled(numbers.clip(0), self.layout.bits - 1)
        most = numbers.dtype.type((1 << self.used) - 1)
        return depth.scaled(np.minimum(numbers, most), self.used)

    def better(self) -> Scale | None:
        """The scale that fits what has been seen, or None where this one does."""
        layout = self.layout
        if self.steps[1] < MUCH_SMOOTHER * self.steps[0]:
            return Scale(layout, layout.bits, None, signless=True)
        if self.ends is None:
            if layout.bits > 16 and 0 <= self.greatest < 1 << (layout.bits - 1):
                return Scale(layout, layout.bits, self._seen(), absent=self.absent)
            said = layout.directory.number_of(281) if 281 in layout.directory else 0
            used = depth.used_bits(int(self.greatest), 16, said) if layout.bits == 16 and self.greatest >= 0 else 0
            return Scale(layout, used, None) if 0 < used < self.used else None
        if layout.format == tl.FLOAT and self.ends == (0.0, 1.0) and self.least >= 0 and self.greatest <= 1:
            return None
        return Scale(layout, layout.bits, self._seen(), absent=self.absent) if self._seen() != self.ends else None

    def _seen(self) -> tuple[float, float]:
        return (self.least, self.greatest) if self.least <= self.greatest else (0.0, 0.0)

    def told(self) -> str:
        """What the user is told of it, or nothing."""
        if self.signless:
            return "its 8-bit numbers are read as unsigned, although the file says signed"
        if self.ends is None:
            return depth.notice(self.used, self.layout.bits) if self.layout.bits == 16 else ""
        which = f"{self.layout.bits}-bit {'float ' * (self.layout.format == tl.FLOAT)}numbers"
        black, white = ("white", "black") if self.layout.photometric == tl.MIN_IS_WHITE else ("black", "white")
        none = f"pixels without a value ({self.nothing:,}) are shown in {black}" if self.nothing else ""
        low, high = self.ends
        if self.least > self.greatest:
            return "none of its pixels has a value"
        if self.layout.format == tl.FLOAT and self.ends == (0.0, 1.0):
            return none
        if low == high:
            return f"all of its {which} are {low:g}"
        shown = f"its {which} from {low:g} to {high:g} are shown from {black} to {white}"
        return f"{shown}; {none}" if none else shown


def image(layout: Layout, bands: Callable[[], Iterable[tuple[int, Array]]], factor: int, tell: Tell) -> Image.Image:
    """The picture that the numbers are.

    Args:
        layout: of the picture.
        bands: its numbers, some rows at a time, as often as they are asked for.
        factor: by which its sides are divided.
        tell: hears what the user should know.
    """
    if layout.photometric == tl.PALETTE:
        return _joined(layout, bands(), _palette(layout), factor)
    if layout.photometric in (tl.CIELAB, tl.ICCLAB):
        return _joined(layout, bands(), lambda band: _from_lab(band, layout), factor)
    if layout.photometric == tl.YCBCR:
        convert = _ycbcr(layout) if layout.compression != tl.JPEG or layout.planar else lambda band: band[..., :3]
        return _joined(layout, bands(), convert, factor)
    scale = Scale.of(layout)
    found = _joined(layout, bands(), _Channels(layout, scale), factor)
    fitting = scale.better()
    if fitting is not None:
        found = _joined(layout, bands(), _Channels(layout, fitting), factor)
    told = (fitting or scale).told()
    if told:
        tell(told)
    return found


def _joined(
    layout: Layout, bands: Iterable[tuple[int, Array]], convert: Callable[[Array], Array], factor: int
) -> Image.Image:
    """An image of bands that are converted to uint8 (rows, width) or (rows, width, channels)."""
    width, height = layout.size
    whole: Image.Image | None = None
    kept: list[Array] = []
    step = max(factor, _ROWS // factor * factor)
    top = 0
    for at, band in bands:
        kept.append(convert(band))
        rows = at + len(band) - top
        ready = rows if at + len(band) == height else rows // step * step
        if not ready:
            continue
        pixels = np.concatenate(kept) if len(kept) > 1 else kept[0]
        made = _image(pixels[:ready], layout).reduce(factor)
        if whole is None:
            whole = Image.new(made.mode, (-(-width // factor), -(-height // factor)))
        whole.paste(made, (0, top // factor))
        kept = [pixels[ready:]] if ready < rows else []
        top += ready
    assert whole is not None  # a picture has rows
    return whole


def _image(pixels: Array, layout: Layout) -> Image.Image:
    if layout.photometric == tl.CMYK:  # four channels would be taken for RGBA
        return Image.frombytes("CMYK", (layout.size[0], len(pixels)), pixels.tobytes())
    return Image.fromarray(np.ascontiguousarray(pixels))


class _Channels:
    """Numbers of grey, RGB or CMYK as uint8, with alpha where there is one."""

    def __init__(self, layout: Layout, scale: Scale) -> None:
        self._layout, self._scale = layout, scale
        self._colours = tl.COLOURS[layout.photometric]
        kinds = [place for place, kind in enumerate(layout.extra) if kind in (tl.ASSOCIATED, tl.UNASSOCIATED)]
        self._alpha = self._colours + kinds[0] if kinds else None
        self._associated = bool(kinds) and layout.extra[kinds[0]] == tl.ASSOCIATED

    def __call__(self, band: Array) -> Array:
        found = self._scale(band[..., : self._colours])
        if self._layout.photometric == tl.MIN_IS_WHITE:
            found = 255 - found
        if self._alpha is None:
            return found[..., 0] if self._colours == 1 else found
        alpha = self._scale.alpha(band[..., self._alpha : self._alpha + 1])
        if self._layout.photometric == tl.CMYK:  # on white paper, no ink is no colour
            share = alpha.astype(np.uint16)
            return found if self._associated else ((found * share + 127) // 255).astype(np.uint8)
        if self._associated:
            whole = np.maximum(alpha, 1).astype(np.uint16)
            found = np.minimum((found.astype(np.uint16) * 255 + whole // 2) // whole, 255).astype(np.uint8)
        return np.concatenate([found, alpha], -1)


def _palette(layout: Layout) -> Callable[[Array], Array]:
    """Numbers as the colours of the palette; some programs write its numbers with 8 bits instead of 16."""
    count = 1 << layout.bits
    numbers = layout.directory.numbers(320, 3 * count)
    if len(numbers) < 3 * count:
        raise SourceError(
            f"{layout.directory.tiff.source}: its palette has {len(numbers) // 3} of {count} colours",
            "the file may be damaged",
        )
    wide = np.array(numbers, np.uint16).reshape(3, count).T
    colours = (wide >> 8 if wide.max() > 255 else wide).astype(np.uint8)
    alpha = next((place for place, kind in enumerate(layout.extra, 1) if kind in (tl.ASSOCIATED, tl.UNASSOCIATED)), 0)

    def convert(band: Array) -> Array:
        found: Array = colours[band[..., 0]]
        if not alpha:
            return found
        return np.concatenate([found, depth.scaled(band[..., alpha : alpha + 1], layout.bits)], -1)

    return convert


def _ycbcr(layout: Layout) -> Callable[[Array], Array]:
    """YCbCr of 8 bits as RGB, by the file's own coefficients and ends (TIFF 6.0, section 21)."""
    said = layout.directory.values(529, 3)
    red, green, blue = said if len(said) == 3 else (0.299, 0.587, 0.114)
    ends = layout.directory.values(532, 6)
    black_y, white_y, black_b, white_b, black_r, white_r = ends if len(ends) == 6 else (0, 255, 128, 255, 128, 255)
    if not green or white_y == black_y or white_b == black_b or white_r == black_r:
        raise SourceError(f"{layout.directory.tiff.source}: its YCbCr range is empty", "the file may be damaged")

    def convert(band: Array) -> Array:
        wide = band[..., :3].astype(np.float32)
        y = (wide[..., 0] - black_y) * (255 / (white_y - black_y))
        b = (wide[..., 1] - black_b) * (127 / (white_b - black_b))
        r = (wide[..., 2] - black_r) * (127 / (white_r - black_r))
        reds, blues = y + r * (2 - 2 * red), y + b * (2 - 2 * blue)
        greens = (y - blue * blues - red * reds) / green
        return np.asarray(np.rint(np.stack([reds, greens, blues], -1).clip(0, 255)).astype(np.uint8))

    return convert


def _from_lab(band: Array, layout: Layout) -> Array:
    """CIE L*a*b* of a white of D50 as sRGB.

    In CIELAB, a* and b* have a sign; in ICCLAB, 128 (or 32768) is added to them, and L* of 16 bits ends at 65280.
    """
    whole = np.ascontiguousarray(band[..., :3]).astype(band.dtype.newbyteorder("="))
    bits = layout.bits
    unsigned = whole.view(f"u{bits // 8}").astype(np.float32)
    if layout.photometric == tl.CIELAB:
        lightness = unsigned[..., 0] * (100 / ((1 << bits) - 1))
        ab = whole.view(f"i{bits // 8}")[..., 1:].astype(np.float32) / (1 << (bits - 8))
    else:
        lightness = unsigned[..., 0] * (100 / (255 << (bits - 8)))
        ab = unsigned[..., 1:] / (1 << (bits - 8)) - 128
    y = (lightness + 16) / 116
    three = np.stack([y + ab[..., 0] / 500, y, y - ab[..., 1] / 200], -1)
    xyz = np.where(three > 6 / 29, three**3, (three - 4 / 29) * (108 / 841)) * _D50
    linear = (xyz @ _XYZ_TO_RGB.T).clip(0, 1)
    shown = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.asarray(np.rint(shown * 255).astype(np.uint8))
