"""A file becomes a `Picture`: upright, sRGB, 8-bit, bounded, known by the sha256 of its pixels.

The only reader of pictures. It knows nothing of models; how many tokens a picture takes is not its business.

    from pathlib import Path
    from vlmcli.pictures import images
    picture = images.load(Path("IMG_0042.HEIC"))
    page = images.load(Path("letter.pdf"), frame=2)

What is done to a file, in this order: its size is checked before anything is decoded; a large JPEG is decoded at a
half, a quarter or an eighth; larger pictures than `BOUND`, or than is wished, are scaled to it; 16 bits become 8 (the
upper ones); an ICC profile becomes sRGB; transparency is laid on white; EXIF orientation is undone.
"""

from __future__ import annotations

import difflib
import hashlib
import io
import logging
import os
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from PIL import AvifImagePlugin, Image, ImageOps, TiffImagePlugin, UnidentifiedImageError, WebPImagePlugin

from vlmcli import amounts
from vlmcli.errors import SourceError
from vlmcli.pictures import pdf, truncated
from vlmcli.values import Picture

FORMATS = ("JPEG", "PNG", "WEBP", "AVIF", "GIF", "BMP", "TIFF")
"""Of Pillow's; its other readers start programs, or are old. HEIC, PDF and DICOM have readers of their own."""
MAX_BYTES = 1 << 30
MAX_PIXELS = 100_000_000
MAX_RATIO = 200
"""Of the longer side to the shorter; encoders refuse or misread thinner strips."""
BOUND = 4096
"""Pixels of the longer side; no encoder looks at more."""
SEEK_SECONDS = 3.0
"""To get to a frame, whose place is known only by what is before it."""
PAGE_DPI = 200
"""At which a PDF's pages are drawn, if `BOUND` allows."""

NOTICES = {"DICOM": "this is not a medical device: an answer about a DICOM picture is no finding"}
"""What the user must be told about a kind of file."""

Image.MAX_IMAGE_PIXELS = None  # _check_size is stricter, and says what to do

assert TiffImagePlugin and WebPImagePlugin and AvifImagePlugin  # importing them makes Pillow know their formats

for library in ("PIL", "pydicom"):
    warnings.filterwarnings("ignore", module=rf"{library}\.")  # of damaged tags; what cannot be read is an error anyway

logging.getLogger("PIL").addHandler(logging.NullHandler())
log = logging.getLogger("vlmcli.pictures.images")


def load(file: Path | bytes, source: str = "", frame: int = 0, bound: int = 0) -> Picture:
    """Read a picture file, now: what cannot be decoded to its end is an error.

    Args:
        file: a regular file in a known format, whatever its name ends with; or its bytes.
        source: what the user called it, the path by default.
        frame: of a GIF, TIFF, WebP, AVIF, HEIC or DICOM, or the page of a PDF, from 1; 0 for the first one, and for a
            PDF the only one.
        bound: pixels that its longer side is scaled down to; 0, and all above, for `BOUND`.

    Raises:
        SourceError: which names the source.
    """
    source = source or (str(file) if isinstance(file, Path) else f"{len(file)} bytes")
    with _named(source):
        what = kind(file, source)
        rgb = _pixels(file, source, frame, what, min(bound or BOUND, BOUND))
    return from_pixels(rgb.tobytes(), rgb.size, source, NOTICES.get(what, ""))


@contextmanager
def _named(source: str) -> Iterator[None]:
    """Whatever a damaged file makes decoders raise is a SourceError that names it."""
    try:
        yield
    except SourceError:
        raise
    except UnidentifiedImageError:
        raise SourceError(
            f"{source}: not a picture in a format that is known here", "convert it to JPEG or PNG"
        ) from None
    except MemoryError:
        raise SourceError(f"{source}: too large for this machine's memory", "scale it down first") from None
    except Exception as error:  # a damaged file makes decoders raise anything: TypeError, RuntimeError, SyntaxError …
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise SourceError(f"{source}: cannot be read ({reason})", "check that it opens elsewhere") from error


def from_pixels(pixels: bytes, size: tuple[int, int], source: str, notice: str = "") -> Picture:
    """A picture of pixels in memory: width * height * 3 bytes of RGB, rows from the top."""
    digest = hashlib.sha256(b"%dx%d\n" % size)
    digest.update(pixels)
    return Picture(digest.hexdigest(), size, source, lambda: pixels, notice)


def png(pixels: bytes, size: tuple[int, int], bound: int = 0) -> bytes:
    """A PNG file of width * height * 3 bytes of RGB; scaled so that no side is longer than `bound`, if one is given."""
    image = Image.frombytes("RGB", size, pixels)
    if bound:
        image.thumbnail((bound, bound), Image.Resampling.BICUBIC)
    kept = io.BytesIO()
    image.save(kept, "PNG")
    return kept.getvalue()


