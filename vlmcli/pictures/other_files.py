"""What a file is that is no picture `vlm` reads, in words, and what can be done with it.

    other_files.recognised(b"<!DOCTYPE html>…", "page.jpg")   # a web page (HTML), not a picture

A name often lies: servers answer with a page instead of a picture, Git leaves a pointer in its place, and telephones
call a film a photo. So the first bytes are judged, as in `signatures`, which knows the formats that are read. Opens
nothing, and imports no decoder.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from vlmcli import typed
from vlmcli.errors import SourceError
from vlmcli.pictures import signatures


@dataclass(frozen=True)
class Other:
    """A file that is no picture `vlm` reads.

    Attributes:
        what: what it is, to be read behind the file's name and a colon.
        hint: what to do with it.
    """

    what: str
    hint: str


THUMBNAIL = 320
"""Pixels of the longer side of a picture that is too small to be asked about in a photograph's place."""

_CONVERT = "convert it to JPEG or PNG first"
_EXPORT = "export it as JPEG or PNG first"
RAW = "export it as JPEG first, with darktable or the camera maker's program"
_FRAME = "save a frame of it as a picture: ffmpeg -i {name} -frames:v 1 frame.png"
_UNPACK = "unpack it, and give vlm the folder"
_AS_PDF = "save it as PDF, which vlm reads"
_AGAIN = "copy or download the picture again"
_OTHER = "name a picture"
_LIST = "if it lists pictures: --files-from {name}"

_ZIP = b"PK\x03\x04"
_BYTES: tuple[tuple[int, bytes, str, str], ...] = (
    # pictures
    (0, b"\xff\x0a", "a JPEG XL picture, which vlm cannot read", _CONVERT),
    (0, b"\0\0\0\x0cJXL \r\n\x87\n", "a JPEG XL picture, which vlm cannot read", _CONVERT),
    (0, b"\0\0\0\x0cjP  \r\n\x87\n", "a JPEG 2000 picture, which vlm cannot read", _CONVERT),
    (0, b"\xff\x4f\xff\x51", "a JPEG 2000 picture, which vlm cannot read", _CONVERT),
    (0, b"II\xbc\x01", "a JPEG XR picture, which vlm cannot read", _CONVERT),
    (0, b"8BPS", "a Photoshop file (PSD), which vlm cannot read", _EXPORT),
    (0, b"gimp xcf", "a GIMP file (XCF), which vlm cannot read", _EXPORT),
    (0, b"v/1\x01", "an OpenEXR picture, which vlm cannot read", _CONVERT),
    (0, b"#?RADIANCE", "a Radiance HDR picture, which vlm cannot read", _CONVERT),
    (0, b"qoif", "a QOI picture, which vlm cannot read", _CONVERT),
    (0, b"DDS ", "a DDS texture, which vlm cannot read", _CONVERT),
    (0, b"BPG\xfb", "a BPG picture, which vlm cannot read", _CONVERT),
    (0, b"\0\0\x01\0", "a Windows icon (ICO), which vlm cannot read", _CONVERT),
    (0, b"icns", "a macOS icon (ICNS), which vlm cannot read", _CONVERT),
    (0, b"AT&TFORM", "a DjVu document, which vlm cannot read", _AS_PDF),
    (0, b"%!PS", "a PostScript file, which vlm cannot read", "convert it to PDF first: ps2pdf {name}"),
    # cameras' own
    (0, b"IIU\0", "a camera's raw file (Panasonic RW2), which vlm cannot read", RAW),
    (0, b"IIRO", "a camera's raw file (Olympus ORF), which vlm cannot read", RAW),
    (0, b"IIRS", "a camera's raw file (Olympus ORF), which vlm cannot read", RAW),
    (0, b"MMOR", "a camera's raw file (Olympus ORF), which vlm cannot read", RAW),
    (0, b"FUJIFILMCCD-RAW", "a camera's raw file (Fujifilm RAF), which vlm cannot read", RAW),
    (0, b"FOVb", "a camera's raw file (Sigma X3F), which vlm cannot read", RAW),
    (0, b"\0MRM", "a camera's raw file (Minolta MRW), which vlm cannot read", RAW),
    (6, b"HEAPCCDR", "a camera's raw file (Canon CRW), which vlm cannot read", RAW),
    # film and sound
    (0, b"\x1aE\xdf\xa3", "a video (Matroska or WebM), not a picture", _FRAME),
    (8, b"AVI ", "a video (AVI), not a picture", _FRAME),
    (0, b"FLV\x01", "a video (FLV), not a picture", _FRAME),
    (0, b"0&\xb2u\x8ef\xcf\x11", "a video or sound (ASF: WMV or WMA), not a picture", _FRAME),
    (0, b"\0\0\x01\xba", "a video (MPEG), not a picture", _FRAME),
    (0, b"\0\0\x01\xb3", "a video (MPEG), not a picture", _FRAME),
    (4, b"moov", "a video (QuickTime), not a picture", _FRAME),
    (4, b"mdat", "a video (QuickTime), not a picture", _FRAME),
    (4, b"wide", "a video (QuickTime), not a picture", _FRAME),
    (0, b"OggS", "sound or a video (Ogg), not a picture", _OTHER),
    (0, b"ID3", "sound (MP3), not a picture", _OTHER),
    (0, b"fLaC", "sound (FLAC), not a picture", _OTHER),
    (8, b"WAVE", "sound (WAV), not a picture", _OTHER),
    # archives and documents
    (0, b"\x1f\x8b", "an archive or a packed file (gzip), not a picture", "unpack it first: gunzip"),
    (0, b"BZh", "an archive or a packed file (bzip2), not a picture", "unpack it first: bunzip2"),
    (0, b"\xfd7zXZ\0", "an archive or a packed file (xz), not a picture", "unpack it first: unxz"),
    (0, b"\x28\xb5\x2f\xfd", "an archive or a packed file (Zstandard), not a picture", "unpack it first: unzstd"),
    (0, b"7z\xbc\xaf\x27\x1c", "an archive (7-Zip), not a picture", _UNPACK),
    (0, b"Rar!\x1a\x07", "an archive (RAR), not a picture", _UNPACK),
    (257, b"ustar", "an archive (tar), not a picture", _UNPACK),
    (
        0,
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
        "an Office document (as .doc, .xls or .ppt), which vlm cannot read",
        _AS_PDF,
    ),
    (0, rb"{\rtf", "a document (RTF), which vlm cannot read", _AS_PDF),
    # what belongs to programs
    (0, b"GGUF", "a model (GGUF), not a picture", "to ask this model: -m {name}"),
    (0, b"\x7fELF", "a program, not a picture", _OTHER),
    (0, b"\xcf\xfa\xed\xfe", "a program, not a picture", _OTHER),
    (0, b"\xca\xfe\xba\xbe", "a program, not a picture", _OTHER),
    (0, b"SQLite format 3\0", "a database (SQLite), not a picture", _OTHER),
    (
        0,
        b"\x00\x05\x16\x07",
        "macOS's notes about a file (AppleDouble), not a picture",
        "use the file whose name does not begin with ._",
    ),
    (0, b"bplist00", "a property list of macOS, not a picture", _OTHER),
    (0, b"\x93NUMPY", "an array (NumPy), not a picture", _CONVERT),
    (0, b"\x89HDF\r\n\x1a\n", "data (HDF5), not a picture", _OTHER),
)
"""Place, bytes, what they are of, and what to do. Sources: `file`'s magic database, and the formats' own documents."""

