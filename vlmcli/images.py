"""A file becomes a `Picture`: upright, RGB, bounded, known by the sha256 of its pixels.

The only reader of pictures. It knows nothing of models; how many tokens a picture takes is not its business.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from PIL import Image, ImageOps, TiffImagePlugin, UnidentifiedImageError, WebPImagePlugin

from vlmcli.errors import SourceError
from vlmcli.values import Picture

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")  # Pillow's other readers start programs, or are old
MAX_PIXELS = 100_000_000
MAX_RATIO = 200  # of the longer side to the shorter; encoders refuse or misread thinner strips

Image.MAX_IMAGE_PIXELS = None  # _check_size is stricter, and says what to do


assert TiffImagePlugin and WebPImagePlugin  # importing them makes Pillow know their formats


def load(path: Path, source: str = "") -> Picture:
    """Read a picture file, now: what Pillow cannot decode to its end is an error.

    EXIF orientation is applied, transparency is put on white, anything else becomes 8-bit RGB. `source` is what the
    user called it, the path by default. Raises SourceError, which names the path.
    """
    try:
        if path.is_dir():
            raise SourceError(f"{path}: a folder, not a picture", "name the pictures in it")
        if not path.is_file():
            what = "there is no such file" if not path.exists() else "not a regular file"
            raise SourceError(f"{path}: {what}", "check the path")
        if path.stat().st_size == 0:
            raise SourceError(f"{path}: the file is empty", "get the picture again")
        with Image.open(path, formats=FORMATS) as image:
            _check_size(path, image.size)
            upright = ImageOps.exif_transpose(image)
            if upright.mode in ("I", "F"):  # any scale would be a guess, and a wrong one is a black picture
                raise SourceError(f"{path}: its pixels are 32-bit numbers, not colours", "convert it to 8 or 16 bits")
            rgb = _rgb(upright)
    except SourceError:
        raise
    except UnidentifiedImageError:
        raise SourceError(
            f"{path}: not a picture in a format that is known here", "convert it to JPEG or PNG"
        ) from None
    except MemoryError:
        raise SourceError(f"{path}: too large for this machine's memory", "scale it down first") from None
    except Exception as error:  # a damaged file makes decoders raise anything: TypeError, RuntimeError, SyntaxError …
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise SourceError(f"{path}: cannot be read ({reason})", "check that it opens elsewhere") from error
    pixels = rgb.tobytes()
    return from_pixels(pixels, rgb.size, source or str(path))


def from_pixels(pixels: bytes, size: tuple[int, int], source: str) -> Picture:
    """A picture of pixels in memory: width * height * 3 bytes of RGB, rows from the top."""
    digest = hashlib.sha256(b"%dx%d\n" % size)
    digest.update(pixels)
    return Picture(digest.hexdigest(), size, source, lambda: pixels)


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
    if image.mode.startswith("I;16"):  # convert() would clip it
        image = image.convert("I").point(lambda value: value / 256).convert("L")
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, (255, 255, 255, 255))
        image = Image.alpha_composite(white, image)
    return image.convert("RGB")
