"""Whether a picture looks like a drawing or like a photograph, judged by its colours alone.

A drawing has a few colours, each over large areas, even where noise or JPEG compression has blurred them a little. A
photograph has many. Pages of text and screenshots count as drawings.
"""

from __future__ import annotations

import numpy as np

from vlmcli.values import Picture

SAMPLES = 10_000
"""Pixels that are looked at, about, whatever the picture's size."""
COLOURS = 6
"""How many colours a drawing has at most: a background and a few shapes."""
NEAR = 24
"""How far, of 255, a pixel may be from such a colour in each channel: noise, compression, a gentle gradient."""
SHARE = 0.9
"""The share of pixels that these colours must cover: 98 of 100 drawn scenes have more, and few photographs."""


def is_drawn(picture: Picture) -> bool:
    """Whether a few colours cover nearly all of a picture."""
    width, height = picture.size
    pixels = np.frombuffer(picture.pixels(), np.uint8).reshape(height, width, 3)
    step = max(1, int((width * height / SAMPLES) ** 0.5))
    left = pixels[::step, ::step].reshape(-1, 3).astype(np.int32)
    most = (1 - SHARE) * len(left)
    for _ in range(COLOURS):
        if len(left) <= most:
            return True
        coarse = left >> 4
        bins = (coarse[:, 0] << 8) + (coarse[:, 1] << 4) + coarse[:, 2]
        colour = left[bins == np.bincount(bins).argmax()].mean(axis=0)
        left = left[np.abs(left - colour).max(axis=1) > NEAR]
    return len(left) <= most