@dataclass(frozen=True)
class Facts:
    """What a file says of its picture before it is decoded.

    Attributes:
        format: as Pillow calls it; PDF.
        size: width and height as they are stored; None where that is known only after decoding.
        mode: of its pixels, as Pillow calls it ("RGB", "CMYK", "P" …); empty for a PDF.
        orientation: of EXIF, 1 to 8.
        frames: or pages.
        file_size: in bytes.
    """

    format: str
    size: tuple[int, int] | None
    mode: str
    orientation: int
    frames: int
    file_size: int


def facts(file: Path | bytes, source: str = "") -> Facts:
    """Read what a file says of itself; its pixels are not decoded. Raises SourceError, which names the source."""
    source = source or (str(file) if isinstance(file, Path) else f"{len(file)} bytes")
    with _named(source):
        what = kind(file, source)
        file_size = len(file) if isinstance(file, bytes) else file.stat().st_size
        if what == "PDF":
            return Facts("PDF", None, "", 1, pdf.count(file, source), file_size)
        if what == "DICOM":
            return Facts("DICOM", None, "", 1, 1, file_size)
        opened = io.BytesIO(file) if isinstance(file, bytes) else file
        with _heic(opened) if what == "HEIC" else Image.open(opened, formats=FORMATS) as image:
            turned = image.getexif().get(0x0112, 1)  # libheif has turned the pixels, and says 1
            orientation = turned if isinstance(turned, int) and 1 <= turned <= 8 else 1
            count = getattr(image, "n_frames", 1)
            return Facts(str(image.format), image.size, image.mode, orientation, count, file_size)


def frames(path: Path, source: str = "") -> int:
    """How many pages a PDF has, or 1 for any other file: the frames of an animation are not pictures of their own.

    Raises SourceError where the file cannot be opened.
    """
    source = source or str(path)
    if kind(path, source) != "PDF":
        return 1
    return pdf.count(path, source)


def kind(file: Path | bytes, source: str) -> str:
    """PDF, HEIC, DICOM, or "" for what Pillow reads, by the first bytes. Raises SourceError, also for its size."""
    head = _head(file, source) if isinstance(file, Path) else file[:1024]
    size = file.stat().st_size if isinstance(file, Path) else len(file)
    if size == 0:
        raise SourceError(f"{source}: the file is empty", "get the picture again")
    if size > MAX_BYTES:
        raise SourceError(f"{source}: {amounts.size(size)} are more than a picture has", "check what it is")
    if head[128:132] == b"DICM":
        return "DICOM"
    if b"%PDF-" in head:
        return "PDF"
    if head[4:8] == b"ftyp" and not _brands(head) & {b"avif", b"avis"}:
        return "HEIC"
    return ""


def _head(path: Path, source: str) -> bytes:
    """The first bytes of a regular file."""
    if path.is_dir():
        try:
            next(path.iterdir(), None)
        except OSError as error:
            raise SourceError(
                f"{source}: the folder cannot be read ({error.strerror})", "check its permissions"
            ) from None
        raise SourceError(f"{source}: a folder, not a picture", "name the pictures in it")
    if not path.is_file():
        if path.exists():
            raise SourceError(f"{source}: not a regular file", "check the path")
        raise SourceError(f"{source}: there is no such file", _nearest(path) or "check the path")
    try:
        with path.open("rb") as file:
            return file.read(1024)
    except OSError as error:
        raise SourceError(f"{source}: cannot be read ({error.strerror})", "check its permissions") from error


def _nearest(path: Path) -> str:
    """A hint that names the most similar file of the same folder, or nothing."""
    try:
        names = [entry.name for entry, _ in zip(os.scandir(path.parent), range(10_000), strict=False)]
    except OSError:
        return ""
    close = difflib.get_close_matches(path.name, names, 1, 0.75)
    return f"did you mean {path.with_name(close[0])}?" if close else ""


def _brands(head: bytes) -> set[bytes]:
    """The major and the compatible brands of an ISO base media file (ISO/IEC 14496-12, 4.3)."""
    end = min(int.from_bytes(head[:4], "big"), len(head))
    return {head[8:12], *(head[at : at + 4] for at in range(16, end - 3, 4))}


def _pixels(file: Path | bytes, source: str, frame: int, what: str, bound: int) -> Image.Image:
    """The picture of a file of that kind: upright, RGB, no side longer than `bound`."""
    if what == "PDF":
        size, pixels = pdf.page(file, source, frame, PAGE_DPI, bound)
        return Image.frombytes("RGB", size, pixels)
    if what == "DICOM":
        from vlmcli.pictures import dicom

        return _bounded(Image.fromarray(dicom.frame(file, source, frame, _check_size)), bound).convert("RGB")
    opened = io.BytesIO(file) if isinstance(file, bytes) else file
    with _heic(opened) if what == "HEIC" else Image.open(opened, formats=FORMATS) as image:
        _check_size(source, image.size)
        if frame:
            _seek(image, source, frame)
            _check_size(source, image.size)
        truncated.check_scans(image, file, source)
        if frame == 0 and image.format in ("JPEG", "MPO"):
            image.draft(None, (bound, bound))  # decoded at the smallest of 1, 1/2, 1/4, 1/8 that is not below
        if image.mode in ("I", "F"):  # any scale would be a guess, and a wrong one is a black picture
            raise SourceError(f"{source}: its pixels are 32-bit numbers, not colours", "convert it to 8 or 16 bits")
        image.load()
        if frame <= 1 or image.format == "MPO":
            truncated.check(image, file, source)
        return _rgb(ImageOps.exif_transpose(_bounded(image, bound)), source)


