"""A file becomes a `Picture`: upright, sRGB, 8-bit, bounded, known by the sha256 of its pixels.

The only reader of pictures. It knows nothing of models; how many tokens a picture takes is not its business.

    from pathlib import Path
    from vlmcli.pictures import images
    picture = images.load(Path("IMG_0042.HEIC"))
    page = images.load(Path("letter.pdf"), frame=2)

What is done to a file, in this order: the memory it needs is checked before anything is decoded (`bounds`); a large
JPEG is decoded at a half, a quarter or an eighth; larger pictures than `BOUND`, or than is wished, are scaled to it; 16
bits become 8; colours become sRGB (`colours`); what is see-through is laid on a ground (`transparency`); EXIF
orientation is undone. Whatever of a picture is left out, or cannot be seen, is among its `notices`.
"""

from __future__ import annotations

import hashlib
import io
import logging
import math
import struct
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from PIL import AvifImagePlugin, Image, UnidentifiedImageError, WebPImagePlugin

from vlmcli import amounts, room
from vlmcli.errors import NoMemory, SourceError
from vlmcli.pictures import (
    avif,
    bmp,
    bounds,
    colours,
    depth,
    gif,
    given,
    jpeg_segments,
    other_files,
    pdf,
    png_chunks,
    signatures,
    tiff,
    transparency,
    truncated,
)
from vlmcli.pictures.bounds import Tell
from vlmcli.pictures.colours import Meaning
from vlmcli.values import Picture

FORMATS = ("JPEG", "PNG", "WEBP", "AVIF", "GIF")
"""Of Pillow's; its other readers start programs, or are old. The other formats have readers of their own."""
BOUND = 4096
"""Pixels of the longer side; no encoder looks at more."""
SEEK_SECONDS = 3.0
"""To get to a frame, whose place is known only by what is before it."""
PARTS = 8
"""Pictures that a long one is cut into at most."""
PAGE_DPI = 200
"""At which a PDF's pages are drawn, if `BOUND` allows."""

NOTICES = {"DICOM": "this is not a medical device: an answer about a DICOM picture is not a diagnosis"}
"""What the user must be told about a kind of file."""

