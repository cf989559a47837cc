"""The Hub (huggingface.co, or what HF_ENDPOINT names), and its cache on this machine: what is there, what is here.

The cache's layout is huggingface_hub's, so that llama.cpp, huggingface_hub and `vlm` share one copy of a file:

    models--OWNER--REPOSITORY/blobs/ETAG                 content, named by its sha256 (or git's hash of a small file)
    models--OWNER--REPOSITORY/snapshots/COMMIT/PATH      a link to it
    models--OWNER--REPOSITORY/refs/main                  the commit

Source: huggingface_hub, guides/manage-cache. HF_HOME, HF_HUB_CACHE, HF_ENDPOINT, HF_TOKEN, HF_HUB_OFFLINE and the
proxies' variables are read by that library.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import vlmcli
from vlmcli.errors import HubBusy, HubError, NotOnHub
from vlmcli.repository import RemoteFile, Repository

if TYPE_CHECKING:
    import httpx2

Found = TypeVar("Found")

ATTEMPTS = 8
PATIENCE = 300.0  # seconds that a server may ask to be left alone
CONNECT_SECONDS = 10.0
SILENCE_SECONDS = 30.0  # without a byte, until the connection is taken to be dead


def folder() -> Path:
    """Where the cache is."""
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE)


def endpoint() -> str:
    """The Hub's address."""
    from huggingface_hub import constants

    return str(constants.ENDPOINT)


def is_offline() -> bool:
    """Whether HF_HUB_OFFLINE says that nothing may be asked."""
    from huggingface_hub import constants

    return bool(constants.HF_HUB_OFFLINE)


def reach() -> str:
    """Ask the Hub for anything. Returns its address; raises HubError when it does not answer as a Hub."""
    with _translated(endpoint()):
        response = _session().get(
            f"{endpoint()}/api/models", params={"limit": 1}, headers=_headers(), timeout=_timeout()
        )
        _check(response, endpoint())
        response.json()
    return endpoint()


def look(name: str, say: Callable[[str], None] | None = None) -> Repository:
    """The listing of a repository, as it is now.

    Args:
        name: "owner/repository".
        say: told of waiting.

    Raises NotOnHub; HubError.
    """
    from huggingface_hub import HfApi

    def ask() -> Repository:
        with _translated(name):
            _session()
            try:
                found = HfApi(headers=_headers()).model_info(name, files_metadata=True, timeout=CONNECT_SECONDS)
                files = tuple(
                    RemoteFile(one.rfilename, one.size or 0, one.lfs.sha256 if one.lfs else "")
                    for one in found.siblings or ()
                )
                return Repository(name, found.sha or "", files, _licence(found), bool(found.gated))
            except (AttributeError, KeyError, TypeError) as error:
                raise HubError(
                    f"{name}: {endpoint()} does not answer as a Hub does ({type(error).__name__})", "check HF_ENDPOINT"
                ) from error

    return patiently(ask, say)


def _licence(found: Any) -> str:
    """As its card names it, or its tags; empty for "other" without a name."""
    card = found.card_data or {}
    tags = [tag.removeprefix("license:") for tag in found.tags or () if tag.startswith("license:")]
    named = (card.get("license_name"), card.get("license"), *tags)
    return next((str(licence) for licence in named if licence and licence != "other"), "")


def patiently(attempt: Callable[[], Found], say: Callable[[str], None] | None = None) -> Found:
    """What `attempt` returns; called again, after a pause, when it raises HubBusy."""
    for failures in range(ATTEMPTS):
        try:
            return attempt()
        except HubBusy as error:
            pause(error, failures, say)
    raise AssertionError


def pause(error: HubBusy, failures: int, say: Callable[[str], None] | None = None) -> None:
    """Wait as long as the server wishes, or twice as long each time; raise the error when it is enough."""
    seconds = error.after if error.after is not None else 0.5 * 2**failures
    if failures >= ATTEMPTS - 1 or seconds > PATIENCE:
        raise error
    if say is not None:
        say(f"{error.message}; once more in {seconds:.0f} s" if seconds >= 1 else f"{error.message}; once more")
    time.sleep(seconds)


