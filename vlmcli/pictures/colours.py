"""Colours as a file means them become sRGB: by its ICC profile, or by what its format says in numbers.

What counts, in this order: a PNG's cICP chunk, an ICC profile, a PNG's sRGB chunk, its gAMA and cHRM chunks; the
`colr` box of AVIF and HEIC, where there is no profile; Exif's mark of Adobe RGB (option R03 of DCF). Without any of
them a picture is taken for sRGB. High dynamic range (PQ, HLG) is brought into the range of a common screen as Chromium
does it.

Sources: PNG, third edition, 4.3 and 13.13; ITU-T H.273 for the code points; SMPTE ST 2084 and ITU-R BT.2100 for PQ and
HLG; ITU-R BT.2408 for the white of 203 cd/m²; IEC 61966-2-1 for sRGB.
"""

from __future__ import annotations

import io
import logging
import struct
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

log = logging.getLogger("vlmcli.pictures.images")

Array = NDArray[Any]
Primaries = tuple[float, ...]
"""x and y of white, red, green and blue."""

_D65, _C, _DCI = (0.3127, 0.3290), (0.310, 0.316), (0.314, 0.351)
SRGB: Primaries = (*_D65, 0.64, 0.33, 0.30, 0.60, 0.15, 0.06)
ADOBE_RGB: Primaries = (*_D65, 0.64, 0.33, 0.21, 0.71, 0.15, 0.06)
PRIMARIES: dict[int, Primaries] = {
    4: (*_C, 0.67, 0.33, 0.21, 0.71, 0.14, 0.08), 8: (*_C, 0.681, 0.319, 0.243, 0.692, 0.145, 0.049),
    9: (*_D65, 0.708, 0.292, 0.170, 0.797, 0.131, 0.046), 11: (*_DCI, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060),
    12: (*_D65, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060),
}  # fmt: skip
"""By H.273's ColourPrimaries, table 2; those of video (1, 5, 6, 7) are nearly sRGB's, and taken for them."""
WHITE = 203.0
"""cd/m² of a white page, in high dynamic range."""
PEAK = 1000.0
"""cd/m² of the brightest light that is told apart from the next."""
_SAME = {"sRGB IEC61966-2.1", "sRGB built-in", "sRGB"}
"""Descriptions of ICC profiles that are sRGB itself."""
_ROWS = 256
"""That are converted at a time."""


@dataclass(frozen=True)
class Meaning:
    """What the numbers of a picture's red, green and blue mean.

    Attributes:
        linear: light, 1 for white, of numbers from 0 to 1.
        primaries: of the three.
        bright: whether light goes beyond white.
    """

    linear: Callable[[Array], Array]
    primaries: Primaries = SRGB
    bright: bool = False


def meaning(image: Image.Image, head: bytes) -> Meaning | bytes | None:
    """What the colours of an opened picture mean: an ICC profile's bytes, numbers, or None for sRGB.

    Args:
        image: as Pillow has opened it.
        head: the first bytes of its file, with all that comes before a PNG's pixels, or an AVIF's or HEIC's.
    """
    profile: bytes | None = image.info.get("icc_profile")
    if image.format == "PNG":
        coded = _cicp(head)
        if coded is not None:
            return _by_codes(*coded)
        if profile or "srgb" in image.info:
            return profile
        return _by_gamma(image.info.get("gamma"), image.info.get("chromaticity"))
    if profile:
        return profile
    if image.format == "BMP":
        return _by_gamma(image.info.get("gamma"), image.info.get("chromaticity"))
    if image.format in ("AVIF", "HEIF"):
        at = head.find(b"colrnclx")
        return _by_codes(*struct.unpack_from(">HH", head, at + 8)) if 0 < at <= len(head) - 12 else None
    if image.format in ("JPEG", "MPO", "TIFF", "WEBP"):
        with suppress(Exception):  # damaged, in any way that there is
            exif = image.getexif()
            if exif.get_ifd(0x8769).get(0xA001) == 0xFFFF and str(exif.get_ifd(0xA005).get(1, ""))[:3] == "R03":
                return Meaning(_power(563 / 256), ADOBE_RGB)
    return None


def srgb(image: Image.Image, meant: Meaning | bytes | None, source: str) -> Image.Image:
    """The picture as 8-bit sRGB, mode RGB.

    Args:
        image: of any mode without transparency.
        meant: what its numbers mean. A damaged profile is logged and left out, as all viewers do.
        source: what the user called it, for the log.
    """
    if isinstance(meant, bytes):
        return _by_profile(image, meant, source)
    if image.mode != "RGB":
        image = image.convert("RGB")
    return image if meant is None else _converted(image, meant)


def _by_profile(image: Image.Image, profile: bytes, source: str) -> Image.Image:
    """Colours as an ICC profile means them."""
    from PIL import ImageCms

    try:
        meant = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if ImageCms.getProfileDescription(meant).strip() in _SAME and image.mode != "CMYK":
            return image.convert("RGB")
        if image.mode not in ("L", "RGB", "CMYK"):
            image = image.convert("RGB")
        flags = ImageCms.Flags.BLACKPOINTCOMPENSATION
        intent = ImageCms.Intent.RELATIVE_COLORIMETRIC
        found = ImageCms.profileToProfile(
            image, meant, ImageCms.createProfile("sRGB"), intent, outputMode="RGB", flags=flags
        )
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError) as error:
        log.warning("%s: its colour profile cannot be used (%s)", source, error)
        return image.convert("RGB")
    assert found is not None  # it is, unless asked to work in place
    return found


