"""On a node: an actor that reads pictures, asks an engine about them, and replies. Knows nothing of Ray.

A broken picture is a reply like any other. An engine that dies of a picture is started again by its worker, so that an
actor only ends when somebody ends it, or its node; then Ray gives its groups to another one.
"""

from __future__ import annotations

import os
import pickle
import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from functools import partial
from importlib import import_module
from typing import Any

from vlmcli.batch.ahead import Ahead
from vlmcli.batch.course import Job
from vlmcli.cluster import model
from vlmcli.cluster.messages import Broken, Group, Plan, Reply
from vlmcli.entries import Entries
from vlmcli.errors import SourceError, VlmError
from vlmcli.pictures import known
from vlmcli.pictures.drawings import is_drawn
from vlmcli.pictures.sources import Source
from vlmcli.placement import Wanted
from vlmcli.records.journal import Fingerprint, fingerprint
from vlmcli.settings import cache_folder, caching
from vlmcli.tasks.task import joined
from vlmcli.values import Answer, Done, Failed, ModelFiles, Picture, Runner

GROUP, REPLY = "group", "reply"
"""The columns of the data set, before and after: pickled `Group`s and `Reply`s."""


def engine(plan: Plan, files: ModelFiles, threads: int) -> Runner:
    """An engine in a process of its own, with its model loaded. Raises VlmError where it cannot be."""
    from vlmcli.runners.worker import Worker

    settings = plan.settings
    wanted = Wanted(settings.ctx, settings.threads or threads, settings.gpu_layers, choices=plan.choices)
    worker = Worker(files, wanted, patience=settings.patience, caching=caching(settings))
    try:
        worker.ready()
    except BaseException:
        worker.close()
        raise
    return worker


@dataclass
class _Asked:
    """A job on its way; `error` is why it has not been asked."""

    number: int
    job: Job
    pictures: Sequence[Picture] = ()
    futures: Sequence[Future[Answer]] = ()
    error: VlmError | None = None

    def outcome(self) -> Answer | VlmError:
        """The answers to its requests as one, or the first error; when they are there."""
        if self.error is not None:
            return self.error
        try:
            return joined([future.result() for future in self.futures])
        except VlmError as error:
            return error


@dataclass
class _Begun:
    """A group on its way, and its pictures' files as they were before they were read."""

    group: Group
    fingerprints: tuple[Fingerprint, ...]
    jobs: list[_Asked] = field(default_factory=list)


