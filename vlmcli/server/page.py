"""The page at `/`: plain files beside this module, sent with a policy that lets them load nothing from elsewhere.

The files are read once and need no key, since there is nothing secret in them; what the page then asks for does.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

FOLDER = Path(__file__).with_name("page")
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
"""Of the files, which are all that the page may have. Others are not sent."""
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' blob: data:",
        "connect-src 'self'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
    )
)
"""What a browser lets the page do (https://www.w3.org/TR/CSP3): nothing inline, nothing from another server."""


FILES = {
    "/" if file.name == "index.html" else f"/page/{file.name}": file
    for file in sorted(FOLDER.iterdir())
    if file.suffix in TYPES
}
"""The page's files by their paths on the server."""


def routes() -> list[Route]:
    """All of them."""
    return [Route(path, _sent(file), methods=["GET"]) for path, file in FILES.items()]


def _sent(file: Path) -> Callable[[Request], Awaitable[Response]]:
    """Answers with a file, or with 304 where the browser has it: it may keep a file, but must ask each time."""
    data = file.read_bytes()
    tag = f'"{hashlib.sha256(data).hexdigest()[:32]}"'
    headers = {"etag": tag, "cache-control": "no-cache", "content-security-policy": POLICY}

    async def send(request: Request) -> Response:
        known = {one.strip().removeprefix("W/") for one in request.headers.get("if-none-match", "").split(",")}
        if tag in known:
            return Response(status_code=304, headers=headers)
        return Response(data, headers=headers, media_type=TYPES[file.suffix])

    return send
