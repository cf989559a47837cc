"""Where results go: a file that is named, or the one that stdout is. Looks at them; writes nothing.

A stream arrives as an argument. One that is closed, or is no file, is like one without anything in it.
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

from vlmcli.errors import UsageError
from vlmcli.pictures.sources import Source, expand


def target_of(name: str, pictures: Sequence[Source]) -> Path:
    """Where a file of this name is to be written; links are followed.

    Raises UsageError, before the work, where it cannot be, or where it would replace a picture that is asked about or
    what is no regular file.
    """
    try:
        path = Path(expand(name)).resolve()
        there = path.exists()
        if there and not path.is_file():
            raise UsageError(f"{name}: not a regular file", "name one that may be written")
        if not path.parent.is_dir() or not os.access(path.parent, os.W_OK):
            raise UsageError(f"{name}: cannot be written there", "name a file in a folder that can be written to")
        same = there and any(
            isinstance(one.file, Path) and one.file.exists() and path.samefile(one.file) for one in pictures
        )
    except (OSError, ValueError, RuntimeError) as error:  # too long, a NUL in it, links in a ring
        reason = getattr(error, "strerror", None) or error
        raise UsageError(f"{name[:200]}: cannot be written ({reason})", "choose another name") from None
    if same:
        raise UsageError(f"{name}: is the picture itself", "choose another name")
    return path


def is_stdout(path: Path) -> bool:
    """Whether a file is what stdout goes to."""
    try:
        there, out = path.stat(), os.fstat(sys.stdout.fileno())
        return (there.st_dev, there.st_ino) == (out.st_dev, out.st_ino)
    except (AttributeError, OSError, ValueError):
        return False


def length_of_stdout() -> int:
    """Bytes of the file that stdout is; 0 where it is none."""
    try:
        there = os.fstat(sys.stdout.fileno())
        return there.st_size if stat.S_ISREG(there.st_mode) else 0
    except (AttributeError, OSError, ValueError):
        return 0


def ends_with_line(stdout: TextIO) -> bool:
    """Whether the file that stdout is ends with a whole line; true where that cannot be known."""
    return _read(stdout, 1, from_end=True) in (b"\n", b"")


def begins_with(stdout: TextIO, length: int) -> str:
    """The first line of the file that stdout is, of so many bytes at most; empty where that cannot be known."""
    line, end, _ = _read(stdout, length + 1).partition(b"\n")
    return line.decode("utf-8", "replace") if end else ""


def _read(stdout: TextIO, length: int, *, from_end: bool = False) -> bytes:
    """Bytes of the file that stdout is; empty where there is none, or it cannot be read (where there is no /proc)."""
    if not length_of_stdout():
        return b""
    try:
        with Path(f"/proc/self/fd/{stdout.fileno()}").open("rb") as file:  # opened to be written, it cannot be read
            if from_end:
                file.seek(-length, os.SEEK_END)
            return file.read(length)
    except (OSError, ValueError):
        return b""
