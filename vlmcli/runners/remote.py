"""Servers that answer instead of an engine: a `values.Runner` over OpenAI's API. Loads nothing of llama.cpp.

One thread runs an event loop, and each request that is under way is a task in it; cancelling the task closes its
connection. Which server gets a request, `lanes` decides, and `pacing` how many it gets at once. A request is sent again
where a server is busy, cannot be reached, or dies; once a part of its answer has been shown, it is not, so that nothing
is answered twice. Bodies, with the pictures in them, are made when it is their turn: there are only so many as requests
under way.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from functools import partial
from queue import SimpleQueue
from typing import TYPE_CHECKING

from vlmcli import room
from vlmcli.engine.stream import loops
from vlmcli.errors import Cancelled, NativeError, NoMemory, NoServer, RequestError, TimedOut, VlmError
from vlmcli.later import Later
from vlmcli.pictures.sending import data_uri
from vlmcli.runners import servers
from vlmcli.runners.chat_answer import Hearing, lines, refused, value_of
from vlmcli.runners.chat_body import body, streams
from vlmcli.runners.lanes import MOVES, Errand, Lane, next_lane, taken_over
from vlmcli.runners.pacing import BOUND, Pacing
from vlmcli.runners.servers import BUSY, TRIES, after, arguments, pause, why
from vlmcli.values import (
    Answer,
    Delta,
    Done,
    Event,
    Failed,
    Last,
    ModelFiles,
    Notice,
    Picture,
    Request,
    Server,
    Share,
    Started,
    events_of,
)

if TYPE_CHECKING:
    import httpx2
else:  # it takes as long to import as all of a command's other modules
    httpx2 = Later("httpx2")

log = logging.getLogger("vlmcli.remote")

PATIENCE = 300.0
"""Seconds in which a server must send something."""
BASE = 1.0
"""Seconds before a request is sent a second time; each further time it is about twice as long."""
LARGEST = 64 << 20
"""Bytes of an answer."""
CUTS = 3
"""A request is given up when so many servers have died under it, or have stayed silent: it may be to blame."""
LOOK = 1.0
"""Seconds after which it is looked again whether a quicker server should take over what is left."""


@dataclass(eq=False, kw_only=True)
class _Asked(Errand):
    """A request that has not ended."""

    id: int
    request: Request
    tries: int = 0
    cuts: int = 0  # times that a server has died under it, or was silent
    begun: bool = False
    shown: bool = False  # a part of the answer
    moving: bool = False  # it is being taken over by another server
    uris: dict[str, str] = field(default_factory=dict)  # pictures as they are sent, by their identities
    task: asyncio.Task[None] | None = None
    timer: asyncio.TimerHandle | None = None


class _Trouble(Exception):
    """A request may be sent again: `error` is what it ends with if not, `wait` what the server asks for."""

    def __init__(self, error: VlmError, *, reached: bool, wait: float | None = None) -> None:
        super().__init__(error)
        self.error, self.reached, self.wait = error, reached, wait


class Remote:
    """Servers that have a model. A `values.Runner`. A request to be measured fails: a server does not tell."""

    def __init__(
        self,
        files: ModelFiles,
        key_of: Callable[[str], str] = lambda _: "",
        *,
        concurrency: int = 0,
        patience: float = PATIENCE,
        base: float = BASE,
    ) -> None:
        """Nothing is sent before the first request.

        Args:
            files: the model, with its servers.
            key_of: the key for the server at an address; empty for none.
            concurrency: requests that each server gets at once at most; 0 for as many as are found to be of use.
            patience: seconds in which a server must send something.
            base: seconds before a request is sent a second time.
        """
        self.files = files
        self._keys = {url: key_of(url) for url in (*(server.url for server in files.servers), *files.away)}
        self._most, self._patience, self._base = concurrency or BOUND, patience, base
        self._outbox: SimpleQueue[Event | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._asked: dict[int, _Asked] = {}
        self._next_id = 0
        self._closed = threading.Event()
        self._queue: deque[_Asked] = deque()  # the loop's thread
        self._lanes: list[Lane] = []
        self._clients = AsyncExitStack()  # closes them
        self._ends = False  # no more requests will come
        self._loop: asyncio.AbstractEventLoop | None = None
        self._wake = asyncio.Event()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._main, name="vlm-remote", daemon=True)
        self._thread.start()
        self._ready.wait()
        for url in files.away:  # not in the loop's executor, whose threads are waited for
            threading.Thread(target=self._wait_for, args=(url,), name="vlm-away", daemon=True).start()

    # ------------------------------------------------------------------------------------------ any thread

    def submit(self, request: Request) -> int:
        """Take a request; its events carry the id returned."""
        with self._lock:
            if self._closed.is_set():
                raise RequestError("the connection to the server is closed")
            self._ends = False
            id = self._next_id
            self._next_id += 1
            if request.measure:
                error = RequestError("a server does not tell how much of its context a request takes")
                self._outbox.put(Failed(id, error))
                return id
            asked = self._asked[id] = _Asked(moves=MOVES if request.stream else 0, id=id, request=request)
        self._call(self._enqueue, asked)
        return id

    def cancel(self, id: int) -> None:
        """End a request: `Failed(id, Cancelled())` is sent at once, and its connection is closed."""
        with self._lock:
            asked = self._asked.get(id)
        if asked is not None:
            self._end(Failed(id, Cancelled()))
            self._call(_stop, asked)

    def events(self) -> Iterator[Event]:
        """All events as they come; ends when the runner is closed."""
        return events_of(self._outbox)

    @property
    def wants(self) -> int:
        """Requests that it wants to have: what the servers get at once now, and some for the next that has room."""
        rooms = [lane.room for lane in self._lanes if not lane.left_out]
        return sum(rooms) + max(rooms, default=0)

    @property
    def shares(self) -> tuple[Share, ...]:
        """What each server has done."""
        return tuple(lane.share for lane in self._lanes)

    def no_more(self) -> None:
        """No more requests will come: those of a slow server may be taken over by a quicker one."""
        self._ends = True
        self._call(self._wake.set)

    def close(self) -> None:
        """Fail whatever has not ended, and close all connections; may be called twice."""
        with self._lock:
            self._closed.set()
        self._call(self._wake.set)
        self._thread.join()

    def __enter__(self) -> Remote:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _call(self, function: Callable[..., object], *arguments: object) -> None:
        """Let the loop's thread call something; nothing where it has ended."""
        if self._loop is not None:
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(function, *arguments)

    def _send(self, event: Started | Delta) -> None:
        with self._lock:
            if event.id in self._asked:
                self._outbox.put(event)

    def _end(self, event: Last) -> None:
        """Send a request's last event, unless it has had one."""
        with self._lock:
            if self._asked.pop(event.id, None) is not None:
                self._outbox.put(event)

    # ------------------------------------------------------------------------------------------ threads of their own

    def _wait_for(self, url: str) -> None:
        """Wait for a server that was away when the command began."""
        server = servers.wait_for(url, self._keys[url], self.files.name, self._closed, self._base)
        if server is not None and server.kind in {one.kind for one in self.files.servers}:
            self._call(self._join, server)
        elif server is not None:  # it may not be able to do what is asked of the others
            self._outbox.put(Notice(f"{url} answers now, but not as the other servers do; it is left out"))

    # ------------------------------------------------------------------------------------------ the loop's thread

    def _main(self) -> None:
        error: VlmError = Cancelled("the connection to the server was closed")
        try:
            asyncio.run(self._serve())
        except Exception as bug:  # whoever waits for an event must not wait for ever
            log.exception("the thread of the connections failed")
            error = _bug(bug)
        finally:
            with self._lock:
                self._closed.set()
                left = list(self._asked)
            for id in left:
                self._end(Failed(id, error))
            self._outbox.put(None)
            self._ready.set()

    async def _serve(self) -> None:
        """Send requests to servers as they have room, until the runner is closed."""
        self._loop = asyncio.get_running_loop()
        async with self._clients:
            for server in self.files.servers:
                self._add(server)
            self._ready.set()
            while not self._closed.is_set():
                self._wake.clear()
                wait = self._dispatch()
                with suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(self._wake.wait(), wait)
            tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _add(self, server: Server) -> None:
        """Let a server have requests from now on."""
        key = self._keys[server.url]
        limits = httpx2.Limits(max_connections=self._most, max_keepalive_connections=self._most)
        client = httpx2.AsyncClient(**arguments(server.url, key, self._patience), limits=limits)
        self._clients.push_async_callback(client.aclose)
        self._lanes.append(Lane(server, client, key, Pacing(self._most)))

    def _join(self, server: Server) -> None:
        """A server that was away is there."""
        self._add(server)
        self._outbox.put(Notice(f"{server.url} answers now, and gets requests, too"))
        self._wake.set()

    def _enqueue(self, asked: _Asked) -> None:
        self._queue.append(asked)
        self._wake.set()

    def _dispatch(self) -> float | None:
        """Begin what servers have room for. Returns seconds after which to look again; None for no such time."""
        now = time.monotonic()
        while self._queue:
            lane = next_lane(self._lanes, now)
            if lane is None:
                return max(0.01, min((lane.rest for lane in self._lanes if lane.rest > now), default=now + 60.0) - now)
            asked = self._queue.popleft()
            if asked.id in self._asked:
                self._begin(asked, lane, now)
        if not self._ends or len(self._lanes) == 1:
            return None
        with self._lock:
            left = list(self._asked.values())
        if not any(asked.moving for asked in left) and (found := taken_over(self._lanes, left, now)) is not None:
            self._take_over(*found)
        return LOOK if left else None

    def _begin(self, asked: _Asked, lane: Lane, now: float) -> None:
        lane.under_way += 1
        asked.lane, asked.since = lane, now
        asked.task = asyncio.get_running_loop().create_task(self._try(asked, lane))

    def _take_over(self, asked: _Asked, lane: Lane) -> None:
        """Let another server answer what one has not answered yet; its connection to that one is closed."""
        assert asked.task is not None
        assert asked.lane is not None
        log.info("%s takes over a request from %s", lane.server.url, asked.lane.server.url)
        asked.moving = True
        asked.moves += 1
        asked.task.cancel()
        asked.task.add_done_callback(partial(self._moved, asked, lane))

    def _moved(self, asked: _Asked, lane: Lane, _: object) -> None:
        asked.moving = False
        if asked.id in self._asked and not self._closed.is_set():
            self._begin(asked, lane, time.monotonic())

    async def _try(self, asked: _Asked, lane: Lane) -> None:
        """Ask a server once, and see what comes of it."""
        try:
            answer = await self._ask(asked, lane)
        except _Trouble as trouble:
            if not asked.moving:
                self._again(asked, lane, trouble)
        except VlmError as error:
            self._end(Failed(asked.id, error))
        except Exception as bug:
            log.exception("request %d failed", asked.id)
            self._end(Failed(asked.id, _bug(bug)))
        else:
            self._end(Done(asked.id, answer))
        finally:
            lane.under_way -= 1
            asked.task = asked.lane = None
            if asked.id not in self._asked:
                _stop(asked)
            self._wake.set()

    def _again(self, asked: _Asked, lane: Lane, trouble: _Trouble) -> None:
        """Put a request back into the queue, and let the server rest; or fail it, if it has been tried enough."""
        asked.tries += 1
        now = time.monotonic()
        if trouble.reached:
            wait = pause(asked.tries, self._base) if trouble.wait is None else trouble.wait
            if wait > self._patience:
                hint = f"ask again in {wait:.0f} s"
                self._end(Failed(asked.id, RequestError(trouble.error.message, hint)))
                return
            lane.rest = max(lane.rest, now + wait)
        else:
            if now >= lane.rest:  # else another request has found out the same
                lane.fails += 1
                lane.rest = now + pause(lane.fails, self._base)
                lane.pacing.lost(now)
            if len(self._lanes) > 1 and not lane.left_out:
                lane.left_out = True
                self._outbox.put(Notice(f"{trouble.error.message}; its requests go to the other servers"))
        if asked.tries < TRIES * len(self._lanes) and asked.cuts < CUTS:
            self._queue.appendleft(asked)
            return
        if not trouble.reached and asked.cuts < CUTS:
            for other in self._lanes:  # whoever asks next does not wait for what this one has found out
                other.fails, other.rest = 0, now
        self._end(Failed(asked.id, trouble.error))

    def _reached(self, lane: Lane) -> None:
        lane.fails = 0
        if lane.left_out:
            lane.left_out = False
            self._outbox.put(Notice(f"{lane.server.url} answers again"))

    async def _ask(self, asked: _Asked, lane: Lane) -> Answer:
        """Send a request and hear its answer. Raises VlmError; _Trouble where it may be sent again."""
        if not asked.begun:
            asked.begun = True
            self._send(Started(asked.id))
            if asked.request.timeout is not None:
                asked.timer = asyncio.get_running_loop().call_later(asked.request.timeout, self._late, asked)
        data = await asyncio.to_thread(_body_of, asked, self.files.name, lane.server)
        lane.sent += len(data)
        asked.since = began = time.monotonic()
        lane.pacing.begun(began)
        try:
            answer = await self._asked_there(asked, lane, data, began)
        except BaseException as error:
            now = time.monotonic()
            lane.pacing.ended(now)
            if isinstance(error, _Trouble) and error.reached:
                lane.pacing.refused(began, now)
            raise
        lane.pacing.answered(began, time.monotonic())
        return answer

    async def _asked_there(self, asked: _Asked, lane: Lane, data: bytes, began: float) -> Answer:
        """Send a request's body, and hear the answer. Raises as `_ask`."""
        url, answers = lane.server.url, False
        try:
            headers = {"Content-Type": "application/json"}
            async with lane.client.stream(
                "POST", f"{url}/v1/chat/completions", content=data, headers=headers
            ) as response:
                self._reached(lane)
                if response.status_code != 200:
                    raise await self._refused(response, lane)
                answers = True
                hearing = Hearing(asked.request, lane.server, self.files.card.think)
                await self._hear(asked, hearing, response, lane.server)
                return hearing.answer(self.files.name, time.monotonic() - began)
        except (httpx2.ReadTimeout, httpx2.WriteTimeout):
            lane.pacing.refused(began, time.monotonic())
            silent = RequestError(f"{url} sent nothing for {self._patience:g} s", "allow more with VLM_PATIENCE")
            raise self._cut(asked, silent, len(self._lanes) > 1) from None
        except httpx2.TransportError as error:
            if answers:
                cut = RequestError(f"{url} closed the connection in the middle of the answer", "ask again")
                raise self._cut(asked, cut, True) from None
            reason = NoServer(f"{url} cannot be reached ({why(error)})", "check the address, and start the server")
            raise _Trouble(reason, reached=False) from None
        except (httpx2.HTTPError, httpx2.StreamError) as error:
            raise RequestError(f"{url}: {str(error)[:120]}", "see the server's log") from None

    def _cut(self, asked: _Asked, error: RequestError, elsewhere: bool) -> Exception:
        """What it means that a server has not answered to the end: a _Trouble, if nobody has seen a part of it."""
        asked.cuts += 1
        return _Trouble(error, reached=False) if elsewhere and not asked.shown else error

    async def _refused(self, response: httpx2.Response, lane: Lane) -> Exception:
        """The error for an answer without one; a _Trouble where the same may be asked again."""
        status, url = response.status_code, lane.server.url
        if 300 <= status < 400:
            leads = response.headers.get("location", "").partition("?")[0][:200]
            return NoServer(f"{url} redirects to {leads or 'no address'}", "name the server's own address")
        data = b""
        with suppress(httpx2.HTTPError):
            async for line in lines(response.aiter_bytes(), servers.LARGEST, url):
                data += line + b"\n"
        error = refused(status, data, lane.server, self.files.name, lane.key)
        if status not in BUSY:
            return error
        busy = RequestError(error.message, "the server is busy: ask again later, or with a smaller --concurrency")
        return _Trouble(busy, reached=True, wait=after(response.headers))

    async def _hear(self, asked: _Asked, hearing: Hearing, response: httpx2.Response, server: Server) -> None:
        """Take a whole answer, or its chunks as they come. Raises VlmError."""
        request, url = asked.request, server.url
        if not streams(request, server) or response.headers.get("content-type", "").startswith("application/json"):
            parts = [line async for line in lines(response.aiter_bytes(), LARGEST, url)]
            hearing.take(value_of(b"\n".join(parts), url))
            return
        done, count = False, 0
        async for line in lines(response.aiter_bytes(), LARGEST, url):
            name, _, data = line.partition(b":")
            if done or name in (b"", b"event", b"id", b"retry"):  # empty lines and comments among them
                continue
            if data.strip() == b"[DONE]":
                done = True
                continue
            if name not in (b"data", b"error"):
                data = line  # is no field of a stream
            text, tokens = hearing.take(value_of(data, url))
            count += bool(text)
            if request.stream and (text or tokens):
                asked.shown = True
                self._send(Delta(asked.id, text, tokens if request.logprobs is not None else ()))
            if text and request.end_loops and server.kind != "vlm" and count % 16 == 0 and loops(hearing.text):
                hearing.take({"choices": [{"delta": {}, "finish_reason": "loop"}]})
                return
        if not done and not hearing.ended:
            raise RequestError(f"{url} ended the connection in the middle of the answer", "ask again")

    def _late(self, asked: _Asked) -> None:
        if asked.lane is not None and asked.task is not None:
            asked.lane.pacing.refused(asked.since, time.monotonic())
        self._end(Failed(asked.id, TimedOut("no answer within the time limit", "allow more seconds with --timeout")))
        _stop(asked)


def _stop(asked: _Asked) -> None:
    """Forget what a request holds, in the loop's thread; its connection closes with its task."""
    asked.uris.clear()
    if asked.timer is not None:
        asked.timer.cancel()
    if asked.task is not None:
        asked.task.cancel()


def _body_of(asked: _Asked, model: str, server: Server) -> bytes:
    """The body of a request, each of its pictures made into text once. Raises VlmError."""

    def shown(picture: Picture) -> str:
        if picture.identity not in asked.uris:
            asked.uris[picture.identity] = data_uri(picture)
        return asked.uris[picture.identity]

    return body(asked.request, model, server, shown)


def _bug(error: Exception) -> VlmError:
    if room.is_out(error):
        return NoMemory("not enough memory to ask the server", room.HINT)
    return NativeError(f"asking the server failed ({type(error).__name__}: {error})", "please report this")
