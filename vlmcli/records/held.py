"""A file that is held open while it is written, and that others may remove, move, replace or shorten meanwhile.

An open file is written to without an error long after its name is gone, and what is in it is gone with the last
process that has it open. So a run looks at the name after each record (two calls of the system, some microseconds) and
before it says how much it has done, and ends at once with an error when the name does not lead to the file any more.

What cannot be found under any name is saved first, since it may have taken hours: in the file's own folder as
`NAME.rescued.SUFFIX`; where that folder is gone, too, in the nearest one above it that is there, and last in the user's
state folder. It is not put back under its old name: somebody has taken it away from there, on purpose perhaps, or has
put something else there. What was moved is complete where it is now, and is only named.

Knows files, not what is in them.
"""

from __future__ import annotations

import os
import shutil
import stat
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from vlmcli.errors import VlmError
from vlmcli.settings import state_folder

_HIDDEN = (".nfs", ".fuse_hidden")
"""How names begin that NFS and FUSE give to what was removed while it was open; they go when it is closed."""
_F_GETPATH = 50  # fcntl of macOS, <sys/fcntl.h>


class Held:
    """An open file and the name it was opened by.

    Attributes:
        size: bytes that it has at least; whoever writes to it keeps count.
    """

    def __init__(self, file: int, path: Path, *, by_name: bool = True) -> None:
        """Look at the file as it is now.

        Args:
            file: its descriptor, of a regular file.
            path: the name it was opened by, absolute and without links.
            by_name: whether it must stay under this name; otherwise under any.
        """
        self._file, self._path, self._by_name = file, path, by_name
        there = os.fstat(file)
        self._had_name = there.st_nlink > 0  # a parent's temporary file never has one
        self.size = there.st_size

    def check(self, records: int | None = None) -> None:
        """See to it that all that was written is where it belongs.

        Args:
            records: how many were written, for what is said; None where that is not known.

        Raises VlmError, which says what has become of them; what would be lost is saved before.
        """
        there = os.fstat(self._file)
        if there.st_size < self.size:
            left = "" if records is None else f"; {self._lines():,} of its {records:,} records are left"
            raise VlmError(
                f"{self._path}: shortened by another program while it was being written{left}",
                "make sure that nothing else writes to it, and run the same command again",
            )
        how = self._taken(there)
        if not how:
            return
        its = "its contents" if records is None else f"its records ({records:,})"
        now = name_of(self._file)
        if now is not None:
            raise VlmError(
                f"{self._path}: moved to {now} while it was being written; {its} are there",
                "move it back, and run the same command again to continue",
            )
        saved = _saved(self._file, self._path)
        if saved is None:
            raise VlmError(
                f"{self._path}: {how} while it was being written; {its} cannot be saved anywhere and will be lost",
                "leave the file where it is, and run the same command again",
            )
        raise VlmError(
            f"{self._path}: {how} while it was being written; {its} are saved in {saved}",
            f"move that file to {self._path}, and run the same command again to continue",
        )

    def _taken(self, there: os.stat_result) -> str:
        """What has become of the file's name; empty while it is as it was, or where that cannot be known."""
        if not self._by_name:
            return "removed" if self._had_name and not there.st_nlink else ""
        try:
            found = self._path.stat()
            same = os.path.samestat(there, found) or (  # the numbers of files may change on a network's drives
                (there.st_size, there.st_mtime_ns) == (found.st_size, found.st_mtime_ns)
            )
            return "" if same else "replaced by another file"
        except (FileNotFoundError, NotADirectoryError):
            return "removed"
        except OSError:  # such as a folder that may not be looked into any more: it is still in there
            return "" if there.st_nlink else "removed"

    def _lines(self) -> int:
        with os.fdopen(os.dup(self._file), "rb") as file:
            file.seek(0)
            return sum(piece.count(b"\n") for piece in iter(lambda: file.read(1 << 20), b""))


def name_of(file: int) -> Path | None:
    """A name by which an open file can be found now; None where there is none, or the platform does not tell."""
    try:
        if sys.platform == "darwin":
            import fcntl

            path = Path(os.fsdecode(fcntl.fcntl(file, _F_GETPATH, bytes(1024)).rstrip(b"\0")))
        else:
            path = Path(f"/proc/self/fd/{file}").readlink()
        found = path.is_absolute() and os.path.samestat(path.stat(), os.fstat(file))
    except (OSError, ValueError):
        return None
    return path if found and not path.name.startswith(_HIDDEN) else None


def _saved(file: int, path: Path) -> Path | None:
    """Copy all that is in an open file into a new one, and return its name; None where there is no place for it."""
    for folder in _folders(file, path):
        with suppress(OSError):
            return _copied(file, path, folder)
    return None


def _folders(file: int, path: Path) -> Iterator[Path]:
    """Where it may go. What lies on another device is below a mount point that has lost its disk, or above one."""
    device = os.fstat(file).st_dev
    for folder in path.parents:
        try:
            there = folder.stat()
        except OSError:
            continue
        if there.st_dev == device:
            yield folder
        break
    with suppress(OSError):
        state_folder().mkdir(parents=True, exist_ok=True)
        yield state_folder()


def _copied(file: int, path: Path, folder: Path) -> Path:
    """A new file in a folder, with all that is in an open one and its permissions. Raises OSError."""
    number, made = 1, -1
    while made < 0:
        again = f"-{number}" if number > 1 else ""
        copy, number = folder / f"{path.stem}.rescued{again}{path.suffix}", number + 1
        with suppress(FileExistsError):
            made = os.open(copy, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o600)
    try:
        with os.fdopen(made, "wb") as target, os.fdopen(_readable(file), "rb") as source:
            source.seek(0)
            shutil.copyfileobj(source, target, 1 << 20)
            target.flush()
            os.fsync(target.fileno())
        copy.chmod(stat.S_IMODE(os.fstat(file).st_mode))
    except BaseException:
        with suppress(OSError):
            copy.unlink()
        raise
    return copy


def _readable(file: int) -> int:
    """A descriptor of the same file that can be read from: one that was only to be written is opened again."""
    try:
        os.pread(file, 1, 0)
        return os.dup(file)
    except (OSError, AttributeError):  # Windows has no pread
        return os.open(f"/proc/self/fd/{file}", os.O_RDONLY)