UNSEEN = 8
"""Steps of 255 between the brightest and the darkest pixel, of which little is seen."""
_BYTES = {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16B": 2, "I;16L": 2}
"""That a pixel takes in Pillow's memory, by the mode; four in all others."""
_TURNS = dict(zip(range(2, 9), (Image.Transpose(way) for way in (0, 3, 1, 5, 4, 6, 2)), strict=True))
"""What makes a picture upright, by EXIF's orientations. Source: Exif 3.0, 4.6.5, table 4."""
_HEAD = 1 << 18
"""Bytes of a file in which its format says what its colours mean."""

Image.MAX_IMAGE_PIXELS = None  # bounds.check_size knows better, and says what to do

assert WebPImagePlugin and AvifImagePlugin  # importing them makes Pillow know their formats

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
    image, source, notices = _read(file, source, frame, min(bound or BOUND, BOUND), whole=not 0 < bound < BOUND)
    return from_pixels(image.tobytes(), image.size, source, notices)


def load_parts(file: Path | bytes, source: str = "", frame: int = 0) -> list[Picture]:
    """Read a picture file as `load` does; a long one is cut into at most `PARTS` pictures that overlap, in order.

    Each is scaled to `BOUND` for itself. Raises SourceError, which names the source.
    """
    image, source, notices = _read(file, source, frame, BOUND * PARTS, whole=False)
    cut = [bounds.bounded(part, BOUND) for part in bounds.parts(image, PARTS)]
    return [from_pixels(part.tobytes(), part.size, source, notices if not at else ()) for at, part in enumerate(cut)]


def _read(
    file: Path | bytes, source: str, frame: int, bound: int, *, whole: bool
) -> tuple[Image.Image, str, tuple[str, ...]]:
    """The picture of a file, RGB; its name, and what must be said of it.

    `whole` says that nobody has asked for anything else than all of it at once.
    """
    source = source or (str(file) if isinstance(file, Path) else f"{len(file)} bytes")
    told: list[str] = []
    with _named(source, file):
        what = kind(file, source)
        file = bmp.within(file) or file
        image = _pixels(file, source, frame, what, bound, told.append, whole=whole)
        _remark_on_emptiness(image, told.append)
    known = (NOTICES[what],) if what in NOTICES else ()
    return image, source, known + tuple(f"{source}: {text}" for text in dict.fromkeys(told))


@contextmanager
def _named(source: str, file: Path | bytes = b"") -> Iterator[None]:
    """Whatever a damaged file makes decoders raise is a SourceError that names it."""
    try:
        yield
    except SourceError:
        raise
    except UnidentifiedImageError:
        raise SourceError(
            f"{source}: not a picture in a format that vlm reads", "convert it to JPEG or PNG first"
        ) from None
    except Exception as error:  # a damaged file makes decoders raise anything: TypeError, RuntimeError, SyntaxError …
        raise _read_error(source, error, file) from error


def _read_error(source: str, error: Exception, file: Path | bytes) -> SourceError:
    """The error for a picture whose decoder has raised something; whether the picture is to blame, or memory."""
    if room.is_out(error, honest=bounds.MAX_MEMORY):
        return NoMemory(f"{source}: not enough memory to read it", f"{room.HINT}; --retry-errors tries again")
    if isinstance(error, MemoryError):
        return SourceError(f"{source}: too large for this machine's memory", "scale it down first")
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    is_cut = truncated.is_cut(reason, file)
    hint = "copy or download it again" if is_cut else "the file may be damaged"
    if room.is_short(bounds.MAX_MEMORY):  # some decoders do not say why they fail
        hint += f", or memory may be short: {room.HINT}"
    return SourceError(f"{source}: {'the file ends too early' if is_cut else f'cannot be read ({reason})'}", hint)


def from_pixels(pixels: bytes, size: tuple[int, int], source: str, notices: tuple[str, ...] = ()) -> Picture:
    """A picture of pixels in memory: width * height * 3 bytes of RGB, rows from the top."""
    digest = hashlib.sha256(b"%dx%d\n" % size)
    digest.update(pixels)
    return Picture(digest.hexdigest(), size, source, lambda: pixels, notices)


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
    with _named(source, file):
        what = kind(file, source)
        file_size = len(file) if isinstance(file, bytes) else file.stat().st_size
        if what == "PDF":
            return Facts("PDF", None, "", 1, pdf.count(file, source), file_size)
        if what == "DICOM":
            from vlmcli.pictures import dicom

            size, count = dicom.facts(file, source)
            return Facts("DICOM", size, "", 1, count, file_size)
        if what == "TIFF":
            return Facts("TIFF", *tiff.facts(file, source), file_size)
        with opened(bmp.within(file) or file, what) as image:
            orientation = _orientation(image, source)  # libheif has turned the pixels, and says 1
            count = getattr(image, "n_frames", 1)
            return Facts(str(image.format), image.size, image.mode, orientation, count, file_size)


def stored_size(file: Path | bytes, source: str) -> tuple[int, int] | None:
    """Width and height as a file has them; None as in `Facts`. Raises SourceError, which names the source.

    Nothing is decoded, whereas Pillow looks for the orientation of a PNG behind its pixels.
    """
    with _named(source, file):
        what = kind(file, source)
        if what in ("PDF", "DICOM", "TIFF"):
            return facts(file, source).size
        with opened(bmp.within(file) or file, what) as image:
            return image.size


def pages(file: Path | bytes, source: str = "") -> tuple[int, ...]:
    """The numbers of the pages of a PDF or a TIFF that has several; none for any other file.

    The frames of an animation are not pictures of their own. Raises SourceError where the file cannot be opened.
    """
    source = source or (str(file) if isinstance(file, Path) else f"{len(file)} bytes")
    what = kind(file, source)
    if what == "TIFF":
        with _named(source):
            return tiff.pages(file, source)
    count = pdf.count(file, source) if what == "PDF" else 1
    return tuple(range(1, count + 1)) if count > 1 else ()


def kind(file: Path | bytes, source: str) -> str:
    """PDF, HEIC, TIFF, DICOM, or "" for what Pillow reads, by the first bytes.

    Raises SourceError, also for its size.
    """
    head = given.named_head(file, source, signatures.HEAD) if isinstance(file, Path) else file[: signatures.HEAD]
    size = file.stat().st_size if isinstance(file, Path) else len(file)
    if size == 0:
        raise SourceError(f"{source}: the file is empty", "copy or download the picture again")
    if size > given.MAX_BYTES:
        raise SourceError(f"{source}: {amounts.size(size)} is more than a picture has", "check what the file is")
    if head[128:132] == b"DICM" or signatures.is_data_set(head):
        return "DICOM"
    if head[:4] in tiff.HEADS:
        return "TIFF"
    if b"%PDF-" in head:
        return "PDF"
    if other := other_files.recognised(head, source):
        raise SourceError(f"{source}: {other.what}", other.hint)
    if head[4:8] == b"ftyp" and not signatures.brands(head) & signatures.AVIF:
        return "HEIC"
    return ""


def _pixels(
    file: Path | bytes, source: str, frame: int, what: str, bound: int, tell: Tell, *, whole: bool
) -> Image.Image:
    """The picture of a file of that kind: upright, RGB, no side longer than `bound`."""
    if what == "PDF":
        drawn = pdf.page(file, source, frame, PAGE_DPI, bound)
        if drawn.notice:
            tell(drawn.notice)
        if whole:
            bounds.remark(drawn.size, tell)
        return Image.frombytes("RGB", drawn.size, drawn.pixels)
    if what == "DICOM":
        from vlmcli.pictures import dicom

        shown = Image.fromarray(dicom.frame(file, source, frame, bounds.check_size, tell))
        return bounds.bounded(shown, bound).convert("RGB")
    if what == "TIFF":
        told: list[str] = []
        shown = tiff.page(file, source, frame, bound, told.append, whole=whole)
        if signatures.is_raw(given.head(file, signatures.HEAD), source):
            remark = other_files.preview(shown.size, source, bound)
            told += [] if any(tiff.RAW in text for text in told) else [remark]
        for text in told:
            tell(text)
        return _rgb(bounds.bounded(shown, bound), shown.info.get("icc_profile"), source, tell)
    try:
        return _decoded(file, source, frame, what, bound, tell, whole=whole)
    except (SyntaxError, ValueError, struct.error):  # what Pillow raises about a PNG's chunks behind its pixels
        bare = png_chunks.bare(given.data(file)) if frame <= 1 else None
        if bare is None:
            raise
        return _decoded(bare, source, frame, what, bound, tell, whole=whole)


def _decoded(
    file: Path | bytes, source: str, frame: int, what: str, bound: int, tell: Tell, *, whole: bool
) -> Image.Image:
    """What Pillow and libheif make of a file."""
    with opened(file, what) as image:
        if frame:
            _check_memory(image, source)
            gif.clear(image, source, animated=frame > 1)
            _seek(image, source, frame)
        else:
            gif.clear(image, source, animated=False)
            _remark_on_others(image, file, source, tell)
        truncated.check_scans(image, file, source)
        stored = image.size
        _check_memory(image, source, 0 if frame else bound)
        head = given.head(file, _HEAD)
        meant = colours.meaning(image, head)  # before more is read: what comes behind a PNG's pixels does not count
        if image.mode in ("I", "F"):  # any scale would be a guess, and a wrong one is a black picture
            raise SourceError(f"{source}: its pixels are 32-bit numbers, not colours", "convert it to 8 or 16 bits")
        image.load()
        if frame <= 1 or image.format == "MPO":
            truncated.check(image, file, source)
        if image.format == "AVIF":
            image = avif.cropped(image, given.data(file))
            stored = image.size
        turned = _orientation(image, source)
        if whole:
            bounds.remark(stored if turned < 5 else stored[::-1], tell)
        alpha = transparency.keyed(image, head[24] if image.format == "PNG" else 8, lambda: opened(file, what))
        if image.mode.startswith("I;16"):
            image, note = depth.of_image(image)
        elif image.format == "PNG" and head[24] == 16:
            note = depth.stretch(image, lambda: opened(file, what))
        else:
            note = ""
        if note:
            tell(note)
        if alpha is not None:
            image.putalpha(alpha)
        small = bounds.bounded(image, bound)
        return _rgb(small.transpose(_TURNS[turned]) if turned > 1 else small, meant, source, tell)


def _check_memory(image: Image.Image, source: str, bound: int = 0) -> None:
    """Raise SourceError where an opened picture needs too much memory.

    A JPEG is set to be decoded at the smallest of 1, 1/2, 1/4 and 1/8 of its sides that is not below `bound`, if that
    is given; what a progressive one needs is two bytes for each sample of the whole.
    """
    if bound and image.format in ("JPEG", "MPO"):
        samples: list[tuple[int, int, int, int]] = getattr(image, "layer", [])
        most = max((across * down for _, across, down, _ in samples), default=1)
        share = sum(across * down for _, across, down, _ in samples) / most
        bounds.check_size(source, image.size, math.ceil(2 * share) if image.info.get("progressive") else 1)
        image.draft(None, (bound, bound))
    each = 6 if image.format in ("WEBP", "AVIF", "HEIF") else _BYTES.get(image.mode, 4)  # with the decoder's own copy
    if image.mode != "P" and "transparency" in image.info:
        each = max(each, 4)  # it gets an alpha
    bounds.check_size(source, image.size, each)


def _orientation(image: Image.Image, source: str) -> int:
    """How an opened picture is to be turned, by EXIF: 1, as it is, to 8. Damaged EXIF is left out from then on."""
    try:
        found = image.getexif().get(0x0112, 1)
    except Exception as error:  # anything: whatever its numbers lead to
        if room.is_out(error, honest=bounds.MAX_MEMORY):
            raise
        log.warning("%s: its EXIF cannot be read (%s)", source, error)
        for name in ("exif", "Raw profile type exif"):
            image.info.pop(name, None)
        return 1
    return found if isinstance(found, int) and 1 <= found <= 8 else 1


@contextmanager
def opened(file: Path | bytes, what: str) -> Iterator[Image.Image]:
    """A file of that `kind` as Pillow opens it, through libheif for HEIC and HEIF; nothing is decoded yet.

    What is said in a TIFF can be read from it; its pixels are for `tiff` to decode. Raises what Pillow raises about a
    damaged file.
    """
    with given.opened(file) as stream, _opened(stream, what, file) as image:
        yield image


def _opened(stream: BinaryIO, what: str, file: Path | bytes) -> Image.Image:
    if what == "HEIC":
        import pillow_heif

        read: Callable[..., Image.Image] = pillow_heif.HeifImageFile  # of any brand: Pillow goes by a list of them
        try:
            return read(stream)
        except SyntaxError as error:  # what libheif says of films, and of damaged pictures
            raise UnidentifiedImageError(str(error)) from error
    if bmp.is_one(given.head(file, _HEAD)):
        return bmp.Bitmap(stream)
    try:
        return Image.open(stream, formats=("TIFF",) if what == "TIFF" else FORMATS)
    except (UnidentifiedImageError, SyntaxError, ValueError, RuntimeError, struct.error):
        # of a PNG's chunks, or an AVIF's gain map
        head = given.head(file, 64)
        if head[4:8] != b"ftyp" and head[1:4] != b"PNG" and head[:2] != b"\xff\xd8":
            raise
        data = given.data(file)
        bare = avif.without_exif, png_chunks.bare, jpeg_segments.bare
        mended = avif.mended(data) or next(filter(None, (without(data) for without in bare)), None)
        if mended is None:
            raise
        return Image.open(io.BytesIO(mended), formats=FORMATS)


def _seek(image: Image.Image, source: str, frame: int) -> None:
    """Go to a frame, one after the other: most formats must, and a small file may have millions."""
    end = time.monotonic() + SEEK_SECONDS
    for number in range(1, frame):
        gif.forget(image)
        try:
            image.seek(number)
        except EOFError:
            have = "one picture" if number == 1 else f"{number} frames"
            hint = f"choose a number from 1 to {number}" if number > 1 else f"leave out #{frame}"
            raise SourceError(f"{source}: there is no number {frame}; the file has {have}", hint) from None
        if time.monotonic() > end:
            raise SourceError(
                f"{source}: reading up to number {frame} takes more than {SEEK_SECONDS:g} s",
                "save the frame as a picture first",
            )


def _rgb(image: Image.Image, meant: Meaning | bytes | None, source: str, tell: Tell) -> Image.Image:
    """The picture as 8-bit sRGB, with its transparency laid on a ground."""
    if image.mode in ("1", "P", "PA"):
        image = bounds.with_colors(image)
    elif image.mode in ("RGBa", "La"):
        image = image.convert(image.mode.upper())
    alpha = None
    if image.mode in ("RGBA", "LA"):
        alpha = image.getchannel("A")
        image = image.convert("RGB") if image.mode == "RGBA" else image.getchannel("L")
    elif "transparency" in image.info:
        alpha = image.convert("RGBA").getchannel("A")
    image = colours.srgb(image, meant, source)
    return image if alpha is None else transparency.laid(image, alpha, tell)


def _remark_on_others(image: Image.Image, file: Path | bytes, source: str, tell: Tell) -> None:
    """Tell of the other pictures of a file, as it is opened: the rest of an animation, of a HEIC, of a stereo picture.

    What else an MPO file may have are thumbnails and gain maps, which are no pictures of their own.
    """
    if image.format == "HEIF":
        count = getattr(image, "n_frames", 1)
        if count > 1:
            tell(f"only one of its {count} pictures is used; choose another: {source}#1 to {source}#{count}")
    elif image.format == "MPO":
        entries = getattr(image, "mpinfo", {}).get(0xB002, ())  # of CIPA DC-007, 5.2.3.3
        kinds = [str(entry.get("Attribute", {}).get("MPType", "")) for entry in entries]
        if any("Multi-Frame" in kind for kind in kinds[1:]):
            tell(f"only the first of its {len(kinds)} pictures is used; to ask about the second: {source}#2")
    elif image.format == "GIF":
        try:
            with opened(file, "") as again:  # where looking for a second frame harms nothing
                animated = getattr(again, "is_animated", False)
        except Exception as error:  # as in _named: the first frame may be whole
            if room.is_out(error, honest=bounds.MAX_MEMORY):
                raise
            animated = False
        if animated:
            tell(f"only the first frame of the animation is used; to ask about the second: {source}#2")
    elif getattr(image, "is_animated", False):
        frames = getattr(image, "n_frames", 1)
        tell(f"only the first of the animation's {frames} frames is used; to ask about the second: {source}#2")


def _remark_on_emptiness(image: Image.Image, tell: Tell) -> None:
    """Tell of a picture in which nothing can be seen."""
    least, most = zip(*image.getextrema(), strict=True)
    spread = max(high - low for low, high in zip(least, most, strict=True))
    if not spread:
        tell("every pixel has the same colour, so there is nothing to see")
    elif spread <= UNSEEN:
        tell(f"the brightest and the darkest pixel differ by {spread} of 255, so there is hardly anything to see")