_ZIPPED = (
    (b"application/epub+zip", "a book (EPUB), which vlm cannot read", _AS_PDF),
    (b"application/vnd.oasis.opendocument", "a document of LibreOffice, which vlm cannot read", _AS_PDF),
    (b"application/x-krita", "a Krita file, which vlm cannot read", _EXPORT),
    (b"image/openraster", "an OpenRaster file, which vlm cannot read", _EXPORT),
    (b"[Content_Types].xml", "an Office document (as .docx, .xlsx or .pptx), which vlm cannot read", _AS_PDF),
    (b"word/", "an Office document (.docx), which vlm cannot read", _AS_PDF),
    (b"xl/", "an Office document (.xlsx), which vlm cannot read", _AS_PDF),
    (b"ppt/", "an Office document (.pptx), which vlm cannot read", _AS_PDF),
)
"""What is among the first bytes of a ZIP that is more than an archive."""

_BRANDS = (
    (frozenset((b"crx ",)), "a camera's raw file (Canon CR3), which vlm cannot read", RAW),
    (frozenset((b"jxl ",)), "a JPEG XL picture, which vlm cannot read", _CONVERT),
    (frozenset((b"jp2 ", b"jpx ", b"jpm ", b"mjp2")), "a JPEG 2000 picture, which vlm cannot read", _CONVERT),
    (frozenset((b"qt  ",)), "a video (QuickTime MOV), not a picture", _FRAME),
    (frozenset((b"M4A ", b"M4B ", b"M4P ")), "sound (M4A), not a picture", _OTHER),
    (frozenset((b"3gp4", b"3gp5", b"3gp6", b"3gp7", b"3g2a", b"3g2b")), "a video (3GP), not a picture", _FRAME),
    (
        frozenset(
            (b"isom", b"iso2", b"iso3", b"iso4", b"iso5", b"iso6", b"mp41", b"mp42", b"mp71", b"avc1", b"hvc1", b"dash",
             b"M4V ", b"M4VH", b"M4VP", b"MSNV", b"XAVC", b"f4v ", b"mmp4", b"GoPr", b"cmfc", b"NDSC", b"NDSM")
        ),
        "a video (MP4), not a picture", _FRAME,
    ),
)  # fmt: skip
"""Major brands of ISO base media files. Source: mp4ra.org, "Brands"."""

