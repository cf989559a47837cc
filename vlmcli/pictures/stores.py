"""Objects in stores (S3, Google Cloud Storage, the Hub), by fsspec: found by their names, read when they are loaded.

    for name, one in find("s3://bucket/photos", left_out): ...
    one.read(name)

Which store a scheme means is in `kept.SCHEMES`; of fsspec's others, which lead to this machine, to archives or through
chains of addresses, none is reached from here. Credentials are those that a store's own client finds in its settings.
Messages name addresses and kinds of errors, and never what a client says, which may hold more than is to be shown.

Each call has a bound of time, and each read one of size. Importing this imports no client.
"""

from __future__ import annotations

import io
import logging
import os
import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar, cast

from vlmcli.amounts import size as in_words
from vlmcli.errors import SourceError
from vlmcli.pictures import folders, signatures
from vlmcli.pictures.folders import LeftOut
from vlmcli.pictures.kept import MAX_BYTES, SCHEMES, SECONDS, Kept, Mark
from vlmcli.settings import is_offline

if TYPE_CHECKING:
    from vlmcli.pictures.kept import Container

LISTING_SECONDS = 600.0
"""In which all names below a prefix must have come."""
SMALLEST, LARGEST = 1 << 16, 16 << 20
"""Bytes that are read of an archive or a table at once, at least and at most."""
GAP = 2 << 20
"""Bytes that take about as long to be read as a request for what is behind them: fewer are not left out."""
AHEAD = 8
"""Archives and tables that are listed at once."""

_MARKS = ("ETag", "etag", "blob_id", "md5Hash", "generation")
_TIMES = ("LastModified", "mtime", "updated", "created")
"""What stores call the version of an object, and the time of its last change."""
_CHECK = "check the address, the network, and the credentials for this store"

log = logging.getLogger("vlmcli.pictures.stores")
_S = TypeVar("_S")
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Stored(Kept):
    """An object: a picture, or an archive or a table that pictures are in.

    Attributes:
        address: of it, with the scheme.
        size: in bytes; -1 where nobody has asked the store.
        version: that it has in the store; empty where nobody has asked.
    """

    address: str
    size: int = -1
    version: str = ""

    @property
    def far(self) -> bool:
        """It is."""
        return True

    def mark(self) -> Mark:
        """Its version, as the store had it."""
        return Mark(self.version, max(self.size, 0))

    def read(self, name: str) -> bytes:
        """Its bytes. Raises SourceError."""
        if self.size > MAX_BYTES:
            raise SourceError(
                f"{name}: {in_words(self.size)} is more than a picture has", "download and check it first"
            )
        found = self.part(0, MAX_BYTES + 1 if self.size < 0 else self.size, name)
        if len(found) > MAX_BYTES:
            raise SourceError(
                f"{name}: more than {in_words(MAX_BYTES)}, too much for a picture", "download and check it first"
            )
        if len(found) < self.size:
            raise SourceError(f"{name}: changed while vlm was working", "run the command again")
        return found

    def part(self, start: int, count: int, name: str) -> bytes:
        """So many of its bytes, fewer at its end, by one request. Raises SourceError."""
        if not count or (self.size >= 0 and start >= self.size):
            return b""
        end = start + count if self.size < 0 else min(start + count, self.size)

        def fetched(system: Any, path: str) -> bytes:
            more = {} if getattr(system, "async_impl", False) else {"cache_type": "none"}  # or it reads ahead
            return bytes(system.cat_file(path, start=start, end=end, **more))

        return _asked(name, SECONDS, self.address, fetched)

    def stream(self) -> BinaryIO:
        """It, to seek in: what is read is fetched in pieces, larger ones while they follow one another."""
        return cast(BinaryIO, io.BufferedReader(_Pieces(self), SMALLEST))


