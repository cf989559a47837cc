"""The pictures of a request's body: data URIs, bare base64 and, where that is allowed, addresses.

Whatever `vlm` reads from a file is read here, upright, and within bounds. A picture that cannot be read is the client's
error, and names the field that it came in; no answer is ever given without it.
"""

from __future__ import annotations

import asyncio
import base64
import re
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

from vlmcli.errors import SourceError, VlmError
from vlmcli.pictures import images, sources
from vlmcli.server.wrong import Wrong, from_error
from vlmcli.values import Picture

_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{16,}={0,2}")
_ADDRESS = re.compile(r"https?://", re.IGNORECASE)
LOW = 512
"""Pixels of the longer side of a picture with `detail: low`."""
FETCHING = 8
"""Addresses that are fetched at a time, of all requests."""
PIXELS = 1 << 30
"""Bytes of the pixels of all requests that have not ended; those of one request may be more."""
ROOM_SECONDS = 300.0
"""For which a request waits for room for its pixels."""


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
        self._reading = ThreadPoolExecutor(threads, thread_name_prefix="vlm-pictures")
        self._fetching = ThreadPoolExecutor(FETCHING, thread_name_prefix="vlm-addresses")
        self._room = Room(PIXELS)

    async def read(self, given: Sequence[Given]) -> list[Picture]:
        """All pictures of a request, in order. Raises Wrong, which names the field."""
        if len(given) > self._most:
            raise Wrong(f"{len(given)} pictures, but {self._most} are allowed", "send fewer", param=given[-1].param)
        run = asyncio.get_running_loop().run_in_executor
        away = [number for number, one in enumerate(given, 1) if _ADDRESS.match(one.text.strip())]
        came = await asyncio.gather(*(run(self._fetching, self._file, given[number - 1], number) for number in away))
        return await run(self._reading, self._pictures, given, dict(zip(away, came, strict=True)))

    def _pictures(self, given: Sequence[Given], fetched: Mapping[int, bytes]) -> list[Picture]:
        files = [fetched[n] if n in fetched else self._file(one, n) for n, one in enumerate(given, 1)]
        both = list(zip(given, files, strict=True))
        needed = [self._needs(one, file, number) for number, (one, file) in enumerate(both, 1)]
        with self._room.taken(sum(needed)) as kept:
            pictures = []
            for number, (one, file) in enumerate(both, 1):
                with _named(one.param):
                    pictures.append(images.load(file, f"picture {number}", 0, one.side))
            kept(pictures)
        return pictures

    def _needs(self, given: Given, file: bytes, number: int) -> int:
        """Bytes that a picture's pixels will take. Raises Wrong where it is too large, or none."""
        with _named(given.param):
            name = f"picture {number}"
            width, height = images.stored_size(file, name) or (images.BOUND, images.BOUND)
            if width * height > self._megapixels * 1e6:
                raise SourceError(
                    f"{name}: {width} x {height} pixels, but {self._megapixels:g} million are allowed",
                    "scale it down",
                )
            bound = given.side or images.BOUND
            return 3 * min(width, bound) * min(height, bound)

    def _file(self, given: Given, number: int) -> bytes:
        """The bytes of a picture's file. Raises Wrong."""
        text, name = given.text.strip(), f"picture {number}"
        with _named(given.param):
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
            bare = "".join(text.split())
            if _BASE64.fullmatch(bare):
                try:
                    return base64.b64decode(bare.replace("-", "+").replace("_", "/"), validate=True)
                except ValueError as error:
                    raise SourceError(f"{name}: not base64 ({error})", "check how it was made") from None
            raise SourceError(
                f"{name}: neither a data URI, nor base64, nor a web address", "send data:image/png;base64,…"
            )


@contextmanager
def _named(param: str) -> Iterator[None]:
    """Errors name the field of the picture."""
    try:
        yield
    except VlmError as error:
        raise from_error(error, param) from None


class Room:
    """Memory for pixels, which is given back when nobody holds them any more."""

    def __init__(self, size: int) -> None:
        """So many bytes."""
        self._size, self._held = size, 0
        self._changed = threading.Condition(threading.RLock())  # pictures may be freed by whoever holds it

    @contextmanager
    def taken(self, size: int) -> Iterator[Callable[[Sequence[Picture]], None]]:
        """Wait for so many bytes. What is yielded is called with the pictures that hold them; if not, none does.

        A request that needs more than there is waits until nobody else holds any. Raises Wrong after a while.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: not self._held or self._held + size <= self._size, ROOM_SECONDS):
                raise Wrong(
                    "there is no memory for the pictures", "try again later", status=503, code="no_memory", after=5
                )
            self._held += size
        left = size

        def kept(pictures: Sequence[Picture]) -> None:
            nonlocal left
            for number, picture in enumerate(pictures, 1):
                share = left if number == len(pictures) else size // len(pictures)
                left -= share
                weakref.finalize(picture, self._free, share)

        try:
            yield kept
        finally:
            self._free(left)

    def _free(self, size: int) -> None:
        with self._changed:
            self._held -= size
            self._changed.notify_all()
