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
from typing import Any

from starlette.responses import JSONResponse, Response

from vlmcli.server.wrong import Wrong, as_openai

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

OWN = ("localhost", "127.0.0.1", "[::1]")
OPEN = ("/health",)
"""Paths that need no key."""
HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
]


class Guard:
    """Lets through what is allowed."""

    def __init__(
        self, app: App, *, loopback: bool, hosts: Sequence[str], key: str, origins: Sequence[str], seconds: float
    ) -> None:
        """Guard an application.

        Args:
            app: which.
            loopback: whether it listens on this machine only.
            hosts: more names that it may be called by.
            key: that clients must have; empty for none.
            origins: whose pages may speak to it; "*" for all.
            seconds: in which a body must have come.
        """
        self._app = app
        self._loopback, self._hosts = loopback, frozenset((*OWN, *(host.lower() for host in hosts)))
        self._key, self._origins, self._seconds = key.encode(), frozenset(origins), seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers: dict[bytes, bytes] = dict(scope["headers"])
        origin = headers.get(b"origin", b"").decode("latin-1")
        own = self._is_own(origin, headers)
        allowed = self._cors(origin)

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *HEADERS, *allowed]
            await send(message)

        wrong = self._wrong(scope, headers, origin, own=own)
        if wrong is not None:
            await refused(wrong)(scope, receive, sending)
        elif scope["method"] == "OPTIONS" and allowed:
            await Response(status_code=204)(scope, receive, sending)
        else:
            await self._app(scope, self._timed(receive), sending)

    def _is_own(self, origin: str, headers: dict[bytes, bytes]) -> bool:
        """Whether a page of the server's own asks."""
        return origin.partition("://")[2] == headers.get(b"host", b"").decode("latin-1")

    def _wrong(self, scope: Scope, headers: dict[bytes, bytes], origin: str, *, own: bool) -> Wrong | None:
        host = headers.get(b"host", b"").decode("latin-1")
        if self._loopback and re.sub(r":\d+\Z", "", host).lower() not in self._hosts:
            return Wrong(
                "the Host header is none of this server's names", "call it 127.0.0.1 or localhost",
                status=403, code="wrong_host",
            )  # fmt: skip
        if origin and not own and not self._cors(origin):
            return Wrong(
                "pages of other origins may not use this server", "start it with --cors ORIGIN",
                status=403, code="wrong_origin",
            )  # fmt: skip
        preflight = scope["method"] == "OPTIONS" and bool(self._cors(origin))
        if self._key and scope["path"] not in OPEN and not preflight and not self._has_key(headers):
            return Wrong("the API key is missing or wrong", "send it as Authorization: Bearer KEY",
                         status=401, code="invalid_api_key")  # fmt: skip
        return None

    def _has_key(self, headers: dict[bytes, bytes]) -> bool:
        scheme, _, bearer = headers.get(b"authorization", b"").partition(b" ")
        given = bearer.strip() if scheme.lower() == b"bearer" else headers.get(b"x-api-key", b"")
        return hmac.compare_digest(given, self._key)

    def _cors(self, origin: str) -> list[tuple[bytes, bytes]]:
        """The headers that let a page of an origin read the answer; none where it may not."""
        if not origin or not ({origin, "*"} & self._origins):
            return []
        return [
            (b"access-control-allow-origin", origin.encode("latin-1")),
            (b"access-control-allow-headers", b"authorization, content-type, x-api-key"),
            (b"access-control-allow-methods", b"GET, POST, OPTIONS"),
            (b"vary", b"Origin"),
        ]

    def _timed(self, receive: Receive) -> Receive:
        """`receive` that waits for a body only so long; for its client's leaving it waits without a bound."""
        ends = asyncio.get_running_loop().time() + self._seconds
        whole = False

        async def timed() -> Message:
            nonlocal whole
            if whole:
                return await receive()
            left = ends - asyncio.get_running_loop().time()
            try:
                message = await asyncio.wait_for(receive(), max(0.0, left))
            except asyncio.TimeoutError:
                raise Wrong("the body did not come in time", "send it faster", status=408, code="too_slow") from None
            whole = message["type"] != "http.request" or not message.get("more_body")
            return message

        return timed


def refused(wrong: Wrong) -> Response:
    """The answer for what is wrong, in OpenAI's shape."""
    headers = {} if wrong.after is None else {"retry-after": str(wrong.after)}
    if wrong.status in (401, 403, 408, 413):
        headers["connection"] = "close"
    if wrong.status == 401:
        headers["www-authenticate"] = "Bearer"
    return JSONResponse(as_openai(wrong), wrong.status, headers)


async def body_of(receive: Receive, length: str, most: int) -> bytes:
    """The whole body of a request. Raises Wrong where it is larger than allowed, or its client leaves."""
    too_large = Wrong(
        f"the body is larger than {most // 10**6} MB", "send smaller pictures, or start the server with --max-body",
        status=413, code="too_large",
    )  # fmt: skip
    if length.isdigit() and int(length) > most:
        raise too_large
    parts, size = [], 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Wrong("the client has left", status=499, code="left")
        part = message.get("body", b"")
        size += len(part)
        if size > most:
            raise too_large
        parts.append(part)
        if not message.get("more_body"):
            return b"".join(parts)
