"""One question to the Hub and its answer, within bounds of time, size, redirects and addresses.

Every byte that comes for a model comes through `ask`. The address of the Hub is the user's word (HF_ENDPOINT), and may
be anywhere. Where the Hub leads from there is its own: only to http and https, from https never to http, never with the
token to another host, and to an address of this machine or network only where the Hub itself is at one.

HTTP is httpcore2's, which is what huggingface_hub speaks through; proxies and certificates are those of the
environment, as it has them. Does not know listings, repositories or files.
"""

from __future__ import annotations

import base64
import importlib.util
import re
import ssl
import string
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, quote, unquote, urljoin, urlsplit
from urllib.request import getproxies, proxy_bypass

import vlmcli
from vlmcli import settings
from vlmcli.amounts import size
from vlmcli.errors import HubBusy, HubError
from vlmcli.models import hub_json
from vlmcli.models.hub_cache import constant

if TYPE_CHECKING:
    import httpcore2

    from vlmcli.network.open_network import Network

SECONDS = 60.0
"""For the whole of an answer that is no file, from the name of the server to the last byte, redirects included; and for
a file until its first byte."""
STALL_SECONDS = 30.0
STALL_BYTES = 30_000
"""So much of a file must come in each such span. At that pace a gigabyte takes eleven days; nobody waits so long."""
MAX_BYTES = 8 << 20
"""Of a listing, also when it is unpacked: one of some 25,000 files. Repositories of GGUF files have tens of them."""
REDIRECTS = 5

_LATER = "try again later; downloads resume where they stopped"
_NETWORK = "check the network; behind a proxy, set HTTPS_PROXY"


@dataclass(frozen=True)
class Answer:
    """What a server says.

    Attributes:
        status: its number.
        headers: the first of each name, which is in lower case.
        url: who said it, at the end of all redirects.
        blocks: the body as it comes, packed as it may be. Raises HubBusy, HubError.
    """

    status: int
    headers: dict[str, str]
    url: str
    blocks: Iterator[bytes]


def endpoint() -> str:
    """The Hub's address, without a slash at its end: HF_ENDPOINT, or https://huggingface.co."""
    return str(constant("ENDPOINT"))


def is_offline() -> bool:
    """Whether HF_HUB_OFFLINE or VLM_OFFLINE says that nothing may be asked."""
    return bool(constant("HF_HUB_OFFLINE")) or settings.is_offline()


@contextmanager
def ask(
    url: str,
    what: str,
    method: str = "GET",
    headers: dict[str, str] | None = None,
    *,
    passing: bool = False,
    leave: bool = True,
) -> Iterator[Answer]:
    """Ask for an address of the Hub, with the user's token. The connection closes with the context.

    Args:
        url: of the Hub.
        what: the repository or file that is asked for, for errors.
        method: of HTTP.
        headers: beside those that every question has.
        passing: whether trouble with the connection may pass; then it is a HubBusy.
        leave: whether a redirect to another host is followed that has an ETag; where it is not, it is the answer.

    Raises HubBusy; HubError.
    """
    from vlmcli.network.open_network import Deadline

    if is_offline():
        name = "VLM_OFFLINE" if settings.is_offline() else "HF_HUB_OFFLINE"
        raise HubError(f"{what}: {name} is set, so nothing is downloaded", "unset it to download")
    everywhere = _headers() | {"Accept-Encoding": "identity"} | (headers or {})
    deadline = Deadline(SECONDS)
    with ExitStack() as stack:
        with _translated(what, passing=passing):
            response, url = _follow(stack, method, url, everywhere, deadline, leave=leave)
        found: dict[str, str] = {}
        for key, value in response.headers:
            found.setdefault(key.decode("latin-1").lower(), value.decode("latin-1"))

        def blocks() -> Iterator[bytes]:
            pieces = response.iter_stream()
            while True:
                with _translated(what, passing=passing):
                    piece = next(pieces, None)
                if piece is None:
                    return
                yield piece

        yield Answer(response.status, found, url, _paced(blocks(), deadline) if passing else blocks())


