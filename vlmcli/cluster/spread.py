"""A run whose pictures are read and asked about on other machines; outcomes, records and texts are made here.

Groups go out in rounds, so that what is under way stays small however many there are. What got lost in a round (Ray has
its own ways to lose a row) goes into the next. Knows jobs and what goes to the cluster. Does not know Ray.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from dataclasses import fields, is_dataclass, replace
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar

from vlmcli.batch.course import Job, count
from vlmcli.batch.memory import Works
from vlmcli.batch.run import Run, Stage, Step
from vlmcli.cluster.cluster import Cluster
from vlmcli.cluster.messages import Group, Reply
from vlmcli.errors import ClusterError, SourceError, VlmError
from vlmcli.pictures.sources import Source
from vlmcli.tasks.task import Task
from vlmcli.values import Answer, Notice

ROUND = 100_000
"""Groups that are rows of one data set, and in the memory of the process with Ray."""
TRIES = 3
"""Times that a group is asked about whose reply has got lost."""


def tasks_of(jobs: Iterable[Job]) -> tuple[Task, ...]:
    """What is asked, each once, in the order it first comes."""
    return tuple(dict.fromkeys(job.task for job in jobs))


def groups_of(jobs: Iterable[tuple[int, Job]], tasks: tuple[Task, ...]) -> Iterator[Group]:
    """Jobs, with their numbers, by the pictures they are about; these by paths that hold from anywhere."""
    places = {task: place for place, task in enumerate(tasks)}
    number, pictures, held = -1, tuple[Source, ...](), list[tuple[int, int]]()
    for own, job in jobs:
        if held and job.group != number:
            yield Group(number, pictures, tuple(held))
            held = []
        if not held:
            number, pictures = job.group, tuple(map(_from_anywhere, job.pictures))
        held.append((own, places[job.task]))
    if held:
        yield Group(number, pictures, tuple(held))


def _from_anywhere(source: Source) -> Source:
    """A picture by a path, its own or that of what it is in, that holds from any folder."""
    file = _absolute(source.file)
    return source if file is source.file else replace(source, file=file)


def _absolute(value: Any) -> Any:
    """A value with all paths in it absolute; itself where they are."""
    if isinstance(value, Path):
        return value if value.is_absolute() else value.absolute()
    if not is_dataclass(value) or isinstance(value, type):
        return value
    held = {field.name: getattr(value, field.name) for field in fields(value)}
    made = {name: _absolute(one) for name, one in held.items()}
    return value if all(made[name] is held[name] for name in held) else replace(value, **made)


class Spread(Run):
    """The jobs of a command on their way through a cluster."""

    streams: ClassVar[bool] = False

    @cached_property
    def works(self) -> Works:
        """The names in the journal of the jobs that have ended."""
        return Works(len(self.jobs))

    def gathered(self, cluster: Cluster) -> Generator[Step, None, None]:
        """Let a cluster ask, and yield what comes of it until all jobs have ended, or somebody has stopped it.

        Stopped, it takes what has come so far, and drops what is under way. Raises VlmError where the cluster is gone.
        """
        yield Stage("waiting for Ray")
        tasks, begun = tasks_of(self.jobs), False
        groups = groups_of(self._unrefused(), tasks)
        while batch := {group.number: group for group in islice(groups, ROUND)}:
            yield from self._ready()  # what is refused
            for _ in range(TRIES):
                for reply in cluster.ask(list(batch.values())):
                    if reply is not None and batch.pop(reply.number, None) is not None:
                        yield from self._taken(reply)
                    if not begun and cluster.ready is not None:
                        begun = True
                        yield Stage(f"asking {cluster.ready}", begun=True)
                    if self.stopping:
                        yield from self._rest(cluster, batch)
                        return
                if not batch:
                    break
            if batch:
                raise self._lost(batch)
        yield from self._ready()
        yield from self._out_of_turn()

    def _unrefused(self) -> Iterator[tuple[int, Job]]:
        """The jobs that are asked; those whose text cannot be written beside their picture have ended."""
        for number, job in enumerate(self.jobs):
            if self._sidecars is not None and (refused := self._sidecars.refusal(job)):
                self._waiting[number] = refused
            else:
                yield number, job

    def _rest(self, cluster: Cluster, batch: dict[int, Group]) -> Iterator[Step]:
        """What has come until a run was stopped."""
        for reply in cluster.there():
            if batch.pop(reply.number, None) is not None:
                yield from self._taken(reply)
        yield from self._out_of_turn()

    def _taken(self, reply: Reply) -> Iterator[Step]:
        """The outcomes of a group's jobs, as far as it is their turn."""
        yield from map(Notice, reply.notices)
        for number, ended in reply.outcomes:
            job = self.jobs[number]
            if self.memory is not None:
                work = self._works[number] = self.memory.work_of(job, reply.fingerprints)
                self.works[number] = work.id
            if self._sidecars is not None and self._sidecars.inside:
                self._unwritten[number] = reply.fingerprints[0]
            self._notices[number] = reply.notices
            if isinstance(ended, Answer):
                self.spent += ended.timings
            if number in reply.drawn:
                self._drawn.add(number)
            self._waiting[number] = ended
            self.stopping |= self.course.fail_fast and isinstance(ended, SourceError)
        yield from self._ready()

    def _lost(self, batch: dict[int, Group]) -> VlmError:
        first = next(iter(batch.values()))
        hint = "run the same command again to continue" if self.course.goes_on else "run the same command again"
        return ClusterError(
            f"{count(len(batch), 'picture')} got lost in the Ray cluster {TRIES} times ({first.pictures[0].name})", hint
        )
