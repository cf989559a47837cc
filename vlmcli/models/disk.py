"""Folders that may not be there yet: where they would be, and how much room there is.

Reads, and makes nothing. Does not know what the folders are for.
"""

from __future__ import annotations

import shutil
from pathlib import Path


def existing(folder: Path) -> Path:
    """The folder, or the nearest one above it that is there."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return folder


def free(folder: Path) -> int:
    """Bytes that are free where a folder is, or would be."""
    return shutil.disk_usage(existing(folder)).free
