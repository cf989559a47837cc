"""A file of records written anew in another order, in place of the old one.

The new file is written beside it and put in its place in one move (vlmcli/atomic.py), so that whoever is killed leaves
the old one as it was. What is copied at a time is bounded. The new file keeps the old one's owner, permissions, access
control list and extended attributes; where one of these cannot be kept, the old file stays.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from vlmcli import atomic
from vlmcli.later import Later

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
else:
    np = Later("numpy")

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

RECORDS = 8192
"""How many are copied at a time."""
NEAR = 64 << 20
"""Bytes of the old file that are read at once, where the records that follow one another are so near."""


def rewrite(
    file: int, path: Path, places: NDArray[np.int64], sizes: NDArray[np.int64], check: Callable[[], None]
) -> int:
    """Write the records of an open file in another order, and put that file in its place.

    Returns the new file's descriptor, to read and to append by, locked as the old one was; the old one stays open.

    Args:
        file: the old file's descriptor.
        path: its name, without links.
        places: where each record begins in it, in the new order.
        sizes: their bytes, with the ends of their lines.
        check: called when the new file is complete; what it raises leaves the old one in its place.

    Raises OSError where it cannot be written, and nothing has changed then.
    """
    if fcntl is None:
        raise OSError(0, "Windows replaces no file that is open")
    there = os.fstat(file)
    if there.st_nlink > 1:
        raise OSError(0, "the file has another name, which would keep the old order")
    size = int(sizes.sum())
    if shutil.disk_usage(path.parent).free < size:
        raise OSError(0, "no space for a second one beside it")
    kept = -1
    try:
        with atomic.writing(path) as target:
            _keep(there, file, target.fileno())
            for piece in _pieces(file, places, sizes):
                target.write(piece)
            target.flush()
            os.fsync(target.fileno())  # here already: it may take long, and what is checked must be of now
            now = os.fstat(file)
            if target.tell() != size or (now.st_size, now.st_mtime_ns) != (there.st_size, there.st_mtime_ns):
                raise OSError(0, "another program has changed it meanwhile")
            check()
            kept = os.dup(target.fileno())  # which keeps the lock
        fcntl.fcntl(kept, fcntl.F_SETFL, fcntl.fcntl(kept, fcntl.F_GETFL) | os.O_APPEND)
    except BaseException:
        if kept >= 0:
            os.close(kept)
        raise
    with suppress(OSError):
        atomic.settle(path.parent)  # or a power cut might bring the old file back, without what is appended to the new
    return kept


def _keep(there: os.stat_result, file: int, target: int) -> None:
    """Give a new file an old one's owner and attributes; its permissions are kept by whoever puts it in its place."""
    new = os.fstat(target)
    if (new.st_uid, new.st_gid) != (there.st_uid, there.st_gid):
        os.fchown(target, there.st_uid, there.st_gid)
    if not hasattr(os, "listxattr"):
        return
    try:
        names = [name for name in os.listxattr(file) if not name.startswith("security.")]  # the system's own
    except OSError:  # a file system without such
        return
    for name in names:
        os.setxattr(target, name, os.getxattr(file, name))


def _pieces(file: int, places: NDArray[np.int64], sizes: NDArray[np.int64]) -> Iterator[bytes]:
    """The records, some at a time; those that lie near one another are read together."""
    for first in range(0, len(places), RECORDS):
        begins, lengths = places[first : first + RECORDS], sizes[first : first + RECORDS]
        low, high = int(begins.min()), int((begins + lengths).max())
        starts = zip(begins.tolist(), lengths.tolist(), strict=True)
        if high - low <= NEAR:
            span = memoryview(os.pread(file, high - low, low))
            yield b"".join(span[begin - low : begin - low + length] for begin, length in starts)
        else:
            for begin, length in starts:
                yield os.pread(file, length, begin)
