"""The one door to files that somebody else has named or made: opened once, looked at when open, read within bounds.

    from vlmcli import files
    data = files.read(Path("questions.txt"), most=1 << 20, pipes=True)

A path may lead to anything: a device without an end, a pipe that nobody writes to, a file that grows while it is read,
a link to somewhere else. Whatever is no regular file is an `Unfit` error, an OSError whose `strerror` says in words
what it is ("a device"), so that who catches OSError needs no second message. A file is opened without waiting
(O_NONBLOCK), and what was opened is looked at again, since another program may have put something else there in
between. Sizes are counted while bytes come: files of the kernel (/proc) say that they are empty, and others grow.

Pipes are allowed where a file is read once: `<(command)`, /dev/stdin, a named pipe. One that nobody opens to write is
an error after `WAIT` seconds, and one that is silent after `SILENCE` seconds.

Does not know what a file is for. How one is written whole or not at all is `atomic`'s.
"""

from __future__ import annotations

import errno
import os
import re
import select
import stat
import time
from pathlib import Path
from typing import BinaryIO

from vlmcli.amounts import size

WAIT = 10.0
"""Seconds in which somebody must have begun to write into a pipe, or have let go of a file that is to be opened."""
SILENCE = 300.0
"""Seconds in which a byte must come out of a pipe that somebody holds open."""

SETTLED = 2_000_000_000
"""Nanoseconds after which a file system's clock has certainly ticked."""
TICK = 10_000_000
"""Nanoseconds. Times that are a multiple of it are those of a file system that counts in seconds or in hundredths, as
FAT does, which does not know when an inode was changed, either."""

Stamp = tuple[int, int, int, int, int]
"""Device, inode, bytes, and the times in nanoseconds when the content and the inode were changed."""

_LINK_LOST, _LINK_RING = "a broken link", "a link that leads back to itself"
_BLOCK = 1 << 16
_KINDS = {stat.S_IFREG: "", stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket",
          stat.S_IFCHR: "a device", stat.S_IFBLK: "a device", stat.S_IFLNK: "a link"}  # fmt: skip


class Unfit(OSError):
    """What is at a path is not what may be used there; `strerror` says in words what it is, or what is wrong."""

    def __init__(self, reason: str, path: Path | str = "") -> None:
        super().__init__(errno.EINVAL, reason, str(path))


def what(path: Path, *, links: bool = True) -> str | None:
    """What is at a path, in words; empty for a regular file, None where nothing is there. Opens nothing.

    Args:
        path: to look at.
        links: follow a link; else one is "a link".

    Raises OSError where that cannot be known, and ValueError for what is no path.
    """
    try:
        return _words(path.stat(follow_symlinks=links).st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return f"{_LINK_LOST} to {os.readlink(path)}" if links and path.is_symlink() else None  # noqa: PTH115 - as it is
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        return _LINK_RING


def place(path: Path, within: Path) -> Path:
    """Where a file of this name is read and written: the path itself, or where a link of that name leads.

    A link is followed to a regular file in a folder, or in one below that. The path's own folder is not judged.

    Args:
        path: of a regular file, of a link to one, or of nothing.
        within: the folder that a link may not lead out of.

    Raises Unfit, which says what is there instead; OSError where that cannot be known; ValueError for what is no path.
    """
    there = what(path)
    if there:
        raise Unfit(there, path)
    if not path.is_symlink():
        return path
    real = Path(os.path.realpath(path))
    if not is_within(real, within):
        raise Unfit(f"a link that leads out of {within}", path)
    if what(real, links=False) != "":  # it is another by now
        raise Unfit(_LINK_LOST, path)
    return real


def is_within(path: Path, folder: Path) -> bool:
    """Whether a path leads to something in a folder, or below it, links followed. Raises OSError, ValueError."""
    return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder))


