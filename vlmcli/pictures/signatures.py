"""What a file is, by its name or its first bytes, before a decoder is loaded.

Signatures are those of the formats that `images` reads. Knows no files or folders, and imports nothing: a folder is
listed with it while a command starts.
"""

from __future__ import annotations

from typing import Literal

HEAD = 1024
"""Bytes of a file that are looked at."""

SUFFIXES = frozenset(
    (".jpg", ".jpeg", ".jpe", ".jfif", ".jif", ".jfi", ".mpo", ".png", ".apng", ".webp", ".avif", ".avifs", ".heic",
     ".heics", ".heif", ".heifs", ".hif", ".gif", ".bmp", ".dib", ".tif", ".tiff", ".pdf", ".dcm", ".dicom")
)  # fmt: skip
"""In lower case, of files that are taken for pictures without a look into them."""

RAW = frozenset(
    (".3fr", ".ari", ".arw", ".bay", ".cap", ".cr2", ".cr3", ".crw", ".dcr", ".dcs", ".dng", ".drf", ".eip", ".erf",
     ".fff", ".gpr", ".iiq", ".k25", ".kdc", ".mdc", ".mef", ".mos", ".mrw", ".nef", ".nrw", ".orf", ".pef", ".ptx",
     ".raf", ".raw", ".rw2", ".rwl", ".rwz", ".sr2", ".srf", ".srw", ".x3f")
)  # fmt: skip
"""Of cameras' own files. Many are TIFF files by their first bytes, whose first picture is a thumbnail.

Source: LibRaw's list of cameras, and Wikipedia, "Raw image format".
"""

TIFF_RAW = frozenset((".arw", ".cr2", ".dng", ".nef", ".nrw", ".pef", ".srw"))
"""Of those that are TIFF files with a preview, which is read where somebody names the file."""

OTHERS = RAW | frozenset(
    (
        # texts, tables, programs
        ".txt", ".md", ".rst", ".rtf", ".tex", ".log", ".csv", ".tsv", ".json", ".jsonl", ".ndjson", ".xml", ".xmp",
        ".xsl", ".yaml", ".yml", ".toml", ".ini", ".cfg", ".conf", ".html", ".htm", ".css", ".js", ".mjs", ".ts",
        ".py", ".pyc", ".ipynb", ".c", ".h", ".cc", ".cpp", ".hpp", ".java", ".class", ".go", ".rs", ".rb", ".php",
        ".pl", ".sh", ".bat", ".ps1", ".sql", ".srt", ".vtt", ".ass", ".eml", ".ics", ".vcf", ".url", ".webloc",
        ".lnk", ".desktop", ".aae", ".pp3", ".dop", ".nfo", ".cue", ".m3u", ".torrent", ".sha256", ".md5",
        # documents and archives
        ".doc", ".docx", ".xls", ".xlsx", ".ppt", ".pptx", ".odt", ".ods", ".odp", ".pages", ".key", ".numbers",
        ".epub", ".mobi", ".djvu", ".ps", ".eps", ".zip", ".gz", ".tgz", ".bz2", ".xz", ".zst", ".tar", ".7z",
        ".rar", ".jar", ".apk", ".iso", ".dmg", ".pkg", ".deb", ".rpm", ".cbz", ".cbr",
        # film and sound; a .thm is the thumbnail of a film
        ".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".wmv", ".flv", ".mpg", ".mpeg", ".mts", ".m2ts", ".3gp",
        ".lrv", ".thm", ".insv", ".mp3", ".m4a", ".aac", ".wav", ".flac", ".ogg", ".opus", ".wma", ".mid",
        # pictures that are not read here
        ".svg", ".svgz", ".psd", ".psb", ".xcf", ".kra", ".clip", ".afphoto", ".sketch", ".jxl", ".jp2", ".j2k",
        ".jpf", ".jpx", ".jxr", ".wdp", ".exr", ".hdr", ".tga", ".pcx", ".pbm", ".pgm", ".ppm", ".pnm", ".ico",
        ".icns", ".cur", ".emf", ".wmf", ".dds", ".ktx", ".qoi", ".blend", ".stl", ".obj", ".nii",
        # what programs keep, and backups, which would be asked about a second time
        ".db", ".sqlite", ".lrcat", ".lrprev", ".exe", ".dll", ".so", ".dylib", ".o", ".a", ".ttf", ".otf", ".woff",
        ".woff2", ".gguf", ".safetensors", ".onnx", ".pt", ".pth", ".ckpt", ".npy", ".npz", ".parquet", ".h5", ".pkl",
        ".part", ".partial", ".crdownload", ".download", ".tmp", ".bak", ".orig", ".old", ".swp", ".lock",
    )
)  # fmt: skip
"""In lower case, of files that are no pictures `vlm` reads, and need not be looked into."""

AVIF = frozenset((b"avif", b"avis"))
_HEIF = frozenset((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"mif2", b"msf1"))
"""Brands of pictures and of sequences. Source: ISO/IEC 23008-12, annexes B to D; pillow_heif, as_plugin.py."""