def _paced(blocks: Iterator[bytes], deadline: Any) -> Iterator[bytes]:
    """A file's blocks, whose time begins again whenever enough has come."""
    deadline.renew(STALL_SECONDS)
    came = 0
    for block in blocks:
        came += len(block)
        if came >= STALL_BYTES:
            deadline.renew(STALL_SECONDS)
            came = 0
        yield block


def json_of(answer: Answer, what: str) -> Any:
    """The JSON of an answer. Raises HubError for what is none, or is more than any Hub has to say."""
    try:
        data = _unpacked(_whole(answer, what), answer.headers.get("content-encoding", "").strip().lower())
        if data.lstrip()[:1] == b"<":
            raise portal(what)
        return hub_json.read(data)
    except ValueError as error:
        reason = "not UTF-8" if isinstance(error, UnicodeError) else str(error)
        raise no_hub(what, reason) from None


def _whole(answer: Answer, what: str) -> bytes:
    data = bytearray()
    for block in answer.blocks:
        data += block
        if len(data) > MAX_BYTES:
            raise no_hub(what, f"more than {size(MAX_BYTES)}")
    return bytes(data)


def _unpacked(data: bytes, coding: str) -> bytes:
    """A body that was packed without having been asked for. Raises ValueError."""
    if coding in ("", "identity"):
        return data
    if coding not in ("gzip", "x-gzip", "deflate"):
        raise ValueError(f"compressed as {coding[:40]!r}")
    decoder = zlib.decompressobj(zlib.MAX_WBITS | 32)
    try:
        plain = decoder.decompress(data, MAX_BYTES + 1)
    except zlib.error:
        raise ValueError("damaged compressed data") from None
    if len(plain) > MAX_BYTES:
        raise ValueError(f"it unpacks to more than {size(MAX_BYTES)}")
    if not decoder.eof:
        raise ValueError("truncated compressed data")
    return plain


def no_hub(what: str, reason: str) -> HubError:
    """The error for an answer that no Hub gives."""
    return HubError(f"{what}: {_host(endpoint())} does not answer like the Hub ({reason})", "check HF_ENDPOINT")


def portal(what: str) -> HubError:
    """The error for a web page instead of an answer."""
    return HubError(
        f"{what}: got a web page instead; the network may require you to sign in first",
        "open a page in a browser, sign in to the network, and try again",
    )


class _Nowhere(Exception):
    """An address, of the user's or the Hub's, that is not asked; its text says why."""


def _follow(
    stack: ExitStack, method: str, url: str, headers: dict[str, str], deadline: Any, *, leave: bool
) -> tuple[httpcore2.Response, str]:
    """The answer at the end of all redirects, and its address. The connection closes with the stack."""
    from vlmcli.network.open_network import Network

    home, local = _origin(endpoint()), False
    for _ in range(REDIRECTS + 1):
        parts = _parts(url)
        at_home = _origin(url) == home
        network = Network(deadline, allow_local=at_home or local)
        own = headers if at_home else {key: value for key, value in headers.items() if key.lower() != "authorization"}
        if at_home and parts.username and not any(key.lower() == "authorization" for key in headers):
            own = headers | {"Authorization": f"Basic {_secret(parts)}"}
        response = _asked(stack, method, parts, own, network)
        local = local or (at_home and network.led_home)
        leads = _leads(url, response)
        tagged = not leave and any(key.lower() in (b"etag", b"x-linked-etag") for key, _ in response.headers)
        if leads is None or (tagged and _origin(leads) != home):
            return response, url
        stack.close()  # without reading what comes with a redirect
        url = leads
    raise _Nowhere(f"more than {REDIRECTS} redirects in a row")


