"""What a file is, by its name or its first bytes, before a decoder is loaded.

Signatures are those of the formats that `images` reads. Knows no files or folders, and imports nothing: a folder is
listed with it while a command starts.
"""

from __future__ import annotations

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
    if head[128:132] == b"DICM":
        return "DICOM"
    if head.lstrip(b"\xef\xbb\xbf\r\n\t \0").startswith(b"%PDF-"):
        return "PDF"
    if head[:2] == b"BM" and int.from_bytes(head[14:18], "little") in _BITMAP_HEADERS:
        return "BMP"
    if head[4:8] == b"ftyp":
        found = brands(head)
        return "AVIF" if found & AVIF else "HEIC" if found & _HEIF else ""
    return "TIFF" if head[:4] in _TIFF and not _is_raw(head) else ""


def brands(head: bytes) -> set[bytes]:
    """The major and the compatible brands of an ISO base media file (ISO/IEC 14496-12, 4.3)."""
    end = min(int.from_bytes(head[:4], "big"), len(head))
    return {head[8:12], *(head[at : at + 4] for at in range(16, end - 3, 4))}


def _is_raw(head: bytes) -> bool:
    """Whether the first bytes of a TIFF file are those of a camera's own, as far as they say.

    Canon's have a mark behind the header. The others begin with a directory that has a DNG version, or a camera's name
    and other directories below it, where the raw picture is. Source: TIFF 6.0, section 2; DNG 1.7; ExifTool's tables.
    """
    if head[8:10] == b"CR":
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