_STARTS = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
)
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_FIRST_GROUPS = frozenset((b"\x02\0", b"\x08\0", b"\0\x02", b"\0\x08"))
_GROUPS = frozenset((0x02, 0x08, 0x10, 0x18, 0x20, 0x28))
"""Of DICOM elements: the file's, the study's, the patient's, the device's, the place's, the picture's."""
_NAMING = frozenset((0x0002_0002, 0x0002_0010, 0x0008_0010, 0x0008_0016))
"""Elements that say what a data set is: its class, its transfer syntax, its recognition code."""
_SHORT_VALUES = frozenset(
    (b"AE", b"AS", b"AT", b"CS", b"DA", b"DS", b"DT", b"FD", b"FL", b"IS", b"LO", b"LT", b"PN", b"SH", b"SL", b"SS",
     b"ST", b"TM", b"UI", b"UL", b"US")
)  # fmt: skip
_LONG_VALUES = frozenset(kind + b"\0\0" for kind in (b"OB", b"OW", b"SQ", b"UC", b"UN", b"UR", b"UT"))
"""DICOM's kinds of values, those with a length of two bytes and those with one of four (PS3.5, 7.1.2)."""
_BITMAP_HEADERS = frozenset((12, 16, 40, 52, 56, 64, 108, 124))
"""Bytes of a bitmap's second header. Source: Microsoft, "Bitmap Header Types"; OS/2's are 12, 16 and 64."""


def is_backup(name: str) -> bool:
    """Whether a file's name is that of a copy: an editor's `photo.jpg~`, or exiftool's `photo.jpg_original`."""
    return name.endswith(("~", "_original"))


def kind(head: bytes) -> str:
    """The format of a file by its first bytes: "JPEG", "PNG", "PDF" … ; empty for what is no picture `vlm` reads.

    Args:
        head: its first `HEAD` bytes, or all of a shorter one.
    """
    for start, name in _STARTS:
        if head.startswith(start):
            return name
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WEBP"
    if head[128:132] == b"DICM" or is_data_set(head):
        return "DICOM"
    if head.lstrip(b"\xef\xbb\xbf\r\n\t \0").startswith(b"%PDF-"):
        return "PDF"
    if head[:2] == b"BM" and int.from_bytes(head[14:18], "little") in _BITMAP_HEADERS:
        return "BMP"
    if head[4:8] == b"ftyp":
        found = brands(head)
        return "AVIF" if found & AVIF else "HEIC" if found & _HEIF else ""
    return "TIFF" if head[:4] in _TIFF and not is_raw(head) else ""


def brands(head: bytes) -> set[bytes]:
    """The major and the compatible brands of an ISO base media file (ISO/IEC 14496-12, 4.3)."""
    end = min(int.from_bytes(head[:4], "big"), len(head))
    return {head[8:12], *(head[at : at + 4] for at in range(16, end - 3, 4))}


def is_data_set(head: bytes) -> bool:
    """Whether a file is a DICOM data set without the 128 bytes and the mark "DICM" that belong before it.

    It is one if it begins with four elements or more in ascending order, of the groups of such beginnings, whose values
    are of known kinds and in their places, and one of which says what it is: a UID that only DICOM has, or "ACR-NEMA".
    Source: DICOM PS3.5, 7.1; PS3.6, registry of data elements.
    """
    if len(head) < 16 or head[:2] not in _FIRST_GROUPS:
        return False
    return any(_elements(head, order, explicit) for order in ("little", "big") for explicit in (True, False))


def _elements(head: bytes, order: Literal["little", "big"], explicit: bool) -> bool:
    """Whether a file begins with elements of DICOM, written so."""
    at, last, count, known = 0, -1, 0, False
    while at + 8 <= len(head):
        group, number = (int.from_bytes(head[place : place + 2], order) for place in (at, at + 2))
        tag, start = group << 16 | number, at + 8
        if tag <= last or group not in _GROUPS or (count == 0 and (group > 8 or number > 0x20)):
            break
        if not explicit:
            length = int.from_bytes(head[at + 4 : at + 8], order)
        elif head[at + 4 : at + 6] in _SHORT_VALUES:
            length = int.from_bytes(head[at + 6 : at + 8], order)
        elif head[at + 4 : at + 8] in _LONG_VALUES:
            start, length = at + 12, int.from_bytes(head[at + 8 : at + 12], order)
        else:
            break
        value = head[start : start + length]
        if length % 2 or length > 1 << 16 or (number == 0 and length != 4):
            break
        known = known or (tag in _NAMING and value.startswith((b"1.2.840.10008.", b"ACR-NEMA")))
        at, last, count = start + length, tag, count + 1
    return known and count >= 4


def is_raw(head: bytes, name: str = "") -> bool:
    """Whether a TIFF file is a camera's own, by its first bytes, as far as they say, or by its name.

    Canon's have a mark behind the header. The others begin with a directory that has a DNG version, or a camera's name
    and other directories below it, where the raw picture is. Source: TIFF 6.0, section 2; DNG 1.7; ExifTool's tables.
    """
    if head[8:10] == b"CR" or name.lower().endswith(tuple(RAW)):
        return True
    order = "little" if head[:2] == b"II" else "big"

    def number(at: int, size: int) -> int:
        return int.from_bytes(head[at : at + size], order)  # type: ignore[arg-type]  # one of the two

    if number(2, 2) != 42 or number(4, 4) + 2 > len(head):
        return False
    begin = number(4, 4) + 2
    tags = {number(at, 2) for at in range(begin, min(begin + 12 * number(begin - 2, 2), len(head) - 1), 12)}
    dng_version, make, directories = 0xC612, 0x10F, 0x14A
    return dng_version in tags or {make, directories} <= tags
