"""Entries of a cache: a folder of files, each of which may be lost at any time, and none of which is believed blindly.

An entry is found by its key, which says everything that its content depends on. It is written whole or not at all, and
carries its key and a checksum: one that was cut, damaged, or put under another's name counts as missing, and is
removed. Entries that were not used for the longest time go first when there is no room. Any number of processes may
read and write the same folder at once; what one removes, another simply does not find.

A folder may be anywhere, also where others have files, so nothing is removed but what is an entry by its name, its
owner and its first bytes; and a folder that is a link, or another user's, is left alone.

Nothing but `clear` raises for what the disk does: a cache that cannot be read is empty, and one that cannot be written
stays as it is. It does not know what is kept.

    >>> entries = Entries(Path("/home/me/.cache/vlm/embeddings"), limit=2 << 30)
    >>> entries.put(key_of("a", 1), b"what it is", memoryview(rows).cast("B"))
    >>> found = entries.get(key_of("a", 1))
"""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import os
import re
import shutil
import stat
import struct
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from vlmcli import atomic, files

FORMAT = 1
"""Of the files. Another number makes all entries missing, as it is part of every key."""
SPARE = 500 * 10**6
"""Bytes that are left free on the disk, whatever the limit says."""
FIRST_BYTES = b"vlmcache"
BLOCK = 4096
"""Bytes by which a file's place on a disk grows: a small entry takes no less."""
SMALL = 1024
"""Of entries that so many have room, only every sixteenth, by its key, has the folder looked through to see whether it
is full: there may be many thousands, and one more or less does not count."""
HITS = "hits"
"""The file that gets a byte whenever an entry is found: processes can add to it without waiting for each other."""
LATER = 86_400
"""Seconds. An entry that was used so much later than now was used by a clock that was wrong: nobody knows when."""

_HEAD = struct.Struct("<8s32sIQ32s")
"""First bytes, key, bytes of what is said of the content, bytes of the content, sha256 of all but itself."""
_NAME = re.compile("[0-9a-f]{64}")

log = logging.getLogger("vlmcli.entries")


@dataclass(frozen=True)
class Entry:
    """What was kept.

    Attributes:
        about: what was said of the content.
        content: the bytes themselves.
    """

    about: bytes
    content: memoryview


@dataclass(frozen=True)
class Kept:
    """A cache as a person sees it.

    Attributes:
        count: of entries.
        size: bytes that their files take on the disk.
        hits: how often one was found.
        used: when an entry was used last, in seconds since 1970; 0 if that is not known.
    """

    count: int
    size: int
    hits: int = 0
    used: float = 0.0


@dataclass(frozen=True)
class _File:
    """A file that has the name of an entry: when it was used last, its bytes, and where it is."""

    used: float
    size: int
    path: Path