@contextmanager
def stream(repository: Repository, file: RemoteFile, start: int, validator: str = "") -> Iterator[Body]:
    """A file's content from a byte on, or from the beginning where the server cannot.

    Args:
        repository: where it is.
        file: which.
        start: bytes that are not wanted.
        validator: an ETag of this file from before, for If-Range; a server whose file is another sends all of it.

    Raises HubBusy for what may pass; HubError for what does not.
    """
    from huggingface_hub import hf_hub_url

    url = hf_hub_url(repository.name, file.path, revision=repository.commit)
    headers = _headers() | {"Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
        if validator:
            headers["If-Range"] = validator
    with (
        _translated(file.path, passing=True),
        _session().stream("GET", url, headers=headers, timeout=_timeout()) as response,
    ):
        _check(response, file.path)
        begins = _begins(response)
        length = response.headers.get("Content-Length")
        if begins not in (0, start) or (length and begins + int(length) != file.size):
            raise HubBusy(
                f"{file.path}: the server wants to send other bytes than the {file.size} that are listed",
                "try again later",
            )
        yield Body(begins, response.headers.get("ETag", ""), response.iter_raw())


@dataclass(frozen=True)
class Body:
    """What a server sends.

    Attributes:
        start: the first byte's place in the file.
        validator: the ETag of what is being sent.
        blocks: bytes as they come.
    """

    start: int
    validator: str
    blocks: Iterator[bytes]


def etag(repository: Repository, file: RemoteFile) -> str:
    """The name of a file's content in the cache."""
    if file.sha256:
        return file.sha256
    from huggingface_hub import get_hf_file_metadata, hf_hub_url

    def ask() -> Any:
        with _translated(file.path):
            url = hf_hub_url(repository.name, file.path, revision=repository.commit)
            return get_hf_file_metadata(url, timeout=CONNECT_SECONDS, headers=_headers())

    return str(patiently(ask).etag)


def _begins(response: httpx2.Response) -> int:
    """Which byte of the file the answer begins with; -1 for none that makes sense."""
    if response.status_code == 200:
        return 0
    found = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
    return int(found[1]) if found else -1


def _session() -> httpx2.Client:
    """The client, which is made with the first call. Raises HubError for a proxy that cannot be used."""
    from huggingface_hub import get_session

    try:
        return get_session()
    except (ImportError, ValueError) as error:
        raise HubError(
            f"no proxy can be used as the environment names it ({error})", "check HTTPS_PROXY and ALL_PROXY"
        ) from None


def _headers() -> dict[str, str]:
    """Of each request: who asks, with which token. Raises HubError for a token that cannot be one."""
    from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]

    try:
        headers = dict(build_hf_headers(library_name="vlm", library_version=vlmcli.__version__))
        headers.get("authorization", "").encode("ascii")
    except UnicodeError:
        raise HubError("HF_TOKEN has letters that no token has", "copy it again, or unset it") from None
    except OSError as error:
        raise HubError(
            f"{error.filename}: the Hub's token cannot be read ({error.strerror})", "set HF_HOME to a folder of yours"
        ) from None
    return headers


def _timeout() -> httpx2.Timeout:
    import httpx2

    return httpx2.Timeout(SILENCE_SECONDS, connect=CONNECT_SECONDS)


@contextmanager
def _translated(what: str, *, passing: bool = False) -> Iterator[None]:
    """Errors of the client, as those of ours.

    Args:
        what: the repository or file that is asked for.
        passing: whether trouble with the connection may pass.
    """
    import httpx2
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, OfflineModeIsEnabled

    host = endpoint().rpartition("://")[2].partition("/")[0]
    trouble = HubBusy if passing else HubError
    try:
        yield
    except OfflineModeIsEnabled:
        raise HubError(
            f"{what}: HF_HUB_OFFLINE is set, so that nothing is asked of the Hub", "unset it to download"
        ) from None
    except HfHubHTTPError as error:
        raise _refusal(error.response, what) from None
    except HFValidationError:
        raise NotOnHub(f"{what}: no name of a repository", "it is owner/repository") from None
    except httpx2.TimeoutException:
        raise trouble(f"{what}: {host} does not answer", "try again later; what is here is kept") from None
    except (httpx2.ConnectError, httpx2.ProxyError) as error:
        raise trouble(f"{what}: {host} cannot be reached ({_reason(error)})", _NETWORK) from None
    except (httpx2.TooManyRedirects, httpx2.UnsupportedProtocol, httpx2.InvalidURL) as error:
        raise HubError(f"{what}: {host} leads nowhere ({_reason(error)})", "check HF_ENDPOINT") from None
    except httpx2.RequestError:
        raise HubBusy(f"{what}: the connection was cut", "try again; what is here is kept") from None
    except json.JSONDecodeError:
        raise _portal(what) from None


