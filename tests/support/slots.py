"""A made-up server with so many slots, which sleeps instead of computing: for what a client does about its pace.

    with Slots(4, 0.02) as server: ...

Requests beyond the slots wait without a word, as at llama-server. What is counted is how many are under way there,
those that wait among them, so that no test has to look at a clock.
"""

from __future__ import annotations

import asyncio
import json
import threading

ANSWER = {"choices": [{"message": {"role": "assistant", "content": "yes"}, "finish_reason": "stop"}]}
MODELS = {"object": "list", "data": [{"id": "made-up", "object": "model"}]}


class Slots:
    """On a port of this machine.

    Attributes:
        url: its address.
        seen: how many requests were under way as each came, itself among them.
        answered: how many were answered.
        refused: how many were not taken.
    """

    def __init__(self, slots, seconds, *, most=1 << 30):
        self._slots, self._seconds, self._most = slots, seconds, most
        self.seen, self.answered, self.refused, self._under_way = [], 0, 0, 0
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._main()), daemon=True)

    def __enter__(self):
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(self, *_):
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join(10)

    async def _main(self):
        self._loop, self._end, self._free = asyncio.get_running_loop(), asyncio.Event(), asyncio.Semaphore(self._slots)
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=1 << 22)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        self._ready.set()
        async with server:
            await self._end.wait()
            for task in asyncio.all_tasks() - {asyncio.current_task()}:
                task.cancel()

    async def _serve(self, reader, writer):
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                lines = head.decode("latin-1").lower().split("\r\n")
                length = next((int(line.split(":")[1]) for line in lines if line.startswith("content-length:")), 0)
                await reader.readexactly(length)
                status, value = await self._answer(lines[0])
                data = json.dumps(value).encode()
                writer.write(
                    b"HTTP/1.1 %d OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
                    % (status, len(data), data)
                )
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    async def _answer(self, line):
        if line.startswith("get"):
            return (200, MODELS) if "/v1/models" in line else (404, {})
        if self._under_way >= self._most:
            self.refused += 1
            return 429, {"error": {"message": "too many"}}
        self._under_way += 1
        self.seen.append(self._under_way)
        try:
            async with self._free:
                await asyncio.sleep(self._seconds)
        finally:
            self._under_way -= 1
        self.answered += 1
        return 200, ANSWER
