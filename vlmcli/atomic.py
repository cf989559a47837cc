"""Files that are written whole or not at all: no reader sees half a file, and no power cut leaves one.

Knows nothing of what is in a file, nor whether it may be replaced: that is for the caller to decide.

A file that is being written has a name of its own (`.vlm-….part`) and is locked (flock) until it is in its place. A
process that is killed loses its locks, so what can be locked belongs to nobody, and the next process that writes in
the folder removes it, if it is of the same user. A lock tells that also across containers and machines that share a
folder, where the numbers of processes tell nothing; and where a file system has no locks, nothing is removed.

A new file takes the place of a name, and never of what a link of that name leads to; and it takes no place of what is
no file: a device, a pipe or a socket that somebody has put there stays.
"""

from __future__ import annotations

import os
import re
import secrets
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from vlmcli import files
from vlmcli.errors import VlmError

try:
    import fcntl
except ImportError:  # Windows, which removes no file that is open
    fcntl = None  # type: ignore[assignment]

_PART = re.compile(r"\.vlm-[0-9a-f]{16}\.part")
_swept: set[Path] = set()
"""Folders in which this process has looked for what others have left."""


def write(path: Path, data: bytes) -> None:
    """Write a file as `replace` does. Raises VlmError, naming the file, where it cannot be written."""
    try:
        replace(path, data)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not a valid file name"
        raise VlmError(
            f"{path}: cannot be written ({reason})", "free some disk space, or write to another place"
        ) from error


def replace(
    path: Path, *data: bytes | memoryview, finish: Callable[[Path], None] | None = None, lasting: bool = True
) -> None:
    """Write a file next to its place, and put it there in one move; one that was there keeps its permissions.

    Args:
        path: its place.
        data: all that is in it, one part behind the other.
        finish: called with the file as it stands beside its place, whole; what it raises keeps it from being moved.
            It sees to permissions itself; until then only the file's owner may read it.
        lasting: wait until the bytes are on the disk. Without that, a power cut may leave a file of zeros in its place.

    Raises OSError where it cannot be written, `files.Unfit` where its place is taken by what is no file, and ValueError
    for what is no name of a file; then, as after any other exception, nothing is left behind. For callers with an error
    of their own to raise; others call `write`.
    """
    with writing(path, finish=finish, lasting=lasting) as file:
        for part_of_it in data:
            file.write(part_of_it)


@contextmanager
def writing(path: Path, *, finish: Callable[[Path], None] | None = None, lasting: bool = True) -> Iterator[IO[bytes]]:
    """A file to be written next to its place, where it is put in one move afterwards, but not after an exception.

    As `replace`, for what is written piece by piece.
    """
    sweep(path.parent)
    _check_place(path)
    part, file = _opened(path.parent, private=path.exists() or finish is not None)
    try:
        with file:
            yield file
            file.flush()
            if fcntl is not None:  # while it is locked
                _finish(path, part, finish)
                if lasting:
                    os.fsync(file.fileno())  # or a power cut might leave an empty file in the place of a whole one
                _check_place(path)
                part.replace(path)
            elif lasting:
                os.fsync(file.fileno())
        if fcntl is None:  # Windows moves no file that is open, and sets its time when it is closed
            _finish(path, part, finish)
            _check_place(path)
            part.replace(path)
    except BaseException:
        with suppress(OSError, ValueError):
            part.unlink()
        raise


def sweep(folder: Path, *, again: bool = False) -> None:
    """Remove what processes of this user that were killed have left of their writing in a folder.

    A process looks there once, unless it is to look `again`.
    """
    looked = folder.absolute()
    if looked in _swept and not again:
        return
    _swept.add(looked)
    with suppress(OSError, ValueError), os.scandir(folder) as found:
        for one in found:
            if _PART.fullmatch(one.name):
                _remove_if_left(Path(one.path))


def lock(file: IO[bytes]) -> bool:
    """Lock an open file for this process until it is closed. Returns False where another process has locked it.

    True without a lock where the platform or the file system has none.
    """
    try:
        if fcntl is not None:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


def settle(folder: Path) -> None:
    """See to it that the names in a folder are on the disk as they are now, where the platform can."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _finish(path: Path, part: Path, finish: Callable[[Path], None] | None) -> None:
    """The permissions of a file that is about to be put in its place."""
    if finish is not None:
        finish(part)
        return
    with suppress(FileNotFoundError):
        there = path.lstat().st_mode
        if stat.S_ISREG(there):
            part.chmod(stat.S_IMODE(there))


def _check_place(path: Path) -> None:
    """Raise what is no file, nor a link, in the place of a file that is about to be moved there."""
    there = files.what(path, links=False)
    if there and not path.is_symlink():
        raise files.Unfit(there, path)


def _opened(folder: Path, *, private: bool) -> tuple[Path, IO[bytes]]:
    """A new file with the name of one that is being written, locked."""
    while True:
        part = folder / f".vlm-{secrets.token_hex(8)}.part"
        mode = 0o600 if private else 0o666
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
        file = os.fdopen(os.open(part, flags, mode), "wb")
        if lock(file) and (fcntl is None or os.fstat(file.fileno()).st_nlink):
            return part, file
        file.close()  # another process took it for one that was left, in the moment before it was locked


def _remove_if_left(part: Path) -> None:
    """Remove a file that is being written, if whoever wrote it is dead."""
    with suppress(OSError):
        if fcntl is None:
            part.unlink()
            return
        flags = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        descriptor = os.open(part, flags)
        try:
            there = os.fstat(descriptor)
            if stat.S_ISREG(there.st_mode) and there.st_uid == os.geteuid():
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                part.unlink()
        finally:
            os.close(descriptor)
