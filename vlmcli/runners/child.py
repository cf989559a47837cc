"""The process with the engine: reads requests, writes events, and dies with whoever started it.

It ends by `os._exit` as soon as its input does: nothing native can then keep it, and nothing is left to free. Its
standard error belongs to the asking end, which looks there for a dying library's last words; its standard output
carries messages, so whatever else is written there goes to standard error.
"""

from __future__ import annotations

import faulthandler
import importlib
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import IO, TYPE_CHECKING

from vlmcli import memo
from vlmcli.errors import NativeError, VlmError
from vlmcli.runners import frames, wire
from vlmcli.values import Last, Notice, Request

if TYPE_CHECKING:
    from vlmcli.engine import Observer

SETTLE_SECONDS = 0.8
"""What is being kept for later processes may take so long after the last message; a little later it would be killed."""

BEAT_SECONDS = 1.0
"""How often the asking end is told whether anything has moved."""


def main(shared: int = -1, observer: str = "") -> None:
    """Run the engine for the other end of standard input and output.

    Args:
        shared: the descriptor of the memory that pixels come through; -1 for none.
        observer: what the engine shows its work to, an `engine.Observer`: "module:Class", or "module:Class:argument"
            for one that is made with a text; empty for none. It comes with the program that is run, never as a
            message, so that no message can name what is imported.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the asking end, which ends this one
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
    _no_core()
    faulthandler.enable()
    source, sink = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    writer = frames.Writer(sink)
    opening = _receive(source)
    if isinstance(opening, wire.Open):
        with memo.kept_in(opening.caching.folder / "pairs" if opening.caching else None):
            child = _Child(writer, opening, shared, _made(observer))
            _or_exit(lambda: child.serve(lambda: _receive(source)))
    os._exit(0)


def _receive(source: IO[bytes]) -> wire.ToEngine | None:
    """The next message; None when the other end is gone. What is no message ends this process."""
    try:
        message: wire.ToEngine | None = frames.receive(source, wire.ToEngine)
    except frames.Garbled as error:
        os.write(2, f"invalid message: {error}\n".encode("utf-8", "replace"))
        os._exit(1)
    return message


def _made(observer: str) -> Observer | None:
    """What `main` is told to show the engine's work to."""
    if not observer:
        return None
    module, name, *argument = observer.split(":", 2)
    made: Observer = getattr(importlib.import_module(module), name)(*argument)
    return made


def _or_exit(work: Callable[[], None]) -> None:
    """Without one of its threads this process is of no use, and an orderly end would wait for the others."""
    try:
        work()
    except BrokenPipeError:  # the other end has gone
        os._exit(0)
    except BaseException:
        sys.excepthook(*sys.exc_info())
        os._exit(1)


def _no_core() -> None:
    """A crash is explained, not dumped: a core of a large model fills a disk."""
    with suppress(ImportError, OSError, ValueError):
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


