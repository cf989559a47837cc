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
    """Write a file next to its place, and put it there in one move; one that was there keeps its permissions.

    Raises VlmError, naming the file, where it cannot be written; then nothing is left behind.
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
    except BaseException as error:
        with suppress(OSError, ValueError):
            part.unlink()
        if not isinstance(error, OSError | ValueError):
            raise
        reason = getattr(error, "strerror", None) or "no name of a file"
        raise VlmError(f"{path}: cannot be written ({reason})", "make room, or write elsewhere") from error