# --- What a format says in numbers ---


def _cicp(head: bytes) -> tuple[int, int] | None:
    """The primaries and the transfer characteristics of a PNG's cICP chunk."""
    at = 8
    while at + 12 <= len(head):
        length, kind = struct.unpack_from(">I4s", head, at)
        if kind == b"IDAT":
            return None
        if kind == b"cICP" and length == 4:
            return head[at + 8], head[at + 9]
        at += 12 + length
    return None


def _by_codes(primaries: int, transfer: int) -> Meaning | None:
    """What code points of H.273 mean; those that say nothing, and those of video, mean sRGB."""
    found = PRIMARIES.get(primaries, SRGB)
    linear = {4: _power(2.2), 5: _power(2.8), 8: lambda numbers: numbers, 16: _pq, 18: _hlg}.get(transfer, _from_srgb)
    if found is SRGB and linear is _from_srgb:
        return None
    return Meaning(linear, found, bright=transfer in (16, 18))


def _by_gamma(gamma: Any, chromaticity: Any) -> Meaning | None:
    """What a PNG's gAMA and cHRM mean; nothing, where they mean sRGB or are none that can be."""
    gamma = gamma if isinstance(gamma, float) and 0.1 <= gamma <= 5 else 0.0
    usual = not gamma or abs(gamma * 2.2 - 1) < 0.02
    found = tuple(chromaticity) if chromaticity and _matrix(tuple(chromaticity)) is not None else SRGB
    near = all(abs(one - other) < 0.005 for one, other in zip(found, SRGB, strict=True))
    if usual and near:
        return None
    return Meaning(_from_srgb if usual else _power(1 / gamma), SRGB if near else found)


def _power(exponent: float) -> Callable[[Array], Array]:
    def linear(numbers: Array) -> Array:
        return np.asarray(numbers**exponent)

    return linear


def _from_srgb(numbers: Array) -> Array:
    return np.where(numbers <= 0.04045, numbers / 12.92, ((numbers + 0.055) / 1.055) ** 2.4)


def _to_srgb(light: Array) -> Array:
    return np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)


def _pq(numbers: Array) -> Array:
    """Light, 1 for the white of a page, of the numbers of ST 2084, which goes to 10,000 cd/m²."""
    root = numbers ** (32 / 2523)
    return (
        np.asarray((np.maximum(root - 3424 / 4096, 0) / (2413 / 128 - 2392 / 128 * root)) ** (16384 / 2610))
        * 10_000
        / WHITE
    )


def _hlg(numbers: Array) -> Array:
    """Light of a scene, 1 for its most, of the numbers of HLG (BT.2100, table 5)."""
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    return np.where(numbers <= 0.5, numbers**2 / 3, (np.exp((numbers - c) / a) + b) / 12)


# --- Light becomes sRGB ---


def _matrix(primaries: Primaries) -> Array | None:
    """From linear light of these primaries to XYZ of a white of D65 (Bradford); None where they span no colours."""
    white, red, green, blue = (np.array([x / y, 1, (1 - x - y) / y]) if y > 0 else None
                               for x, y in zip(primaries[::2], primaries[1::2], strict=True))  # fmt: skip
    if white is None or red is None or green is None or blue is None:
        return None
    three = np.stack([red, green, blue], 1)
    if abs(np.linalg.det(three)) < 1e-6:
        return None
    found = three * np.linalg.solve(three, white)
    cone = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
    day = np.array([_D65[0] / _D65[1], 1, (1 - sum(_D65)) / _D65[1]])
    adapted: Array = np.linalg.solve(cone, np.diag(cone @ day / (cone @ white))) @ cone @ found
    return adapted


def _converted(image: Image.Image, meant: Meaning) -> Image.Image:
    """An RGB picture of that meaning as sRGB, some rows at a time."""
    own, target = _matrix(meant.primaries), _matrix(SRGB)
    assert own is not None and target is not None
    mix = np.linalg.solve(target, own).T.astype(np.float32)
    linear = meant.linear(np.arange(256) / 255).astype(np.float32)
    levels = np.rint(_to_srgb(np.arange(1 << 16) / 65535) * 255).astype(np.uint8)
    out = np.empty((image.height, image.width, 3), np.uint8)
    for top in range(0, image.height, _ROWS):
        box = (0, top, image.width, min(top + _ROWS, image.height))
        light = linear[np.asarray(image.crop(box))]
        if meant.bright:
            light = _dimmed(_displayed(light, meant))
        out[top : box[3]] = levels[np.rint((light @ mix).clip(0, 1) * 65535).astype(np.int32)]
    return Image.fromarray(out)


def _displayed(light: Array, meant: Meaning) -> Array:
    """Light on a screen, 1 for the white of a page: HLG's is that of the scene, and gets a screen's curve (BT.2100)."""
    if meant.linear is not _hlg:
        return light
    luma = (light @ np.array([0.2627, 0.6780, 0.0593], np.float32))[..., None]
    return np.asarray(light * luma**0.2 * (PEAK / WHITE))


def _dimmed(light: Array) -> Array:
    """Light up to the peak brought below white: what is dark stays, what is bright is drawn together.

    Source: Chromium, ui/gfx/color_transform.cc, the tone map of a screen without high dynamic range.
    """
    peak = PEAK / WHITE
    most = light.max(-1, keepdims=True)
    return np.asarray(light * (1 + most / peak**2) / (1 + most))
