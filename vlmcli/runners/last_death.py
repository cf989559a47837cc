"""What is left of a command that died inside llama.cpp: a file that the next command finds and explains.

While llama.cpp runs in a command's own process, a file says what it was asked. Python's fault handler adds the signal
if one kills the process. A file whose process is gone was left by a death; a lock, not a process id, says which are.
"""

from __future__ import annotations

import faulthandler
import json
import os
import re
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, BinaryIO

from vlmcli import files

try:
    import fcntl
except ImportError:  # on Windows an open file cannot be removed, which serves as well
    fcntl = None  # type: ignore[assignment]

KILLED = "killed; perhaps memory ran out"


@dataclass(frozen=True)
class Death:
    """How a command ended: the model's file, the pictures' names, and the signal in words."""

    model: str
    pictures: tuple[str, ...]
    reason: str


@contextmanager
def marked(folder: Path, model: Path, pictures: Sequence[str]) -> Iterator[None]:
    """Leave a file in the folder should this process die in here; where none can be written, none is left."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{os.getpid()}.txt"
        with suppress(FileNotFoundError):
            path.unlink()  # of a process of this number before; or a pipe, or a link, that somebody has put there
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0)
        file = os.fdopen(os.open(path, flags, 0o600), "w", encoding="utf-8", errors="replace")
    except OSError:
        yield
        return
    with file:
        with suppress(OSError):
            _lock(file)
            file.write(json.dumps({"model": str(model), "pictures": list(pictures)[:8]}) + "\n")
            file.flush()
        faulthandler.enable(file, all_threads=False)
        asked = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
        for number in asked if hasattr(faulthandler, "register") else ():
            faulthandler.register(number, file, all_threads=False, chain=True)  # to end when told to is no death
        try:
            yield
        finally:
            faulthandler.disable()
            for number in asked if hasattr(faulthandler, "unregister") else ():
                faulthandler.unregister(number)
            clear(folder)


def clear(folder: Path) -> None:
    """Remove this process's file: should it end now, the user has been told why."""
    with suppress(OSError):
        (folder / f"{os.getpid()}.txt").unlink()


def take(folder: Path) -> Death | None:
    """What the newest file of a dead process says, None where none says anything; all of them are removed."""
    found: list[tuple[float, Death]] = []
    with suppress(OSError):
        for path in folder.glob("*.txt"):
            with suppress(OSError, ValueError):
                when, text = path.lstat().st_mtime, _left(path)
                death = _death(text) if text is not None else None
                if death is not None:
                    found.append((when, death))
    return max(found, key=lambda one: one[0])[1] if found else None


def _left(path: Path) -> str | None:
    """The text of a dead process's file, which is removed; None where the process lives. Raises OSError."""
    with files.opened(path, change=True, links=False) as file:
        if not _lock(file):
            return None
        text = file.read(1 << 16).decode("utf-8", "replace")
        if fcntl is not None:
            path.unlink()
    if fcntl is None:
        path.unlink()  # PermissionError while it is open
    return text


def _lock(file: IO[str] | BinaryIO) -> bool:
    """Hold the file until it is closed, or this process has ended; whether nobody else does."""
    if fcntl is None:
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _death(text: str) -> Death | None:
    """What a file says; None where the process had not begun, or was told to end."""
    first, _, rest = text.partition("\n")
    try:
        said = json.loads(first)
        model, pictures = str(said["model"]), tuple(map(str, said["pictures"]))
    except (ValueError, KeyError, TypeError, RecursionError):
        return None  # it had not begun
    fatal = re.search(r"Fatal Python error: (.*)", rest)
    if rest and not fatal:
        return None  # it was told to end
    reason = fatal[1].strip().lower() if fatal else KILLED
    return Death(model, pictures, reason)
