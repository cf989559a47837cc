"""Files of weights are read from the disk while Python still starts: later, nobody waits for them.

Only files that are not in memory yet, and only where that has room for them. Linux alone: elsewhere nothing
is done. The kernel does all of it, without a copy and without Python's lock: a file goes to /dev/null by `sendfile`.
(`posix_fadvise` takes no more than a megabyte or so per call, and Python's lock would be waited for at each.)
"""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from vlmcli import files
from vlmcli.machine import fit

PIECE = 64 << 20
"""Bytes that are read at once."""
SAMPLES = 32
"""Places of a file that are looked at to see whether it is in memory."""
SHARE = 0.8
"""Of the free memory that may be filled."""


class Ahead:
    """Files on their way into memory, one after the other."""

    def __init__(self, paths: Sequence[Path], free: int | None = None) -> None:
        """Begin at once, in a thread of its own, if there is anything to read.

        Args:
            paths: of the files; what cannot be read is left out.
            free: bytes of memory that may be filled; None for most of what is free.
        """
        self._thread: threading.Thread | None = None
        missing = [path for path in paths if is_missing(path)]
        if missing:
            free = int(fit.memory()[0] * SHARE) if free is None else free
            self._thread = threading.Thread(target=self._read, args=(missing, free), name="vlm-ahead", daemon=True)
            self._thread.start()

    def wait(self) -> None:
        """Wait until nothing more is read."""
        if self._thread is not None:
            self._thread.join()

    def _read(self, paths: Sequence[Path], left: int) -> None:
        with suppress(OSError, ValueError), open(os.devnull, "wb") as nowhere:  # noqa: PTH123 - a device
            for path in paths:
                with suppress(OSError, ValueError), files.opened(path) as file:
                    size = os.fstat(file.fileno()).st_size
                    if size > left:
                        continue
                    left -= size
                    at = 0
                    while at < size:
                        sent = os.sendfile(nowhere.fileno(), file.fileno(), at, min(PIECE, size - at))
                        if not sent:
                            break
                        at += sent


def is_missing(path: Path) -> bool:
    """Whether some of a file must come from the disk; False where that cannot be known, or be helped."""
    if not hasattr(os, "RWF_NOWAIT") or not hasattr(os, "sendfile"):
        return False
    byte = [bytearray(1)]
    try:
        with files.opened(path, buffering=0) as file:
            last = os.fstat(file.fileno()).st_size - 1
            for number in range(SAMPLES):
                os.preadv(file.fileno(), byte, last * number // (SAMPLES - 1), os.RWF_NOWAIT)
    except BlockingIOError:
        return True
    except (OSError, ValueError):  # the file system cannot tell
        return False
    return False
