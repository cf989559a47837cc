"""The models of a server for this user's own commands: their requests come as an engine's process gets them.

A command says which model it would load, and how. If that is what is served, the server answers its requests like
those of any client, in the same queue; they are not translated, and their pixels are asked for only where they must be
encoded. What else a command needs it finds here, too: how the server stands, and how to end it.

A connection is read in a thread of its own and written in another; all else runs in the event loop's thread.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import socket
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future, wait
from contextlib import aclosing, suppress
from dataclasses import dataclass, replace
from typing import IO

from vlmcli import memo
from vlmcli.errors import Cancelled, SourceError, VlmError
from vlmcli.memo import Identity
from vlmcli.placement import Caching, Wanted
from vlmcli.runners import frames, warm, wire
from vlmcli.server.service import Service
from vlmcli.values import Done, Event, Failed, ModelFiles, Request

log = logging.getLogger("vlmcli.server")

MOST = 64
"""Connections at a time."""
BEAT = 1.0
"""Seconds between two signs of life while a request is under way, and two looks whether anybody needs the server."""
PIXELS_SECONDS = 60.0
"""In which a command must send the pixels that it is asked for."""
_Kept = tuple[Identity, Identity]


@dataclass(frozen=True)
class Offer:
    """What is served.

    Attributes:
        models: by their names.
        wanted: how they are placed.
        caching: where results are kept.
        secret: of the user's commands.
    """

    models: Mapping[str, ModelFiles]
    wanted: Wanted
    caching: Caching | None
    secret: bytes


class Warm:
    """Answers this user's commands."""

    def __init__(self, offer: Offer, service: Service, listens: socket.socket, ready: Callable[[], None]) -> None:
        """Answer nobody yet.

        Args:
            offer: what is served.
            service: answers.
            listens: the commands' socket.
            ready: called when the first model is loaded, and commands may come.
        """
        self.service = service
        self._offer, self._listens, self._ready = offer, listens, ready
        self._leave: Callable[[], None] = lambda: None
        self._kept = {name: _identities(files) for name, files in offer.models.items()}
        self._room = threading.BoundedSemaphore(MOST)

    async def run(self, leave: Callable[[], None]) -> None:
        """Load the first model, answer, and end the server when no model is in memory any more.

        Args:
            leave: ends the server in order.

        Raises VlmError where the model cannot be loaded, or `ready` raises it.
        """
        self._leave, loop = leave, asyncio.get_running_loop()
        try:
            await self.service.loaded(next(iter(self._offer.models)), None)
            threading.Thread(target=self._accept, args=(loop,), name="vlm-commands", daemon=True).start()
            self._ready()
            while self.service.pool.loaded or self.service.under_way:
                await asyncio.sleep(BEAT)
            log.info("nobody has used a model for long; the server ends")
        finally:
            leave()

    def _accept(self, loop: asyncio.AbstractEventLoop) -> None:
        while True:
            try:
                connection, _ = self._listens.accept()
            except OSError:
                return
            if not self._room.acquire(blocking=False):
                connection.close()
                continue
            threading.Thread(target=self._serve, args=(connection, loop), name="vlm-command", daemon=True).start()

    def _serve(self, connection: socket.socket, loop: asyncio.AbstractEventLoop) -> None:
        """A connection's own thread."""
        try:
            with connection:
                if warm.is_proved(connection, self._offer.secret):
                    self._talk(connection, loop)
        except (OSError, frames.Garbled) as error:
            log.info("a command's connection has ended: %s", error)
        finally:
            self._room.release()

    def _talk(self, connection: socket.socket, loop: asyncio.AbstractEventLoop) -> None:
        source, writer = connection.makefile("rb"), frames.Writer(connection.makefile("wb"))
        first = frames.receive(source, wire.ToWarm)
        if isinstance(first, wire.Look):
            writer.send(self._standing())
        elif isinstance(first, wire.Leave):
            writer.send(self._standing())
            loop.call_soon_threadsafe(self._leave)
            source.read(1)  # open until the process is gone, which tells the other end that it is
        elif isinstance(first, wire.Join):
            name, why = self._match(first)
            writer.send(wire.Unlike(why) if why else wire.Joined())
            if not why:
                _Command(self.service, name, first.files.name, connection, writer, loop).serve(source)

    def _standing(self) -> wire.Standing:
        pool, figures = self.service.pool, self.service.figures
        return wire.Standing(tuple(pool.models), tuple(pool.loaded), self.service.under_way, figures.answers)

    def _match(self, join: wire.Join) -> tuple[str, str]:
        """The name of the model that a command would load, or else what it wants to have otherwise."""
        asked = _identities(join.files)
        name = next((name for name, kept in self._kept.items() if kept == asked), "")
        if not name:
            return "", f"it is {' and '.join(self._offer.models)}, as the files were when it was loaded"
        ours, theirs = self._offer.models[name], join.files
        if theirs.card != ours.card:
            return "", "it has another chat template or another number of picture tokens"
        for option, own, other in (
            ("--ctx", self._offer.wanted.ctx, join.wanted.ctx),
            ("--threads", self._offer.wanted.threads, join.wanted.threads),
            ("--gpu-layers", self._offer.wanted.gpu_layers, join.wanted.gpu_layers),
            ("the cache", self._offer.caching, join.caching),
        ):
            if own != other:
                return "", f"{option} is set otherwise there"
        return name, ""


