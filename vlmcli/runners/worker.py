"""The end that asks: a `values.Runner` whose engine may die without an answer being lost.

It knows which requests are under way, are asked again, are given up; how a process is started and ended, `process`
does. One thread starts the process with the engine, reads what it writes, and starts another when it dies. A death is
nobody's fault yet: whatever was under way is asked again, one request alone at a time, and a request under which the
process dies alone is given up, with its pictures' names. The others never notice but for the time it takes.
"""

from __future__ import annotations

import functools
import logging
import queue
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from vlmcli import installing, room
from vlmcli.amounts import size
from vlmcli.errors import Cancelled, NativeError, NoMemory, RequestError, SourceError, VlmError
from vlmcli.later import Later
from vlmcli.placement import Caching, Fit, Wanted
from vlmcli.runners import wire
from vlmcli.values import Delta, Done, Event, Failed, Last, ModelFiles, Request, events_of

if TYPE_CHECKING:
    import random
    from concurrent import futures

    from vlmcli.runners import process as processes
    from vlmcli.runners.attached import Attached
    from vlmcli.runners.gpus import Gpu
    from vlmcli.runners.process import Cause, Process
else:  # a model that is in memory needs none of them
    random, futures, processes = Later("random"), Later("concurrent.futures"), Later("vlmcli.runners.process")

log = logging.getLogger("vlmcli.worker")

WINDOW = 16
"""Requests that are in the other process at once; so many are asked again after a death."""

PATIENCE = 300.0
"""Seconds in which something must move: a layer, a batch, a load."""

GROWTH = 1 << 30
"""Bytes that the other process may grow by, from its first answer on, before another takes its place."""

FIRST_TRIES, TRIES = 2, 8
"""A model under whose loading the process dies so many times cannot be loaded; the second number is for one that has
been loaded before, and therefore can be."""

KILLS_ALONE = 5
"""A request is given up when it crashes the process once alone; killed from outside, so many times: somebody's hand is
not the picture's fault."""

UNKNOWN_INSTRUCTION = "illegal instruction"
"""What `process` calls a death by an instruction that this CPU does not have."""

BACK_OFF = (0.0, 0.1, 0.2, 0.5, 1.0, 2.0)
"""Seconds before another process is started, by how many have died since one last answered."""


@dataclass
class _Asked:
    """A request that has not ended."""

    request: Request
    sent: bool = False
    alone: bool = False  # it was under way when a process died
    kills: int = 0  # deaths by a signal from outside while it was alone
    text: str = ""  # of this try's answer so far
    shown: str = ""  # what Deltas have been sent of
    came: int = 0  # tokens of this try's answer so far
    told: int = 0  # how many of them Deltas have had


