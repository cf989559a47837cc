"""The Hub (huggingface.co, or what HF_ENDPOINT names), through the client huggingface_hub: what is there.

HF_ENDPOINT, HF_TOKEN, HF_HUB_OFFLINE and the proxies' variables are read by that library. Writes no files, and does not
know which of a repository's files are wanted.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import vlmcli
from vlmcli.errors import HubBusy, HubError, NotOnHub
from vlmcli.models.hub_cache import constant
from vlmcli.models.repository import RemoteFile, Repository

if TYPE_CHECKING:
    import httpx2

Found = TypeVar("Found")

ATTEMPTS = 8
FIRST_PAUSE = 0.5  # seconds before the second attempt, unless the server says how long; twice that before the third
PATIENCE = 300.0  # seconds that a server may ask to be left alone
CONNECT_SECONDS = 10.0
SILENCE_SECONDS = 30.0  # without a byte, until the connection is taken to be dead


def endpoint() -> str:
    """The Hub's address, without a slash at its end: HF_ENDPOINT, or https://huggingface.co."""
    return str(constant("ENDPOINT"))


def is_offline() -> bool:
    """Whether HF_HUB_OFFLINE says that nothing may be asked."""
    return bool(constant("HF_HUB_OFFLINE"))


def page(name: str) -> str:
    """The address at which a browser shows a repository."""
    return f"{endpoint()}/{name}"


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

    def ask() -> Repository:
        with _translated(name):
            from huggingface_hub import HfApi

            _session()
            try:
                found = HfApi(headers=_headers()).model_info(name, files_metadata=True, timeout=CONNECT_SECONDS)
                files = tuple(_file(one) for one in found.siblings or ())
                return Repository(name, _hex(found.sha, 40), files, _licence(found), bool(found.gated))
            except (AttributeError, KeyError, TypeError, UnicodeError) as error:
                raise HubError(
                    f"{name}: {endpoint()} does not answer as a Hub does ({type(error).__name__})", "check HF_ENDPOINT"
                ) from error

    return patiently(ask, say)


def _file(listed: Any) -> RemoteFile:
    """A file of a listing. Raises TypeError for one that is none: its hash becomes a path in the cache."""
    path, size, lfs = listed.rfilename, listed.size, listed.lfs
    if size is None and not path.endswith(".gguf"):
        size = 0
    if not isinstance(path, str) or "\0" in path or type(size) is not int or size < 0:
        raise TypeError
    path.encode()  # or it would be no name here
    return RemoteFile(path, size, _hex(lfs.sha256, 64) if lfs else "")


def _hex(text: object, digits: int) -> str:
    """A hash or a commit. Raises TypeError for anything else."""
    if not isinstance(text, str) or not re.fullmatch(r"[0-9a-f]+", text) or len(text) != digits:
        raise TypeError
    return text


def _licence(found: Any) -> str:
    """As its card names it, or its tags; empty for "other" without a name."""
    card = found.card_data or {}
    tags = [tag.removeprefix("license:") for tag in found.tags or () if tag.startswith("license:")]
    for licence in (card.get("license_name"), card.get("license"), *tags):
        text = ", ".join(map(str, licence)) if isinstance(licence, list) else str(licence or "")
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
    named = str(_metadata(repository, file).etag)
    if not re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", named):
        raise HubError(f"{file.path}: {endpoint()} does not say its hash", "check HF_ENDPOINT")
    return named


def _metadata(repository: Repository, file: RemoteFile) -> Any:
    """What the Hub says of a file."""

    def ask() -> Any:
        with _translated(file.path):
            from huggingface_hub import get_hf_file_metadata, hf_hub_url

            _session()
            url = hf_hub_url(repository.name, file.path, revision=repository.commit)
            return get_hf_file_metadata(url, timeout=CONNECT_SECONDS, headers=_headers())

    return patiently(ask)


def _begins(response: httpx2.Response) -> int:
    """Which byte of the file the answer begins with; -1 for none that makes sense."""
    if response.status_code == 200:
        return 0
    found = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
    return int(found[1]) if found else -1


def _session() -> httpx2.Client:
    """The client, which is made with the first call. Raises HubError for proxies or certificates that are none."""
    from huggingface_hub import get_session

    try:
        return get_session()
    except (ImportError, ValueError) as error:
        raise HubError(
            f"no proxy can be used as the environment names it ({error})", "check HTTPS_PROXY and ALL_PROXY"
        ) from None
    except OSError as error:
        raise HubError(
            f"the certificates of authorities cannot be read ({_reason(error)})", "check SSL_CERT_FILE and SSL_CERT_DIR"
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
    except (AttributeError, KeyError, TypeError, ValueError) as error:  # of its notes about who calls it
        raise HubError(
            f"{constant('HF_HOME')}: huggingface_hub cannot use a file of its own there ({error})",
            "remove .agent_harnesses.json in it, or set HF_HOME to another folder",
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
    except json.JSONDecodeError as error:
        if error.doc.lstrip().startswith("<"):
            raise _portal(what) from None
        raise HubError(f"{what}: {host} does not answer as a Hub does (no JSON)", "check HF_ENDPOINT") from None


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
        return HubError(
            f"{what}: its owner wants to be asked first",
            f"accept at {_page(response)}, then `hf auth login` or set HF_TOKEN, and try again",
        )
    if status == 401 and "credential" in headers.get("X-Error-Message", "").lower():
        return HubError(
            f"{what}: the Hub does not accept your token", "`hf auth login` makes a new one, or set HF_TOKEN"
        )
    if code == "EntryNotFound" or (status == 404 and "/resolve/" in response.request.url.path and not code):
        return HubError(f"{what}: the repository has no such file any more", "try again: its listing is asked for anew")
    if code == "RepoNotFound" or status in (401, 404):
        return NotOnHub(
            f"{what}: there is no such repository, or it is private", "check the name; HF_TOKEN opens private ones"
        )
    if status == 429:
        wait = _retry_after(headers.get("Retry-After", ""))
        hint = "try again later; a token (`hf auth login`) raises the limit"
        return HubBusy(f"{what}: the Hub was asked too often", hint, wait)
    if status >= 500 or status == 408:
        return HubBusy(
            f"{what}: the Hub has trouble ({status})", "try again later", _retry_after(headers.get("Retry-After", ""))
        )
    return HubError(f"{what}: the Hub refuses ({status})", f"see {_page(response)}")


def _retry_after(value: str) -> float | None:
    """Seconds of the header Retry-After; None where it has none (or a date)."""
    return float(value) if re.fullmatch(r"\d{1,9}", value) else None


def _page(response: httpx2.Response) -> str:
    """The page of the repository that was asked for."""
    found = re.match(r"(?:/api/models)?/([^/]+/[^/]+)", response.request.url.path)
    return page(found[1]) if found else endpoint()
