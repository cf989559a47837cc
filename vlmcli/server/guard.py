"""Who may speak to the server, and how much: names of hosts, keys, origins, sizes and times. Pure ASGI.

A page in a browser can send requests to this machine. On a loopback address, the name in `Host` must therefore be one
of the machine's own, so that a foreign name that leads here is refused (DNS rebinding); and without `--cors` no page of
another origin is answered.
"""

from __future__ import annotations

import asyncio
import hmac
import re
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from contextlib import suppress
from typing import Any

from starlette.responses import JSONResponse, Response

from vlmcli.amounts import size as size_of
from vlmcli.server import page
from vlmcli.server.wrong import Wrong, in_shape

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

BODIES = 256 * 10**6
UNREAD_BYTES, UNREAD_SECONDS = 64 * 10**6, 2.0
"""Of a body that nobody wants, and that is read all the same: its client may hear an answer only after it."""
OWN = ("localhost", "127.0.0.1", "[::1]")
OPEN = frozenset(("/health", *page.FILES))
"""Paths that need no key. The page asks for it, and sends it with its requests."""
HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
]


class Guard:
    """Lets through what is allowed."""

    def __init__(
        self,
        app: App,
        *,
        loopback: bool,
        hosts: Sequence[str],
        key: str,
        origins: Sequence[str],
        seconds: float,
        bodies: int = BODIES,
    ) -> None:
        """Guard an application.

        Args:
            app: which.
            loopback: whether it listens on this machine only.
            hosts: more names that it may be called by.
            key: that clients must have; empty for none.
            origins: whose pages may speak to it; "*" for all.
            seconds: in which a body must have come.
            bodies: bytes of the bodies of all requests that have not ended.
        """
        self._app = app
        self._loopback, self._hosts = loopback, frozenset((*OWN, *map(_name, hosts)))
        self._bodies, self._held = bodies, 0
        self._key, self._origins, self._seconds = key.encode(errors="surrogateescape"), frozenset(origins), seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers: dict[bytes, bytes] = dict(scope["headers"])
        origin = headers.get(b"origin", b"").decode("latin-1")
        own = self._is_own(origin, headers)
        allowed = self._cors(origin, headers.get(b"access-control-request-headers", b""))

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *HEADERS, *allowed]
            await send(message)

        wrong = self._wrong(scope, headers, origin, own=own)
        if wrong is not None:
            if b"expect" not in headers:  # which waits until somebody reads
                await _read_away(receive)
            await refused(wrong, scope["path"])(scope, receive, sending)
        elif scope["method"] == "OPTIONS" and self._may(origin):
            await Response(status_code=204)(scope, receive, sending)
        else:
            body = _Incoming(self, receive, self._seconds)
            try:
                await self._app(scope, body.receive, sending)
            finally:
                self._held -= body.size

    def _is_own(self, origin: str, headers: dict[bytes, bytes]) -> bool:
        """Whether a page of the server's own asks."""
        return bool(origin) and origin.partition("://")[2] == headers.get(b"host", b"").decode("latin-1")

    def _wrong(self, scope: Scope, headers: dict[bytes, bytes], origin: str, *, own: bool) -> Wrong | None:
        if b"transfer-encoding" in headers and b"content-length" in headers:  # RFC 9112, 6.3
            return Wrong("the request has two lengths", "send Content-Length or Transfer-Encoding", code="two_lengths")
        host = headers.get(b"host", b"").decode("latin-1")
        if self._loopback and _name(host) not in self._hosts:
            return Wrong(
                "the Host header is none of this server's names", "call it 127.0.0.1 or localhost",
                status=403, code="wrong_host",
            )  # fmt: skip
        if origin and not own and not self._may(origin):
            return Wrong(
                "pages of other origins may not use this server", "start it with --cors ORIGIN",
                status=403, code="wrong_origin",
            )  # fmt: skip
        preflight = scope["method"] == "OPTIONS" and self._may(origin)
        if self._key and scope["path"] not in OPEN and not preflight and not self._has_key(headers):
            return Wrong("the API key is missing or wrong", "send it as Authorization: Bearer KEY",
                         status=401, code="invalid_api_key")  # fmt: skip
        return None

    def _has_key(self, headers: dict[bytes, bytes]) -> bool:
        scheme, _, bearer = headers.get(b"authorization", b"").partition(b" ")
        given = bearer.strip() if scheme.lower() == b"bearer" else headers.get(b"x-api-key", b"")
        return hmac.compare_digest(given, self._key)

    def _may(self, origin: str) -> bool:
        """Whether pages of an origin may use the server."""
        return bool(origin and {origin, "*"} & self._origins)

    def _cors(self, origin: str, wished: bytes = b"") -> list[tuple[bytes, bytes]]:
        """The headers that let a page of an origin read the answer; none where it may not.

        A client may send headers of its own (`openai` sends a dozen), so it is allowed those that it asks for.
        """
        if not self._may(origin):
            return [(b"vary", b"Origin")] if self._origins else []
        if not re.fullmatch(rb"[\w, -]{1,1000}", wished):
            wished = b"authorization, content-type, x-api-key"
        return [
            (b"access-control-allow-origin", origin.encode("latin-1")),
            (b"access-control-allow-headers", wished),
            (b"access-control-allow-methods", b"GET, POST, OPTIONS"),
            (b"vary", b"Origin"),
        ]

    def holds(self, size: int) -> None:
        """Take so many bytes more of a body. Raises Wrong where all together are too many."""
        if self._held + size > self._bodies:
            raise Wrong(
                "there are too many large requests at a time", "try again later",
                status=429, code="too_many_bytes", after=2,
            )  # fmt: skip
        self._held += size