class _Command:
    """A command that asks a model."""

    def __init__(
        self,
        service: Service,
        served: str,
        name: str,
        connection: socket.socket,
        writer: frames.Writer,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        """Answer nothing yet.

        Args:
            service: answers.
            served: the model, by its name here.
            name: what the command calls it.
            connection: to it.
            writer: to it.
            loop: whose thread all requests run in.
        """
        self._service, self._served, self._name, self._loop = service, served, name, loop
        self._connection, self._writer = connection, writer
        self._outgoing: queue.SimpleQueue[object] = queue.SimpleQueue()
        self._tasks: dict[int, asyncio.Task[None]] = {}  # of the event loop's thread
        self._lock = threading.Lock()
        self._needs: dict[int, Future[bytes]] = {}
        self._next_need = 0
        self._has_ended = False

    def serve(self, source: IO[bytes]) -> None:
        """Take messages until the command is gone, and end what is under way then. Raises frames.Garbled."""
        threading.Thread(target=self._write, name="vlm-command-answers", daemon=True).start()
        beats = asyncio.run_coroutine_threadsafe(self._beat(), self._loop)
        try:
            while (message := frames.receive(source, wire.ToWarm)) is not None:
                if isinstance(message, wire.Submit):
                    self._loop.call_soon_threadsafe(self._begin, message.id, message.request)
                elif isinstance(message, wire.Cancel):
                    self._loop.call_soon_threadsafe(self._cancel, message.id)
                elif isinstance(message, wire.Pixels):
                    self._came(message)
        finally:
            beats.cancel()
            with self._lock:
                self._has_ended, needs, self._needs = True, list(self._needs.values()), {}
            for need in needs:
                need.set_exception(Cancelled())
            with suppress(RuntimeError):  # the loop has ended
                self._loop.call_soon_threadsafe(self._cancel_all)
            self._outgoing.put(None)

    def _write(self) -> None:
        with suppress(OSError, ValueError):
            while (message := self._outgoing.get()) is not None:
                self._writer.send(message)
        self._hang_up()

    def _hang_up(self) -> None:
        """End the connection: the command then goes on by itself."""
        with suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)

    # ------------------------------------------------------------------------------------------ the event loop's thread

    def _begin(self, id: int, request: Request) -> None:
        self._tasks[id] = asyncio.ensure_future(self._answer(id, request))
        self._tasks[id].add_done_callback(lambda _: self._tasks.pop(id, None))

    def _cancel(self, id: int) -> None:
        if task := self._tasks.get(id):
            task.cancel()

    def _cancel_all(self) -> None:
        for task in list(self._tasks.values()):
            task.cancel()

    async def _answer(self, id: int, request: Request) -> None:
        """Send the events of a request. Where there will be no answer for a reason of the server's own, hang up."""
        request = wire.with_pixels(request, lambda number: self._pixels(id, number))
        try:
            async with (
                self._service.place(waits=True),
                self._service.pool.taken(self._served) as hosted,
                aclosing(hosted.ask(request)) as events,
            ):
                async for event in events:
                    if isinstance(event, Failed) and isinstance(
                        event.error, Cancelled
                    ):  # which nobody but we have done
                        self._hang_up()
                        return
                    self._tell(id, event)
        except VlmError as error:  # it is stopping, or the model has just failed
            log.info("a command's request goes back to it: %s", error)
            self._hang_up()
        except asyncio.CancelledError:
            raise
        except Exception:
            log.exception("a command's request failed")
            self._hang_up()

    def _tell(self, id: int, event: Event) -> None:
        if event.id is None:  # the model is being loaded
            self._outgoing.put(wire.Happened(event))
            return
        if isinstance(event, Done):
            self._service.figures.answered(event.answer)
            event = replace(event, answer=replace(event.answer, model=self._name))
        self._outgoing.put(wire.Happened(replace(event, id=id)))

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(BEAT)
            if self._tasks:
                self._outgoing.put(wire.Beat(0))

    # ------------------------------------------------------------------------------------------ any thread

    def _pixels(self, id: int, number: int) -> bytes:
        """A picture's pixels, from the command. Raises the error that it met there."""
        with self._lock:
            if self._has_ended:
                raise Cancelled
            need, self._next_need = self._next_need, self._next_need + 1
            future = self._needs[need] = Future()
        self._outgoing.put(wire.Need(need, id, number))
        if not wait([future], PIXELS_SECONDS).done:
            raise SourceError("the command that has asked does not send its picture", "ask again")
        return future.result()

    def _came(self, message: wire.Pixels) -> None:
        with self._lock:
            future = self._needs.pop(message.need, None)
        if future is None:
            return
        if message.error is not None:
            future.set_exception(message.error)
        else:
            future.set_result(message.data or b"")


def _identities(files: ModelFiles) -> _Kept | None:
    """What tells a model's two files from all others, and from what they were before; None where they are gone."""
    try:
        return memo.identity(files.model), memo.identity(files.projector)
    except (OSError, ValueError):
        return None
