"""The bytes behind an http or https address, within bounds of size, time and redirects.

HTTP is httpcore2's, of which only single connections are used. They know no redirects, cookies, credentials, settings
of the environment or compression; what is wanted of these is done here. Redirects are followed one by one, each as if
it had been asked for; proxies are those that `urllib` knows. What may be connected to is decided in `open_network`.

Importing this loads httpcore2, which takes time: it is imported when an address is fetched. Does not know pictures.
"""

from __future__ import annotations

import base64
import re
import ssl
import string
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from itertools import count
from urllib.parse import quote, unquote, urljoin, urlsplit
from urllib.request import getproxies, proxy_bypass

import httpcore2

from vlmcli import __version__
from vlmcli.amounts import size
from vlmcli.errors import SourceError
from vlmcli.network.open_network import Deadline, LocalAddress, Network
from vlmcli.pictures import codings
from vlmcli.pictures.kept import MAX_BYTES, SECONDS
from vlmcli.settings import is_offline

REDIRECTS = 5

_HEADERS = [
    ("Accept-Encoding", "identity"),
    ("User-Agent", f"vlm/{__version__}"),
    ("Accept", "image/*, application/pdf;q=0.9, */*;q=0.1"),
    ("Connection", "close"),
]


def get(url: str, allow_local: bool = False, max_bytes: int = MAX_BYTES, seconds: float = SECONDS) -> bytes:
    """The bytes at an address; those of a body that was sent compressed, unpacked.

    Args:
        url: of http or https.
        allow_local: whether what answers may be at an address of this machine or network.
        max_bytes: that may come, and that it may unpack to.
        seconds: for all of it: names, connections, redirects and the body.

    Raises SourceError, which names the address without its query.
    """
    try:
        name, user = short(url), urlsplit(url).username
    except ValueError as error:
        raise SourceError(f"{url}: not an address ({error})", "check its spelling") from None
    if is_offline():
        raise SourceError(f"{name}: VLM_OFFLINE is set, so nothing is downloaded", "unset it, or give vlm the file")
    if user is not None:
        raise SourceError(
            f"{name}: the address contains a user name", "download the picture first, and give vlm the file"
        )
    try:
        with ExitStack() as stack:
            response = _follow(stack, url, Network(Deadline(seconds), allow_local))
            return _body(response, name, max_bytes)
    except _Status as error:
        raise SourceError(f"{name}: the server answered {error.code} {error.reason}", _hint(error.code)) from None
    except LocalAddress as error:
        raise SourceError(
            f"{name}: leads to {error}, an address of this machine or its network", "allow it with --allow-local-urls"
        ) from None
    except TimeoutError:
        raise SourceError(f"{name}: not downloaded within {seconds:g} s", "try again, or download it first") from None
    except (OSError, ValueError, httpcore2.ProtocolError) as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise SourceError(f"{name}: cannot be fetched ({reason})", "check the address and the network") from None


def short(url: str) -> str:
    """An address for messages: without what follows its path, which may be secret, and without a name and password."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


class _Status(Exception):
    """The answer of a server is not a body."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(code, reason)
        self.code, self.reason = code, reason


def _hint(code: int) -> str:
    if code in (401, 403):
        return "it needs a sign-in: download the picture first, and give vlm the file"
    return "try again later" if code in (408, 425, 429) or code >= 500 else "check the address"


def _follow(stack: ExitStack, first: str, network: Network) -> httpcore2.Response:
    """The answer at the end of all redirects, whose connection closes with the stack."""
    url = first
    for followed in count():
        response = _ask(stack, _target(url), network)
        leads = _leads(url, response)
        if leads is None and 200 <= response.status < 300:
            return response
        if leads is None:
            raise _Status(response.status, _reason(response))
        if followed == REDIRECTS:
            raise SourceError(f"{short(first)}: more than {REDIRECTS} redirects in a row", "check the address")
        stack.close()  # without reading what comes with a redirect
        url = leads
    raise AssertionError