class Worker:
    """An engine in a child process that is started again when it dies. A `values.Runner`.

    Opening returns at once. Pictures are read in this process. A model that cannot be loaded fails every request with
    the same error, as `Engine` does; one whose loading kills the process does after two tries.
    """

    def __init__(
        self,
        files: ModelFiles,
        wanted: Wanted | None = None,
        fit: Fit | None = None,
        *,
        patience: float = PATIENCE,
        growth: int = GROWTH,
        back_off: Sequence[float] = BACK_OFF,
        observer: str = "",
        caching: Caching | None = None,
        began: float | None = None,
        attached: Attached | None = None,
        gpu: Gpu | None = None,
    ) -> None:
        """Open a model.

        Args:
            files: the weights, and what is known of them.
            wanted: what is decided of its place on the machine; the rest is chosen there.
            fit: the whole of its place, instead.
            patience: seconds without a sign of life from a busy engine after which it is ended.
            growth: bytes of growth after which the process is replaced, between requests.
            back_off: seconds before another process is started, by how many have died since one last answered.
            observer: what the engine shows its work to, made in its process: as `child.main`'s.
            caching: where results are kept for later processes, and found; None for nowhere.
            began: when the command began, as `Engine` takes it; both processes count time from the same moment.
            attached: has the model in memory already, and is asked as long as it is there.
            gpu: the only one that the process sees; None for all there are.
        """
        self.files = files
        self._environment = gpu.environment if gpu else None
        seen = gpu.description if gpu else ""
        self._opening = wire.Open(files, fit, wanted or Wanted(), _levels(), caching, began=began, gpu=seen)
        self._patience, self._growth, self._back_off, self._observer = patience, growth, back_off, observer
        self._outbox: queue.SimpleQueue[Event | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._asked: dict[int, _Asked] = {}  # by id, in the order they came
        self._next_id = 0
        self._attached = attached
        self._process: Process | Attached | None = None
        self._closing = threading.Event()
        self._settled = threading.Event()  # loaded, or known that it cannot be
        self._broken: VlmError | None = None
        self._deaths = 0  # since something was last answered
        self._failed_loads = 0  # since the model was last loaded
        self._was_loaded = False
        self.restarts = 0
        """How many processes have taken a dead or grown one's place."""
        self._thread = threading.Thread(target=self._main, name="vlm-worker", daemon=True)
        try:
            self._thread.start()
        except KeyboardInterrupt:  # it has started, and may have started a process
            self.close()
            raise

    # ------------------------------------------------------------------------------------------ any thread

    def ready(self) -> None:
        """Wait until the model is loaded; raises what kept it from that."""
        while not self._settled.wait(0.2):
            pass
        if self._broken is not None:
            raise self._broken

    @property
    def broken(self) -> VlmError | None:
        """Why there are no answers any more: the error of every request from then on; None as long as there are."""
        return self._broken

    @property
    def pid(self) -> int | None:
        """The process that has the engine now; None between two."""
        process = self._process
        return process.pid if process else None

    def submit(self, request: Request) -> int:
        """Take a request; its events carry the id returned."""
        sampling = request.sampling
        if sampling.temperature > 0 and sampling.seed is None:  # asked again, it shall come out as before
            request = replace(request, sampling=replace(sampling, seed=random.SystemRandom().randrange(2**32 - 1)))
        with self._lock:
            if self._closing.is_set():
                raise self._broken or RequestError("the engine is closed")
            id = self._next_id
            self._next_id += 1
            if self._broken is not None:
                self._outbox.put(Failed(id, self._broken))
                return id
            self._asked[id] = _Asked(request)
            self._dispatch()
        return id

    def cancel(self, id: int) -> None:
        """End a request: `Failed(id, Cancelled())` is sent at once."""
        with self._lock:
            asked = self._asked.pop(id, None)
            if asked is None:
                return
            self._outbox.put(Failed(id, Cancelled()))
            if asked.sent and self._process is not None:
                self._process.send(wire.Cancel(id))
            self._dispatch()

    def events(self) -> Iterator[Event]:
        """All events as they come; ends when the runner is closed."""
        return events_of(self._outbox)

    def close(self) -> None:
        """Fail whatever has not ended, and end the process; may be called twice."""
        with self._lock:
            self._closing.set()
            process = self._process
        if process is not None:
            process.end()
        self._thread.join()
        if "_pool" in vars(self):
            self._pool.shutdown(wait=False, cancel_futures=True)

    @functools.cached_property
    def _pool(self) -> futures.ThreadPoolExecutor:
        """Reads pictures."""
        return futures.ThreadPoolExecutor(2, thread_name_prefix="vlm-pictures")

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ------------------------------------------------------------------------------------------ with the lock held

    def _dispatch(self) -> None:
        """Send what may be sent now: one that is under suspicion alone, else as many as the window holds."""
        process = self._process
        if process is None or process.retiring:
            return
        under_way = sum(asked.sent for asked in self._asked.values())
        suspects = any(asked.alone for asked in self._asked.values())
        for id, asked in self._asked.items():
            if under_way >= (1 if suspects else WINDOW):
                return
            if not asked.sent and asked.alone == suspects:
                asked.sent, asked.text, asked.came = True, "", 0
                under_way += 1
                if under_way == 1:
                    process.heard = time.monotonic()
                process.send(wire.Submit(id, wire.without_pixels(asked.request)))

    def _end_one(self, event: Last) -> None:
        if self._asked.pop(event.id, None) is not None:
            self._outbox.put(event)

    def _break(self, error: VlmError) -> None:
        """There will be no answers any more."""
        self._broken = error
        for id in list(self._asked):
            self._end_one(Failed(id, error))
        self._settled.set()

    # ------------------------------------------------------------------------------------------ the worker's thread

    def _main(self) -> None:
        error: VlmError = Cancelled("the engine was closed")
        try:
            while not self._closing.is_set() and self._broken is None:
                process = self._start()
                if process is None:
                    break
                self._read(process)
                self._buried(process)
        except Exception as bug:  # whoever waits for an event must not wait for ever
            log.exception("the worker's thread failed")
            error = NativeError(f"the worker failed ({type(bug).__name__}: {bug})", "please report this")
        if self._broken is not None:
            self._closing.wait()
        with self._lock:
            self._closing.set()
            self._break(self._broken or error)
            process = self._process
        if process is not None:
            process.end()
        self._outbox.put(None)

    def _start(self) -> Process | Attached | None:
        """Start a process, once the last one's death is long enough ago; or take the one that is there."""
        if self._closing.wait(self._back_off[min(self._deaths, len(self._back_off) - 1)]):
            return None
        process: Process | Attached
        if self._attached is not None:
            process, self._attached = self._attached, None
            self._settled.set()
        else:
            try:
                process = processes.Process.spawn(self._patience, self._observer, self._environment)
            except OSError as error:
                with self._lock:
                    self._break(NativeError(f"the engine's process cannot be started ({error})", "try --in-process"))
                return None
            process.send(self._opening)
            self._opening = replace(self._opening, began=None)  # the command does not begin again with another process
        threading.Thread(target=process.watch, args=(lambda: self._is_busy(process),), daemon=True).start()
        with self._lock:
            self._process = process
            closing = self._closing.is_set()
            self._dispatch()
        if closing:
            process.end()
        return process

    def _read(self, process: Process | Attached) -> None:
        """Take what the process writes until it is gone, or writes what is no message."""
        while (message := process.receive()) is not None:
            if isinstance(message, wire.Happened):
                self._happened(process, message.event)
            elif isinstance(message, wire.Need):
                self._pool.submit(self._fetch, process, message)
            elif isinstance(message, wire.Taken):
                if process.shared is not None:
                    process.shared.taken()
            elif isinstance(message, wire.Beat):
                process.holds(message.resident)
            elif isinstance(message, wire.Record):
                logging.getLogger(message.name).log(message.level, "%s", message.text)
            elif isinstance(message, wire.Loaded):
                self._loaded(process, message.reason)
            elif isinstance(message, wire.LoadFailed):
                with self._lock:
                    self._break(message.error)
                process.finish()
                return
            self._replace_when_grown(process)

    def _loaded(self, process: Process | Attached, reason: str) -> None:
        log.info("process %d: %s", process.pid, reason)
        with self._lock:
            process.loaded = True
            self._failed_loads, self._was_loaded = 0, True
            self._settled.set()

    def _happened(self, process: Process | Attached, event: Event) -> None:
        with self._lock:
            if event.id is None:
                self._outbox.put(event)
                return
            asked = self._asked.get(event.id)
            if asked is None or not asked.sent:  # cancelled, or of a process before this one
                return
            if isinstance(event, Delta):
                self._stream(event, asked)
            elif isinstance(event, Last):
                if isinstance(event, Done):
                    self._deaths, process.answered = 0, True
                    if not event.answer.text.startswith(asked.shown):
                        self._changed(event.id)
                        return
                self._end_one(event)
                self._dispatch()
            else:
                self._outbox.put(event)

    def _stream(self, event: Delta, asked: _Asked) -> None:
        """Pass on what is new of an answer: asked again, its beginning has been sent already."""
        asked.text += event.text
        if asked.text.startswith(asked.shown):
            new, asked.shown = asked.text[len(asked.shown) :], asked.text
            fresh = event.tokens[max(0, asked.told - asked.came) :]
            asked.came += len(event.tokens)
            asked.told = max(asked.told, asked.came)
            if new or fresh:
                self._outbox.put(Delta(event.id, new, fresh))
        elif not asked.shown.startswith(asked.text):
            self._changed(event.id)

    def _changed(self, id: int) -> None:
        """What has been shown of an answer cannot be taken back, and asked again it went another way."""
        names = _names(self._asked[id].request)
        error = NativeError(f"llama.cpp crashed in the middle of the answer about {names}", "ask again")
        self._end_one(Failed(id, error))
        if self._process is not None:
            self._process.send(wire.Cancel(id))
        self._dispatch()

    def _replace_when_grown(self, process: Process | Attached) -> None:
        """Let a process that has grown finish what it has, and take no more; then another is started."""
        grown = process.grown_by
        if not process.retiring and grown <= self._growth:
            return
        with self._lock:
            process.retiring = True
            done = not any(asked.sent for asked in self._asked.values())
        if done:
            log.info("process %d has grown by %s and is replaced", process.pid, size(grown))
            process.finish()

    def _buried(self, process: Process | Attached) -> None:
        """A process is gone: find out why, and what it means for those that were under way."""
        cause = process.bury()
        with self._lock:
            self._process = None
            if self._closing.is_set() or self._broken is not None:
                return
            self.restarts += 1
            if cause is None:  # no picture is to blame: its own worker would have seen to that
                log.info("the model in memory is gone; it is loaded here")
                self._send_again()
                return
            if process.retiring and cause.code == 0 and not any(asked.sent for asked in self._asked.values()):
                return
            log.warning("process %d has died: %s", process.pid, cause.reason)
            self._deaths += 1
            if process.loaded:
                self._suspect(cause)
            else:
                self._send_again()
                self._failed_loads += 1
                if not self._was_loaded:  # a projector without room on a GPU ends the process
                    self._opening = replace(self._opening, back=self._opening.back + 1)
                if self._failed_loads >= (TRIES if self._was_loaded else FIRST_TRIES):
                    self._break(_model_error(self.files, cause.reason))

    def _send_again(self) -> None:
        """All requests that were under way are sent to the next process."""
        for asked in self._asked.values():
            asked.sent = False

    def _suspect(self, cause: Cause) -> None:
        """The requests that were under way are asked again alone; the one that was alone already is given up."""
        for id, asked in list(self._asked.items()):
            if not asked.sent:
                continue
            asked.sent = False
            if asked.alone:
                asked.kills += cause.from_outside
                if not cause.from_outside or asked.kills >= KILLS_ALONE:
                    names = _names(asked.request)
                    out = room.said(cause.reason)
                    hint = room.HINT if out else "the file may be damaged; try another size, such as --detail low"
                    error = NativeError(f"{names}: llama.cpp crashed on it each time ({cause.reason})", hint)
                    self._end_one(Failed(id, error))
            asked.alone = True

    def _is_busy(self, process: Process | Attached) -> bool:
        """Whether something must move in the process."""
        with self._lock:
            return not process.loaded or any(asked.sent for asked in self._asked.values())

    def _fetch(self, process: Process | Attached, need: wire.Need) -> None:
        """Read a picture's pixels, and hand them over."""
        with self._lock:
            asked = self._asked.get(need.id)
        pictures = asked.request.pictures if asked else ()
        error: VlmError = Cancelled()
        if 0 <= need.number < len(pictures):
            picture = pictures[need.number]
            try:
                process.send_pixels(need.need, picture.pixels())
                return
            except VlmError as met:
                error = met
            except Exception as met:  # `Picture.load` is whoever's
                hint = "the file may be damaged"
                error = SourceError(f"{picture.source}: cannot be read ({met})", hint)
                if room.is_out(met):
                    error = NoMemory(f"{picture.source}: not enough memory to read it", room.HINT)
        process.send(wire.Pixels(need.need, error=error))


def _names(request: Request) -> str:
    return ", ".join(dict.fromkeys(picture.source for picture in request.pictures)) or "a question without pictures"


def _model_error(files: ModelFiles, reason: str) -> NativeError:
    if reason == UNKNOWN_INSTRUCTION:
        return NativeError(
            "llama-cpp-python, which runs the models, was built for another CPU (illegal instruction)",
            f"build it for this one, which needs a C++ compiler: {installing.source()}",
        )
    hint = "check that the two files were published together, and download them again"
    return NativeError(
        f"{files.model} with {files.projector}: llama.cpp crashed each time while loading them ({reason})",
        room.HINT if room.said(reason) else hint,
    )


def _levels() -> dict[str, int]:
    return {name: logging.getLogger(name).getEffectiveLevel() for name in ("vlmcli", "vlmcli.llama")}
