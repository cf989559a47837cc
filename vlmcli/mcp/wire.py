"""Lines of stdin, each a message, within bounds. Whoever sends too long a one gets an answer at once.

Of a line above the bound only its beginning is kept. It becomes a message with the same id that calls the tool
`TOO_LONG`, and the rest is thrown away as it comes.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import threading
from collections.abc import AsyncIterator, Iterator

MOST = 64 << 20
"""Bytes of a message, which may have a picture in base64."""
TOO_LONG = "message too long"
_HEAD = 1 << 16
_BLOCK = 1 << 20
_ID = re.compile(rb'"id"\s*:\s*(-?[0-9]{1,18}|"(?:[^"\\]|\\.){0,200}")')
_BODY = re.compile(rb'"params"\s*:')
_END = object()


def substitute(head: bytes) -> str:
    """A message in the place of one that is too long, by its beginning; one without an id where that is not there."""
    body = _BODY.search(head)
    found = _ID.search(head[: body.start()] if body else head)
    message = {"jsonrpc": "2.0", "method": "tools/call", "params": {"name": TOO_LONG, "arguments": {}}}
    if found is not None:
        return json.dumps(message | {"id": json.loads(found[1])})
    return json.dumps({"jsonrpc": "2.0", "method": "notifications/message_too_long"})


def lines_of(file: int, most: int = MOST) -> Iterator[str]:
    """The lines that come from a descriptor, until its end, without their ends. Raises OSError."""
    kept, skips = bytearray(), False
    while block := os.read(file, _BLOCK):
        while block:
            line, newline, block = block.partition(b"\n")
            if not skips:
                kept += line
            if newline:
                if not skips and kept.strip():
                    yield kept.decode("utf-8", "replace")
                kept, skips = bytearray(), False
            elif len(kept) > most:
                yield substitute(bytes(kept[:_HEAD]))
                kept, skips = bytearray(), True


class Lines:
    """The lines of a descriptor for an event loop, read in a thread that nobody waits for at the end."""

    def __init__(self, file: int) -> None:
        """Read nothing yet."""
        self._file = file
        self._came: asyncio.Queue[object] = asyncio.Queue(4)

    async def __aiter__(self) -> AsyncIterator[str]:
        loop = asyncio.get_running_loop()
        threading.Thread(target=self._read, args=(loop,), name="vlm-stdin", daemon=True).start()
        while (line := await self._came.get()) is not _END:
            yield str(line)

    def _read(self, loop: asyncio.AbstractEventLoop) -> None:
        try:
            for line in lines_of(self._file):
                asyncio.run_coroutine_threadsafe(self._came.put(line), loop).result()
        except (OSError, RuntimeError):  # nothing more can come, or the loop has ended
            pass
        try:
            asyncio.run_coroutine_threadsafe(self._came.put(_END), loop)
        except RuntimeError:
            return
