"""Files that are written whole or not at all: no reader sees half a file, and no power cut leaves one.

Knows nothing of what is in a file, nor whether it may be replaced: that is for the caller to decide.
"""

from __future__ import annotations

import os
import secrets
import shutil
from contextlib import suppress
from pathlib import Path

from vlmcli.errors import VlmError


def write(path: Path, data: bytes) -> None:
    """Write a file as `replace` does. Raises VlmError, naming the file, where it cannot be written."""
    try:
        replace(path, data)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "no name of a file"
        raise VlmError(f"{path}: cannot be written ({reason})", "make room, or write elsewhere") from error


def replace(path: Path, data: bytes) -> None:
    """Write a file next to its place, and put it there in one move; one that was there keeps its permissions.

    Raises OSError where it cannot be written, and ValueError for what is no name of a file; then, as after any other
    exception, nothing is left behind. For callers with an error of their own to raise; others call `write`.
    """
    part = path.with_name(f".vlm-{secrets.token_hex(8)}.part")
    try:
        with part.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())  # or a power cut might leave an empty file in the place of a whole one
        if path.exists():
            shutil.copymode(path, part)
        part.replace(path)
    except BaseException:
        with suppress(OSError, ValueError):
            part.unlink()
        raise