def _reason(error: Exception) -> str:
    """An error's text without the system's number."""
    return re.sub(r"^\[Errno -?\d+\] ", "", str(error))


_NETWORK = "check the network, and HTTPS_PROXY where you are behind a proxy"


def _portal(what: str) -> HubError:
    return HubError(
        f"{what}: a web page came instead, as networks send that want a sign-in first",
        "open a page in a browser, sign in to the network, and try again",
    )


def _check(response: httpx2.Response, what: str) -> None:
    """Raise what an answer's status and kind mean."""
    if response.status_code >= 400:
        raise _refusal(response, what)
    if response.headers.get("Content-Type", "").startswith("text/html"):
        raise _portal(what)


def _refusal(response: httpx2.Response, what: str) -> HubError:
    """What a status means: authorisation, existence, too many questions, a broken server."""
    status, headers = response.status_code, response.headers
    code = headers.get("X-Error-Code", "")
    if code == "GatedRepo":
        page = _page(response)
        return HubError(
            f"{what}: its owner wants to be asked first",
            f"accept at {page}, then `hf auth login` or set HF_TOKEN, and try again",
        )
    if status == 401 and "credential" in headers.get("X-Error-Message", "").lower():
        return HubError(
            f"{what}: the Hub does not accept your token", "`hf auth login` makes a new one, or set HF_TOKEN"
        )
    if code == "EntryNotFound":
        return HubError(f"{what}: the repository has no such file any more", "try again: its listing is asked for anew")
    if code == "RepoNotFound" or status in (401, 404):
        return NotOnHub(
            f"{what}: there is no such repository, or it is private", "check the name; HF_TOKEN opens private ones"
        )
    if status == 403:
        return HubError(f"{what}: the Hub refuses (403)", f"see {_page(response)}")
    if status == 429:
        wait = _retry_after(headers.get("Retry-After", ""))
        hint = "try again later; a token (`hf auth login`) raises the limit"
        return HubBusy(f"{what}: the Hub was asked too often", hint, wait)
    if status >= 500 or status == 408:
        return HubBusy(
            f"{what}: the Hub has trouble ({status})", "try again later", _retry_after(headers.get("Retry-After", ""))
        )
    return HubError(f"{what}: the Hub answers with {status}", "try again later")


def _retry_after(value: str) -> float | None:
    """Seconds of the header Retry-After; None where it has none (or a date)."""
    return float(value) if re.fullmatch(r"\d{1,9}", value) else None


def _page(response: httpx2.Response) -> str:
    """The page of the repository that was asked for."""
    found = re.match(r"(?:/api/models)?/([^/]+/[^/]+)", response.request.url.path)
    return f"{endpoint()}/{found[1]}" if found else endpoint()


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
        base / "blobs" / f"{content}.incomplete",
        folder() / ".locks" / base.name / f"{content}.lock",
        _inside(base / "snapshots" / repository.commit, file.path),
    )


def _inside(root: Path, path: str) -> Path:
    """A path of a listing below a folder. Raises HubError for one that would leave it."""
    parts = path.split("/")
    if any(part in ("", ".", "..") or "\\" in part or ":" in part for part in parts):
        raise HubError(f"{path[:200]!r}: no path of a file in a repository", "take another repository")
    return root.joinpath(*parts)


