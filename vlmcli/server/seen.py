"""The pictures of a request's body: data URIs, bare base64 and, where that is allowed, addresses.

Whatever `vlm` reads from a file is read here, upright, and within bounds. A picture that cannot be read is the client's
error, and names the field that it came in; no answer is ever given without it.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from vlmcli.errors import SourceError, VlmError
from vlmcli.pictures import images, sources
from vlmcli.server.wrong import Wrong, from_error
from vlmcli.values import Picture

_BASE64 = re.compile(r"[A-Za-z0-9+/\s_-]{16,}={0,2}\s*\Z")
_ADDRESS = re.compile(r"https?://", re.IGNORECASE)
LOW = 512
"""Pixels of the longer side of a picture with `detail: low`."""


@dataclass(frozen=True)
class Given:
    """A picture as a body has it.

    Attributes:
        text: a data URI, base64 or an address.
        param: the field's path.
        side: pixels that its longer side is scaled down to; 0 for as it is.
    """

    text: str
    param: str
    side: int = 0


class Reader:
    """Reads pictures in threads of its own, of which there are few, since each may take much memory."""

    def __init__(self, *, allow_urls: bool, allow_local: bool, most: int, megapixels: float, threads: int) -> None:
        """Open the threads.

        Args:
            allow_urls: whether addresses are fetched.
            allow_local: whether they may lead to this machine or its network.
            most: pictures of a request at most.
            megapixels: of a picture at most, before it is scaled down.
            threads: how many read at once.
        """
        self._allow_urls, self._allow_local = allow_urls, allow_local
        self._most, self._megapixels = most, megapixels
        self.pool = ThreadPoolExecutor(threads, thread_name_prefix="vlm-pictures")

    def read(self, given: Sequence[Given]) -> list[Picture]:
        """All pictures of a request, in order. Raises Wrong, which names the field. For a thread of `pool`."""
        if len(given) > self._most:
            raise Wrong(f"{len(given)} pictures, but {self._most} are allowed", "send fewer", param=given[-1].param)
        return [self._one(one, number) for number, one in enumerate(given, 1)]

    def _one(self, given: Given, number: int) -> Picture:
        name = f"picture {number}"
        try:
            file = self._file(given, name)
            facts = images.facts(file, name)
            width, height = facts.size or (0, 0)
            if width * height > self._megapixels * 1e6:
                raise SourceError(
                    f"{name}: {width} x {height} pixels, but {self._megapixels:g} million are allowed",
                    "scale it down",
                )
            return images.load(file, name, 0, given.side)
        except VlmError as error:
            raise from_error(error, given.param) from None

    def _file(self, given: Given, name: str) -> bytes:
        """The bytes of a picture's file. Raises VlmError."""
        text = given.text.strip()
        if text[:5].lower() == "data:":
            return sources.data(text)
        if _ADDRESS.match(text):
            if not self._allow_urls:
                raise SourceError(
                    f"{name}: this server does not fetch addresses",
                    "send the picture as a data URI, or start the server with --allow-urls",
                )
            from vlmcli.pictures import fetch  # with a client of HTTP

            return fetch.get(text, self._allow_local)
        if _BASE64.match(text):
            try:
                return base64.b64decode("".join(text.split()), altchars=b"-_" if set("-_") & set(text) else None)
            except (ValueError, binascii.Error) as error:
                raise SourceError(f"{name}: not base64 ({error})", "check how it was made") from None
        raise SourceError(f"{name}: neither a data URI, nor base64, nor a web address", "send data:image/png;base64,…")