def _leads(url: str, response: httpcore2.Response) -> str | None:
    """Where a redirect leads; None for another answer. Raises SourceError where that is not followed."""
    if response.status not in (301, 302, 303, 307, 308):
        return None
    location = (_header(response, "location") or "").strip()
    if not location:
        raise SourceError(f"{short(url)}: a redirect without an address ({response.status})", "check the address")
    scheme = re.match(r"([a-z][a-z0-9+.-]*):", location, re.IGNORECASE)
    if scheme and scheme[1].lower() not in ("http", "https"):
        raise SourceError(
            f"{short(url)}: redirects to {scheme[1].lower()[:40]}:, which is not supported",
            "download the picture first; only http and https are supported",
        )
    leads = urljoin(url, quote(location, encoding="iso-8859-1", safe=string.punctuation))
    where = urlsplit(leads)
    if where.username is not None:
        raise SourceError(
            f"{short(url)}: redirects to {short(leads)} with a user name in the address", "download the picture first"
        )
    if where.scheme == "http" and urlsplit(url).scheme == "https":
        raise SourceError(
            f"{short(url)}: redirects from https to {short(leads)}, which anybody on the way could change",
            "use that address directly if you trust the network",
        )
    return leads


def _header(response: httpcore2.Response, name: str) -> str | None:
    """The first header of that name."""
    return next(_headers(response, name), None)


def _headers(response: httpcore2.Response, name: str) -> Iterator[str]:
    """All headers of that name, in capitals or not."""
    for key, value in response.headers:
        if key.decode("latin-1").lower() == name:
            yield value.decode("latin-1")


def _reason(response: httpcore2.Response) -> str:
    """What a server says with its number."""
    return bytes(response.extensions["reason_phrase"]).decode("latin-1")


def _body(response: httpcore2.Response, name: str, max_bytes: int) -> bytes:
    """What a server sent, unpacked where it has packed it without being asked."""
    packed = codings.names(_headers(response, "content-encoding"))
    return b"".join(codings.unpacked(_pieces(response, name, max_bytes), packed, name, max_bytes))


def _pieces(response: httpcore2.Response, name: str, max_bytes: int) -> Iterator[bytes]:
    """A body as it comes. Raises SourceError where it is too much, or ends early."""
    length = _header(response, "content-length") or ""
    wanted = int(length) if length.isdigit() else 0
    if wanted > max_bytes:
        raise SourceError(f"{name}: {size(wanted)} is more than a picture has", "download and check it first")
    came = 0
    try:
        for piece in response.iter_stream():
            came += len(piece)
            if came > max_bytes:
                raise SourceError(
                    f"{name}: more than {size(max_bytes)}, too much for a picture", "download and check it first"
                )
            yield piece
    except httpcore2.RemoteProtocolError:
        if came >= wanted:
            raise
    if came < wanted:
        raise SourceError(f"{name}: the connection ended after {came} of {wanted} bytes", "try again")


@dataclass(frozen=True)
class _Target:
    """An address taken apart, once, so that what is checked is what is asked.

    Attributes:
        scheme: http or https.
        host: a name or a number, in ASCII, without the brackets of IPv6.
        port: where it is asked.
        authority: host and port as they stand in an address.
        path: with the query.
    """

    scheme: str
    host: str
    port: int
    authority: str
    path: str

    def url(self, path: str) -> httpcore2.URL:
        """What httpcore2 connects to, and asks there for a path."""
        return httpcore2.URL(scheme=self.scheme, host=self.host, port=self.port, target=path)