class Actor:
    """What a row of the data set is given to: pictures in, replies out. Several threads may call it at once."""

    def __init__(self, plan: Plan, threads: int, shipped: Sequence[Sequence[Any]] = ()) -> None:
        """Bring the model here, and load it. What is wrong with it is said in each reply, and stops the run.

        Args:
            plan: what is asked, and of what.
            threads: the actor's share of the node's cores.
            shipped: references to the pieces of the model's two files in Ray's object store.
        """
        self._plan, self._name = plan, f"{socket.gethostname()} ({os.getpid()})"
        self._lock, self._reading = threading.Lock(), threading.Lock()
        self._futures: dict[int, Future[Answer]] = {}
        self._broken: VlmError | None = None
        self._known = None
        if plan.settings.cache:
            self._known = known.Known(Entries(cache_folder(plan.settings) / known.FOLDER, known.LIMIT))
        module, _, function = plan.opens.partition(":")
        try:
            files = model.here(plan, shipped)
            self._runner: Runner = getattr(import_module(module), function)(plan, files, threads)
        except VlmError as error:
            self._broken = type(error)(f"on {socket.gethostname()}: {error.message}", error.hint)
            return
        threading.Thread(target=self._listen, daemon=True).start()

    def __call__(self, batch: Mapping[str, Sequence[bytes]]) -> dict[str, list[bytes]]:
        """The replies to a batch of groups, in their order."""
        groups: list[Group] = [pickle.loads(one) for one in batch[GROUP]]
        if self._broken is not None:
            return {REPLY: [pickle.dumps(Broken(self._broken))] * len(groups)}
        since = time.monotonic()
        ahead = Ahead([Job(self._plan.tasks[group.jobs[0][1]], group.pictures, at) for at, group in enumerate(groups)])
        # Of two batches, one is read after the other, as a table's rows are read once if they are read in order. All
        # are begun before the first ends: the engine has the next when it is done with the last.
        with self._reading:
            begun = [self._begin(group, partial(ahead.near, at)) for at, group in enumerate(groups)]
        replies = [self._reply(one) for one in begun]
        until = time.monotonic()
        return {REPLY: [pickle.dumps(replace(one, since=since, until=until)) for one in replies]}

    def close(self) -> None:
        """End the engine. On a node nobody calls this: an actor's end ends it, too."""
        if self._broken is None:
            self._runner.close()

    def _listen(self) -> None:
        """Give each request its end, until the runner is closed."""
        for event in self._runner.events():
            if isinstance(event, Done | Failed):
                with self._lock:  # which `_submit` holds until it knows the request's number
                    future = self._futures.pop(event.id, None)
                if future is None:
                    continue
                if isinstance(event, Done):
                    future.set_result(event.answer)
                else:
                    future.set_exception(event.error)

    def _begin(self, group: Group, near: Callable[[], Job]) -> _Begun:
        """Read a group's pictures, and ask about them; the answers are to come. `near` has their bytes."""
        begun = _Begun(group, tuple(fingerprint(one.file) for one in group.pictures))
        loaded: dict[tuple[int, bool], list[Picture] | VlmError] = {}
        try:
            pictures_near: tuple[Source, ...] | SourceError = near().pictures
        except SourceError as error:
            pictures_near = error
        for number, place in group.jobs:
            job = Job(self._plan.tasks[place], group.pictures, group.number)
            how = job.task.detail, job.task.parts
            if how not in loaded:
                loaded[how] = self._load(job, pictures_near)
            pictures = loaded[how]
            if isinstance(pictures, VlmError):
                begun.jobs.append(_Asked(number, job, error=pictures))
            else:
                begun.jobs.append(_Asked(number, job, pictures, self._submit(job, pictures)))
        return begun

    def _load(self, job: Job, near: tuple[Source, ...] | SourceError) -> list[Picture] | VlmError:
        if isinstance(near, SourceError):
            return near
        try:
            return replace(job, pictures=near).load(self._known)
        except SourceError as error:
            return error

    def _submit(self, job: Job, pictures: Sequence[Picture]) -> list[Future[Answer]]:
        """Ask what a job asks; the answers are to come."""
        futures = []
        for request in job.task.requests(pictures):
            future: Future[Answer] = Future()
            with self._lock:
                id = self._runner.submit(replace(request, stream=False, timeout=self._plan.timeout))
                self._futures[id] = future
            futures.append(future)
        return futures

    def _reply(self, begun: _Begun) -> Reply:
        """Wait for all answers of a group."""
        outcomes = [(asked.number, asked.outcome()) for asked in begun.jobs]
        notices = [text for asked in begun.jobs for picture in asked.pictures for text in picture.notices]
        drawn = frozenset(
            asked.number
            for asked, (_, outcome) in zip(begun.jobs, outcomes, strict=True)
            if self._is_about_drawings(asked.job, outcome, asked.pictures)
        )
        unique = tuple(dict.fromkeys(notices))
        return Reply(begun.group.number, tuple(outcomes), begun.fingerprints, unique, drawn, self._name)

    def _is_about_drawings(self, job: Job, outcome: Answer | VlmError, pictures: Sequence[Picture]) -> bool:
        """Whether the model does not know what to answer, though all it was shown are drawings."""
        files = self._plan.files
        unsure = files.card.unsure
        if not unsure or job.task.result(job.names, outcome, files.name).text != unsure:
            return False
        try:
            return all(map(is_drawn, pictures))
        except SourceError:
            return False