def key_of(*facts: object) -> str:
    """The key of an entry that depends on these facts, which are what JSON can say: 64 hex digits."""
    text = json.dumps([FORMAT, *facts], sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def folders(parent: Path) -> list[Path]:
    """The folders in a folder that have entries. Raises OSError where the folder cannot be read."""
    with suppress(FileNotFoundError), os.scandir(parent) as found:
        inside = [Path(one.path) for one in found if one.is_dir(follow_symlinks=False)]
        return sorted(one for one in inside if any(_is_ours(file.path) for file in _files(one)))
    return []


class Entries:
    """One folder of entries. One thread may find entries, another may write them; other processes may do both."""

    def __init__(self, folder: Path, limit: int) -> None:
        """Look at no file yet.

        Args:
            folder: of the entries; it is made when the first one is written, for its owner alone.
            limit: bytes that all entries together take on the disk. This object writes half of that at most, and
                removes nothing that it has written: a run over more pictures than find room would otherwise find
                nothing the next time.
        """
        self.folder = folder
        self.limit = limit
        self.seconds = 0.0
        """What has been spent on `get`."""
        self._own: set[str] = set()
        self._written = 0
        self._total: int | None = None  # not yet known
        self._made = False  # whether there is a folder
        self._broken = False

    def get(self, key: str) -> Entry | None:
        """The entry of this key. None where there is none that is whole."""
        began = time.monotonic()
        try:
            return self._get(key)
        finally:
            self.seconds += time.monotonic() - began

    def _get(self, key: str) -> Entry | None:
        path = self.folder / key
        try:
            if not _is_folder_of_ours(self.folder):
                return None
            with files.opened(path, links=False) as file:
                there = os.fstat(file.fileno())
                if not _belongs_to_us(there):
                    return None  # llama.cpp would believe what a stranger wrote
                entry = _entry(key, file, there.st_size)
                if entry is not None:
                    with suppress(OSError):
                        os.utime(file.fileno() if os.utime in os.supports_fd else path)
        except (OSError, ValueError, MemoryError):
            return None
        if entry is None:
            log.info("%s: damaged, and removed", path)
            with suppress(OSError):
                path.unlink()
            return None
        self._count_hit()
        return entry

    def takes(self, size: int) -> bool:
        """Whether so many bytes more may be written, as far as that is known without looking."""
        return not self._broken and self._written + size <= self.limit // 2

    def look(self, key: str) -> bytes | None:
        """What is said of the content of this key's entry, if there is one that may be whole.

        For estimates: the content is not read, so nothing is checked by it, and the entry does not count as used.
        """
        try:
            if not _is_folder_of_ours(self.folder):
                return None
            with files.opened(self.folder / key, links=False) as file:
                if not _belongs_to_us(os.fstat(file.fileno())):
                    return None
                head = file.read(_HEAD.size)
                if len(head) < _HEAD.size:
                    return None
                first, own_key, about_size, content_size, _ = _HEAD.unpack(head)
                whole = _HEAD.size + about_size + content_size == os.fstat(file.fileno()).st_size
                if first != FIRST_BYTES or own_key != bytes.fromhex(key) or not whole:
                    return None
                return file.read(about_size)
        except (OSError, ValueError):
            return None

    def put(self, key: str, about: bytes, *content: memoryview) -> bool:
        """Keep an entry, and remove others where there is no room for all. Returns whether it is kept.

        Args:
            key: as `key_of` makes it.
            about: what is said of the content.
            content: contiguous bytes, one part behind the other, which are not changed meanwhile.
        """
        length = sum(part.nbytes for part in content)
        size = _on_disk(_HEAD.size + len(about) + length)
        if not self.takes(size):
            return False
        head = _head(key, len(about), length, about, *content)
        path = self.folder / key
        try:
            self._make_folder()
            small = size * SMALL <= self.limit and not key.startswith("0")
            if not (small and self._total is None) and not self._make_room(key, size):
                return False
            if shutil.disk_usage(self.folder).free < size + SPARE:
                return False
            replaced = _size(path)
            # A power cut may leave a file of zeros, which is no entry: that is not worth waiting for the disk.
            atomic.replace(path, head, about, *content, finish=_for_its_owner, lasting=False)
        except files.Unfit as error:
            log.info("%s: not kept, as there is %s", path, error.strerror)
            return False
        except (OSError, ValueError) as error:
            log.info("%s: nothing is kept there (%s)", self.folder, error)
            self._broken = True
            return False
        self._own.add(key)
        self._written += size
        if self._total is not None:
            self._total += size - replaced
        return True

    def sweep(self) -> None:
        """Remove what processes that were killed have left of their writing, as the next `put` would."""
        with suppress(OSError, ValueError):
            if _is_folder_of_ours(self.folder):
                atomic.sweep(self.folder)

    def kept(self) -> Kept:
        """What there is."""
        found = [one for one in _files(self.folder) if _is_ours(one.path)]
        hits = 0
        with suppress(OSError):
            there = (self.folder / HITS).lstat()
            hits = there.st_size if stat.S_ISREG(there.st_mode) else 0
        return Kept(len(found), sum(one.size for one in found), hits, max((one.used for one in found), default=0.0))

    def clear(self, unused: float | None = None) -> Kept:
        """Remove the entries that were not used for so many seconds; all without a number. Returns what was removed.

        Leftovers of processes that were killed are removed, too. Raises OSError where something cannot be removed.
        """
        count = size = 0
        if os.path.lexists(self.folder) and _is_folder_of_ours(self.folder):
            atomic.sweep(self.folder, again=True)
            before = time.time() - (unused or 0)
            for one in list(_files(self.folder)):
                if (unused is None or one.used < before) and _is_ours(one.path):
                    with suppress(FileNotFoundError):
                        one.path.unlink()
                        count, size = count + 1, size + one.size
            hits = self.folder / HITS
            if unused is None and files.what(hits, links=False) == "":
                hits.unlink(missing_ok=True)
        self._total = None
        return Kept(count, size)

    def _make_folder(self) -> None:
        """Make the folder, which nobody else may look into: what is kept shows what pictures looked like."""
        if self._made:
            return
        self.folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with suppress(FileExistsError):
            self.folder.mkdir(mode=0o700)
        if not _is_folder_of_ours(self.folder):
            raise NotADirectoryError(errno.ENOTDIR, "not a folder of this user", str(self.folder))
        if os.name != "nt" and stat.S_IMODE(self.folder.stat().st_mode) & 0o077:
            self.folder.chmod(0o700)
        self._made = True

    def _make_room(self, key: str, size: int) -> bool:
        """Remove what was not used for the longest time, until there is room for an entry. False if there is none.

        The folder is looked through once; what others write into it meanwhile is counted by the next command.
        """
        if self._total is None:
            self._total = sum(one.size for one in _files(self.folder))
        if self._total + size > self.limit:
            spare = self.limit // 16 if size * SMALL <= self.limit else 0  # or each would look through thousands
            aim = self.limit - spare - size
            for one in sorted(_files(self.folder), key=lambda one: one.used):
                if self._total <= aim:
                    break
                if one.path.name not in (key, *self._own) and _is_ours(one.path):
                    with suppress(FileNotFoundError):
                        one.path.unlink()
                    self._total -= one.size
        return self._total + size <= self.limit

    def _count_hit(self) -> None:
        hits = self.folder / HITS
        with suppress(OSError):
            if files.what(hits, links=False):
                return
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
            for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC"):  # it may be a pipe by now
                flags |= getattr(os, name, 0)
            descriptor = os.open(hits, flags, 0o600)
            try:
                if stat.S_ISREG(os.fstat(descriptor).st_mode):
                    os.write(descriptor, b".")
            finally:
                os.close(descriptor)


def _head(key: str, about_size: int, content_size: int, *data: bytes | memoryview) -> bytes:
    """What an entry's file begins with."""
    head = FIRST_BYTES, bytes.fromhex(key), about_size, content_size
    digest = hashlib.sha256(_HEAD.pack(*head, bytes(32)))
    for part in data:
        digest.update(part)
    return _HEAD.pack(*head, digest.digest())


def _entry(key: str, file: BinaryIO, size: int) -> Entry | None:
    """The entry that an open file of so many bytes is, if it is whole and of this key."""
    head = file.read(_HEAD.size)
    if len(head) < _HEAD.size:
        return None
    first, own_key, about_size, content_size, _ = _HEAD.unpack(head)
    whole = size == _HEAD.size + about_size + content_size
    if first != FIRST_BYTES or own_key != bytes.fromhex(key) or not whole:
        return None  # and nobody knows how large it is
    data = memoryview(file.read(about_size + content_size + 1))
    if head != _head(key, about_size, content_size, data):
        return None
    return Entry(bytes(data[:about_size]), data[about_size:])


def _files(folder: Path) -> Iterator[_File]:
    """What may be entries by name; nothing where the folder is not this user's."""
    with suppress(OSError):
        if not _is_folder_of_ours(folder):
            return
        latest = time.time() + LATER
        with os.scandir(folder) as found:
            for one in found:
                if _NAME.fullmatch(one.name):
                    with suppress(OSError):
                        there = one.stat(follow_symlinks=False)
                        if stat.S_ISREG(there.st_mode):
                            used = there.st_mtime if there.st_mtime <= latest else 0.0
                            yield _File(used, _on_disk(there.st_size), Path(one.path))


def _on_disk(size: int) -> int:
    return -(-size // BLOCK) * BLOCK


def _size(path: Path) -> int:
    """Bytes of what is in the place of an entry; 0 without anything."""
    try:
        return _on_disk(path.lstat().st_size)
    except FileNotFoundError:
        return 0


def _is_ours(path: Path) -> bool:
    """Whether a file that has the name of an entry is one, or what a power cut has left of one."""
    try:
        with files.opened(path, links=False) as file:
            first = file.read(len(FIRST_BYTES))
            return first in (FIRST_BYTES, bytes(len(first))) and _belongs_to_us(os.fstat(file.fileno()))
    except (OSError, ValueError):
        return False


def _is_folder_of_ours(folder: Path) -> bool:
    """Whether a folder is one, and not a link or another user's. Raises OSError, FileNotFoundError among others."""
    there = folder.lstat()
    return stat.S_ISDIR(there.st_mode) and _belongs_to_us(there)


def _belongs_to_us(there: os.stat_result) -> bool:
    return not hasattr(os, "geteuid") or there.st_uid == os.geteuid()


def _for_its_owner(part: Path) -> None:
    """Leave a new file as it is: readable for its owner alone."""