def _parts(url: str) -> SplitResult:
    """An address taken apart. Raises _Nowhere for one that cannot be asked."""
    try:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https"):
            raise _Nowhere(f"{url[:60]}: not an http or https address")
        if not parts.hostname or parts.port == 0:
            raise _Nowhere(f"{url[:60]}: an address without a host")
        parts.hostname.encode("idna")
    except ValueError as error:
        raise _Nowhere(str(error)[:200]) from None
    return parts


def _origin(url: str) -> tuple[str, str, int]:
    """Who answers at an address: what a token may be shown to. Raises _Nowhere."""
    parts = _parts(url)
    return parts.scheme, parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)


def _leads(url: str, response: httpcore2.Response) -> str | None:
    """Where a redirect leads; None for another answer. Raises _Nowhere where that is not followed."""
    if response.status not in (301, 302, 303, 307, 308):
        return None
    found = [value.decode("latin-1").strip() for key, value in response.headers if key.lower() == b"location"]
    if not found or not found[0]:
        raise _Nowhere(f"a redirect without an address, {response.status}")
    try:
        if urlsplit(found[0]).username is not None:
            raise _Nowhere("a redirect to an address with a user name in it")
        leads = urljoin(url, quote(found[0], encoding="latin-1", safe=string.punctuation))
    except ValueError as error:
        raise _Nowhere(str(error)[:200]) from None
    if _parts(leads).scheme == "http" and url.startswith("https:"):
        raise _Nowhere(f"a redirect from https to http, {leads[:200]}")
    return leads


def _asked(
    stack: ExitStack, method: str, parts: SplitResult, headers: dict[str, str], network: Network
) -> httpcore2.Response:
    """The answer of a server, on a connection of its own, which closes with the stack."""
    import httpcore2

    host = (parts.hostname or "").encode("idna")
    path, query = (quote(part, safe="%/:=&?~#+!$,;'@()*[]") for part in (parts.path or "/", parts.query))
    url = httpcore2.URL(
        scheme=parts.scheme, host=host, port=parts.port, target=f"{path}?{query}" if query else path
    )  # fmt: skip
    pool: httpcore2.ConnectionPool = stack.enter_context(_pool(url, network))
    return stack.enter_context(pool.stream(method, url, headers=list((headers | {"Connection": "close"}).items())))


def _pool(url: httpcore2.URL, network: Network) -> httpcore2.ConnectionPool:
    """What opens a connection, directly or by the proxy that the environment names. Raises HubError for odd ones."""
    import httpcore2

    from vlmcli.network.open_network import Network

    scheme, host = url.scheme.decode(), url.host.decode()
    found = getproxies()
    named = found.get(scheme) or found.get("all")
    context = _certificates() if scheme == "https" else None
    if not named or proxy_bypass(f"{host}:{url.port}" if url.port else host):
        return httpcore2.ConnectionPool(ssl_context=context, network_backend=network)
    network.check(host)  # by a proxy, which alone connects, nothing is reached that would not be reached without
    near = Network(network.deadline, allow_local=True)
    try:
        parts = urlsplit(named if "://" in named else f"http://{named}")
        if parts.scheme not in ("http", "socks5", "socks5h"):
            raise ValueError(f"{parts.scheme[:40]}: is not supported; use http: or socks5:")
        if parts.scheme != "http" and importlib.util.find_spec("socksio") is None:
            raise ValueError("SOCKS needs the package socksio, which is not installed")
        place = httpcore2.URL(scheme=parts.scheme, host=(parts.hostname or "").encode("idna"), port=parts.port,
                              target="/")  # fmt: skip
        secret = (unquote(parts.username), unquote(parts.password or "")) if parts.username else None
        kind = httpcore2.HTTPProxy if parts.scheme == "http" else httpcore2.SOCKSProxy
        return kind(place, proxy_auth=secret, ssl_context=context, network_backend=near)
    except ValueError as error:
        raise HubError(
            f"the proxy set in the environment cannot be used ({error})", "check HTTPS_PROXY and ALL_PROXY"
        ) from None


