"""How far two pictures of the same thing are apart."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

SMALL = 64
"""Pixels of the longer side to which both are scaled."""


@dataclass(frozen=True)
class Difference:
    """Mean absolute differences, 0 to 255.

    Attributes:
        small: of red, green and blue, after both were scaled to the same small size.
        full: the same of all pixels; None where the sizes are not equal.
        worst: of all channels of the small picture's worst pixel: high where a small part is missing.
    """

    small: tuple[float, float, float]
    full: tuple[float, float, float] | None
    worst: float

    def mean(self) -> float:
        """The larger mean over the channels."""
        return max(float(np.mean(channels)) for channels in (self.small, self.full) if channels is not None)


def difference(ours: np.ndarray, theirs: np.ndarray) -> Difference:
    """Compare two pictures, each uint8, height x width x 3; scaled to the first one's proportions."""
    height, width = ours.shape[:2]
    share = min(1.0, SMALL / max(height, width))
    size = max(1, round(width * share)), max(1, round(height * share))
    apart = np.abs(_scaled(ours, size) - _scaled(theirs, size))
    full = None
    if ours.shape == theirs.shape:
        rows = range(0, height, 256)  # in parts, as signed numbers take four times the memory
        sums = [np.abs(ours[row : row + 256].astype(np.int16) - theirs[row : row + 256]).sum((0, 1)) for row in rows]
        full = _channels(np.sum(sums, 0, np.float64) / (height * width))
    return Difference(_channels(apart.mean((0, 1))), full, round(float(apart.mean(2).max()), 2))


def same_size(ours: tuple[int, int], theirs: tuple[int, int], bound: int) -> bool:
    """Whether (width, height) are equal to a pixel, after theirs is scaled down to `bound` as ours was."""
    share = min(1.0, bound / max(theirs))
    return all(abs(a - b * share) <= 1 for a, b in zip(ours, theirs, strict=True))


def same_shape(ours: tuple[int, int], theirs: tuple[int, int]) -> bool:
    """Whether (width, height) have the same proportions, as far as whole pixels can say."""
    share = max(theirs) / max(ours)
    return all(abs(a * share - b) <= max(2, 0.01 * b) for a, b in zip(ours, theirs, strict=True))


def _scaled(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BOX), np.float64)


def _channels(means: np.ndarray) -> tuple[float, float, float]:
    red, green, blue = (round(float(mean), 2) for mean in means)
    return red, green, blue
