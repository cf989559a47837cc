"""A file becomes a `Picture`: upright, RGB, bounded, known by the sha256 of its pixels.

The only reader of pictures. It knows nothing of models; how many tokens a picture takes is not its business.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from PIL import Image, ImageOps, UnidentifiedImageError

from vlmcli.errors import SourceError
from vlmcli.values import Picture

MAX_PIXELS = 100_000_000
MAX_RATIO = 200  # of the longer side to the shorter; encoders refuse or misread thinner strips

Image.MAX_IMAGE_PIXELS = None  # _check_size is stricter, and says what to do


def load(path: Path) -> Picture:
    """Read a picture file, now: what cannot be decoded to the last row is an error.

    EXIF orientation is applied, transparency is put on white, anything else becomes 8-bit RGB.
    Raises SourceError, which names the path.
    """
    try:
        if path.is_dir():
            raise SourceError(f"{path}: a folder, not a picture", "name the pictures in it")
        if not path.is_file():
            what = "there is no such file" if not path.exists() else "not a regular file"
            raise SourceError(f"{path}: {what}", "check the path")
        if path.stat().st_size == 0:
            raise SourceError(f"{path}: the file is empty", "get the picture again")
        with Image.open(path) as image:
            _check_size(path, image.size)
            upright = ImageOps.exif_transpose(image)
            rgb = _rgb(upright)
    except UnidentifiedImageError:
        raise SourceError(
            f"{path}: not a picture in a format that is known here", "convert it to JPEG or PNG"
        ) from None
    except (OSError, ValueError, SyntaxError, EOFError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise SourceError(f"{path}: cannot be read ({reason})", "check that it opens elsewhere") from error
    except MemoryError:
        raise SourceError(f"{path}: too large for this machine's memory", "scale it down first") from None
    pixels = rgb.tobytes()
    return from_pixels(pixels, rgb.size, str(path))


def from_pixels(pixels: bytes, size: tuple[int, int], source: str) -> Picture:
    """A picture of pixels in memory: width * height * 3 bytes of RGB, rows from the top."""
    identity = hashlib.sha256(b"%dx%d\n" % size + pixels).hexdigest()
    return Picture(identity, size, source, lambda: pixels)


def _check_size(path: Path, size: tuple[int, int]) -> None:
    width, height = size
    if min(size) < 1:
        raise SourceError(f"{path}: a picture of {width}x{height} pixels", "get the picture again")
    if width * height > MAX_PIXELS:
        raise SourceError(
            f"{path}: {width}x{height} is more than {MAX_PIXELS // 10**6} million pixels", "scale it down first"
        )
    if max(size) > MAX_RATIO * min(size):
        raise SourceError(f"{path}: a strip of {width}x{height} pixels is too thin to be seen", "cut a part out of it")


def _rgb(image: Image.Image) -> Image.Image:
    """8-bit RGB; what shines through is white."""
    if image.mode.startswith("I"):  # 16 or 32 bits of grey; convert() would clip them
        image = image.convert("I").point(lambda value: value / 256).convert("L")
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, (255, 255, 255, 255))
        image = Image.alpha_composite(white, image)
    return image.convert("RGB")