class _Pieces(io.RawIOBase):
    """An object whose bytes are fetched in pieces. A reader that jumps gets small ones, and one that goes on large."""

    def __init__(self, stored: Stored) -> None:
        super().__init__()
        self._stored, self._at, self._step = stored, 0, SMALLEST
        self._start, self._piece = 0, b""

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._stored.size}[whence]
        self._at = max(0, base + offset)
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: Any) -> int:
        """Copy what is there of the piece, which is fetched if it is another."""
        end = self._start + len(self._piece)
        if not self._start <= self._at < end:
            follows = self._piece and 0 <= self._at - end < GAP
            self._step = min(self._step * 2, LARGEST) if follows else SMALLEST
            self._start = end if follows else self._at
            count = max(self._step, self._at - self._start + len(buffer))
            self._piece = self._stored.part(self._start, count, self._stored.address)
        found = self._piece[self._at - self._start :][: len(buffer)]
        buffer[: len(found)] = found
        self._at += len(found)
        return len(found)


def one(address: str) -> Stored:
    """An object, with its size and version. Raises SourceError, also where there is none."""
    info = _asked(address, SECONDS, address, lambda system, path: system.info(path))
    if info["type"] == "directory":
        raise SourceError(f"{address}: a folder, not a picture", "check the address")
    return _of(address, info)


def find(word: str, left_out: LeftOut) -> Iterator[tuple[str, Stored]]:
    """The objects that an address means: itself, the pictures below it, or what a pattern matches; with their names.

    In a store, only a name says what an object is: none is opened for that.

    Args:
        word: the address.
        left_out: takes up what is below a prefix, or matches a pattern without a suffix, and is no picture.

    Raises SourceError where the store cannot be asked, a prefix has no pictures or a pattern no matches. An object that
    is not there is an error when it is loaded.
    """
    scheme = word.partition("://")[0]
    if re.search(r"[*?[]", word):
        found = _asked(word, LISTING_SECONDS, word, lambda system, path: system.glob(path, detail=True))
        objects = {f"{scheme}://{path.lstrip('/')}": info for path, info in found.items() if info["type"] == "file"}
        if not objects:
            raise SourceError(f"{word}: nothing matches this pattern", "check the pattern")
        if re.search(r"\.[^./*?\[\]]+\Z", word):
            yield from ((name, _of(name, objects[name])) for name in sorted(objects, key=_order))
            return
    else:
        try:
            info = _asked(word, SECONDS, word, lambda system, path: system.info(path))
        except _Missing:
            yield word, Stored(word)
            return
        if info["type"] == "file":
            yield word, _of(word, info)
            return
        objects = _below(word)
    yield from _pictures(word, objects, left_out)


def _below(word: str) -> dict[str, Mapping[str, Any]]:
    """All objects below a prefix, by names that begin as it does."""

    def listed(system: Any, path: str) -> dict[str, Mapping[str, Any]]:
        found = {}
        for one, info in system.find(path, detail=True).items():
            inner = one[len(path) :].lstrip("/") if one.startswith(path) else one
            if info["type"] == "file" and inner and not any(map(folders.is_hidden, inner.split("/"))):
                found[f"{word.rstrip('/')}/{inner}"] = info
        return found

    return _asked(word, LISTING_SECONDS, word, listed)


def _pictures(word: str, objects: Mapping[str, Mapping[str, Any]], left_out: LeftOut) -> Iterator[tuple[str, Stored]]:
    """Of objects, those that are pictures by their names. Raises SourceError where none is."""
    names = [name for name in objects if os.path.splitext(name)[1].lower() in signatures.SUFFIXES]  # noqa: PTH122
    chosen = set(names)
    own = LeftOut(folders.without_sidecars([(name, "") for name in objects if name not in chosen], names))
    if not names:
        has = own.kinds()
        raise SourceError(
            f"{word}: no pictures there that vlm can read{f' ({has})' if has else ''}",
            folders.of_containers(word, own) or "check the address",
        )
    left_out.files += own.files
    yield from ((name, _of(name, objects[name])) for name in sorted(names, key=_order))


def _order(name: str) -> list[tuple[bool, str]]:
    """Sorts names as folders are gone through: the files of each first, then the folders in it."""
    *inside, last = name.split("/")
    return [*((True, part) for part in inside), (False, last)]


def _of(address: str, info: Mapping[str, Any]) -> Stored:
    """An object by what its store says of it."""
    size = info.get("size")
    marks = [str(info[key]).strip('"') for key in _MARKS if info.get(key)]
    times = [found for key in _TIMES if (found := info.get(key))]
    if not marks and times:
        when = times[0].timestamp() if isinstance(times[0], datetime) else times[0]
        marks = [f"{size} {when}"]
    return Stored(address, -1 if size is None else int(size), marks[0] if marks else "")


