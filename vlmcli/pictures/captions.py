"""What people and programs have written about a picture within its file: its description and its keywords.

They may be in XMP, in IPTC, in EXIF or in a PNG's texts; photo managers show whichever they know. Nothing is written
here. Sources: IPTC-IIM 4.2, data sets 2:25 and 2:120; Exif 2.32, 4.6.5 (UserComment); Microsoft's XPComment and
XPKeywords; ISO 16684-1 for XMP; PNG, third edition, 11.3.3.
"""

from __future__ import annotations

import json
import logging
import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vlmcli.errors import VlmError
from vlmcli.pictures import xmp

log = logging.getLogger(__name__)

_DESCRIPTION, _COMMENT, _EXIF, _XP_COMMENT, _XP_KEYWORDS = 0x010E, 0x9286, 0x8769, 0x9C9C, 0x9C9E
_CHARSETS = {b"ASCII\0\0\0": "ascii", b"UNICODE\0": "utf-16", b"JIS\0\0\0\0\0": "shift_jis", bytes(8): "utf-8"}
_BY_MACHINES = re.compile(
    r"(?:olympus|minolta|konica minolta|samsung|sony|kodak|ricoh|casio|hp|benq|vivitar)?\s*"
    r"(?:digital (?:still )?camera|dsc\w*)"
    r"|samsung|default|dcf[\w .]*|exif[ _-]?jpeg\w*|image description|untitled|picture|screenshot|none|null"
    r"|created with .*"
    r"|(?:optimized|compressed|created|generated|processed) (?:by|with) .*|lavc[\d.]+|jpeg|maker:.*"
    r"|(?:\w+:\s*[^;:]*;\s*){2,}.*",
    re.I,
)
"""What cameras and programs write where a description would be."""


@dataclass(frozen=True)
class Written:
    """A description or keywords, and where they were found.

    Attributes:
        text: the description; of keywords, all of them after commas.
        words: the keywords; empty for a description.
        place: "XMP", "IPTC", "EXIF" or "PNG"; empty where there is nothing.
    """

    text: str = ""
    words: tuple[str, ...] = ()
    place: str = ""


def description(path: Path) -> Written:
    """The description in a picture's file: of XMP, IPTC, EXIF and a PNG's texts the first that has one."""
    return next((one for one in _all(path) if one.text and not one.words), Written())


def keywords(path: Path) -> Written:
    """The keywords in a picture's file: of XMP, IPTC and EXIF the first that has some."""
    return next((one for one in _all(path) if one.words), Written())


def _all(path: Path) -> list[Written]:
    """All that is written in a picture's file; nothing for a file that cannot be read, which is said elsewhere."""
    from vlmcli.pictures import images

    found: list[Written] = []
    with suppress(Exception):  # damaged metadata, or no picture: whatever its decoder makes of it
        what = images.kind(path, str(path))
        if what not in ("", "HEIC", "TIFF"):
            return []
        with images.opened(path, what) as image:
            for read in (_xmp, _iptc, _exif, _texts):
                try:
                    found += read(image)
                except Exception as error:  # one damaged place does not hide the others
                    log.info("%s: %s cannot be read (%s)", path, read.__name__.strip("_"), error)
    return found


def _xmp(image: Any) -> list[Written]:
    packet = image.info.get("xmp")
    if not packet:
        return []
    packet = packet.encode() if isinstance(packet, str) else packet
    try:
        words = xmp.subjects(packet, "")
        return [Written(xmp.description(packet, ""), (), "XMP"), Written(", ".join(words), words, "XMP")]
    except VlmError:
        return []


def _iptc(image: Any) -> list[Written]:
    from PIL import IptcImagePlugin

    held = IptcImagePlugin.getiptcinfo(image) or {}
    utf8 = held.get((1, 90)) == b"\x1b%G"
    caption, words = held.get((2, 120)), held.get((2, 25))
    said = tuple(
        filter(None, (_text(one, utf8=utf8) for one in (words if isinstance(words, list) else [words]) if one))
    )
    first = caption[0] if isinstance(caption, list) else caption
    return [Written(_text(first, utf8=utf8) if first else "", (), "IPTC"), Written(", ".join(said), said, "IPTC")]


def _exif(image: Any) -> list[Written]:
    exif = image.getexif()
    found = [
        _by_person(_text(exif.get(_DESCRIPTION, ""))),
        _by_person(_comment(exif.get_ifd(_EXIF).get(_COMMENT, b""))),
    ]
    found.append(_wide(exif.get(_XP_COMMENT)))
    words = tuple(filter(None, (one.strip() for one in _wide(exif.get(_XP_KEYWORDS)).split(";"))))
    return [*(Written(text, (), "EXIF") for text in found), Written(", ".join(words), words, "EXIF")]


def _texts(image: Any) -> list[Written]:
    if image.format != "PNG":
        return []
    held = (image.info.get(key) for key in ("Description", "Comment"))
    return [Written(_by_person(str(text)), (), "PNG") for text in held if isinstance(text, str)]


def _text(value: Any, *, utf8: bool = True) -> str:
    """A text of bytes, or of what Pillow has read as Latin-1; in UTF-8 where it may be."""
    if isinstance(value, str):
        try:
            value = value.encode("latin-1")
        except UnicodeEncodeError:
            return str(value).strip(" \0\r\n\t")
    if not isinstance(value, bytes):
        return ""
    for name in ("utf-8", "latin-1") if utf8 or value.isascii() else ("utf-8", "cp1252", "latin-1"):
        with suppress(UnicodeDecodeError):
            return value.decode(name).strip(" \0\r\n\t")
    return ""


def _comment(value: Any) -> str:
    """The text of a UserComment: eight bytes that name its letters, and the letters."""
    if isinstance(value, str):
        return _text(value)
    if not isinstance(value, bytes):
        return ""
    head, body = value[:8], value[8:]
    name = _CHARSETS.get(head)
    if name is None:
        return _text(value)
    if name == "utf-16" and body[:2] not in (b"\xff\xfe", b"\xfe\xff"):  # Exif says nothing of the order of bytes
        name = "utf-16-be" if body[:2][:1] == b"\0" else "utf-16-le"
    try:
        return body.decode(name).strip(" \0\r\n\t")
    except UnicodeDecodeError:
        return _text(body)


def _wide(value: Any) -> str:
    """A text of Windows: UTF-16, ended by a zero."""
    data = bytes(value) if isinstance(value, tuple | list) else value
    return str(data, "utf-16-le", "replace").strip(" \0\r\n\t") if isinstance(data, bytes) else ""


def _by_person(text: str) -> str:
    """A text, unless it is one that cameras and programs write by themselves."""
    if not re.search(r"\w", text) or _BY_MACHINES.fullmatch(text.strip()):
        return ""
    if text.startswith("{"):
        with suppress(ValueError, RecursionError):
            json.loads(text)
            return ""  # the settings of a phone's camera
    return text
