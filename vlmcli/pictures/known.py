"""Files that were read before become pictures again, and are not decoded: identity, size and notices are kept.

    known = Known(Entries(settings.cache_folder() / known.FOLDER, known.LIMIT))
    picture = known.load(Path("photo.jpg"), "photo.jpg")   # the second time, and in any later process: no pixel is read
    picture.pixels()                                       # reads the file now; an error if it shows something else

A file is recognised by its stamp: device, inode, size, and the times of its last change. The time of the inode's change
is one that no program can set, so that a file that was edited and given its old time is another. A stamp counts only
when it had been old enough before the file was read, or the file might change again within the same tick of the clock.
A file that has no such stamp, and bytes that have none at all, are recognised by their sha256, as is one that was
copied or touched. What was read depends on the decoders, too: a part of every key says which they are.

Imports neither Pillow nor numpy, and reads no picture itself: `images` does. Errors are not kept.
"""

from __future__ import annotations

import json
import logging
import os
import re
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from hashlib import sha256
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any

import vlmcli
from vlmcli import digest, files
from vlmcli.entries import Entries, key_of
from vlmcli.errors import SourceError
from vlmcli.pictures import signatures
from vlmcli.values import Picture

FOLDER = "pictures"
"""Of the entries, within the folder of all caches."""
LIMIT = 64 << 20
"""Bytes on the disk: about 8,000 pictures."""
LARGEST = 64 << 20
"""Bytes of a file that is recognised by its bytes: to hash a larger one may take longer than to decode a part of it."""

_FORMAT = 1
"""Of what is kept. To be changed with it."""
_NEEDED, _OPTIONAL = {"PIL": "pillow", "numpy": "numpy", "pillow_heif": "pillow_heif", "pypdfium2": "pypdfium2"}, {
    "pydicom": "pydicom", "imagecodecs": "imagecodecs",
}  # fmt: skip
"""The libraries on which pixels depend: what is imported, and the name under which it is installed."""
_NAME = "\0"
"""Stands in a kept notice for what the user calls the file, as no name has it."""

log = logging.getLogger("vlmcli.pictures.known")


@dataclass(frozen=True)
class _Stamp:
    """By what a file is recognised without reading it.

    Attributes:
        numbers: as `files.stamp` has them.
        settled: whether the file would have others if it were changed from now on.
    """

    numbers: files.Stamp
    settled: bool = field(compare=False)

    @classmethod
    def of(cls, file: Path | bytes) -> _Stamp | None:
        """A file's stamp now. None for bytes, and for what is no regular file, or cannot be read."""
        if isinstance(file, bytes):
            return None
        try:
            with files.opened(file) as opened:  # which lets NFS ask its server whether the file has changed
                one = os.fstat(opened.fileno())
        except (OSError, ValueError):
            return None
        return cls(files.stamp(one), files.has_settled(one))


@dataclass(frozen=True)
class _Asked:
    """Something that can be known of a file.

    Attributes:
        file: its path or its bytes.
        what: it is, and all it depends on beside the file, as JSON can say it.
        read: finds it out, as JSON can say it. Raises SourceError.
    """

    file: Path | bytes
    what: tuple[object, ...]
    read: Callable[[], object]

    def by(self, how: str, mark: object) -> str:
        """The entry's key for a file that is recognised by this mark."""
        return key_of(how, mark, *self.what)


class Known:
    """The files that were read before. Threads may share it."""

    def __init__(self, entries: Entries) -> None:
        """Look at no file yet."""
        self._entries = entries
        self._lock = threading.Lock()

    def load(self, file: Path | bytes, source: str, frame: int = 0, bound: int = 0) -> Picture:
        """What `images.load` makes of a file. The pixels of a known one are read when somebody needs them.

        That raises SourceError where the file has another picture by then, or cannot be read any more.

        Raises:
            SourceError: for a file that is not known and cannot be read.
        """

        def read() -> list[Picture]:
            from vlmcli.pictures import images

            return [images.load(file, source, frame, bound)]

        return self._pictures(file, source, ("whole", frame, bound), read)[0]

    def load_parts(self, file: Path | bytes, source: str, frame: int = 0) -> list[Picture]:
        """What `images.load_parts` makes of a file, as `load` does."""

        def read() -> list[Picture]:
            from vlmcli.pictures import images

            return images.load_parts(file, source, frame)

        return self._pictures(file, source, ("parts", frame), read)

    def pages(self, file: Path | bytes, source: str) -> tuple[int, ...]:
        """What `images.pages` finds in a file. Raises SourceError."""

        def read() -> object:
            from vlmcli.pictures import images

            return images.pages(file, source)

        return tuple(self._found(_Asked(file, ("pages",), read)))

    def _pictures(
        self, file: Path | bytes, source: str, how: tuple[object, ...], read: Callable[[], list[Picture]]
    ) -> list[Picture]:
        fresh: list[Picture] = []

        def facts() -> object:
            fresh[:] = read()
            return [(one.identity, one.size, _nameless(one.notices, source)) for one in fresh]

        raw = source.lower().endswith(tuple(signatures.RAW))  # `images` goes by that
        asked = _Asked(file, (*how, raw), facts)
        found = self._found(asked)
        if fresh:
            return fresh
        later = _Later(source, read, [identity for identity, _, _ in found], lambda: self._find_out(asked))
        return [
            Picture(identity, (width, height), source, partial(later.pixels, number), _named(notices, source))
            for number, (identity, (width, height), notices) in enumerate(found)
        ]

    @cached_property
    def _decoder(self) -> str | None:
        return decoder()

    def _found(self, asked: _Asked) -> Any:
        """What is known of a file, or else is found out. Raises SourceError."""
        if self._decoder is None:
            return asked.read()
        stamp = _Stamp.of(asked.file)
        if stamp and stamp.settled and (found := self._get(asked.by("stamp", stamp.numbers))) is not None:
            return found
        hashed = _hash(asked.file, stamp)
        if hashed is None or (found := self._get(asked.by("bytes", hashed))) is None:
            return self._read(asked, stamp, hashed)
        if stamp and stamp.settled and _Stamp.of(asked.file) == stamp:
            self._put(asked.by("stamp", stamp.numbers), found)
        return found

    def _find_out(self, asked: _Asked) -> None:
        """Keep what a file is now, whatever was known of it. Raises SourceError."""
        stamp = _Stamp.of(asked.file)
        self._read(asked, stamp, _hash(asked.file, stamp))

    def _read(self, asked: _Asked, stamp: _Stamp | None, hashed: str | None) -> Any:
        """Read a file, and keep what came of it, unless the file may have changed meanwhile.

        Args:
            asked: the file.
            stamp: as it was before.
            hashed: its bytes' sha256, as they were before, where they are to be recognised by it.

        Raises SourceError.
        """
        found = asked.read()
        if stamp != _Stamp.of(asked.file):
            return found
        settled = stamp is not None and stamp.settled
        if hashed is not None and (settled or _hash(asked.file, stamp) == hashed):
            self._put(asked.by("bytes", hashed), found)
        if stamp is not None and settled:
            self._put(asked.by("stamp", stamp.numbers), found)
        return found

    def _get(self, key: str) -> Any:
        """What is kept under a key; None for nothing."""
        with self._lock:
            entry = self._entries.get(key_of(_FORMAT, self._decoder, key))
        return None if entry is None else json.loads(entry.about)

    def _put(self, key: str, found: object) -> None:
        with self._lock:
            self._entries.put(key_of(_FORMAT, self._decoder, key), json.dumps(found).encode(), memoryview(b""))


