"""Where results go: a file that is named, or the one that a stream is redirected to. Looks at them; writes nothing.

A stream that goes to no file, or is closed, is like one that goes to an empty file.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

from vlmcli import files
from vlmcli.errors import UsageError
from vlmcli.pictures.sources import Source, expand
from vlmcli.records import held


def target_of(name: str, pictures: Sequence[Source], hint: str = "name another file") -> Path:
    """Where a file of this name is to be written; a link to a regular file is followed.

    Args:
        name: as somebody has written it.
        pictures: of the command.
        hint: what to do where something else is there.

    Raises UsageError, before the work, where it cannot be, or where it would replace a picture that is asked about or
    what is no regular file. A link that leads nowhere is an error, too: whoever has made it says where a file is made.
    """
    try:
        what = files.what(Path(expand(name)))
        if what:
            raise UsageError(f"{name}: {what}, not a regular file", hint)
        path, there = Path(expand(name)).resolve(), what is not None
        if not path.parent.is_dir() or not os.access(path.parent, os.W_OK):
            raise UsageError(f"{name}: its folder does not exist or is not writable", "name a file in another folder")
        same = there and any(
            isinstance(one.file, Path) and one.file.exists() and path.samefile(one.file) for one in pictures
        )
    except (OSError, ValueError, RuntimeError) as error:  # too long, a NUL in it, links in a ring
        reason = getattr(error, "strerror", None) or error
        raise UsageError(f"{name[:200]}: cannot be written ({reason})", "choose another name") from None
    if same:
        raise UsageError(f"{name}: is the picture itself", "choose another name")
    return path


def is_written_by(stream: TextIO, path: Path) -> bool:
    """Whether a stream goes to the file of this path; false where that cannot be known."""
    try:
        there, out = path.stat(), os.fstat(stream.fileno())
        return (there.st_dev, there.st_ino) == (out.st_dev, out.st_ino)
    except (OSError, ValueError):
        return False


def name_of(stream: TextIO) -> str:
    """The name of the file that a stream goes to, within the current folder if it is there; "-" if it is not known."""
    try:
        path = held.name_of(stream.fileno())
    except (OSError, ValueError):
        return "-"
    if path is None:
        return "-"
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


def is_empty_file(stream: TextIO) -> bool:
    """Whether a stream goes to a regular file that has nothing in it."""
    try:
        there = os.fstat(stream.fileno())
        return stat.S_ISREG(there.st_mode) and not there.st_size
    except (OSError, ValueError):
        return False


def length(stream: TextIO) -> int:
    """Bytes of the regular file that a stream goes to; 0 where it goes to none."""
    try:
        there = os.fstat(stream.fileno())
        return there.st_size if stat.S_ISREG(there.st_mode) else 0
    except (OSError, ValueError):
        return 0


def ends_with_line(stream: TextIO) -> bool:
    """Whether the file that a stream goes to is empty or ends with a whole line; true where that cannot be known."""
    return _read(stream, 1, from_end=True) in (b"\n", b"")


def first_line(stream: TextIO, longest: int) -> str:
    """The first line of the file that a stream goes to, without its end; empty where that cannot be known.

    Args:
        stream: which is written to.
        longest: bytes of a line that is looked for.
    """
    line, end, _ = _read(stream, longest + 1).partition(b"\n")
    return line.decode("utf-8", "replace") if end else ""


def _read(stream: TextIO, count: int, *, from_end: bool = False) -> bytes:
    """Bytes of the file that a stream goes to; empty where there is none, or it cannot be read (without /proc)."""
    if not length(stream):
        return b""
    try:
        with Path(f"/proc/self/fd/{stream.fileno()}").open("rb") as file:  # opened to be written, it cannot be read
            if from_end:
                file.seek(-count, os.SEEK_END)
            return file.read(count)
    except (OSError, ValueError):
        return b""
