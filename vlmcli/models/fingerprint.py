"""What tells one file of weights from another, without reading gigabytes.

A header says which tensors there are and how they were quantised, but two trainings of one model have the same header.
So samples of the weights are hashed with it, from places all over the file.
"""

from __future__ import annotations

import hashlib
import os
from functools import lru_cache
from pathlib import Path

from vlmcli import files, memo
from vlmcli.memo import Identity
from vlmcli.models import gguf
from vlmcli.models.gguf import Header

SAMPLES = 32
SAMPLE_BYTES = 1 << 16


def fingerprint(header: Header) -> str:
    """64 hex digits: the sha256 of a GGUF file's size, its header, and `SAMPLES` pieces of its weights.

    Read once for a file that has not changed (`memo`). Raises ModelError where it cannot be read.
    """
    try:
        return _fingerprint(header.path, memo.identity(header.path), header.data)
    except (OSError, ValueError) as error:
        raise gguf.unreadable(header.path, error) from error


@lru_cache(maxsize=16)
def _fingerprint(path: Path, identity: Identity, data: int) -> str:
    kept = memo.known(f"fingerprint {data}", [identity])
    if isinstance(kept, str):
        return kept
    found = _of_content(path, identity[3], data)
    memo.keep(f"fingerprint {data}", [identity], found)
    return found


def _of_content(path: Path, size: int, data: int) -> str:
    hashed = hashlib.sha256(b"%d\n" % size)
    with files.opened(path) as file:
        hashed.update(file.read(data))
        rest = max(0, size - data - SAMPLE_BYTES)
        for number in range(SAMPLES):
            file.seek(data + rest * number // (SAMPLES - 1), os.SEEK_SET)
            hashed.update(file.read(SAMPLE_BYTES))
    return hashed.hexdigest()
