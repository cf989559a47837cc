"""The Hub's cache on this machine: what is here, and how it goes again.

Its layout is huggingface_hub's, so that llama.cpp, huggingface_hub and `vlm` share one copy of a file:

    models--OWNER--REPOSITORY/blobs/ETAG                 content, named by its sha256 (or git's hash of a small file)
    models--OWNER--REPOSITORY/blobs/ETAG.incomplete      a part of it
    models--OWNER--REPOSITORY/snapshots/COMMIT/PATH      a link to it
    models--OWNER--REPOSITORY/refs/main                  the commit
    .locks/models--OWNER--REPOSITORY/ETAG.lock           held while it is downloaded

Source: huggingface_hub, guides/manage-cache. HF_HOME and HF_HUB_CACHE are read by that library. No other module knows
this layout. Nothing here uses the network, or judges what the files are.
"""

from __future__ import annotations

import importlib
import os
import re
import stat
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from vlmcli import atomic, files
from vlmcli.errors import HubError
from vlmcli.models.repository import RemoteFile, Repository, is_repository
from vlmcli.settings import variables

PART = ".incomplete"
"""What the name of a part of a download ends with."""


def folder() -> Path:
    """The folder that holds all repositories: HF_HUB_CACHE, or the folder "hub" of HF_HOME."""
    return Path(constant("HF_HUB_CACHE"))


_environment: dict[str, str] = {}
"""The variables that huggingface_hub and its client of HTTP read, as they were when it was asked last."""
_ITS_VARIABLES = re.compile(r"HF_\w+|HUGGING\w+|XDG_CACHE_HOME|HOME|\w+_PROXY|SSL_CERT_\w+", re.I)


def constant(name: str) -> Any:
    """What huggingface_hub reads from the environment when it is imported, and again when that has changed since."""
    global _environment
    now = {name: value for name, value in variables().items() if _ITS_VARIABLES.fullmatch(name)}
    try:
        from huggingface_hub import constants

        if _environment not in ({}, now):  # an earlier command of this process had another one
            importlib.reload(constants)
        _environment = now
    except ValueError as error:
        raise HubError(f"HF_ENDPOINT is not an address ({error})", "fix or unset it") from None
    return getattr(constants, name)


@dataclass(frozen=True)
class Spot:
    """Where a file's content, its part, its lock and the link to it are in the cache."""

    blob: Path
    part: Path
    lock: Path
    link: Path


def spot(repository: Repository, file: RemoteFile, content: str) -> Spot:
    """The places of a file.

    Args:
        repository: it is in.
        file: it.
        content: its ETag.
    """
    base = _base(repository.name)
    return Spot(
        base / "blobs" / content,
        base / "blobs" / f"{content}{PART}",
        _lock(base, content),
        _inside(base / "snapshots" / repository.commit, file.path),
    )


def revision(path: Path) -> str:
    """The commit of the snapshot that a file is in, by its path; empty for a file that is in none."""
    parts = path.parts
    return parts[parts.index("snapshots") + 1] if "snapshots" in parts[:-2] else ""


def _inside(root: Path, path: str) -> Path:
    """A path of a listing below a folder. Raises HubError for one that would leave it, or be a name nowhere."""
    parts = path.split("/")
    odd = any(part in ("", ".", "..") or len(part.encode()) > _LONGEST_NAME for part in parts)
    if odd or re.search(r"[\0-\x1f\x7f\\:]", path):
        raise HubError(f"{path[:200]!r}: not a valid path in a repository", "choose another repository")
    return root.joinpath(*parts)


_LONGEST_NAME = 255
"""Bytes of a file's name that file systems take."""


def is_linked(repository: Repository, place: Spot) -> bool:
    """Whether a snapshot leads to content, and the name "main" to the snapshot."""
    with suppress(OSError, RuntimeError):  # the latter for links in a circle
        own = place.link.is_symlink() and place.link.resolve() == place.blob.resolve() and _regular(place.blob)
        return bool(own or _regular(place.link)) and _read_main(_base(repository.name)) == repository.commit
    return False


def size_of(path: Path) -> int:
    """Bytes of a file; -1 where there is none, or a link, a folder, a pipe or a device in its place."""
    found = _regular(path)
    return found.st_size if found else -1


def _regular(path: Path) -> os.stat_result | None:
    """What is known of a file that is no link; None for all else."""
    with suppress(OSError, ValueError):
        found = path.lstat()
        return found if stat.S_ISREG(found.st_mode) else None
    return None


def _read_main(base: Path) -> str:
    """The commit that the name "main" stands for; empty where there is none, or no file of this folder's own."""
    with suppress(OSError, ValueError):
        return files.read(base / "refs" / "main", _LONGEST_NAME, links=False).decode("ascii").strip()
    return ""


