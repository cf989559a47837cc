"""A file of records that remembers what has been done, so that the same command, run again, does the rest.

It is the output itself: a JSON object a line (docs/json.md). Each line is written by one call, so that whoever is
killed leaves whole lines and at most one half, which the next run cuts off. A record is of the same work when the
pictures' names and content, the question, the model and the options are the same (`work_id`); the last record of a
piece of work counts.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from vlmcli import digest
from vlmcli.errors import UsageError, VlmError
from vlmcli.pictures.kept import Kept
from vlmcli.records.held import Held
from vlmcli.records.past import WORK, Past
from vlmcli.tasks.ask import Ask
from vlmcli.tasks.task import Task
from vlmcli.values import ModelFiles

LONGEST = 64 << 20  # bytes of a record
BEGIN = b'{"v": 1, "sources": ['
"""How each record begins."""
_ONE = BEGIN + b'"'
_ANSWER = b', "answer": "'
_USUAL_LINE = re.compile(
    rb'\{"v": 1, "sources": \["([^"\\]+)"\], "question": .*, "work": "([0-9a-f]{32})", '
    rb'"sha256": \["[0-9a-f]*"\], "bytes": \[[0-9]+\], "modified": \[-?[0-9]+\]\}\n\Z', re.DOTALL,
)  # fmt: skip
"""A record about one picture whose name is written as it is, as `object_line` writes it."""
SYNC_SECONDS = 2.0
_READ = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
_APPEND = os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
_APPEND |= getattr(os, "O_NOFOLLOW", 0)
"""How it is opened: without waiting for whoever would write into a pipe, nor through a link put there meanwhile."""


@dataclass(frozen=True)
class Fingerprint:
    """What a picture's file is known by.

    Attributes:
        sha256: of its bytes, in hex; empty for a file that cannot be read, or a picture that is no file.
        size: bytes.
        modified: when it was last written, in nanoseconds since 1970.
        version: of what a picture is in that is no file of its own (an archive, a table, a store); empty for a file.
    """

    sha256: str = ""
    size: int = 0
    modified: int = 0
    version: str = ""


def fingerprint(file: Path | bytes | object, known: Mapping[tuple[int, int], str] | None = None) -> Fingerprint:
    """Look at a picture's file; its bytes are read unless `known` has the hash of its size and time.

    What is in an archive, a table or a store is known by the version of that, and not read. What is elsewhere, behind
    an address, is known by its name only.
    """
    if isinstance(file, bytes):
        return Fingerprint(hashlib.sha256(file).hexdigest(), len(file))
    if isinstance(file, Kept):
        mark = file.mark()
        return Fingerprint("", mark.size, mark.modified, mark.version)
    if not isinstance(file, Path):
        return Fingerprint()
    try:
        there = file.stat()
        stamp = there.st_size, there.st_mtime_ns
        if not file.is_file():
            return Fingerprint()
        return Fingerprint((known or {}).get(stamp) or _sha256(str(file), *stamp), *stamp)
    except (OSError, ValueError):
        return Fingerprint()


@lru_cache(maxsize=64)  # the pages of a document have one file
def _sha256(path: str, _size: int, _modified: int) -> str:
    return digest.sha256(Path(path))


def work_id(names: Sequence[str], fingerprints: Sequence[Fingerprint], task: Task, model: str) -> str:
    """The name of a piece of work: 32 hex digits that are the same for the same work.

    Args:
        names: of the pictures.
        fingerprints: of their files.
        task: what is asked.
        model: as `model_id` names it.
    """
    options = {name: value for name, value in asdict(task).items() if value != _USUAL.get(name)}
    parts = [list(names), [one.sha256 or one.version for one in fingerprints], options, model]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode("utf-8", "surrogatepass")).hexdigest()[:32]


_USUAL = asdict(Ask(""))
"""Options that are as they always were do not count, so that one more option leaves what was done before done."""


def model_id(files: ModelFiles) -> str:
    """What tells a pair from another: its files' names, which are their hashes in the Hub's cache, and sizes.

    A server's model is known by its name alone: the same one may be asked at another address tomorrow.
    """
    if files.servers:
        return json.dumps(["server", files.name])
    parts = []
    for path in (files.model, files.projector):
        with suppress(OSError):
            parts.append(f"{path.resolve().name} {path.stat().st_size}")
    budget = [list(files.card.budget)] if any(files.card.budget) else []
    return json.dumps([*parts, files.card.chat_template, *budget])


class Journal:
    """An open file of records. Use it as a context manager; only one process may write it."""

    def __init__(self, path: Path, *, only_read: bool = False) -> None:
        """Open it, and read what is there.

        Args:
            path: of the file, which is made.
            only_read: change nothing, and make nothing.

        Raises UsageError for a file that has something else in it, or that another run is writing.
        """
        self.path = path
        self._past, self._file, self._synced = Past(), -1, time.monotonic()
        self._held: Held | None = None
        self._lines = 0  # records in the file, also those that others have taken the place of
        try:
            if not only_read or path.exists():
                self._file = os.open(path, _READ if only_read else _APPEND, 0o666)
        except OSError as error:
            raise UsageError(f"{path}: cannot be written ({error.strerror})", "name another file") from None
        try:
            if self._file >= 0 and not stat.S_ISREG(os.fstat(self._file).st_mode):  # since it was looked at last
                raise UsageError(f"{path}: not a regular file", "name another file")
            if not only_read:
                _lock(self._file, path)
            if self._file >= 0:
                self._past = self._read(only_read)
                self._lines = len(self._past)
            if not only_read:
                self._held = Held(self._file, path)
        except BaseException:
            self._close()
            raise

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file >= 0:
            with suppress(OSError):
                os.fsync(self._file)
        self._close()

    def _close(self) -> None:
        if self._file >= 0:
            os.close(self._file)

    def __len__(self) -> int:
        """Records that there were when it was opened, and those that were written since."""
        return self._lines

    def knows(self, names: Sequence[str]) -> bool:
        """Whether there may be a record about pictures of these names."""
        return all(next(self._past.about(_bytes(name)), None) is not None for name in names)

    def known(self, name: str) -> Mapping[tuple[int, int], str]:
        """Hashes of a file by its size and time, as the records have them that were there when this was opened."""
        found = {}
        for number in self._past.about(_bytes(name)):
            for other, sha256, stamp in _files(self._at(self._past.place(number))):
                if sha256 and other == name:
                    found[stamp] = sha256
        return found

    def has(self, work: str) -> bool:
        """Whether a piece of work had a record when this was opened."""
        return bool(work) and self._past.last(bytes.fromhex(work)) is not None

    def failed(self, work: str) -> bool:
        """Whether the last record of a piece of work was an error when this was opened."""
        number = self._past.last(bytes.fromhex(work)) if work else None
        return number is not None and self._past.failed(number)

    def record(self, work: str) -> dict[str, Any]:
        """The last record of a piece of work that had one when this was opened. Raises UsageError if it is damaged."""
        number = self._past.last(bytes.fromhex(work))
        if number is None:
            raise KeyError(work)
        return self._at(self._past.place(number))

    def records(self) -> Iterator[dict[str, Any]]:
        """The last record of each piece of work as they are now, in their order in the file. Raises UsageError."""
        past = self._read(only_read=True)
        for number in past.lasts():
            yield self._at(past.place(number))

    def _at(self, place: int) -> dict[str, Any]:
        """The record that begins at a place. Raises UsageError where it is damaged."""
        with os.fdopen(os.dup(self._file), "rb") as file:
            file.seek(place)
            line = file.readline(LONGEST)
        try:
            found: dict[str, Any] = json.loads(line)
            _files(found)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            raise UsageError(f"{self.path}: the record at byte {place:,} is damaged", "name another file") from None
        return found

    def write(self, line: str) -> None:
        """Append a record, and look whether the file is still in its place.

        Raises VlmError when there is no room; what was there before stays as it was. Also where somebody has removed,
        moved, replaced or shortened the file, as `check` does.
        """
        data = (line + "\n").encode("utf-8")
        start = os.fstat(self._file).st_size
        if self._held is not None and start < self._held.size:
            self.check()  # or this record would be joined to what is left of another
        try:
            written = 0
            while written < len(data):
                written += os.write(self._file, data[written:])
            if time.monotonic() - self._synced > SYNC_SECONDS:  # a power cut costs no more than that
                os.fsync(self._file)
                self._synced = time.monotonic()
        except OSError as error:
            with suppress(OSError):
                os.ftruncate(self._file, start)
            raise VlmError(
                f"{self.path}: cannot be written ({error.strerror})",
                "free some disk space, and run the same command again to continue",
            ) from None
        self._lines += 1
        if self._held is not None:
            self._held.size = start + len(data)
        self.check()

    def check(self) -> None:
        """Raise VlmError where the records are not in the file of this name any more; it says where they are."""
        if self._held is not None:
            self._held.check(self._lines)

    def _read(self, only_read: bool) -> Past:
        """What is in the file. What somebody who was killed has left at its end is cut off, unless it is only read."""
        past = Past()
        with os.fdopen(os.dup(self._file), "rb") as file:
            file.seek(0)
            end = 0
            for number, line in enumerate(iter(lambda: file.readline(LONGEST), b""), 1):
                if not line.endswith(b"\n") and len(line) < LONGEST and _is_broken(line):
                    if not only_read:
                        os.ftruncate(self._file, end)  # somebody was killed here
                    break
                if line.strip():
                    self._take(past, line, end, number)
                end += len(line)
                if not line.endswith(b"\n") and not only_read:
                    os.write(self._file, b"\n")  # an editor has taken it away
        past.settle()
        return past

    def _take(self, past: Past, line: bytes, place: int, number: int) -> None:
        usual = _USUAL_LINE.match(line) if line.startswith(_ONE) else None
        if usual is not None:  # ten times as fast; that it is whole is seen when it is read
            past.add(bytes.fromhex(usual[2].decode()), place, (usual[1],), failed=_ANSWER not in line)
            return
        try:
            record = json.loads(line)
            work = bytes.fromhex(record["work"])
            names = [_bytes(name) for name, _, _ in _files(record)]
            if len(work) != WORK:
                raise ValueError(record["work"])
            past.add(work, place, names, failed="error" in record)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            raise UsageError(
                f"{self.path}: line {number} is not a record that vlm can resume from",
                "name another file; output redirected with `>>` cannot be resumed",
            ) from None


def _files(record: Mapping[str, Any]) -> list[tuple[str, str, tuple[int, int]]]:
    """The names of a record's pictures, the hashes of their files, and the files' size and time.

    Raises TypeError, KeyError, ValueError or AttributeError for what is no record.
    """
    sizes = record["bytes"] if "bytes" in record else record["size"]
    parts = zip(record["sources"], record["sha256"], sizes, record["modified"], strict=True)
    return [(name, sha256, (size, modified)) for name, sha256, size, modified in parts]


def _bytes(name: str) -> bytes:
    return name.encode("utf-8", "surrogatepass")


def _is_broken(line: bytes) -> bool:
    """Whether a line without an end is the beginning of a record, or what a file system leaves of it after a crash."""
    if not line.strip(b"\0"):
        return True
    try:
        json.loads(line)
        return False
    except (ValueError, RecursionError):
        return line.startswith(BEGIN) or BEGIN.startswith(line)


def fields(fingerprints: Sequence[Fingerprint], work: str) -> dict[str, Any]:
    """What a record has beside those of every --json."""
    return {
        "work": work,
        "sha256": [one.sha256 for one in fingerprints],
        "bytes": [one.size for one in fingerprints],
        "modified": [one.modified for one in fingerprints],
    }


def _lock(file: int, path: Path) -> None:
    """Let nobody else write this file; where there are no such locks, that is left to the user."""
    try:
        import fcntl
    except ImportError:  # Windows
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise UsageError(
            f"{path}: another run is writing it", "wait until that run has ended, or name another file"
        ) from None
    except OSError:
        pass  # a file system without locks