def _heic(file: Path | io.BytesIO) -> Image.Image:
    """HEIC and HEIF, through libheif."""
    import pillow_heif

    pillow_heif.register_heif_opener()
    return Image.open(file, formats=("HEIF",))


def _seek(image: Image.Image, source: str, frame: int) -> None:
    """Go to a frame, one after the other: most formats must, and a small file may have millions."""
    end = time.monotonic() + SEEK_SECONDS
    for number in range(1, frame):
        try:
            image.seek(number)
        except EOFError:
            have = "one picture" if number == 1 else f"{number} frames"
            raise SourceError(f"{source}: the file has {have}, no number {frame}", f"name one up to {number}") from None
        if time.monotonic() > end:
            raise SourceError(
                f"{source}: number {frame} is not reached within {SEEK_SECONDS:g} s",
                "save the frame as a picture first",
            )


def _check_size(source: str, size: tuple[int, int]) -> None:
    """Raise SourceError for a size in pixels that is too large to decode, or too thin to be seen."""
    width, height = size
    if min(size) < 1:
        raise SourceError(f"{source}: a picture of {width}x{height} pixels", "get the picture again")
    if width * height > MAX_PIXELS:
        raise SourceError(
            f"{source}: {width}x{height} is more than {MAX_PIXELS // 10**6} million pixels", "scale it down first"
        )
    if max(size) > MAX_RATIO * min(size):
        raise SourceError(
            f"{source}: a strip of {width}x{height} pixels is too thin to be seen", "cut a part out of it"
        )


def _bounded(image: Image.Image, bound: int) -> Image.Image:
    """No side longer than `bound`; before anything is copied, so that a large picture is in memory once."""
    share = bound / max(image.size)
    if share >= 1:
        return image
    size = (max(1, round(image.width * share)), max(1, round(image.height * share)))
    if image.mode in ("1", "P", "PA"):
        image = _with_colors(image)
    kept = image.info
    small = image.resize(size, Image.Resampling.BICUBIC, reducing_gap=2.0)
    small.info = kept
    exif = image.getexif()
    if exif:
        small.info["exif"] = exif.tobytes()
    return small


def _with_colors(image: Image.Image) -> Image.Image:
    """A palette's or bitmap's pixels as colours."""
    if image.mode == "1":
        return image.convert("L")
    return image.convert("RGBA" if image.mode == "PA" or "transparency" in image.info else "RGB")


def _rgb(image: Image.Image, source: str) -> Image.Image:
    """The picture as 8-bit sRGB, with its transparency laid on white."""
    profile = image.info.get("icc_profile")
    if image.mode.startswith("I;16"):  # convert() would clip it
        image = image.convert("I").point(lambda value: value / 256).convert("L")
    if image.mode in ("1", "P", "PA"):
        image = _with_colors(image)
    elif image.mode in ("RGBa", "La"):
        image = image.convert(image.mode.upper())
    alpha = None
    if image.mode in ("RGBA", "LA"):
        alpha = image.getchannel("A")
        image = image.convert("RGB") if image.mode == "RGBA" else image.getchannel("L")
    elif "transparency" in image.info:
        alpha = image.convert("RGBA").getchannel("A")
    image = _srgb(image, profile, source) if profile else image.convert("RGB")
    if alpha is None:
        return image
    white = Image.new("RGB", image.size, (255, 255, 255))
    white.paste(image, mask=alpha)
    return white


def _srgb(image: Image.Image, profile: bytes, source: str) -> Image.Image:
    """Colours as the ICC profile means them. A damaged profile is logged and ignored, as all viewers do."""
    from PIL import ImageCms

    try:
        meant = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if "sRGB" in ImageCms.getProfileDescription(meant):
            return image.convert("RGB")
        if image.mode not in ("L", "RGB", "CMYK"):
            image = image.convert("RGB")
        flags = ImageCms.Flags.BLACKPOINTCOMPENSATION
        intent = ImageCms.Intent.RELATIVE_COLORIMETRIC
        srgb = ImageCms.createProfile("sRGB")
        found = ImageCms.profileToProfile(image, meant, srgb, intent, outputMode="RGB", flags=flags)
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError) as error:
        log.warning("%s: its colour profile cannot be used (%s)", source, error)
        return image.convert("RGB")
    assert found is not None  # it is, unless asked to work in place
    return found
