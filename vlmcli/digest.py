"""What a file's bytes hash to.

Knows neither pictures nor models: whoever has a path may ask, so it lies where everybody can import it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import IO, TYPE_CHECKING

from vlmcli import files

if TYPE_CHECKING:
    from hashlib import _Hash

BLOCK = 1 << 20  # bytes that are read at once


def sha256(path: Path, progress: Callable[[int], None] = lambda _: None) -> str:
    """The SHA-256 of a file's bytes, in 64 hex digits. Raises OSError, or ValueError for what is no path.

    Args:
        path: the file.
        progress: told how many bytes have been read.
    """
    hashed = hashlib.sha256()
    add_file(hashed, path, progress)
    return hashed.hexdigest()


def add_file(hashed: _Hash, path: Path, progress: Callable[[int], None] = lambda _: None) -> int:
    """Add a file's bytes to a hash that has been begun. Returns how many there were; raises as `sha256`."""
    with files.opened(path) as file:
        return add_open(hashed, file, progress)


def add_open(hashed: _Hash, file: IO[bytes], progress: Callable[[int], None] = lambda _: None) -> int:
    """Add what is left of an open file to a hash. Returns how many bytes that was; raises OSError."""
    done = 0
    while block := file.read(BLOCK):
        hashed.update(block)
        done += len(block)
        progress(done)
    return done