_LFS = (b"version https://git-lfs.github.com/spec/", b"version https://hawser.github.com/spec/")
_PAGE = re.compile(r"<(!doctype\s+html|html|head|body)\b", re.IGNORECASE)
_DRAWING = re.compile(r"<(?:\w+:)?svg\b", re.IGNORECASE)
_CONTROLS = re.compile(r"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]")


def recognised(head: bytes, name: str = "") -> Other | None:
    """What a file is by its first bytes; None for a picture that is read, and for what nobody knows.

    Args:
        head: its first `signatures.HEAD` bytes, or all of a shorter one.
        name: what the user called it, for the hint.
    """
    if signatures.kind(head):
        return None
    found = _by_bytes(head) or _by_text(head)
    if found is None:
        return None
    what, hint = found
    if hint == _LIST and name.lower().endswith(tuple(signatures.SUFFIXES)):
        hint = _AGAIN  # a message that came instead of it
    return Other(what, hint.replace("{name}", typed.word(name)))


def preview(size: tuple[int, int], source: str, bound: int) -> str:
    """What is to be said of a camera's raw file that is a TIFF, and of which one picture can be read.

    Args:
        size: of that picture, scaled to `bound` as it may be.
        source: what the user called the file.
        bound: pixels of the longer side that are wanted.

    Raises SourceError where that picture is a thumbnail, which would be asked about instead of the photograph.
    """
    shown = "{}x{}".format(*size)
    if max(size) <= min(THUMBNAIL, bound - 1):
        raise SourceError(f"{source}: a camera's raw file; vlm can read only its thumbnail of {shown}", RAW)
    return f"a camera's raw file; its preview of {shown} is used"


def _by_bytes(head: bytes) -> tuple[str, str] | None:
    """What a file with a mark of its own is."""
    if not head.strip(b"\0") and len(head) > 1:
        return "not a picture: it begins with zeros, like an unfinished copy", _AGAIN
    if head[4:8] == b"ftyp":
        return next(((what, hint) for brands, what, hint in _BRANDS if head[8:12] in brands), None)
    if head.startswith(_ZIP):
        found = ((what, hint) for mark, what, hint in _ZIPPED if mark in head)
        return next(found, ("an archive (ZIP), not a picture", _UNPACK))
    if re.match(rb"P[1-7]\s", head):
        return "a PNM picture (PBM, PGM or PPM), which vlm cannot read", _CONVERT
    if head[:1] == head[188:189] == head[376:377] == b"G":
        return "a video (MPEG transport stream), not a picture", _FRAME
    return next(((what, hint) for at, mark, what, hint in _BYTES if head[at : at + len(mark)] == mark), None)


def _by_text(head: bytes) -> tuple[str, str] | None:
    """What a text is."""
    text = _text(head)
    if text is None:
        return None
    if head.startswith(_LFS):
        return "a Git LFS pointer, not a picture", "download the picture that it stands for: git lfs pull"
    if re.match(r"(\.git|\.\./)*[./\w-]*annex/objects/", text):
        return "a git-annex pointer, not a picture", "download the picture that it stands for: git annex get {name}"
    if _DRAWING.search(text) and not _PAGE.search(text):
        return (
            "a vector drawing (SVG), which vlm cannot read",
            "convert it to PNG first: rsvg-convert {name} -o drawing.png",
        )
    if _PAGE.search(text[:512]):
        return (
            "a web page (HTML), not a picture",
            "download the picture itself; the address may lead to a page about it, or a login",
        )
    if "<x:xmpmeta" in text or text.startswith("<?xpacket"):
        return "an XMP sidecar, not a picture", "name the picture that it belongs to"
    if text.startswith("<?xml"):
        return "a text file (XML), not a picture", _OTHER
    return "a text file, not a picture", _LIST


def _text(head: bytes) -> str | None:
    """The first bytes as text without control characters; None where they are none."""
    marked = next((code for mark, code in _MARKS if head.startswith(mark)), "utf-8")
    try:
        text = head[: len(head) // 2 * 2 if "16" in marked else None].decode(marked)
    except UnicodeDecodeError as error:
        if error.start < len(head) - 3:  # a letter may be cut in two
            return None
        text = head[: error.start].decode(marked)
    text = text.removeprefix("\ufeff").lstrip()
    return text if text and not _CONTROLS.search(text) else None


_MARKS = ((b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be"))