class _Incoming:
    """What a client sends: its body, for which it has only so much time; then, that it leaves.

    Attributes:
        size: bytes that have come.
    """

    def __init__(self, guard: Guard, receive: Receive, seconds: float) -> None:
        self._guard, self._receive = guard, receive
        self._ends = asyncio.get_running_loop().time() + seconds
        self._whole = False
        self.size = 0

    async def receive(self) -> Message:
        """The next message. Raises Wrong."""
        if self._whole:
            return await self._receive()
        left = self._ends - asyncio.get_running_loop().time()
        try:
            message = await asyncio.wait_for(self._receive(), max(0.0, left))
        except asyncio.TimeoutError:
            raise Wrong("the body did not come in time", "send it faster", status=408, code="too_slow") from None
        self._whole = message["type"] != "http.request" or not message.get("more_body")
        size = len(message.get("body", b""))
        self._guard.holds(size)
        self.size += size
        return message


def _name(host: str) -> str:
    """A host's name, without the port."""
    return re.sub(r":\d+\Z", "", host).lower()


async def _read_away(receive: Receive, most: int = UNREAD_BYTES) -> None:
    """Read what is still to come of a body, within bounds."""
    ends = asyncio.get_running_loop().time() + UNREAD_SECONDS
    with suppress(asyncio.TimeoutError, Wrong):
        while most > 0:
            message = await asyncio.wait_for(receive(), max(0.0, ends - asyncio.get_running_loop().time()))
            most -= len(message.get("body", b""))
            if message["type"] != "http.request" or not message.get("more_body"):
                return


def refused(wrong: Wrong, path: str) -> Response:
    """The answer for what is wrong, in the shape that clients of a path read."""
    headers = {} if wrong.after is None else {"retry-after": str(wrong.after)}
    if wrong.status in (401, 403, 408, 413) or wrong.code == "two_lengths":
        headers["connection"] = "close"
    if wrong.status == 401:
        headers["www-authenticate"] = "Bearer"
    return JSONResponse(in_shape(wrong, path), wrong.status, headers)


async def body_of(receive: Receive, length: str, most: int) -> bytes:
    """The whole body of a request. Raises Wrong where it is larger than allowed, or its client leaves."""
    too_large = Wrong(
        f"the body is larger than {size_of(most)}", "send smaller pictures, or start the server with --max-body",
        status=413, code="too_large",
    )  # fmt: skip
    if length.isdecimal() and int(length[:20]) > most:
        await _read_away(receive)
        raise too_large
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Wrong("the client has left", status=499, code="left")
        part = message.get("body", b"")
        size += len(part)
        if size > most:
            parts.clear()
            await _read_away(receive)
            raise too_large
        parts.append(part)
        if not message.get("more_body"):
            return b"".join(parts)
