"""Files that a command writes beside its output: whole or not at all, and never over something else."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from vlmcli.errors import UsageError, VlmError
from vlmcli.sources import Source, expand


def target_of(name: str, pictures: Sequence[Source]) -> Path:
    """Where a file of this name is to be written; links are followed.

    Raises UsageError, before the work, where it cannot be, or where it would replace a picture that is asked about or
    what is no regular file.
    """
    try:
        path = Path(expand(name)).resolve()
        there = path.exists()
        if there and not path.is_file():
            raise UsageError(f"{name}: not a regular file", "name one that may be written")
        if not path.parent.is_dir() or not os.access(path.parent, os.W_OK):
            raise UsageError(f"{name}: cannot be written there", "name a file in a folder that can be written to")
        same = there and any(
            isinstance(one.file, Path) and one.file.exists() and path.samefile(one.file) for one in pictures
        )
    except (OSError, ValueError, RuntimeError) as error:  # too long, a NUL in it, links in a ring
        reason = getattr(error, "strerror", None) or error
        raise UsageError(f"{name[:200]}: cannot be written ({reason})", "choose another name") from None
    if same:
        raise UsageError(f"{name}: is the picture itself", "choose another name")
    return path


def write(path: Path, data: bytes) -> None:
    """Write a file next to its place, and put it there in one move; one that was there keeps its permissions."""
    part = path.with_name(f".vlm-{secrets.token_hex(8)}.part")
    try:
        with part.open("xb") as file:
            file.write(data)
        if path.exists():
            shutil.copymode(path, part)
        part.replace(path)
    except BaseException as error:
        with suppress(OSError):
            part.unlink()
        if not isinstance(error, OSError):
            raise
        raise VlmError(f"{path}: cannot be written ({error.strerror})", "make room, or write elsewhere") from error
