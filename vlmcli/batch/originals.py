"""Pictures' own files with an answer put into their metadata: what belongs to a file, and is not in it, stays.

A new file takes the old one's place in one move, with its owner, permissions, access control list, extended attributes
and times. What cannot be kept, and a second name (hard link) of the file, is an error before anything is replaced.

Or, if that is wished, the file itself is written: then a copy is beside it until that is done (`.NAME.vlm-backup`), and
after a kill the next run puts it back. A copy's own times are the picture's; when it was made is known by its last
change (ctime), which nobody sets.
"""

from __future__ import annotations

import errno
import os
import re
import stat
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import BinaryIO

from vlmcli import atomic, files
from vlmcli.errors import VlmError
from vlmcli.pictures import embedded
from vlmcli.pictures.properties import SPACES

_BACKUP = re.compile(r"\.(.+)\.vlm-backup", re.DOTALL)
_WRITING = 60.0
"""Seconds after its copy was made in which a file is written; changed later, it was by somebody else."""
_CLOCK = 3.0
"""Seconds by which times of a file system may be rounded; FAT's are to two."""

_OF_CONTENTS = {"security.ima", "security.evm", "security.capability"}
"""Attributes that the kernel makes of a file's contents, or takes away when they change."""
LARGEST = 1 << 30
"""Bytes of a picture's file."""
_HINT = "--in-place changes the file itself instead of replacing it"


def change(
    path: Path,
    name: str,
    old: bytes,
    packet: bytes,
    *,
    touch: bool,
    in_place: bool,
    spaces: Collection[str] = (SPACES["dc"],),
) -> bool:
    """Put an XMP packet into a picture's file. Returns whether that changes it.

    Its size changes, too, if its time does not, so that whatever copies by size and time (rsync, backups) sees it.

    Args:
        path: the file, links followed.
        name: of the picture, for errors.
        old: what is in the file.
        packet: UTF-8.
        touch: give it the time of now, and not the time it had.
        in_place: write into the file itself.
        spaces: the namespaces of what is new in the packet.

    Raises VlmError where it cannot be, or something of the file could not be kept.
    """
    new = embedded.with_packet(old, packet, name, spaces)
    if new == old:
        return False
    if len(new) == len(old) and not touch:
        new = embedded.with_packet(old, packet + b"\n\n", name, spaces)
    try:
        if in_place:
            _write_into(path, name, old, new, touch=touch)
        elif refused := refusal(path, name, in_place=False):
            raise refused
        else:
            # The old file is locked: the second of two runs finds another in its place. Windows replaces no open one.
            with _locked(path, name) if os.name != "nt" else nullcontext():
                atomic.replace(path, new, finish=lambda part: _keep(path, name, old, part, touch=touch))
    except OSError as error:
        hint = "check its permissions and the free disk space"
        if in_place and _backup(path).exists():
            hint += f"; the next run restores it from its backup {_backup(path).name}"
        raise VlmError(f"{name}: cannot be written ({error.strerror})", hint) from error
    return True


def refusal(path: Path, name: str, *, in_place: bool) -> VlmError | None:
    """Why a file cannot be written, as far as that is known before; None where nothing is known.

    Args:
        path: of the file, links followed.
        name: of the picture, for errors.
        in_place: whether the file itself is written into, or else replaced by a new one.
    """
    try:
        if in_place:
            there = files.what(_backup(path), links=False)
            return _no_backup(path, name, there) if there else None
        links = path.stat().st_nlink
    except (OSError, ValueError):  # it will be said
        return None
    if links < 2:
        return None
    what = f"{name}: has {links} hard links, which a new file in its place would break"
    return VlmError(what, _HINT)


