"""Entries of a cache: a folder of files, each of which may be lost at any time, and none of which is believed blindly.

An entry is found by its key, which says everything that its content depends on. It is written whole or not at all, and
carries its key and a checksum: one that was cut, damaged, or put under another's name counts as missing, and is
removed. Entries that were not used for the longest time go first when there is no room. Any number of processes may
read and write the same folder at once; what one removes, another simply does not find.

Nothing here raises for what the disk does: a cache that cannot be read is empty, and one that cannot be written stays
as it is. It does not know what is kept.

    >>> entries = Entries(Path("/home/me/.cache/vlm/embeddings"), limit=2 << 30)
    >>> entries.put(key_of("a", 1), b"what it is", memoryview(rows).cast("B"))
    >>> found = entries.get(key_of("a", 1))
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import stat
import struct
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from vlmcli import atomic, files

FORMAT = 1
"""Of the files. Another number makes all entries missing, as it is part of every key."""
SPARE = 512 << 20
"""Bytes that are left free on the disk, whatever the limit says."""
FIRST_BYTES = b"vlmcache"
BLOCK = 4096
"""Bytes by which a file's place on a disk grows: a small entry takes no less."""
SMALL = 1024
"""Of entries that so many have room, only every sixteenth, by its key, has the folder looked through to see whether it
is full: there may be many thousands, and one more or less does not count."""
HITS = "hits"
"""The file that gets a byte whenever an entry is found: processes can add to it without waiting for each other."""

_HEAD = struct.Struct("<8s32sIQ32s")
"""First bytes, key, bytes of what is said of the content, bytes of the content, sha256 of the two."""

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
        oldest: when the entry was used that was not used for the longest time, in seconds since 1970; 0 without one.
    """

    count: int
    size: int
    hits: int
    oldest: float


def key_of(*facts: object) -> str:
    """The key of an entry that depends on these facts, which are what JSON can say: 64 hex digits."""
    text = json.dumps([FORMAT, *facts], sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


class Entries:
    """One folder of entries. For one thread at a time; other processes may use the folder, too."""

    def __init__(self, folder: Path, limit: int) -> None:
        """Look at no file yet.

        Args:
            folder: of the entries; it is made when the first one is written, for its owner alone.
            limit: bytes that all entries together take on the disk. This object writes half of that at most: a run over
                more pictures than find room would otherwise remove what it has just written, and find nothing the next
                time.
        """
        self.folder = folder
        self.limit = limit
        self.seconds = 0.0
        """What has been spent on `get`."""
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
            with files.opened(path, links=False) as file:
                if _is_strange(file.fileno()):
                    return None
                data = file.read()
        except (OSError, ValueError):
            return None
        entry = _entry(key, data)
        if entry is None:
            log.info("%s: damaged, and removed", path)
            with suppress(OSError):
                path.unlink()
            return None
        with suppress(OSError):
            os.utime(path)
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
            with files.opened(self.folder / key, links=False) as file:
                if _is_strange(file.fileno()):
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
        digest = hashlib.sha256(about)
        for part in content:
            digest.update(part)
        head = _HEAD.pack(FIRST_BYTES, bytes.fromhex(key), len(about), length, digest.digest())
        try:
            self._make_folder()
            small = size * SMALL <= self.limit and not key.startswith("0")
            if not (small and self._total is None) and not self._make_room(size):
                return False
            if shutil.disk_usage(self.folder).free < size + SPARE:
                return False
            # A power cut may leave a file of zeros, which is no entry: that is not worth waiting for the disk.
            atomic.replace(self.folder / key, head, about, *content, finish=_for_its_owner, lasting=False)
        except (OSError, ValueError) as error:
            log.info("%s: nothing is kept there (%s)", self.folder, error)
            self._broken = True
            return False
        self._written += size
        if self._total is not None:
            self._total += size
        return True

    def kept(self) -> Kept:
        """What there is."""
        found = list(_files(self.folder))
        hits = 0
        with suppress(OSError):
            hits = (self.folder / HITS).stat().st_size
        return Kept(
            len(found), sum(size for _, size, _ in found), hits, min((used for used, _, _ in found), default=0.0)
        )

    def clear(self, unused: float = 0.0) -> Kept:
        """Remove the entries that were not used for so many seconds; all without a number. Returns what was removed.

        Raises OSError where one cannot be removed.
        """
        before = time.time() - unused
        count = size = 0
        for used, bytes_of, path in list(_files(self.folder)):
            if not unused or used < before:
                with suppress(FileNotFoundError):
                    path.unlink()
                    count, size = count + 1, size + bytes_of
        if not unused:
            with suppress(FileNotFoundError):
                (self.folder / HITS).unlink()
        self._total = None
        return Kept(count, size, 0, 0.0)

    def _make_folder(self) -> None:
        """Make the folder, which nobody else may look into: what is kept shows what pictures looked like."""
        if self._made:
            return
        self.folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.folder.mkdir(exist_ok=True, mode=0o700)
        if os.name != "nt" and stat.S_IMODE(self.folder.stat().st_mode) & 0o077:
            self.folder.chmod(0o700)
        self._made = True

    def _make_room(self, size: int) -> bool:
        """Remove what was not used for the longest time, until there is room for so many bytes. False if there is none.

        The folder is looked through once; what others write into it meanwhile is counted by the next command.
        """
        if self._total is None:
            self._total = sum(bytes_of for _, bytes_of, _ in _files(self.folder))
        if self._total + size > self.limit:
            aim = self.limit - self.limit // 16 - size  # or all files would be looked through for each entry
            for _, bytes_of, path in sorted(_files(self.folder)):
                if self._total <= aim:
                    break
                with suppress(FileNotFoundError):
                    path.unlink()
                self._total -= bytes_of
        return self._total + size <= self.limit

    def _count_hit(self) -> None:
        with suppress(OSError):
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
            descriptor = os.open(self.folder / HITS, flags, 0o600)
            try:
                os.write(descriptor, b".")
            finally:
                os.close(descriptor)


def _entry(key: str, data: bytes) -> Entry | None:
    """The entry that a file's bytes are, if they are whole and of this key."""
    if len(data) < _HEAD.size:
        return None
    first, own_key, about_size, content_size, digest = _HEAD.unpack_from(data)
    view = memoryview(data)[_HEAD.size :]
    if first != FIRST_BYTES or own_key != bytes.fromhex(key) or len(view) != about_size + content_size:
        return None
    if hashlib.sha256(view).digest() != digest:
        return None
    return Entry(bytes(view[:about_size]), view[about_size:])


def _is_strange(descriptor: int) -> bool:
    """Whether somebody else has written an open file: llama.cpp would believe what is in it."""
    return hasattr(os, "geteuid") and os.fstat(descriptor).st_uid != os.geteuid()


def _files(folder: Path) -> Iterator[tuple[float, int, Path]]:
    """When each entry was used last, its bytes on the disk, and its file."""
    with suppress(OSError), os.scandir(folder) as found:
        for one in found:
            if len(one.name) == 64:
                with suppress(OSError):
                    about = one.stat(follow_symlinks=False)
                    yield about.st_mtime, _on_disk(about.st_size), Path(one.path)


def _on_disk(size: int) -> int:
    return -(-size // BLOCK) * BLOCK


def _for_its_owner(part: Path) -> None:
    """Leave a new file as it is: readable for its owner alone."""
