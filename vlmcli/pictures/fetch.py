"""The bytes behind an http or https address, within bounds of size, time and redirects.

A page or a list of addresses may come from somebody else, so what answers at a private or loopback address is refused
(RFC 1918, RFC 4193 and their kin, as `ipaddress` knows them) unless the user allows it: after the connection is made,
so that no name can be resolved twice, and before a byte is sent. No cookies, no credentials.
"""

from __future__ import annotations

import http.client
import ipaddress
import socket
import threading
import time
import urllib.error
import urllib.request
from functools import partial
from typing import Any
from urllib.parse import quote, urlsplit

from vlmcli import __version__
from vlmcli.amounts import size
from vlmcli.errors import SourceError

MAX_BYTES = 128 << 20
SECONDS = 30.0
"""For the whole, redirects included."""
REDIRECTS = 5


def get(url: str, allow_local: bool = False, max_bytes: int = MAX_BYTES, seconds: float = SECONDS) -> bytes:
    """What is there. Raises SourceError, which names the address without its query."""
    try:
        name, user = short(url), urlsplit(url).username
    except ValueError as error:
        raise SourceError(f"{url}: not an address ({error})", "check how it is written") from None
    if user is not None:
        raise SourceError(f"{name}: the address has a user's name in it", "download the picture with it first")
    guard = _Guard(allow_local, time.monotonic() + seconds)
    handlers = [_Http(guard), _Https(guard), _Redirects()]
    opener = urllib.request.build_opener(*handlers)
    opener.addheaders = [("User-Agent", f"vlm/{__version__}"), ("Accept", "image/*, application/pdf;q=0.9, */*;q=0.1")]
    try:
        with guard, opener.open(_escaped(url)) as response:
            data = _body(response, name, max_bytes)
            if guard.over:  # a connection that was ended looks like one that came to its end
                raise TimeoutError
            return data
    except SourceError:
        if not guard.over:
            raise
        raise SourceError(f"{name}: not there within {seconds:g} s", "try again, or download it first") from None
    except urllib.error.HTTPError as error:
        raise SourceError(f"{name}: the server says {error.code} {error.reason}", _hint(error.code)) from None
    except Exception as error:  # urllib wraps some, http.client has its own
        inner = getattr(error, "reason", error)
        if isinstance(inner, _Local):
            raise SourceError(
                f"{name}: answers at {inner}, an address of this machine or network", "--allow-local-urls allows it"
            ) from None
        if guard.over or isinstance(inner, TimeoutError):
            raise SourceError(f"{name}: not there within {seconds:g} s", "try again, or download it first") from None
        if not isinstance(error, OSError | http.client.HTTPException | ValueError):
            raise
        reason = getattr(inner, "strerror", None) or str(inner) or type(inner).__name__
        raise SourceError(f"{name}: cannot be fetched ({reason})", "check the address and the network") from None


def _escaped(url: str) -> str:
    """An address as it may be sent: spaces and letters outside ASCII in its path as %XX (RFC 3987, 3.1)."""
    parts = urlsplit(url)
    path, query = (quote(part, safe="%/:=&?~#+!$,;'@()*[]") for part in (parts.path, parts.query))
    return parts._replace(path=path, query=query).geturl()


def short(url: str) -> str:
    """An address for messages: without what follows its path, which may be secret, and without a name and password."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def _hint(code: int) -> str:
    if code in (401, 403):
        return "it needs a permission: download it first"
    return "check the address" if code in (404, 410) else "try again later"


def _body(response: Any, name: str, max_bytes: int) -> bytes:
    said = response.headers.get("Content-Length", "")
    if said.isdigit() and int(said) > max_bytes:
        raise SourceError(f"{name}: {size(int(said))} are more than a picture has", "download and check it first")
    data = bytearray()
    while piece := response.read1(1 << 16):
        data += piece
        if len(data) > max_bytes:
            raise SourceError(f"{name}: more than {size(max_bytes)} came", "download and check it first")
    if said.isdigit() and len(data) < int(said):
        raise SourceError(f"{name}: the connection ended after {len(data)} of {said} bytes", "try again")
    return bytes(data)


class _Local(OSError):
    """The address that answered is not of the open network."""


class _Guard:
    """Checks who answers, and ends every connection when the time is over."""

    def __init__(self, allow_local: bool, deadline: float) -> None:
        self.over = False
        self._allow_local, self._deadline = allow_local, deadline
        self._sockets: list[socket.socket] = []
        self._timer = threading.Timer(max(0.0, deadline - time.monotonic()), self._end)
        self._timer.daemon = True

    def __enter__(self) -> None:
        self._timer.start()

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()

    def _end(self) -> None:
        self.over = True
        for opened in self._sockets:
            try:
                opened.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue  # it has ended by itself

    def connect(self, checked: bool, address: tuple[str, int], *_: object) -> socket.socket:
        """A connection, as `socket.create_connection` makes it."""
        opened = socket.create_connection(address, timeout=max(0.01, self._deadline - time.monotonic()))
        peer = opened.getpeername()[0]
        if checked and not self._allow_local and not _is_open(peer):
            opened.close()
            raise _Local(peer)
        self._sockets.append(opened)
        return opened

    def resolved(self, host: str) -> None:
        """Check where a name leads that a proxy will connect to."""
        if self._allow_local:
            return
        try:
            found = {str(entry[4][0]) for entry in socket.getaddrinfo(host, None)}
        except OSError:
            return  # only the proxy knows it
        for address in found:
            if not _is_open(address):
                raise _Local(address)


def _is_open(address: str) -> bool:
    """Whether an address is of the open network."""
    found = ipaddress.ip_address(address.partition("%")[0])
    inner = getattr(found, "ipv4_mapped", None) or getattr(found, "sixtofour", None) or found
    return bool(found.is_global and inner.is_global and not found.is_multicast)


def _connection(kind: type[http.client.HTTPConnection], guard: _Guard, checked: bool, *args: Any, **kwargs: Any) -> Any:
    made = kind(*args, **kwargs)
    made._create_connection = partial(guard.connect, checked)  # type: ignore[attr-defined]  # what connect() calls
    return made


class _Http(urllib.request.HTTPHandler):
    def __init__(self, guard: _Guard) -> None:
        super().__init__()
        self._guard = guard

    def http_open(self, req: urllib.request.Request) -> Any:
        checked = _direct(req, self._guard)
        return self.do_open(partial(_connection, http.client.HTTPConnection, self._guard, checked), req)


class _Https(urllib.request.HTTPSHandler):
    def __init__(self, guard: _Guard) -> None:
        super().__init__()
        self._guard = guard

    def https_open(self, req: urllib.request.Request) -> Any:
        checked = _direct(req, self._guard)
        return self.do_open(partial(_connection, http.client.HTTPSConnection, self._guard, checked), req)


def _direct(request: urllib.request.Request, guard: _Guard) -> bool:
    """Whether no proxy is between; where one is, the name is checked now."""
    target = urlsplit(request.full_url).hostname or ""
    tunnel = getattr(request, "_tunnel_host", None)
    if not tunnel and not request.has_proxy():
        return True
    guard.resolved(target)
    return False


class _Redirects(urllib.request.HTTPRedirectHandler):
    max_redirections = REDIRECTS

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        where = urlsplit(newurl)
        if where.scheme not in ("http", "https") or where.username is not None:
            raise SourceError(f"{short(req.full_url)}: leads to {short(newurl)}", "only http and https are followed")
        return super().redirect_request(req, fp, code, msg, headers, newurl)
