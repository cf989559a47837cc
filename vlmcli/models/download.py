"""One file of a repository comes into the Hub's cache: resumed where it stopped, hashed while it is written, locked.

Until its hash is right a file is called ETAG.incomplete, which nothing takes for content; killed at any byte, the next
download reads what is there, and asks for the rest. What is named by its content's hash cannot be another file the next
time, so that only within one download, and for files without a hash, an ETag is sent along (If-Range).
"""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

from vlmcli import digest
from vlmcli.amounts import size
from vlmcli.errors import HubBusy, HubError
from vlmcli.models import hub, hub_cache
from vlmcli.models.repository import RemoteFile, Repository

if TYPE_CHECKING:
    from hashlib import _Hash

PROGRESS = 64 << 10
"""Bytes that must have come since the last attempt that counts, or this one has failed: a server that ends each answer
after a byte would have us ask for ever."""

_LATER = "try again later"


def fetch(
    repository: Repository, file: RemoteFile, progress: Callable[[int], None], say: Callable[[str], None]
) -> Path:
    """Bring a file into the cache, or see that it is there. Returns its path in the snapshot.

    Args:
        repository: where it is.
        file: which.
        progress: told how many of its bytes are here.
        say: told what a person should know: a wait, a second attempt.

    Raises HubError.
    """
    content = hub.etag(repository, file)
    place = hub_cache.spot(repository, file, content)
    if hub_cache.is_linked(repository, place) and _is_whole(place, file):
        progress(file.size)
        return place.link  # without a lock, which could not be had in a cache that cannot be written
    with _disk(file, place.blob):
        hub_cache.prepare(repository, place)
        with _alone(file, place.lock, say):
            if not _is_whole(place, file):
                _bring(repository, file, content, place, progress, say)
            hub_cache.link(repository, place)
    progress(file.size)
    return place.link


def _is_whole(place: hub_cache.Spot, file: RemoteFile) -> bool:
    """Whether content is here under its name; or in the snapshot, where there are no links."""
    return file.size in (hub_cache.size_of(place.blob), hub_cache.size_of(place.link))


def _bring(
    repository: Repository,
    file: RemoteFile,
    content: str,
    place: hub_cache.Spot,
    progress: Callable[[int], None],
    say: Callable[[str], None],
) -> None:
    """Download until the hash is right, twice at most, and give the content its name."""
    for last in (False, True):
        with hub_cache.open_part(place) as out:
            found = _complete(repository, file, content, out, progress, say)
            os.fsync(out.fileno())
            written = os.fstat(out.fileno())
        if found == content:
            hub_cache.keep(place, written)
            return
        place.part.unlink()
        wrong = f"{file.path}: the download is not the published file (its hash is {found[:12]}…, not {content[:12]}…)"
        if last:
            raise HubError(f"{wrong}; deleted it", "try again later, or from another network")
        say(f"{wrong}; deleted it, downloading again")


def _complete(
    repository: Repository,
    file: RemoteFile,
    content: str,
    out: IO[bytes],
    progress: Callable[[int], None],
    say: Callable[[str], None],
) -> str:
    """Bring what is missing of a part. Returns the hash of the whole."""
    if os.fstat(out.fileno()).st_size > file.size:
        out.truncate(0)
    hashed = _new_hash(file, content)
    done = digest.add_open(hashed, out, progress)
    validator = "" if file.sha256 else f'"{content}"'
    failures, counted = 0, done
    while done < file.size:
        try:
            with hub.stream(repository, file, done, validator) as body:
                if body.start < done:
                    say(f"{file.path}: the server cannot resume the download; starting again from the beginning")
                    out.truncate(0)
                    hashed, done = _new_hash(file, content), 0
                validator = body.validator
                for block in body.blocks:
                    if done + len(block) > file.size:
                        raise HubBusy(
                            f"{file.path}: the server sends more than the {file.size} bytes that it lists", _LATER
                        )
                    _write(out.fileno(), block)
                    hashed.update(block)
                    done += len(block)
                    progress(done)
            if done < file.size:
                raise HubBusy(f"{file.path}: the connection was cut", "run the same command again to resume")
        except HubBusy as error:
            if done - counted >= PROGRESS:
                failures, counted = 0, done
            else:
                failures += 1
            hub.pause(error, failures, say)
    return hashed.hexdigest()


def _new_hash(file: RemoteFile, content: str) -> _Hash:
    """SHA-256; of a file that is not in large file storage, git's SHA-1 of a blob."""
    if len(content) == 64:
        return hashlib.sha256()
    return hashlib.sha1(b"blob %d\0" % file.size, usedforsecurity=False)


def _write(descriptor: int, block: bytes) -> None:
    view = memoryview(block)
    while view:
        view = view[os.write(descriptor, view) :]


@contextmanager
def _alone(file: RemoteFile, lock: Path, say: Callable[[str], None]) -> Iterator[None]:
    """Hold the lock of a file, which huggingface_hub's own downloads take, too."""
    with hub_cache.claimed(lock, 0.1) as alone:
        if alone:
            yield
            return
    say(f"{file.path}: another program is downloading it; waiting for it to finish")
    with hub_cache.claimed(lock):
        yield


@contextmanager
def _disk(file: RemoteFile, path: Path) -> Iterator[None]:
    """What a disk refuses, as errors of ours."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise HubError(
                f"{file.path}: the disk is full; the file takes {size(file.size)} in {path.parent}",
                "free some disk space, then run the same command again to resume",
            ) from None
        where = error.filename or path.parent
        if error.errno in (errno.EEXIST, errno.EISDIR, errno.ENOTDIR, errno.ELOOP):
            raise HubError(
                f"{file.path}: {where} is in the way ({error.strerror})",
                "remove it, or set HF_HOME to another folder",
            ) from None
        raise HubError(
            f"{file.path}: cannot be written to {where} ({error.strerror})",
            "set HF_HOME to a folder that you can write to",
        ) from None
