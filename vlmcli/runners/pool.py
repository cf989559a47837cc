"""Several GPUs as one runner: a worker for each, and one queue.

A request goes to the worker that had its picture last, whose caches know it, unless that is much busier than the
others; else to the least busy one. How a death is survived, each `Worker` knows. One that cannot load the model is left
out, and its requests go to the others; if none can, they fail with its error.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from queue import SimpleQueue
from typing import Any

from vlmcli.errors import VlmError
from vlmcli.machine.fit import this_machine
from vlmcli.placement import Wanted
from vlmcli.runners import gpus
from vlmcli.runners.gpus import Gpu
from vlmcli.runners.worker import WINDOW, Worker
from vlmcli.values import Delta, Done, Event, Failed, Last, ModelFiles, Notice, Progress, Request, Share, events_of

AHEAD = 8
"""A worker keeps its pictures' requests while it has so many more than the least busy one."""
PICTURES = 4096
"""Pictures of which it is known which worker had them last."""
AT_ONCE = 8
"""Requests that an engine answers at once at most."""


def opened(files: ModelFiles, text: str, wanted: Wanted, **how: Any) -> Pool:
    """A worker on each of the GPUs that are named, as `gpus.chosen` takes them; one for one request.

    Args:
        files: the model.
        text: names the GPUs.
        wanted: of each worker; without a number of threads, they share the cores.
        how: what else `Worker` takes.

    Raises as `gpus.chosen`.
    """
    found = gpus.chosen(text)
    if wanted.requests == 1:
        del found[1:]
    threads = wanted.threads or max(1, this_machine().cores // len(found))
    return Pool(files, found, replace(wanted, threads=threads), **how)


@dataclass(eq=False)
class _Place:
    """A worker, and how it is doing."""

    name: str
    worker: Worker
    under_way: int = 0
    answers: int = 0
    loaded: float = 0.0  # the share of its model
    left_out: bool = False


@dataclass
class _Asked:
    """A request that has not ended, and who has it."""

    request: Request
    place: _Place
    inner: int
    shown: bool = False


class Pool:
    """A worker for each GPU. A `values.Runner`."""

    def __init__(self, files: ModelFiles, found: Sequence[Gpu], wanted: Wanted, **how: Any) -> None:
        """Open a worker on each; as `opened`."""
        self._outbox: SimpleQueue[Event | None] = SimpleQueue()
        self._lock = threading.RLock()
        self._asked: dict[int, _Asked] = {}
        self._ids: dict[tuple[int, int], int] = {}  # by the place's number and the worker's own id
        self._next_id = 0
        self._recent: OrderedDict[str, _Place] = OrderedDict()
        self._places: list[_Place] = []
        self._told: set[str] = set()
        self._threads: list[threading.Thread] = []
        self._closing = False
        try:
            for number, gpu in enumerate(found):
                place = _Place(gpu.name, Worker(files, wanted, gpu=gpu, **how))
                self._places.append(place)
                listener = threading.Thread(target=self._listen, args=(number, place), name="vlm-pool", daemon=True)
                self._threads.append(listener)
                listener.start()
        except BaseException:
            self.close()
            raise

    # ------------------------------------------------------------------------------------------ the runner

    @property
    def wants(self) -> int:
        """Requests that it wants to have: as many as all workers hold."""
        return WINDOW * len(self._places)

    @property
    def shares(self) -> tuple[Share, ...]:
        """What each GPU has done."""
        return tuple(Share(place.name, place.answers, at_once=AT_ONCE) for place in self._places)

    @property
    def workers(self) -> tuple[Worker, ...]:
        """One for each GPU."""
        return tuple(place.worker for place in self._places)

    def submit(self, request: Request) -> int:
        """Take a request; its events carry the id returned."""
        with self._lock:
            id = self._next_id
            self._next_id += 1
            self._give(id, request, self._place_for(request))
        return id

    def cancel(self, id: int) -> None:
        """End a request: `Failed(id, Cancelled())` is sent soon."""
        with self._lock:
            asked = self._asked.get(id)
            if asked is not None:
                asked.place.worker.cancel(asked.inner)

    def events(self) -> Iterator[Event]:
        """All events as they come; ends when the runner is closed."""
        return events_of(self._outbox)

    def close(self) -> None:
        """Fail whatever has not ended, and end all processes; may be called twice."""
        self._closing = True
        if self._places:
            with ThreadPoolExecutor(len(self._places)) as closers:  # each may take a second
                for place in self._places:
                    closers.submit(place.worker.close)
        for thread in self._threads:
            thread.join()
        self._outbox.put(None)

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ------------------------------------------------------------------------------------------ with the lock held

    def _place_for(self, request: Request) -> _Place:
        """Who gets a request: who had its first picture last, or who has the least to do."""
        able = [place for place in self._places if not place.left_out] or self._places
        least = min(able, key=lambda place: place.under_way)
        if not request.pictures:
            return least
        identity = request.pictures[0].identity
        last = self._recent.get(identity)
        if last is None or last not in able or last.under_way >= least.under_way + AHEAD:
            last = least
        self._recent[identity] = last
        self._recent.move_to_end(identity)
        if len(self._recent) > PICTURES:
            self._recent.popitem(last=False)
        return last

    def _give(self, id: int, request: Request, place: _Place) -> None:
        inner = place.worker.submit(request)
        place.under_way += 1
        self._asked[id] = _Asked(request, place, inner)
        self._ids[self._places.index(place), inner] = id

    def _leave_out(self, place: _Place, error: VlmError) -> None:
        """The requests of a worker that cannot answer go to the others, which is told once."""
        if not place.left_out:
            place.left_out = True
            if any(not one.left_out for one in self._places):
                self._outbox.put(Notice(f"{place.name} is left out: {error.message}"))

    # ------------------------------------------------------------------------------------------ a thread per worker

    def _listen(self, number: int, place: _Place) -> None:
        """Take a worker's events until it is closed."""
        for event in place.worker.events():
            with self._lock:
                if isinstance(event, Progress) and event.id is None:
                    self._loading(place, event)
                elif isinstance(event, Notice):
                    self._tell(place, event)
                elif event.id is not None:
                    self._happened(number, place, event)

    def _loading(self, place: _Place, event: Progress) -> None:
        """The model is loaded when it is loaded everywhere."""
        place.loaded = event.done
        done = min(one.loaded for one in self._places if not one.left_out or one is place)
        self._outbox.put(replace(event, done=done))

    def _tell(self, place: _Place, event: Notice) -> None:
        """What is the same everywhere is said once."""
        if event.text not in self._told:
            self._told.add(event.text)
            self._outbox.put(Notice(f"{place.name}: {event.text}"))

    def _happened(self, number: int, place: _Place, event: Event) -> None:
        assert event.id is not None
        id = self._ids.get((number, event.id))
        if id is None:
            return
        asked = self._asked[id]
        if isinstance(event, Delta):
            asked.shown = True
        if isinstance(event, Last):
            place.under_way -= 1
            del self._asked[id], self._ids[number, event.id]
            place.answers += isinstance(event, Done)
            if isinstance(event, Failed) and not self._closing and place.worker.broken is event.error:
                self._leave_out(place, event.error)
                if not asked.shown and any(not one.left_out for one in self._places):
                    self._again(id, asked.request)
                    return
        self._outbox.put(replace(event, id=id))

    def _again(self, id: int, request: Request) -> None:
        try:
            self._give(id, request, self._place_for(request))
        except VlmError as error:  # closed meanwhile
            self._outbox.put(Failed(id, error))