def restore(folder: Path) -> Iterator[tuple[Path, str | VlmError]]:
    """Look for what a killed run has left in a folder: remove it, and put back what it has half written.

    Yields each file with words that say what was done, or with an error where somebody must look at it.
    """
    atomic.sweep(folder)
    try:
        with os.scandir(folder) as found:
            names = sorted(one.name for one in found)
    except (OSError, ValueError):
        return
    for name in names:
        if match := _BACKUP.fullmatch(name):
            path = folder / match[1]
            try:
                with suppress(FileNotFoundError):  # another run has done it
                    if _restored(path, folder / name):
                        yield path, "restored from its backup: the last run was killed while writing"
            except VlmError as error:
                yield path, error
            except OSError as error:
                what = f"{path}: cannot be restored from {name} ({error.strerror})"
                yield path, VlmError(what, "copy the backup over it yourself")


# --- a new file in its place ---


def _keep(path: Path, name: str, old: bytes, part: Path, *, touch: bool) -> None:
    """Give a new file what belongs to the old one, if that is still what it was."""
    if _bytes(path) != old:
        raise _changed(name)
    there, new = path.stat(), part.stat()
    if hasattr(os, "chown") and (there.st_uid, there.st_gid) != (new.st_uid, new.st_gid):
        try:
            os.chown(part, there.st_uid, there.st_gid)
        except OSError as error:
            whose = f"user {there.st_uid}, group {there.st_gid}"
            raise VlmError(
                f"{name}: belongs to {whose}; a new file in its place would not ({error.strerror})", _HINT
            ) from None
    _keep_attributes(path, name, part)
    try:
        part.chmod(stat.S_IMODE(there.st_mode))
        os.utime(part, ns=(there.st_atime_ns, new.st_mtime_ns if touch else there.st_mtime_ns))
    except OSError as error:
        raise VlmError(f"{name}: a new file cannot keep its permissions and times ({error.strerror})", _HINT) from None
    if stat.S_IMODE(part.stat().st_mode) != stat.S_IMODE(there.st_mode):
        raise VlmError(f"{name}: a new file cannot keep its permissions", _HINT)


def _keep_attributes(path: Path, name: str, part: Path) -> None:
    """Extended attributes, of which one is the access control list; those that a new file gets by itself go."""
    if not hasattr(os, "listxattr"):
        return
    wanted, has = _attributes(path), _attributes(part)
    for attribute in [*sorted(has.keys() - wanted.keys()), *wanted]:
        try:
            if attribute not in wanted:
                os.removexattr(part, attribute)
            elif has.get(attribute) != wanted[attribute]:
                os.setxattr(part, attribute, wanted[attribute])
        except OSError as error:
            raise VlmError(
                f"{name}: a new file cannot keep its extended attribute {attribute} ({error.strerror})", _HINT
            ) from None


def _attributes(path: Path) -> dict[str, bytes]:
    try:
        names = os.listxattr(path)
    except OSError as error:
        if error.errno in (errno.ENOTSUP, errno.ENOSYS):  # the file system has none
            return {}
        raise
    return {name: os.getxattr(path, name) for name in names if name not in _OF_CONTENTS}


# --- into the file itself ---


def _write_into(path: Path, name: str, old: bytes, new: bytes, *, touch: bool) -> None:
    """Write into a file of which a copy is beside it meanwhile. Should that fail, what was there is put back."""
    backup = _backup(path)
    with _locked(path, name) as file:
        there = os.fstat(file.fileno())
        if refused := refusal(path, name, in_place=True):
            raise refused
        if backup.exists() and _put_back(path, file, backup):
            raise VlmError(f"{name}: restored from its backup, but its answer is not written yet", "ask about it again")
        if file.read() != old:
            raise _changed(name)
        times = there.st_atime_ns, there.st_mtime_ns
        atomic.replace(backup, old, finish=lambda part: _as_copy(part, there))
        try:
            atomic.settle(path.parent)
            _overwrite(file, new)
        except BaseException:
            _overwrite(file, old)  # where that fails, too, the backup stays, and the next run tries it
            _times(path, times)
            backup.unlink()
            raise
        backup.unlink()
        with suppress(OSError):
            atomic.settle(path.parent)
        if not touch:
            _times(path, times)