class _Later:
    """The pictures of a known file, which is read when the first of their pixels are needed. Threads may share it."""

    def __init__(
        self, source: str, read: Callable[[], list[Picture]], promised: Sequence[str], correct: Callable[[], None]
    ) -> None:
        """Read nothing yet.

        Args:
            source: what the user calls the file.
            read: makes pictures of it. Raises SourceError.
            promised: their identities.
            correct: is called where the file has others.
        """
        self._source, self._read, self._promised, self._correct = source, read, promised, correct
        self._pictures: list[Picture] = []
        self._lock = threading.Lock()

    def pixels(self, number: int) -> bytes:
        """The pixels of a picture, by its number. Raises SourceError."""
        with self._lock:
            if not self._pictures:
                pictures = self._read()
                if [one.identity for one in pictures] != self._promised:
                    self._correct()  # a decoder may have changed without a trace: not again, then
                    raise SourceError(
                        f"{self._source}: the picture changed while vlm was working", "run the command again"
                    )
                self._pictures = pictures
            return self._pictures[number].pixels()


def decoder() -> str | None:
    """What pixels depend on beside the file: the code of this folder, and the libraries that are installed.

    No library is imported for it. None where that cannot be known; then nothing may be kept.
    """
    try:
        with os.scandir(Path(__file__).parent) as found:
            own = sorted(
                (one.name, one.stat().st_size, one.stat().st_mtime_ns) for one in found if one.name.endswith(".py")
            )
        versions = _versions()
    except OSError:
        own, versions = [], {}
    if not own or not all(versions.get(name) for name in _NEEDED):
        log.info("the versions of the picture decoders are unknown, so every picture is decoded")
        return None
    return key_of(vlmcli.__version__, own, versions)


def _versions() -> dict[str, list[str]]:
    """The versions of the libraries; none of one that is not installed as a package of its own. Raises OSError."""
    listed: dict[Path, list[str]] = {}
    versions = {}
    for name, installed in (_NEEDED | _OPTIONAL).items():
        spec = PathFinder.find_spec(name)
        folders = [Path(one).parent for one in (spec and spec.submodule_search_locations) or ()]
        for folder in folders:
            if folder not in listed:
                with os.scandir(folder) as found:
                    listed[folder] = [one.name for one in found if one.name.endswith((".dist-info", ".egg-info"))]
        parted = [one.partition("-") for folder in folders for one in listed[folder]]
        versions[name] = sorted(version for title, _, version in parted if title.lower() == installed)
    return versions


def _hash(file: Path | bytes, stamp: _Stamp | None) -> str | None:
    """The sha256 of a file's bytes; None where it is too large for that, or cannot be read."""
    if isinstance(file, bytes):
        return sha256(file).hexdigest() if len(file) <= LARGEST else None
    if stamp is None or stamp.numbers[2] > LARGEST:
        return None
    try:
        return digest.sha256(file)
    except (OSError, ValueError):
        return None


def _nameless(notices: Sequence[str], source: str) -> tuple[str, ...]:
    """Notices without the name of the file: before their text, and where they say which other picture to name."""
    name = re.escape(source)
    return tuple(re.sub(rf"\A{name}(?=: )|(?<= ){name}(?=#[0-9])", _NAME, text) for text in notices)


def _named(notices: Sequence[str], source: str) -> tuple[str, ...]:
    """Notices with the name of the file."""
    return tuple(text.replace(_NAME, source) for text in notices)
