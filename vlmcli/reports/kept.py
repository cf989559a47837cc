"""What is kept for later commands, by kind, and what is wrong with where it is kept.

Knows the kinds by the names of their folders. Another folder is a kind, too, if there are entries in it.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from vlmcli import entries, files
from vlmcli.entries import Entries
from vlmcli.errors import VlmError
from vlmcli.placement import Caching

KINDS: Mapping[str, str] = {
    "embeddings": "what the encoder made of pictures",
    "prefixes": "beginnings of prompts, with their pictures, as the model has read them",
    "pictures": "sizes and fingerprints of picture files, so that a known one is not decoded",
    "pairs": "headers of model files, and that two of them belong together",
    "facts": "facts about models that take time to find out",
}
"""Kinds of what is kept, and what each is."""


@dataclass(frozen=True)
class Kind:
    """One kind of what is kept.

    Attributes:
        name: of the kind, and of its folder.
        what: is kept, in words; empty for an unknown kind.
        limit: bytes of its entries at most; None where that is small anyway.
        entries: the entries themselves.
    """

    name: str
    what: str
    limit: int | None
    entries: Entries


def kinds(caching: Caching) -> Sequence[Kind]:
    """Every kind, also one of which nothing is kept. Raises VlmError where the folder cannot be read."""
    folder = caching.folder
    try:
        there = files.what(folder)
        if there not in (None, "a folder"):
            raise VlmError(
                f"{folder} is {there or 'a file'}, not a folder", "move it away, or set VLM_CACHE_DIR to a folder"
            )
        found = [one.name for one in entries.folders(folder)]
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not a valid file name"
        raise VlmError(
            f"{folder}: cannot be read ({reason})", "check its permissions, or set VLM_CACHE_DIR to another folder"
        ) from error
    limits = {"embeddings": caching.embeddings, "prefixes": caching.prefixes}
    return [
        Kind(name, KINDS.get(name, ""), limits.get(name), Entries(folder / name, limits.get(name, 0)))
        for name in dict.fromkeys((*KINDS, *found))
    ]


def problem(folder: Path) -> str:
    """Why a kind's folder is not used, in words behind its name; empty where it is, or may be made."""
    try:
        there = folder.lstat()
    except OSError:
        return ""
    if not stat.S_ISDIR(there.st_mode):
        return f"is {files.what(folder, links=False) or 'a file'}, not a folder"
    return "belongs to another user" if hasattr(os, "geteuid") and there.st_uid != os.geteuid() else ""


def is_open(folder: Path) -> bool:
    """Whether other users may look into a kind's folder; the next entry that is written changes that."""
    return os.name != "nt" and folder.exists() and bool(stat.S_IMODE(folder.stat().st_mode) & 0o077)