def _target(url: str) -> _Target:
    """Take an address apart. Raises ValueError."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https"):
        raise ValueError(f"the scheme {parts.scheme} is not supported")
    path, query = (quote(part, safe="%/:=&?~#+!$,;'@()*[]") for part in (parts.path or "/", parts.query))
    default = 443 if parts.scheme == "https" else 80
    return _place(parts.scheme, parts.netloc, default, f"{path}?{query}" if query else path)


def _place(scheme: str, netloc: str, default: int, path: str = "") -> _Target:
    """A host and perhaps a port. Raises ValueError for what is neither name nor number."""
    parts = urlsplit(f"//{netloc}")
    if not parts.hostname:
        raise ValueError("it names no host")
    host = unquote(parts.hostname)
    if odd := re.search(r"[\0-\x20\x7f]", host):
        raise ValueError(f"the host {host!r} contains the character {odd[0]!r}")
    host = host.encode("idna").decode("ascii")
    if re.search(r"[/\\?#@\[\]]" if "[" in netloc else r"[/\\?#@\[\]%:]", host):  # a proxy would read it otherwise
        raise ValueError(f"not a valid host name: {host!r}")
    port = netloc.rpartition("]")[2].partition(":")[2]
    if port and not port.isdigit():
        raise ValueError(f"the port {port!r} is not a number")
    if parts.port == 0:  # which httpcore2 takes for none
        raise ValueError("port 0 does not exist")
    bare = f"[{host}]" if ":" in host else host
    return _Target(scheme, host, parts.port or default, f"{bare}:{parts.port}" if parts.port else bare, path)


@dataclass(frozen=True)
class _Proxy:
    """Who asks for us.

    Attributes:
        place: where it is; its scheme is how it is spoken to.
        headers: that it wants to see.
    """

    place: _Target
    headers: tuple[tuple[str, str], ...]


def _proxy(target: _Target) -> _Proxy | None:
    """The proxy that the environment, or the system, names for an address. Raises ValueError for one that is none."""
    named = getproxies().get(target.scheme)
    if not named or proxy_bypass(target.authority):
        return None
    found = re.fullmatch(r"(?:(?:([a-z][a-z0-9+.-]*):)?//)?(?:(.*)@)?([^/]*)(?:/.*)?", named, re.IGNORECASE)
    if not found or re.match("[a-z]+:/(?!/)", named):
        raise ValueError(f"the proxy {named!r} names no host")
    scheme = (found[1] or target.scheme).lower()
    user, _, password = (found[2] or "").partition(":")
    secret = base64.b64encode(f"{unquote(user)}:{unquote(password)}".encode()).decode()
    headers = (("Proxy-Authorization", f"Basic {secret}"),) if user and password else ()
    default = 443 if "https" in (scheme, target.scheme) else 80  # as urllib has it
    return _Proxy(_place(scheme, found[3], default), headers)


def _ask(stack: ExitStack, target: _Target, network: Network) -> httpcore2.Response:
    """The answer of a server, on a connection of its own, which closes with the stack.

    Where a proxy is between, it alone makes the connection: the name is checked before it is asked.
    """
    headers = [("Host", target.authority), *_HEADERS]
    url = target.url(target.path)
    connection: httpcore2.ConnectionInterface
    proxy = _proxy(target)
    if proxy is None:
        connection = _connection(url, network)
    else:
        network.check(target.host)
        near = Network(network.deadline, allow_local=True)  # a proxy may be, and mostly is, in one's own network
        if target.scheme == "https":
            stream = _tunnel(stack, proxy, target, near)
            secured = stream.start_tls(ssl.create_default_context(), target.host)
            connection = httpcore2.HTTP11Connection(url.origin, secured)
        elif proxy.place.scheme not in ("http", "https"):
            raise ValueError(f"the scheme {proxy.place.scheme} is not supported")
        else:
            url = proxy.place.url(f"http://{target.authority}{target.path}")
            connection = _connection(url, near)
            headers += proxy.headers
    stack.enter_context(closing(connection))
    return stack.enter_context(connection.stream("GET", url, headers=headers))


def _connection(url: httpcore2.URL, network: Network) -> httpcore2.HTTPConnection:
    """A connection for one answer; certificates are held against the host's name and the system's authorities."""
    context = ssl.create_default_context() if url.scheme == b"https" else None
    return httpcore2.HTTPConnection(url.origin, context, network_backend=network)


def _tunnel(stack: ExitStack, proxy: _Proxy, target: _Target, near: Network) -> httpcore2.NetworkStream:
    """What a proxy connects us to (RFC 9110, 9.3.6). It is spoken to without TLS, whatever its scheme, as by urllib."""
    end = f"[{target.host}]:{target.port}" if ":" in target.host else f"{target.host}:{target.port}"
    url = replace(proxy.place, scheme="http").url(end)
    connection = stack.enter_context(closing(_connection(url, near)))
    headers = [("Host", end), *proxy.headers]
    response = stack.enter_context(connection.stream("CONNECT", url, headers=headers))
    if not 200 <= response.status < 300:
        raise OSError(f"the proxy answered {response.status} {_reason(response)}")
    stream: httpcore2.NetworkStream = response.extensions["network_stream"]
    return stream
