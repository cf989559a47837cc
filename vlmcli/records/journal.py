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
import stat
import time
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from vlmcli import digest
from vlmcli.errors import UsageError, VlmError
from vlmcli.later import Later
from vlmcli.pictures.kept import Kept
from vlmcli.records import reading
from vlmcli.records.held import Held
from vlmcli.records.order import rewrite
from vlmcli.records.past import Past
from vlmcli.tasks.ask import Ask
from vlmcli.tasks.task import Task
from vlmcli.values import ModelFiles

if TYPE_CHECKING:
    import numpy as np
else:
    np = Later("numpy")

SYNC_SECONDS = 2.0
_SOME = 10_000
"""Names of works that are turned into bytes at a time."""
_READ = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
_APPEND = os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
_APPEND |= getattr(os, "O_NOFOLLOW", 0)
"""How it is opened: without waiting for whoever would write into a pipe, nor through a link put there meanwhile."""


@dataclass(frozen=True, slots=True)
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


def fingerprint(file: Path | bytes | object, known: Callable[[], Mapping[tuple[int, int], str]] = dict) -> Fingerprint:
    """Look at a picture's file; its bytes are read unless what `known` returns has the hash of its size and time.

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
        if not stat.S_ISREG(there.st_mode):
            return Fingerprint()
        return Fingerprint(known().get(stamp) or _sha256(str(file), *stamp), *stamp)
    except (OSError, ValueError):
        return Fingerprint()


@lru_cache(maxsize=64)  # the pages of a document have one file
def _sha256(path: str, _size: int, _modified: int) -> str:
    return digest.sha256(Path(path))


def work_id(names: Sequence[str], fingerprints: Sequence[Fingerprint], asked: str) -> str:
    """The name of a piece of work: 32 hex digits that are the same for the same work.

    Args:
        names: of the pictures.
        fingerprints: of their files.
        asked: what is asked, and of which model, as `asked_of` has it.
    """
    said = [", ".join(map(json.dumps, some)) for some in (names, [one.sha256 or one.version for one in fingerprints])]
    text = f"[[{said[0]}], [{said[1]}], {asked}]"
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def asked_of(task: Task, model: str) -> str:
    """What is asked, and of which model, as a part of what is hashed for the names of works; the same for many.

    Args:
        task: what is asked.
        model: as `model_id` names it.
    """
    options = {name: value for name, value in asdict(task).items() if value != _USUAL.get(name)}
    return f"{json.dumps(options, sort_keys=True)}, {json.dumps(model)}"


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
        self._end = 0  # of what was read, in bytes
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
                self._read(only_read)
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
        return all(self._past.about(reading.utf8(name)) for name in names)

    def known(self, name: str) -> Mapping[tuple[int, int], str]:
        """Hashes of a file by its size and time, as the records have them that were there when this was opened."""
        found = {}
        for number in self._past.about(reading.utf8(name)):
            for other, sha256, stamp in reading.files_of(self._record(number)):
                if sha256 and other == name:
                    found[stamp] = sha256
        return found

    def has(self, work: str) -> bool:
        """Whether a piece of work had a record when this was opened."""
        return bool(work) and self._past.last(bytes.fromhex(work)) is not None

    def failed(self, work: str) -> bool | None:
        """Whether the last record of a piece of work was an error when this was opened; None where it had none."""
        number = self._past.last(bytes.fromhex(work)) if work else None
        return None if number is None else self._past.failed(number)

    def record(self, work: str) -> dict[str, Any]:
        """The last record of a piece of work that had one when this was opened. Raises UsageError if it is damaged."""
        number = self._past.last(bytes.fromhex(work))
        if number is None:
            raise KeyError(work)
        return self._record(number)

    def records(self) -> Records:
        """The last record of each piece of work as they are now, in their order in the file."""
        self._read(only_read=True)
        return Records(self._record, self._past.lasts())

    def restore_order(self, works: Iterable[str]) -> bool:
        """Put the records of these works into this order, in a new file in place of the old one.

        For the end of a run whose records were written as they came. Records of other work come first, as they are;
        those of one piece of work stay in their order. Nothing is written where all are in order already.

        Args:
            works: the names of the command's works, in the command's order; not all need have records.

        Returns whether the file was written anew. Raises VlmError where it cannot be, which is as it was then.
        """
        self._read(only_read=True)
        self.check()
        wanted, left = bytearray(), iter(works)
        while some := list(islice(left, _SOME)):
            wanted += bytes.fromhex("".join(some))
        ranks = self._past.ranks(bytes(wanted))
        if bool((ranks[1:] >= ranks[:-1]).all()):
            return False
        order = np.argsort(ranks, kind="stable")
        places, sizes = self._past.places(self._end)
        try:
            file = rewrite(self._file, self.path, places[order], sizes[order], self.check)
        except OSError as error:
            raise VlmError(
                f"{self.path}: its records stay in the order in which they came ({error.strerror})",
                "nothing is lost: each record says which picture it is about",
            ) from None
        os.close(self._file)
        self._file, self._held = file, Held(file, self.path)
        self._past.put(order, self._end)
        self._end = int(sizes.sum())
        return True

    def _record(self, number: int) -> dict[str, Any]:
        """A record by its number. Raises UsageError where it is damaged."""
        place = self._past.place(number)
        end = self._past.place(number + 1) if number + 1 < len(self._past) else self._end
        return reading.parsed(_piece(self._file, place, end - place), self.path, place)

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

    def _read(self, only_read: bool) -> None:
        """Take what is in the file behind what was read before.

        What somebody who was killed has left at its end is cut off, unless it is only read.
        """
        with os.fdopen(os.dup(self._file), "rb", buffering=0) as file:
            end = reading.read(file, self.path, self._past, self._end)
        self._end = end.place
        if not only_read and end.whole:
            os.ftruncate(self._file, end.place)
        elif not only_read:
            os.write(self._file, b"\n")  # an editor has taken it away
            self._end += 1


class Records(Sequence[dict[str, Any]]):
    """Records of a journal, each read from its file when it is asked for, which raises UsageError if it is damaged."""

    def __init__(self, read: Callable[[int], dict[str, Any]], numbers: array[int]) -> None:
        """`read` reads one of these numbers."""
        self._read, self._numbers = read, numbers

    def __len__(self) -> int:
        """How many there are."""
        return len(self._numbers)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """All of them."""
        return map(self._read, self._numbers)

    @overload
    def __getitem__(self, at: int) -> dict[str, Any]: ...

    @overload
    def __getitem__(self, at: slice) -> Records: ...

    def __getitem__(self, at: int | slice) -> dict[str, Any] | Records:
        """One of them, or some."""
        if isinstance(at, slice):
            return Records(self._read, self._numbers[at])
        return self._read(self._numbers[at])


def _piece(file: int, place: int, size: int) -> bytes:
    """Bytes of a file; fewer where it ends."""
    if hasattr(os, "pread"):
        return os.pread(file, size, place)
    os.lseek(file, place, os.SEEK_SET)  # Windows; what is written is appended wherever this is
    return os.read(file, size)


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