_CAREFULLY = sum(getattr(os, name, 0) for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC", "O_BINARY"))
"""How a name is opened behind which somebody may have put a link, a pipe or a device."""


def open_part(place: Spot) -> IO[bytes]:
    """The part of a download, new or as it was left, to be read and to be added to.

    Raises HubError where it is anything but a file of this user's in a folder of the cache; OSError.
    """
    place.part.parent.mkdir(parents=True, exist_ok=True)  # it may have been removed with another model of it
    _refuse_odd(place.part)
    descriptor = os.open(place.part, os.O_RDWR | os.O_CREAT | os.O_APPEND | _CAREFULLY, 0o666)
    file = os.fdopen(descriptor, "r+b", buffering=0)
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1:
        file.close()
        raise _odd(place.part, "a link, a pipe or a device")
    if hasattr(os, "geteuid") and found.st_uid != os.geteuid():
        file.close()
        raise _odd(place.part, "owned by another user")
    return file


def keep(place: Spot, written: os.stat_result) -> None:
    """Give a part that is whole the name of its content. Raises HubError where it is not the file that was written."""
    if not os.path.samestat(place.part.lstat(), written):
        raise _odd(place.part, "not the file that was written")
    place.part.replace(place.blob)


def prepare(repository: Repository, place: Spot) -> None:
    """See to it that what is about to be written is written into the cache. Raises HubError where it would not be."""
    base = _base(repository.name)
    for path in (place.blob, place.link, _main(repository)):
        _refuse_outside(path.parent, base)
    _refuse_outside(place.lock.parent, folder())


def _refuse_outside(path: Path, root: Path) -> None:
    """Raise HubError for a folder that a link takes out of another one, in which it is by its name."""
    try:
        there, inside = path.resolve(), root.resolve()
    except RuntimeError:
        raise _odd(path, "a link that leads back to itself") from None
    if there != inside and inside not in there.parents:
        raise _odd(path, f"a link that leads out of the cache, to {there}")


def _refuse_odd(path: Path) -> None:
    """Raise HubError for what is there and no file."""
    if os.path.lexists(path) and not _regular(path):
        raise _odd(path, "a link, a folder, a pipe or a device")


def _odd(path: Path, what: str) -> HubError:
    return HubError(
        f"{path}: {what}, so no download can be written there", "remove it, or set HF_HOME to another folder"
    )


def link(repository: Repository, place: Spot) -> None:
    """Let a snapshot lead to content, and the name "main" to the snapshot."""
    place.link.parent.mkdir(parents=True, exist_ok=True)
    if _regular(place.blob) and not (place.link.exists() and place.link.samefile(place.blob)):
        with suppress(FileNotFoundError):
            place.link.unlink()
        try:
            place.link.symlink_to(os.path.relpath(place.blob, place.link.parent))
        except OSError:  # no links, on Windows: the file itself, as huggingface_hub does
            place.blob.replace(place.link)
    main = _main(repository)
    main.parent.mkdir(parents=True, exist_ok=True)
    if os.path.lexists(main) and not _regular(main):
        main.unlink()
    atomic.replace(main, repository.commit.encode("ascii"))


def _main(repository: Repository) -> Path:
    return _base(repository.name) / "refs" / "main"


def published_sha256(path: Path) -> str:
    """The hash that a file in a snapshot was published with, which is its content's name; empty where none is known."""
    content = path.resolve().name
    return content if re.fullmatch(r"[0-9a-f]{64}", content) else ""


def have(repository: Repository, file: RemoteFile) -> int:
    """Bytes of a file that are here, of a part perhaps."""
    places = [_inside(_base(repository.name) / "snapshots" / repository.commit, file.path)]
    if file.sha256:
        place = spot(repository, file, file.sha256)
        places = [place.blob, place.part]
    if not file.sha256:
        with suppress(OSError):
            return min(file.size, places[0].stat().st_size)
    return next((min(file.size, size_of(path)) for path in places if size_of(path) >= 0), 0)


def _lock(base: Path, content: str) -> Path:
    """What a download of some content holds."""
    return base.parent / ".locks" / base.name / f"{content}.lock"


def _base(name: str) -> Path:
    return folder() / "--".join(("models", *name.split("/")))


@dataclass(frozen=True)
class Snapshot:
    """What is here of one commit of a repository.

    Attributes:
        listing: its files that are here; the licence is not known.
        root: its folder.
        broken: links whose content is gone.
    """

    listing: Repository
    root: Path
    broken: tuple[Path, ...] = ()

    def path(self, file: RemoteFile) -> Path:
        """Where a file of it is."""
        return self.root.joinpath(*file.path.split("/"))


def cached(name: str) -> tuple[Snapshot, ...]:
    """What is here of a repository: the snapshot of "main" first, then the newest."""
    base = _base(name)
    with suppress(OSError):
        main = _read_main(base)
        roots = [path for path in (base / "snapshots").iterdir() if path.is_dir()]
        roots.sort(key=lambda path: (path.name != main, -path.stat().st_mtime, path.name))
        return tuple(_snapshot(name, root) for root in roots)
    return ()


def snapshots() -> Iterator[Snapshot]:
    """All that is in the cache, by repository."""
    with suppress(OSError):
        for base in sorted(folder().glob("models--*--*")):
            name = base.name.removeprefix("models--").replace("--", "/")
            if is_repository(name):
                yield from cached(name)


def _snapshot(name: str, root: Path) -> Snapshot:
    files, broken = [], []
    for path in sorted(root.rglob("*")):
        with suppress(OSError):
            if path.is_file():
                sha256 = published_sha256(path)
                files.append(RemoteFile(path.relative_to(root).as_posix(), path.stat().st_size, sha256))
            elif path.is_symlink() and not path.exists():
                broken.append(path)
    return Snapshot(Repository(name, root.name, tuple(files)), root, tuple(broken))


def remove(name: str, paths: Sequence[Path]) -> int:
    """Take files out of a repository's snapshots. Their content goes where no other snapshot leads to it.

    With the last snapshot goes what nothing leads to any more; parts of downloads stay.

    Args:
        name: of the repository.
        paths: in snapshots of it.

    Returns the bytes that are free again.
    """
    base, freed = _base(name), 0
    try:
        for path in paths:
            content, size = path.resolve(), path.stat().st_size
            others = (other for other in (base / "snapshots").rglob("*") if other != path)
            alone = path.is_symlink() and not any(other.exists() and other.samefile(content) for other in others)
            freed += 0 if path.is_symlink() else size
            path.unlink()
            _prune(path.parent, base / "snapshots")
            if alone and content.parent == (base / "blobs").resolve():
                content.unlink()
                freed += size
        if not any((base / "snapshots").rglob("*")):
            freed += sum(_discard(base, blob) for blob in (base / "blobs").glob("*") if blob.suffix != PART)
            _clear(base)
    except OSError as error:
        raise _unremovable(error, base) from None
    return freed


def parts() -> tuple[tuple[Path, int], ...]:
    """What is here of downloads that were not finished, with the bytes of each."""
    found = []
    for path in sorted(folder().glob(f"models--*/blobs/*{PART}")):
        with suppress(OSError):
            found.append((path, path.stat().st_size))
    return tuple(found)


def held(cache: Path) -> tuple[int, int]:
    """Bytes that a cache holds on the disk: of whole content, and of parts of downloads that were not finished."""
    whole = unfinished = 0
    for path in cache.glob("models--*/blobs/*"):
        with suppress(OSError):
            if path.name.endswith(PART):
                unfinished += path.stat().st_size
            else:
                whole += path.stat().st_size
    return whole, unfinished


def drop(part: Path) -> int:
    """Remove a part, unless it is being downloaded. Returns the bytes that are free again."""
    base = part.parent.parent
    try:
        freed = _discard(base, part)
        if not any(path for below in ("snapshots", "blobs") for path in (base / below).glob("*")):
            _clear(base)
    except OSError as error:
        raise _unremovable(error, base) from None
    return freed


def _unremovable(error: OSError, base: Path) -> HubError:
    return HubError(f"{error.filename or base}: cannot be removed ({error.strerror})", "check the folder's permissions")


def _discard(base: Path, blob: Path) -> int:
    """Remove content or a part of it, unless a download holds its lock. Returns the bytes that are free again."""
    with claimed(_lock(base, blob.name.removesuffix(PART)), 0.01) as alone, suppress(FileNotFoundError):
        if alone:
            size = blob.stat().st_size
            blob.unlink()
            return size
    return 0


@contextmanager
def claimed(lock: Path, seconds: float | None = None) -> Iterator[bool]:
    """Hold a lock, which huggingface_hub's own downloads take, too.

    Args:
        lock: its file.
        seconds: to wait for it; None for as long as it takes.

    Yields whether it is held.
    """
    from filelock import Timeout
    from huggingface_hub.utils import WeakFileLock  # type: ignore[attr-defined]

    lock.parent.mkdir(parents=True, exist_ok=True)
    _refuse_odd(lock)
    with ExitStack() as stack:
        try:
            stack.enter_context(WeakFileLock(lock, timeout=seconds))
        except Timeout:
            yield False
            return
        yield True


def _prune(path: Path, root: Path) -> None:
    """Remove folders that are empty, from one up to below a root."""
    while path != root and root in path.parents and not any(path.iterdir()):
        path.rmdir()
        path = path.parent


def _clear(base: Path) -> None:
    """Remove the folders of a repository without a snapshot, but for parts of downloads. Its locks may be in use."""
    import shutil

    for below in ("snapshots", "refs", ".no_exist"):
        shutil.rmtree(base / below, ignore_errors=True)
    with suppress(OSError):  # something is left
        (base / "blobs").rmdir()
    with suppress(OSError):
        base.rmdir()