def link(repository: Repository, place: Spot) -> None:
    """Let a snapshot lead to content, and the name "main" to the snapshot."""
    place.link.parent.mkdir(parents=True, exist_ok=True)
    if not (place.link.exists() and place.link.samefile(place.blob)):
        with suppress(FileNotFoundError):
            place.link.unlink()
        try:
            place.link.symlink_to(os.path.relpath(place.blob, place.link.parent))
        except OSError:  # no links, on Windows: the file itself, as huggingface_hub does
            place.blob.replace(place.link)
    main = _base(repository.name) / "refs" / "main"
    main.parent.mkdir(parents=True, exist_ok=True)
    fresh = main.with_name(f"main.{os.getpid()}")
    fresh.write_text(repository.commit, "ascii")
    fresh.replace(main)


def have(repository: Repository, file: RemoteFile) -> int:
    """Bytes of a file that are here, of a part perhaps."""
    places = [_inside(_base(repository.name) / "snapshots" / repository.commit, file.path)]
    if file.sha256:
        place = spot(repository, file, file.sha256)
        places = [place.blob, place.part]
    for path in places:
        with suppress(OSError):
            return min(file.size, path.stat().st_size)
    return 0


def _base(name: str) -> Path:
    return folder() / "--".join(("models", *name.split("/")))


@dataclass(frozen=True)
class Snapshot:
    """What is here of one commit of a repository.

    Attributes:
        listing: its files that are here; the licence is not known.
        root: its folder.
    """

    listing: Repository
    root: Path

    def path(self, file: RemoteFile) -> Path:
        """Where a file of it is."""
        return _inside(self.root, file.path)


def cached(name: str) -> tuple[Snapshot, ...]:
    """What is here of a repository: the snapshot of "main" first, then the newest."""
    base = _base(name)
    with suppress(OSError):
        main = ""
        with suppress(OSError, ValueError):
            main = (base / "refs" / "main").read_text("ascii").strip()
        roots = [path for path in (base / "snapshots").iterdir() if path.is_dir()]
        roots.sort(key=lambda path: (path.name != main, -path.stat().st_mtime, path.name))
        return tuple(_snapshot(name, root) for root in roots)
    return ()


def snapshots() -> Iterator[Snapshot]:
    """All that is in the cache, by repository."""
    with suppress(OSError):
        for base in sorted(folder().glob("models--*--*")):
            yield from cached("/".join(base.name.split("--")[1:3]))


def _snapshot(name: str, root: Path) -> Snapshot:
    files = []
    for path in sorted(root.rglob("*")):
        with suppress(OSError):
            if path.is_file():
                content = path.resolve().name
                sha256 = content if re.fullmatch(r"[0-9a-f]{64}", content) else ""
                files.append(RemoteFile(path.relative_to(root).as_posix(), path.stat().st_size, sha256))
    return Snapshot(Repository(name, root.name, tuple(files)), root)


def remove(name: str, paths: Sequence[Path]) -> int:
    """Take files out of a repository's snapshots. Their content goes where no other snapshot leads to it.

    Args:
        name: of the repository.
        paths: in snapshots of it.

    Returns the bytes that are free again.
    """
    base, freed = _base(name), 0
    try:
        for path in paths:
            content, size = path.resolve(), path.stat().st_size
            path.unlink()
            _prune(path.parent, base / "snapshots")
            used = any(other.exists() and other.samefile(content) for other in (base / "snapshots").rglob("*"))
            if not content.exists():
                freed += size  # it was no link
            elif not used and content.parent == (base / "blobs").resolve():
                content.unlink()
                freed += size
        if not any((base / "snapshots").rglob("*")):
            _clear(base)
    except OSError as error:
        raise HubError(
            f"{error.filename or base}: cannot be removed ({error.strerror})", "check the folder's permissions"
        ) from None
    return freed


def _prune(path: Path, root: Path) -> None:
    """Remove folders that are empty, from one up to below a root."""
    while path != root and root in path.parents and not any(path.iterdir()):
        path.rmdir()
        path = path.parent


def _clear(base: Path) -> None:
    """Remove what is left of a repository without a snapshot: names of commits, parts of downloads, locks."""
    import shutil

    shutil.rmtree(base)
    shutil.rmtree(base.parent / ".locks" / base.name, ignore_errors=True)