def _backup(path: Path) -> Path:
    """Where a file's copy is while it is written into."""
    return path.with_name(f".{path.name}.vlm-backup")


def _as_copy(part: Path, there: os.stat_result) -> None:
    part.chmod(stat.S_IMODE(there.st_mode) & 0o700)
    os.utime(part, ns=(there.st_atime_ns, there.st_mtime_ns))


def _times(path: Path, times: tuple[int, int]) -> None:
    """Give a file its times back; where it belongs to another user, only its time of now can be had."""
    with suppress(PermissionError):
        os.utime(path, ns=times)


def _overwrite(file: BinaryIO, data: bytes) -> None:
    """Make an open file hold these bytes; its room is taken first, so that a full disk is known before."""
    if len(data) > os.fstat(file.fileno()).st_size and hasattr(os, "posix_fallocate"):
        try:
            os.posix_fallocate(file.fileno(), 0, len(data))
        except OSError as error:
            if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL):  # file systems without it
                raise
    file.seek(0)
    file.write(data)
    file.truncate(len(data))
    file.flush()
    os.fsync(file.fileno())


def _restored(path: Path, backup: Path) -> bool:
    """Put a copy back, unless its file is whole. Returns whether it had to be."""
    if not path.exists():
        raise VlmError(f"{path}: no longer exists, but its backup {backup.name} does", "rename or remove the backup")
    with _locked(path, str(path)) as file:
        return _put_back(path, file, backup)


def _put_back(path: Path, file: BinaryIO, backup: Path) -> bool:
    """As `_restored`, for a file that is open and locked."""
    there, copy = os.fstat(file.fileno()), backup.lstat()
    if not stat.S_ISREG(copy.st_mode):  # none of ours
        return False
    if hasattr(os, "geteuid") and copy.st_uid not in (0, os.geteuid(), there.st_uid):
        raise VlmError(
            f"{path}: its backup {backup.name} belongs to another user", "compare the two, then remove the backup"
        )
    old = _bytes(backup)
    file.seek(0)
    whole = file.read() == old
    file.seek(0)
    if not whole:
        if not -_CLOCK <= max(there.st_mtime, there.st_ctime) - copy.st_ctime <= _WRITING:
            raise VlmError(
                f"{path}: has changed since its backup {backup.name} was made",
                "compare the two, then remove the backup, or replace the file with it",
            )
        _check_backup(path, backup, old)
        _overwrite(file, old)
    _times(path, (copy.st_atime_ns, copy.st_mtime_ns))
    backup.unlink()
    return not whole


def _check_backup(path: Path, backup: Path, old: bytes) -> None:
    """Raise for a copy of what cannot have been written into: somebody else has put it there."""
    try:
        embedded.packet_of(old, backup.name)
    except VlmError:
        what = f"{path}: its backup {backup.name} was not made by vlm"
        raise VlmError(what, "compare the two, then remove the backup") from None


@contextmanager
def _locked(path: Path, name: str) -> Iterator[BinaryIO]:
    """A file, open to be read and written, and locked; a short while is waited for another run that has it.

    Its path is of no link: whatever else is there was put there after the links of its name were followed.
    """
    with files.opened(path, change=True, links=False, buffering=0) as raw:
        until = time.monotonic() + 5
        while not atomic.lock(raw):
            if time.monotonic() > until:
                raise VlmError(f"{name}: another run is writing it", "wait until that run has ended")
            time.sleep(0.05)
        with os.fdopen(os.dup(raw.fileno()), "r+b") as file:
            yield file


def _bytes(path: Path) -> bytes:
    """What is in a regular file that no link leads to. Raises OSError."""
    return files.read(path, LARGEST, links=False)


def _no_backup(path: Path, name: str, there: str) -> VlmError:
    return VlmError(
        f"{name}: its backup {_backup(path).name} cannot be made: {there} has that name", "remove it or move it away"
    )


def _changed(name: str) -> VlmError:
    return VlmError(f"{name}: changed while the question was being answered", "ask about it again")
