"""How long jobs take, by doing the first of them; their answers go nowhere. Knows jobs and a runner."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from vlmcli.amounts import duration
from vlmcli.batch.course import Job
from vlmcli.errors import SourceError
from vlmcli.values import Done, Event, Failed, Request, Runner, run

if TYPE_CHECKING:
    from vlmcli.pictures.known import Known

SAMPLE = 3
"""Jobs that are done to know how long all of them take."""


def estimate(
    runner: Runner,
    jobs: Sequence[Job],
    timeout: float | None = None,
    tell: Callable[[Event], None] = lambda _: None,
    known: Known | None = None,
) -> str:
    """How long the jobs take, in words.

    Args:
        runner: what answers the first of them.
        jobs: all.
        timeout: seconds that one may take; None for as long as it takes.
        tell: is called with what the runner is at.
        known: files that were read before.
    """
    began, ends = 0.0, []
    for _, event in run(runner, _loadable(jobs[:SAMPLE], timeout, known)):
        tell(event)
        if event.id is not None and not began:
            began = time.monotonic()
        if isinstance(event, Done | Failed):
            ends.append(time.monotonic())
    if not ends:
        return "time unknown, as none of the first pictures can be read"
    each = (ends[-1] - began) / len(ends)
    whole = each * len(jobs)
    about = f"about {duration(whole)}" if whole >= 1 else "less than 1 s"
    if len(jobs) == 1:
        return f"the question takes {about}"
    first = f"the first {len(ends)} took {each:.2g} s each" if len(ends) > 1 else f"the first took {each:.2g} s"
    return f"the questions take {about} ({first})"


def _loadable(jobs: Sequence[Job], timeout: float | None, known: Known | None) -> Iterator[Request]:
    """The requests of jobs whose pictures can be read."""
    for job in jobs:
        with suppress(SourceError):
            yield replace(job.task.request(job.load(known)), timeout=timeout)
