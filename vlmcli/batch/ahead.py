"""Pictures from elsewhere are fetched before it is their turn, so that an engine does not wait for a network.

Only bytes are fetched ahead, and only those of a few groups; what is on this machine is read when it is asked about.
Knows jobs and their pictures. Does not decode anything.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path

from vlmcli.batch.course import Job
from vlmcli.errors import SourceError, VlmError
from vlmcli.pictures.sources import Source

AHEAD = 8
"""Groups of pictures that are fetched before their turn."""


class Ahead:
    """The pictures of jobs, which are asked for in their order. One caller at a time."""

    def __init__(self, jobs: Sequence[Job]) -> None:
        """Nothing is fetched before the first is asked for."""
        self._jobs, self._next = jobs, 0
        self._begun: deque[int] = deque()  # groups whose turn has not come, in their order
        self._futures: dict[tuple[int, int], Future[Path | bytes]] = {}  # by group and place in it

    def near(self, number: int) -> Job:
        """A job with the bytes of its pictures instead of their addresses. Raises SourceError.

        To be asked for each group of pictures once, by the number of one of its jobs.
        """
        job = self._jobs[number]
        self._begin(number, job.group)
        if not any(source.far for source in job.pictures):
            return job
        futures = [self._futures.pop((job.group, place), None) for place in range(len(job.pictures))]
        near = [
            one if future is None else replace(one, file=future.result())
            for one, future in zip(job.pictures, futures, strict=True)
        ]
        return replace(job, pictures=tuple(near))

    def _begin(self, number: int, group: int) -> None:
        """Begin to fetch this group, if that has not been, and those after it; forget what nobody has asked for."""
        while self._begun and self._begun[0] <= group:
            self._begun.popleft()
        for key in [key for key in self._futures if key[0] < group]:
            del self._futures[key]
        self._next = max(self._next, number)
        while self._next < len(self._jobs) and len(self._begun) < AHEAD:
            job = self._jobs[self._next]
            self._next += 1
            if job.group > group and (not self._begun or self._begun[-1] != job.group):
                self._begun.append(job.group)
            for place, source in enumerate(job.pictures):
                if source.far and (job.group, place) not in self._futures:
                    future = self._futures[job.group, place] = Future()
                    threading.Thread(target=_fetch, args=(source, future), daemon=True).start()


def _fetch(source: Source, future: Future[Path | bytes]) -> None:
    try:
        future.set_result(source.fetched())
    except VlmError as error:
        future.set_exception(error)
    except Exception as bug:
        future.set_exception(SourceError(f"{source.name}: cannot be read ({bug})", "please report this"))