class _Child:
    """The engine, its ids and those of the asking end, and what it waits for."""

    def __init__(self, writer: frames.Writer, opening: wire.Open, shared: int, observer: Observer | None) -> None:
        self._writer = writer
        self._shared = shared
        self._lock = threading.Lock()
        self._theirs: dict[int, int] = {}  # the asking end's ids by the engine's
        self._ours: dict[int, int] = {}
        self._needs: dict[int, Future[bytes]] = {}
        self._next_need = 0
        self._records(opening.levels)
        try:
            from vlmcli.engine import Engine, native
            from vlmcli.engine.place import place
            from vlmcli.machine.fit import step_back

            native.on_abort(_give_up)
            if opening.gpu:
                from vlmcli.runners import gpus

                gpus.check(opening.gpu)
            fit = opening.fit or place(opening.files, opening.wanted)
            for _ in range(opening.back):
                back = step_back(fit)
                if back is not None:
                    fit = back
                    told = Notice(f"llama.cpp crashed while loading; retrying with {fit.reason}")
                    self._send(wire.Happened(told))
        except VlmError as error:
            self._send(wire.LoadFailed(error))
            os._exit(1)
        self._reason = fit.reason
        self._engine = Engine(
            opening.files, fit, observer, opening.caching, opening.began, lambda: _or_exit(self._loaded)
        )
        self._waiting = threading.Thread(target=_or_exit, args=(self._await,), daemon=True)
        self._waiting.start()
        for work in (self._events, self._beat):
            threading.Thread(target=_or_exit, args=(work,), daemon=True).start()

    def serve(self, receive: Callable[[], wire.ToEngine | None]) -> None:
        """Read messages until there are no more."""
        while (message := receive()) is not None:
            if isinstance(message, wire.Submit):
                self._submit(message.id, message.request)
            elif isinstance(message, wire.Cancel):
                with self._lock:
                    id = self._ours.get(message.id)
                if id is not None:
                    self._engine.cancel(id)
            elif isinstance(message, wire.Pixels):
                self._pixels(message)
        self._engine.settle(SETTLE_SECONDS)

    def _send(self, message: wire.FromEngine) -> None:
        self._writer.send(message)

    # ------------------------------------------------------------------------------------------ requests and events

    def _loaded(self) -> None:
        """Say so before the first request can end this process: else its death would be blamed on the model's files."""
        self._send(wire.Beat(resident()))
        self._send(wire.Loaded(self._reason))

    def _await(self) -> None:
        """Say what keeps the model from being loaded."""
        try:
            self._engine.ready()
        except VlmError as error:
            self._send(wire.LoadFailed(error))

    def _submit(self, id: int, request: Request) -> None:
        request = wire.with_pixels(request, lambda number: self._need(id, number))
        with self._lock:  # the engine's first event of it waits for its id
            mine = self._engine.submit(request)
            self._theirs[mine], self._ours[id] = id, mine

    def _events(self) -> None:
        for event in self._engine.events():
            if event.id is None:
                self._send(wire.Happened(event))
                continue
            with self._lock:
                theirs = self._theirs[event.id]
                if ended := isinstance(event, Last):
                    del self._theirs[event.id], self._ours[theirs]
            self._send(wire.Happened(replace(event, id=theirs)))
            if ended:
                self._send(wire.Beat(resident()))
        self._waiting.join()  # which may still have to say that it is
        os._exit(1)  # the engine ends itself only when it is broken

    def _beat(self) -> None:
        """Say once a second whether anything has moved."""
        last, wait = -1, threading.Event()
        while not wait.wait(BEAT_SECONDS):
            if self._engine.pulse != last:
                last = self._engine.pulse
                self._send(wire.Beat(resident()))

    # ------------------------------------------------------------------------------------------ pixels

    def _need(self, id: int, number: int) -> bytes:
        """A picture's pixels, from the asking end. Raises the error that it met there."""
        with self._lock:
            need, self._next_need = self._next_need, self._next_need + 1
            future = self._needs[need] = Future()
        self._send(wire.Need(need, id, number))
        return future.result()

    def _pixels(self, message: wire.Pixels) -> None:
        with self._lock:
            future = self._needs.pop(message.need)
        if message.error is not None:
            future.set_exception(message.error)
        elif message.data is not None:
            future.set_result(message.data)
        else:
            data = wire.read_shared(self._shared, message.size, message.offset)
            self._send(wire.Taken(message.need))
            future.set_result(data)

    # ------------------------------------------------------------------------------------------ log records

    def _records(self, levels: dict[str, int]) -> None:
        handler = _Forward(self._writer)
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
        root = logging.getLogger("vlmcli")
        root.addHandler(handler)
        root.propagate = False


class _Forward(logging.Handler):
    """Log records go to the asking end."""

    def __init__(self, writer: frames.Writer) -> None:
        super().__init__()
        self._writer = writer

    def emit(self, record: logging.LogRecord) -> None:
        with suppress(OSError):
            self._writer.send(wire.Record(record.name, record.levelno, self.format(record)))


def _give_up(text: str) -> None:
    """llama.cpp has failed an assertion: leave its text where the other end looks for it, and go."""
    os.write(2, f"{wire.GAVE_UP}{' '.join(text.split())}\n".encode())
    os._exit(NativeError.exit_code)


def resident() -> int:
    """Bytes of this process that are no file's; 0 where the system does not say."""
    try:
        for line in Path("/proc/self/status").read_text("ascii").splitlines():
            if line.startswith("RssAnon:"):
                return int(line.split()[1]) << 10
    except (OSError, ValueError):
        pass
    return 0  # what getrusage says elsewhere counts the weights' file, page by page as it is first used