def opened(path: Path, *, change: bool = False, links: bool = True, buffering: int = -1) -> BinaryIO:
    """Open a regular file, and nothing else. Never waits for another program to write into it.

    Args:
        path: of the file.
        change: open it to be written, too; else only to be read.
        links: follow a link in its place.
        buffering: as `open` takes it.

    Raises Unfit for what is no regular file; other OSError; ValueError for what is no path.
    """
    file = _descriptor(path, change=change, links=links, pipes=False)
    if hasattr(os, "set_blocking"):
        os.set_blocking(file, True)
    return os.fdopen(file, "r+b" if change else "rb", buffering)


def read(path: Path, most: int, *, pipes: bool = False, links: bool = True) -> bytes:
    """All bytes of a regular file, or of a pipe where those are allowed.

    Args:
        path: of it.
        most: bytes; more are an error, and are not read.
        pipes: read a pipe to its end, too.
        links: follow a link in its place.

    Raises Unfit for what is neither, for a pipe that nothing comes from, and for what has more bytes; other OSError;
    ValueError for what is no path.
    """
    file = _descriptor(path, change=False, links=links, pipes=pipes)
    try:
        piped = stat.S_ISFIFO(os.fstat(file).st_mode)
        data = bytearray()
        written = False  # whether anybody has begun to
        until = time.monotonic() + WAIT
        while len(data) <= most:
            try:
                block = os.read(file, min(_BLOCK, most + 1 - len(data)))
            except BlockingIOError:
                if not piped:  # a file of the kernel that waits for what is to come
                    raise Unfit("an endless file", path) from None
                written = True
                if not select.select([file], [], [], SILENCE)[0]:
                    raise Unfit(f"a pipe that delivered nothing for {SILENCE:.0f} s", path) from None
                continue
            if block:
                data += block
            elif written or data or not piped:
                return bytes(data)
            elif time.monotonic() > until:
                raise Unfit("a pipe that no program writes to", path)
            else:
                time.sleep(0.02)
        raise Unfit(f"more than {size(most)}", path)
    finally:
        os.close(file)


def _descriptor(path: Path, *, change: bool, links: bool, pipes: bool) -> int:
    """A descriptor of a file that is what it may be, without waiting."""
    if "\0" in str(path):
        raise OSError(errno.EINVAL, "not a valid file name", str(path))
    _check(path.stat(follow_symlinks=links).st_mode, path, pipes=pipes)  # some devices act when they are opened
    names = ("O_BINARY", "O_CLOEXEC", "O_NOCTTY", "O_NONBLOCK", *(() if links else ("O_NOFOLLOW",)))
    flags = os.O_RDWR if change else os.O_RDONLY
    for name in names:
        flags |= getattr(os, name, 0)
    until = time.monotonic() + WAIT
    while True:
        try:
            file = os.open(path, flags)
            break
        except BlockingIOError:  # a file server has a lease of it, and is told now to let go
            if time.monotonic() > until:
                raise
            time.sleep(0.02)
    try:
        _check(os.fstat(file).st_mode, path, pipes=pipes)
    except BaseException:
        os.close(file)
        raise
    return file


def _check(mode: int, path: Path, *, pipes: bool) -> None:
    if (words := _words(mode)) and not (pipes and stat.S_ISFIFO(mode)):
        raise Unfit(words, path)


def _words(mode: int) -> str:
    return _KINDS.get(stat.S_IFMT(mode), "a device")


def stamp(about: os.stat_result) -> Stamp:
    """By what a file is recognised without reading it."""
    return about.st_dev, about.st_ino, about.st_size, about.st_mtime_ns, about.st_ctime_ns


def has_settled(about: os.stat_result) -> bool:
    """Whether a file would have another `stamp` if it were changed from now on. On Windows nobody knows.

    There the last number is when the file was made.
    """
    changed = about.st_ctime_ns
    return os.name != "nt" and changed % TICK != 0 and changed + SETTLED <= time.time_ns()


def not_toml(error: BaseException) -> str:
    """What is wrong with a file that should be TOML, by what its reader has raised; no library's words."""
    if isinstance(error, UnicodeDecodeError):
        return "not TOML (not UTF-8 text)"
    place = re.search(r"at line ([0-9]+), column ([0-9]+)", str(error))
    return f"not TOML (line {place[1]}, column {place[2]})" if place else "not TOML"
