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
from typing import TYPE_CHECKING

from vlmcli import digest
from vlmcli.amounts import size
from vlmcli.errors import HubBusy, HubError
from vlmcli.models import hub, hub_cache
from vlmcli.models.repository import RemoteFile, Repository

if TYPE_CHECKING:
    from hashlib import _Hash

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
    if hub_cache.is_linked(repository, place) and _is_whole(place.link, file):
        progress(file.size)
        return place.link  # without a lock, which could not be had in a cache that cannot be written
    with _disk(file, place.blob):
        place.blob.parent.mkdir(parents=True, exist_ok=True)
        with _alone(file, place.lock, say):
            if not _is_whole(place.blob, file) and not _is_whole(place.link, file):
                _bring(repository, file, content, place, progress, say)
            hub_cache.link(repository, place)
    progress(file.size)
    return place.link


def _is_whole(path: Path, file: RemoteFile) -> bool:
    return path.is_file() and path.stat().st_size == file.size


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
        found = _complete(repository, file, content, place.part, progress, say)
        if found == content:
            with place.part.open("rb+") as done:
                os.fsync(done.fileno())
            place.part.replace(place.blob)
            return
        place.part.unlink()
        wrong = f"{file.path}: what came is not what was published (its hash is {found[:12]}…, not {content[:12]}…)"
        if last:
            raise HubError(f"{wrong}; it is deleted", "try again later, or from another network")
        say(f"{wrong}; it is deleted, and downloaded once more")


def _complete(
    repository: Repository,
    file: RemoteFile,
    content: str,
    part: Path,
    progress: Callable[[int], None],
    say: Callable[[str], None],
) -> str:
    """Bring what is missing of a part. Returns the hash of the whole."""
    if part.exists() and part.stat().st_size > file.size:
        part.unlink()
    hashed, done = _begun(part, file, content, progress)
    validator = "" if file.sha256 else f'"{content}"'
    failures, most = 0, done
    part.parent.mkdir(parents=True, exist_ok=True)  # the folder may have been removed since, with another model of it
    with part.open("ab", buffering=0) as out:
        while done < file.size:
            try:
                with hub.stream(repository, file, done, validator) as body:
                    if body.start < done:
                        say(f"{file.path}: the server cannot go on where it stopped; from the beginning")
                        out.truncate(0)
                        hashed, done = _new_hash(file, content), 0
                    validator = body.validator
                    for block in body.blocks:
                        if done + len(block) > file.size:
                            raise HubBusy(f"{file.path}: more comes than the {file.size} bytes that are listed", _LATER)
                        _write(out.fileno(), block)
                        hashed.update(block)
                        done += len(block)
                        progress(done)
                if done < file.size:
                    raise HubBusy(f"{file.path}: the connection was cut", "try again; what is here is kept")
            except HubBusy as error:
                failures = 0 if done > most else failures + 1
                most = max(most, done)
                hub.pause(error, failures, say)
    return hashed.hexdigest()


def _begun(part: Path, file: RemoteFile, content: str, progress: Callable[[int], None]) -> tuple[_Hash, int]:
    """The hash of what is here already, and its length in bytes."""
    hashed, done = _new_hash(file, content), 0
    if part.exists():
        done = digest.add_file(hashed, part, progress)
    return hashed, done


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
    say(f"{file.path}: another program is downloading it; waiting for that")
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
                f"{file.path}: the disk is full, and {size(file.size)} are wanted in all ({path.parent})",
                "make room, and pull again: it goes on where it stopped",
            ) from None
        where = error.filename or path.parent
        raise HubError(
            f"{file.path}: cannot be written to {where} ({error.strerror})",
            "set HF_HOME to a folder that you may write to",
        ) from None