def _certificates() -> ssl.SSLContext:
    """Whose word is taken for who a server is, as huggingface_hub has it. Raises HubError."""
    import httpx2

    try:
        return httpx2.create_ssl_context()
    except OSError as error:
        raise HubError(
            f"the CA certificates cannot be read ({_reason(error)})", "check SSL_CERT_FILE and SSL_CERT_DIR"
        ) from None


def _secret(parts: SplitResult) -> str:
    """A name and a password as HTTP has them."""
    return base64.b64encode(f"{unquote(parts.username or '')}:{unquote(parts.password or '')}".encode()).decode()


def _headers() -> dict[str, str]:
    """Of each request: who asks, with which token. Raises HubError for a token that cannot be one.

    The client's own function for this would first ask the Hub which programs are agents, without any bounds.
    """
    headers = {"User-Agent": f"vlm/{vlmcli.__version__}"}
    token = "" if constant("HF_HUB_DISABLE_IMPLICIT_TOKEN") else _token()
    if not token.isascii() or not token.isprintable():
        raise HubError("HF_TOKEN contains characters that no token has", "copy it again, or unset it")
    return headers | {"Authorization": f"Bearer {token}"} if token else headers


def _token() -> str:
    """The user's, as huggingface_hub finds it; empty where there is none. Raises HubError.

    One of a browser's login that is about to end is renewed by that library, which asks the Hub itself.
    """
    import httpx2
    from huggingface_hub import get_token

    try:
        return get_token() or ""
    except UnicodeError:
        raise HubError("the saved Hub token is not text", "run `hf auth login`, or set HF_TOKEN") from None
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        raise HubError(
            f"{where}the saved Hub token cannot be read ({_reason(error)})", "set HF_HOME to a folder of your own"
        ) from None
    except (httpx2.HTTPError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
        raise HubError(
            f"the Hub token cannot be renewed ({str(error)[:200]})",
            "run `hf auth login`, or set HF_TOKEN",
        ) from None


def _host(url: str) -> str:
    """The host of an address and its port, for messages."""
    return url.rpartition("://")[2].partition("/")[0].rpartition("@")[2]


@contextmanager
def _translated(what: str, *, passing: bool) -> Iterator[None]:
    """Errors of the network, as those of ours."""
    import httpcore2

    from vlmcli.network.open_network import LocalAddress

    host = _host(endpoint())
    trouble = HubBusy if passing else HubError
    cut = HubBusy(f"{what}: the connection was cut", "try again; downloads resume where they stopped")
    try:
        yield
    except _Nowhere as error:
        raise HubError(f"{what}: the request to {host} failed ({error})", "check HF_ENDPOINT") from None
    except LocalAddress as error:
        raise HubError(
            f"{what}: {host} leads to {error}, an address of this machine or its network, which vlm does not follow",
            "try again later, or from another network",
        ) from None
    except TimeoutError:
        raise trouble(f"{what}: {host} does not answer, or too slowly", _LATER) from None
    except (ConnectionResetError, ConnectionAbortedError, BrokenPipeError, ssl.SSLEOFError):
        raise cut from None
    except httpcore2.RemoteProtocolError as error:
        if "disconnected" in str(error) or "closed" in str(error):
            raise cut from None
        raise no_hub(what, str(error)[:80]) from None
    except (httpcore2.ProxyError, OSError) as error:
        raise trouble(f"{what}: {host} cannot be reached ({_reason(error)})", _NETWORK) from None
    except (httpcore2.LocalProtocolError, httpcore2.UnsupportedProtocol) as error:
        raise HubError(
            f"{what}: the request to {host} is not valid ({error})", "check HF_ENDPOINT and HF_TOKEN"
        ) from None
    except (httpcore2.NetworkError, httpcore2.TimeoutException):
        raise cut from None
    except ValueError as error:  # of a number in a header, which is beyond what Python reads
        raise no_hub(what, str(error)[:80]) from None


def _reason(error: Exception) -> str:
    """An error's text without the system's number."""
    return re.sub(r"^\[Errno -?\d+\] ", "", str(error))