def ahead(items: Sequence[_S], work: Callable[[_S], _T]) -> Iterator[_T]:
    """What comes of work on each item, in their order; some are worked on at once, as most of it is waiting.

    Raises what the work on an item raises, in its turn.
    """
    if len(items) < 2:
        yield from map(work, items)
        return
    came: list[Future[_T]] = [Future() for _ in items]
    left = iter(zip(came, items, strict=True))
    taking, stopped = threading.Lock(), threading.Event()

    def run() -> None:
        while not stopped.is_set():
            with taking:
                future, item = next(left, (None, None))
            if future is None:
                return
            try:
                future.set_result(work(cast(_S, item)))
            except BaseException as error:
                future.set_exception(error)

    for _ in range(min(AHEAD, len(items))):
        threading.Thread(target=run, daemon=True).start()  # one that waits does not keep the program
    try:
        for future in came:
            yield future.result()
    finally:
        stopped.set()


class _Missing(SourceError):
    """There is no such object."""


_systems: dict[tuple[int, str], Any] = {}
"""One client for each process and scheme. They are made for many threads: those of one loop, or of plain requests."""
_lock = threading.Lock()


def _asked(name: str, seconds: float, address: str, ask: Callable[[Any, str], _T]) -> _T:
    """What a store answers. Raises SourceError, which begins with the name.

    Args:
        name: for messages.
        seconds: in which it must have answered.
        address: of an object, a prefix or a pattern.
        ask: gets the store, and the address as the store has it.
    """
    scheme, _, path = address.partition("://")
    if "@" in path.partition("/")[0]:
        where = f"{scheme}://{address.partition('@')[2]}"
        raise SourceError(
            f"{where}: the address contains a user name", "leave it out; credentials are read from the store's settings"
        )
    if is_offline():
        raise SourceError(f"{name}: VLM_OFFLINE is set, so no store is asked", "unset it, or give vlm the file")
    came: list[_T] = []
    failed: list[BaseException] = []

    def run() -> None:
        try:
            system = _system(scheme.lower(), name)  # which may ask for credentials
            came.append(ask(system, system._strip_protocol(address).rstrip("/")))
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=run, daemon=True)  # one that hangs does not keep the program
    thread.start()
    thread.join(seconds)
    if came:
        return came[0]
    if not failed:
        raise SourceError(f"{name}: the store did not answer within {seconds:g} s", _CHECK)
    raise _as_source_error(name, failed[0]) from None


def _as_source_error(name: str, error: BaseException) -> SourceError:
    """What went wrong, in one line and without what the client says."""
    if isinstance(error, SourceError):
        return error
    log.debug("%s: %s", name, type(error).__name__)
    if isinstance(error, FileNotFoundError):
        return _Missing(f"{name}: there is no such object", "check the address")
    if isinstance(error, PermissionError):
        return SourceError(f"{name}: access denied", "check the credentials for this store")
    if isinstance(error, ImportError):
        return SourceError(f"{name}: the client for this store does not work ({type(error).__name__})", "reinstall it")
    return SourceError(f"{name}: cannot be fetched ({type(error).__name__})", _CHECK)


def _system(scheme: str, name: str) -> Any:
    """The client of a store. Raises SourceError where it is not installed, or has no credentials."""
    with _lock:
        key = os.getpid(), scheme
        if key not in _systems:
            try:
                import fsspec
            except ModuleNotFoundError:
                raise SourceError(
                    f"{name}: needs the package fsspec", "install it: pip install 'vlmcli[stores]'"
                ) from None
            for client in ("fsspec", "s3fs", "gcsfs", "aiobotocore", "botocore", "google"):
                logging.getLogger(client).addHandler(logging.NullHandler())  # what goes wrong is raised, too
            try:
                _systems[key] = fsspec.filesystem(scheme, skip_instance_cache=True, use_listings_cache=False)
            except ImportError:
                package = SCHEMES[scheme]
                raise SourceError(
                    f"{name}: needs the package {package}", f"install it: pip install {package}"
                ) from None
            except Exception as error:
                raise _as_source_error(name, error) from None
        return _systems[key]


if TYPE_CHECKING:
    _container: Container = Stored("")
