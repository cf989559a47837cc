"""The Hub (huggingface.co, or what HF_ENDPOINT names): what is there, and the bytes of a file.

What it says is believed only as far as it has the form that it should have, and becomes values of ours here. Writes no
files, and does not know which of a repository's files are wanted.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import urlsplit

from vlmcli.errors import HubBusy, HubError, NotOnHub
from vlmcli.models import hub_client
from vlmcli.models.hub_client import Answer, endpoint
from vlmcli.models.repository import RemoteFile, Repository, parse

Found = TypeVar("Found")

ATTEMPTS = 8
FIRST_PAUSE = 0.5  # seconds before the second attempt, unless the server says how long; twice that before the third
PATIENCE = 300.0  # seconds that a server may ask to be left alone
MAX_SIZE = 1 << 50
"""Bytes of a file: a petabyte, which no disk holds; the largest models have some terabytes."""
MAX_PATH = 1024
"""Letters of a file's path: no file system here takes one that is much longer."""


def page(name: str) -> str:
    """The address at which a browser shows a repository."""
    return f"{endpoint()}/{name}"


def reach() -> str:
    """Ask the Hub for anything. Returns its address; raises HubError when it does not answer as a Hub."""
    with hub_client.ask(f"{endpoint()}/api/models?limit=1", endpoint()) as answer:
        _check(answer, endpoint())
        if not isinstance(hub_client.json_of(answer, endpoint()), list):
            raise hub_client.no_hub(endpoint(), "not a list")
    return endpoint()


def look(name: str, say: Callable[[str], None] | None = None) -> Repository:
    """The listing of a repository, as it is now.

    Args:
        name: "owner/repository".
        say: told of waiting.

    Raises NotOnHub; HubError.
    """
    if parse(name) != (name, ""):
        raise NotOnHub(f"{name}: not the name of a repository", "write it as owner/repository")

    def ask() -> Repository:
        with hub_client.ask(f"{endpoint()}/api/models/{name}?blobs=true", name) as answer:
            _check(answer, name)
            listing = hub_client.json_of(answer, name)
        try:
            return _repository(name, listing)
        except TypeError as error:
            raise hub_client.no_hub(name, str(error)) from None

    return patiently(ask, say)


def _repository(name: str, listing: Any) -> Repository:
    """A listing as a value. Raises TypeError, which says what is of another form."""
    if not isinstance(listing, dict):
        raise TypeError("not a listing")
    siblings = listing.get("siblings") or []
    if not isinstance(siblings, list):
        raise TypeError("no list of files")
    files = tuple(map(_file, siblings))
    if len({file.path for file in files}) < len(files):
        raise TypeError("a file that is listed twice")
    commit = _hex(listing.get("sha"), 40, "an invalid commit")
    return Repository(name, commit, files, _licence(listing), bool(listing.get("gated")))


def _file(listed: Any) -> RemoteFile:
    """A file of a listing. Raises TypeError for one that is none: its hash becomes a path in the cache."""
    if not isinstance(listed, dict):
        raise TypeError("a file without a name")
    path, size, lfs = listed.get("rfilename"), listed.get("size"), listed.get("lfs")
    if not isinstance(path, str) or not 0 < len(path) <= MAX_PATH or "\0" in path:
        raise TypeError("a file without a name")
    if size is None and not path.endswith(".gguf"):
        size = 0
    if type(size) is not int or not 0 <= size <= MAX_SIZE:
        raise TypeError("a file with an invalid size")
    if lfs is not None and not isinstance(lfs, dict):
        raise TypeError("a file with an invalid hash")
    return RemoteFile(path, size, _hex(lfs.get("sha256"), 64, "a file with an invalid hash") if lfs else "")


def _hex(text: object, digits: int, what: str) -> str:
    """A hash or a commit. Raises TypeError for anything else."""
    if not isinstance(text, str) or not re.fullmatch(r"[0-9a-f]+", text) or len(text) != digits:
        raise TypeError(what)
    return text


def _licence(listing: dict[str, Any]) -> str:
    """As its card names it, or its tags; empty for "other" without a name."""
    card, tags = listing.get("cardData"), listing.get("tags")
    card = card if isinstance(card, dict) else {}
    names = [tag for tag in tags if isinstance(tag, str)] if isinstance(tags, list) else []
    told = [tag.removeprefix("license:") for tag in names if tag.startswith("license:")]
    for licence in (card.get("license_name"), card.get("license"), *told):
        several = licence if isinstance(licence, list) else [licence]
        text = ", ".join(one for one in several if isinstance(one, str))[:200]
        if text not in ("", "other"):
            return text
    return ""


def knock(repository: Repository, file: RemoteFile) -> None:
    """Ask about one file, without its content. Raises HubError where it may not be had: of a gated repository."""
    _metadata(repository, file)


def patiently(attempt: Callable[[], Found], say: Callable[[str], None] | None = None) -> Found:
    """What `attempt` returns; called again, after a pause, when it raises HubBusy."""
    for failures in range(ATTEMPTS):
        try:
            return attempt()
        except HubBusy as error:
            pause(error, failures, say)
    raise AssertionError


