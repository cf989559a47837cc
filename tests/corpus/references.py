"""What other programs make of a file: ImageMagick, pdftoppm, dcm2pnm, exiftool.

`kind` says by a file's first bytes what it is, `look` has it read by the program for that kind.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np
from PIL import ImageCms

SUFFIXES = {
    ".jpg": "JPEG", ".jpeg": "JPEG", ".jpe": "JPEG", ".jfif": "JPEG", ".jif": "JPEG", ".mpo": "JPEG", ".png": "PNG",
    ".apng": "PNG", ".gif": "GIF", ".bmp": "BMP", ".dib": "BMP", ".tif": "TIFF", ".tiff": "TIFF", ".webp": "WEBP",
    ".avif": "AVIF", ".avifs": "AVIF", ".heic": "HEIC", ".heif": "HEIC", ".heics": "HEIC", ".hif": "HEIC",
    ".pdf": "PDF", ".dcm": "DICOM", ".dicom": "DICOM",
}  # fmt: skip
"""What a file is whose first bytes say nothing: the damaged ones."""

SECONDS = 30
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1"}
"""A thread for each program, as several run at a time."""
MEMORY = 4 << 20
"""KiB of address space."""


@dataclass(frozen=True)
class Seen:
    """What another program made of a file.

    Attributes:
        program: its name; empty where none is installed.
        pages: how many pictures of their own it has; None where the program does not say, or for an animation.
        pictures: pixels by the number of the page: uint8, height x width x 3.
        size: width and height, where the pixels are not known.
        error: why the program refuses it.
    """

    program: str = ""
    pages: int | None = None
    pictures: dict[int, np.ndarray] = field(default_factory=dict)
    size: tuple[int, int] | None = None
    error: str = ""


def kind(path: Path) -> str:
    """The format of a file by its first bytes, or else by its suffix; empty for what is no picture."""
    try:
        with path.open("rb") as file:
            head = file.read(1024)
    except OSError:
        return ""
    if head[128:132] == b"DICM":  # whatever is before it: some are TIFFs, too
        return "DICOM"
    for start, name in (
        (b"\xff\xd8\xff", "JPEG"), (b"\x89PNG\r\n\x1a\n", "PNG"), (b"GIF8", "GIF"),
        (b"II*\0", "TIFF"), (b"MM\0*", "TIFF"), (b"II+\0", "TIFF"), (b"MM\0+", "TIFF"),
    ):  # fmt: skip
        if head.startswith(start):
            return name if name != "TIFF" or SUFFIXES.get(path.suffix.lower(), "TIFF") == "TIFF" else ""
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WEBP"
    if head[4:8] == b"ftyp" and head[8:12] in (b"avif", b"avis"):
        return "AVIF"
    if head[4:8] == b"ftyp" and head[8:12] in (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1"):
        return SUFFIXES.get(path.suffix.lower(), "HEIC")
    if b"%PDF-" in head:
        return "PDF"
    return SUFFIXES.get(path.suffix.lower(), "")


def look(path: Path, what: str, pages: list[int]) -> Seen:
    """Have a file of a kind read by the program for it, the pages of these numbers, from 1."""
    with tempfile.TemporaryDirectory() as folder:
        link = Path(folder, f"file{path.suffix}")  # ImageMagick has a syntax for names: [ ] % :
        try:
            link.symlink_to(path.resolve())
        except OSError:
            shutil.copyfile(path, link)
        try:
            return {"PDF": _poppler, "DICOM": _dcmtk}.get(what, _magick)(link, what, pages)
        except _Failed as error:
            return Seen(error.program, error=error.reason.replace(str(link), path.name)[:200])


class _Failed(Exception):
    """A program did not read a file."""

    def __init__(self, program: str, reason: str):
        super().__init__(reason)
        self.program, self.reason = program, reason


@cache
def program(*names: str) -> str:
    """The path of the first of these programs that is installed, or nothing."""
    return next(filter(None, map(shutil.which, names)), "")


def _run(*words: str | Path) -> bytes:
    """The stdout of a program. Raises _Failed where it fails, or takes more than its time or memory."""
    command = ["sh", "-c", f'ulimit -v {MEMORY}; exec "$@"', "sh"] if os.name == "posix" else []
    command += map(str, words)
    name = Path(words[0]).name
    try:
        done = subprocess.run(command, capture_output=True, timeout=SECONDS, check=False, env=ENVIRONMENT)
    except subprocess.TimeoutExpired:
        raise _Failed(name, f"not read within {SECONDS} s") from None
    if done.returncode != 0:
        lines = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise _Failed(name, lines[0] if lines else f"it ended with {done.returncode}")
    return done.stdout


def _pnm(data: bytes, name: str) -> np.ndarray:
    """The pixels of a binary PGM or PPM of 8 bits: uint8, height x width x 3."""
    try:
        mark, width, height, most = data[:64].split(maxsplit=4)[:4]
        channels = {b"P5": 1, b"P6": 3}[mark]
        shape = int(height), int(width), channels
        if int(most) != 255:
            raise ValueError("not 8 bits")
        pixels = np.frombuffer(data[-shape[0] * shape[1] * channels :], np.uint8).reshape(shape)
    except (ValueError, KeyError) as error:
        raise _Failed(name, f"it gave no picture ({error})") from None
    return np.repeat(pixels, 3, 2) if channels == 1 else pixels


# --- Pictures ---


@cache
def _profile() -> str:
    """The path of an sRGB profile, kept until the program ends."""
    file = tempfile.NamedTemporaryFile(suffix=".icc")  # noqa: SIM115 - removed with the process
    file.write(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    file.flush()
    _KEPT.append(file)
    return file.name


_KEPT: list = []


def _magick(path: Path, what: str, pages: list[int]) -> Seen:
    """A picture through ImageMagick: upright, sRGB, on white."""
    convert, identify = program("magick", "convert-im6.q16", "convert"), program("identify-im6.q16", "identify")
    if not convert:
        return Seen()
    name = Path(convert).name
    ask = [convert, "identify"] if name == "magick" else [identify]
    try:
        count = len(_run(*ask, "-ping", "-format", "%w %h\n", path).split(b"\n")) - 1
    except _Failed:  # it may still decode the first one
        count = 1
    own = what in ("TIFF", "HEIC", "AVIF")  # the others are frames of one animation, or a thumbnail
    found = {}
    for page in pages:
        if own and count and page > count:
            break
        found[page] = _pnm(_converted(convert, path, page - 1, what), name)
    return Seen(name, max(1, count) if own else None, found)


def _converted(convert: str, path: Path, index: int, what: str) -> bytes:
    """One frame as PPM; through its colour profile, if that can be done."""
    data = path.read_bytes()
    before = [convert, "-limit", "memory", "1GiB", "-limit", "map", "2GiB", f"{path}[{index}]", "-auto-orient"]
    after = ["-colorspace", "sRGB", "-background", "white"]
    after += ["-flatten"] if what in ("GIF", "WEBP") else ["-alpha", "remove", "+repage"]  # a frame on its canvas
    after += ["-alpha", "off", "-depth", "8", "+set", "comment", "ppm:-"]
    if b"acsp" in data or (what == "PNG" and b"iCCP" in data[:1000]):
        try:
            return _run(*before, "-profile", _profile(), *after)
        except _Failed:
            pass
    return _run(*before, *after)


# --- PDF ---


def _poppler(path: Path, what: str, pages: list[int]) -> Seen:
    """Pages through pdftoppm, as a viewer shows them: within the crop box, with their annotations."""
    draw, info = program("pdftoppm"), program("pdfinfo")
    if not draw:
        return Seen()
    count = None
    if info:
        lines = _run(info, path).decode("utf-8", "replace").splitlines()
        count = next((int(line.split()[1]) for line in lines if line.startswith("Pages:")), None)
    found = {}
    for page in pages:
        if count is not None and page > count:
            break
        drawn = _run(draw, "-cropbox", "-f", str(page), "-l", str(page), "-scale-to", "800", path)
        found[page] = _pnm(drawn, "pdftoppm")
    return Seen("pdftoppm", count, found)


# --- DICOM ---


def _dcmtk(path: Path, what: str, pages: list[int]) -> Seen:
    """A frame through dcm2pnm: the file's first window, or its table, or else from the least to the greatest."""
    programs = [found for found in map(program, ("dcm2pnm", "dcmj2pnm", "dcml2pnm")) if found]
    if not programs:
        return Seen()
    found = {}
    target = path.with_name("out.pnm")
    for page in pages:
        failed = None
        for convert, window in [(a, b) for a in programs for b in (["+Wi", "1"], ["+Wl", "1"], ["+Wm"], [])]:
            try:
                _run(convert, "+F", str(page), *window, path, target)
                found[page] = _pnm(target.read_bytes(), Path(convert).name)
                break
            except (_Failed, OSError) as error:
                failed = error
        else:
            raise failed if isinstance(failed, _Failed) else _Failed("dcm2pnm", str(failed))
    return Seen("dcm2pnm", None, found)


# --- What a file says of itself ---


def sizes(paths: list[Path]) -> dict[Path, tuple[int, int]]:
    """(width, height) of pictures after their orientation, by exiftool; empty where it is not installed."""
    if not program("exiftool"):
        return {}
    named = [path for path in paths if "\n" not in str(path)]
    tags = ["-ImageWidth", "-ImageHeight", "-IFD0:Orientation", "-QuickTime:Rotation"]
    done = subprocess.run(
        [program("exiftool"), "-json", "-n", "-fast", "-q", "-q", *tags, "-@", "-"],
        input="\n".join(str(path.absolute()) for path in named), capture_output=True, text=True, check=False,
    )  # fmt: skip
    try:
        said = json.loads(done.stdout or "[]")
    except ValueError:
        return {}
    found = {}
    for each in said:
        width, height = each.get("ImageWidth"), each.get("ImageHeight")
        if isinstance(width, int) and isinstance(height, int) and width > 0 and height > 0:
            turned = each.get("Orientation") in (5, 6, 7, 8) or each.get("Rotation") in (90, 270)
            found[Path(each["SourceFile"])] = (height, width) if turned else (width, height)
    return found