def pause(error: HubBusy, failures: int, say: Callable[[str], None] | None = None) -> None:
    """Wait before the next attempt: as long as the server wishes, else twice as long each time.

    Args:
        error: what the last attempt ended with; raised where there have been enough, or the server wishes too much.
        failures: attempts before that one that have failed in a row.
        say: told of it.
    """
    seconds = error.after if error.after is not None else FIRST_PAUSE * 2**failures
    if failures >= ATTEMPTS - 1 or seconds > PATIENCE:
        raise error
    if say is not None:
        say(f"{error.message}; retrying in {seconds:.0f} s" if seconds >= 1 else f"{error.message}; retrying")
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
    headers = {"Range": f"bytes={start}-"} if start else {}
    if start and validator:
        headers["If-Range"] = validator
    with hub_client.ask(_address(repository, file), file.path, headers=headers, passing=True) as answer:
        _check(answer, file.path)
        begins, length = _begins(answer), answer.headers.get("content-length", "")
        if begins not in (0, start) or (length and (not _is_count(length) or begins + int(length) != file.size)):
            raise HubBusy(
                f"{file.path}: the server offers another size than the {file.size} bytes that it lists",
                "try again later",
            )
        etag = answer.headers.get("etag", "")
        yield Body(begins, etag if re.fullmatch(r'(?:W/)?"[!#-~]{0,200}"', etag) else "", answer.blocks)


def _address(repository: Repository, file: RemoteFile) -> str:
    """Where a file's content is."""
    from huggingface_hub import hf_hub_url

    return hf_hub_url(repository.name, file.path, revision=repository.commit)


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
    named = _metadata(repository, file)
    if not re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", named):
        raise HubError(f"{file.path}: {endpoint()} does not tell its hash", "check HF_ENDPOINT")
    return named


def _metadata(repository: Repository, file: RemoteFile) -> str:
    """The ETag that the Hub itself has for a file, bare; a redirect to where its content is has it, too."""

    def ask() -> str:
        with hub_client.ask(_address(repository, file), file.path, "HEAD", leave=False) as answer:
            if not 300 <= answer.status < 400:
                _check(answer, file.path)
            named = answer.headers.get("x-linked-etag") or answer.headers.get("etag", "")
            return named.removeprefix("W/").strip('"')

    return patiently(ask)


def _begins(answer: Answer) -> int:
    """Which byte of the file the answer begins with; -1 for none that makes sense."""
    if answer.status == 200:
        return 0
    found = re.match(r"bytes ([0-9]+)-", answer.headers.get("content-range", ""))
    return int(found[1]) if found and _is_count(found[1]) else -1


def _is_count(text: str) -> bool:
    """Whether a header's value is a number of bytes that a file may have."""
    return bool(re.fullmatch(r"[0-9]{1,18}", text))


def _check(answer: Answer, what: str) -> None:
    """Raise what an answer's status and kind mean."""
    if not 200 <= answer.status < 300:
        raise _refusal(answer, what)
    if answer.headers.get("content-type", "").startswith("text/html"):
        raise hub_client.portal(what)


def _refusal(answer: Answer, what: str) -> HubError:
    """What a status means: authorisation, existence, too many questions, a broken server."""
    status, headers = answer.status, answer.headers
    code = headers.get("x-error-code", "")
    if code == "GatedRepo":
        return HubError(
            f"{what}: a gated repository; its owner must grant you access",
            f"request access at {_page(answer)}, then run `hf auth login` or set HF_TOKEN, and try again",
        )
    if status == 401 and "credential" in headers.get("x-error-message", "").lower():
        return HubError(f"{what}: the Hub does not accept your token", "run `hf auth login`, or set HF_TOKEN")
    if code == "EntryNotFound" or (status == 404 and "/resolve/" in urlsplit(answer.url).path and not code):
        return HubError(f"{what}: the repository no longer has this file", "try again: the list of files is read again")
    if code == "RepoNotFound" or status in (401, 404):
        return NotOnHub(
            f"{what}: there is no such repository, or it is private",
            "check the name; for a private one, run `hf auth login` or set HF_TOKEN",
        )
    if status == 429:
        wait = _retry_after(headers.get("retry-after", ""))
        hint = "try again later; a token (`hf auth login`) raises the limit"
        return HubBusy(f"{what}: too many requests to the Hub", hint, wait)
    if status >= 500 or status == 408:
        return HubBusy(
            f"{what}: the Hub reports an error ({status})",
            "try again later",
            _retry_after(headers.get("retry-after", "")),
        )
    return HubError(f"{what}: the Hub refused the request ({status})", f"see {_page(answer)}")


def _retry_after(value: str) -> float | None:
    """Seconds of the header Retry-After; None where it has none (or a date)."""
    return float(value) if re.fullmatch(r"[0-9]{1,9}", value) else None


def _page(answer: Answer) -> str:
    """The page of the repository that was asked for."""
    found = re.match(r"(?:/api/models)?/([^/]+/[^/]+)", urlsplit(answer.url).path)
    return page(found[1]) if found else endpoint()
