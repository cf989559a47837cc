"""How long jobs take, by doing the first of them; their answers go nowhere. Knows jobs and a runner.

What earlier commands have kept makes jobs shorter, by very different amounts. So each kind of job is done on its own,
and how many there are of each is asked for first, which reads no more than a picture's identity.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from vlmcli.amounts import duration
from vlmcli.batch.course import Job
from vlmcli.errors import SourceError
from vlmcli.values import Done, Event, Failed, Measured, Request, Runner, run

if TYPE_CHECKING:
    from vlmcli.pictures.known import Known

SAMPLE = 3
"""Jobs of a kind that are done to know how long all of them take."""
LOOK_SECONDS = 10.0
"""So long it is looked what is known of pictures, in no order; of the others it is reckoned by these."""

NEW, EMBEDDED, READ = "new", "embedded", "read"
"""What was kept of a picture: nothing (or not all), what the encoder made of it, or the state of the prompt with it."""


@dataclass
class _Kinds:
    """Jobs by what is known of their pictures.

    Attributes:
        looked: how many were looked at, those that cannot be read among them.
        of: the others.
        known: pictures of which something is known.
    """

    looked: int = 0
    of: dict[str, list[Job]] = field(default_factory=dict)
    known: int = 0


def estimate(
    runner: Runner,
    jobs: Sequence[Job],
    timeout: float | None = None,
    tell: Callable[[Event], None] = lambda _: None,
    *,
    known: Known | None = None,
    cached: bool = False,
) -> str:
    """How long the jobs take, in words, and how many of their pictures are known from earlier commands.

    Args:
        runner: what answers the first of them.
        jobs: all.
        timeout: seconds that one may take; None for as long as it takes.
        tell: is called with what the runner is at.
        known: files that were read before.
        cached: whether the runner has what earlier commands have kept.
    """
    kinds = _kinds(runner, jobs, tell, known) if cached else _Kinds(len(jobs), {NEW: list(jobs)})
    share = len(jobs) / max(1, kinds.looked)
    took = {kind: _seconds(runner, some[:SAMPLE], timeout, tell, known) for kind, some in kinds.of.items()}
    took = {kind: seconds for kind, seconds in took.items() if seconds}
    if not took:
        return "time unknown, as none of the first pictures can be read"
    whole = sum(_mean(seconds) * len(kinds.of[kind]) for kind, seconds in took.items()) * share
    about = f"about {duration(whole)}" if whole >= 1 else "less than 1 s"
    said = f"the question takes {about}" if len(jobs) == 1 else f"the questions take {about} ({_by_kind(took)})"
    if not kinds.known:
        return said
    pictures = sum(map(len, {job.group: job.pictures for job in jobs}.values()))
    if pictures == 1:
        return f"{said}; the picture is known from an earlier command"
    number = f"{kinds.known:,}" if share == 1 else f"about {min(pictures, round(kinds.known * share)):,}"
    are = "is" if number == "1" else "are"
    return f"{said}; {number} of {pictures:,} pictures {are} known from earlier commands"


def _by_kind(took: Mapping[str, Sequence[float]]) -> str:
    """How long jobs of each kind take, in words."""
    known = [seconds for kind in (EMBEDDED, READ) for seconds in took.get(kind, ())]
    new = took.get(NEW, ())
    if new and known:
        return f"a new picture takes {_mean(new):.2g} s, a known one {_mean(known):.2g} s"
    all_of = [*new, *known]
    if len(all_of) == 1:
        return f"the first took {all_of[0]:.2g} s"
    return f"the first {len(all_of)} took {_mean(all_of):.2g} s each"


def _mean(seconds: Sequence[float]) -> float:
    return sum(seconds) / len(seconds)


def _seconds(
    runner: Runner,
    jobs: Sequence[Job],
    timeout: float | None,
    tell: Callable[[Event], None],
    known: Known | None,
) -> list[float]:
    """How long each of these jobs took, done together; none of those whose pictures cannot be read."""
    began, ends = 0.0, []
    for _, event in run(runner, _loadable(jobs, timeout, known)):
        tell(event)
        if event.id is not None and not began:
            began = time.monotonic()
        if isinstance(event, Done | Failed):
            ends.append(time.monotonic())
    return [(ends[-1] - began) / len(ends)] * len(ends) if ends else []


def _loadable(jobs: Sequence[Job], timeout: float | None, known: Known | None) -> Iterator[Request]:
    """The requests of jobs whose pictures can be read."""
    for job in jobs:
        with suppress(SourceError):
            yield from (replace(one, timeout=timeout) for one in job.task.requests(job.load(known)))


def _kinds(runner: Runner, jobs: Sequence[Job], tell: Callable[[Event], None], known: Known | None) -> _Kinds:
    """The kinds of jobs that are looked at in the time there is; the questions about a picture are of one kind."""
    groups: dict[int, list[Job]] = {}
    for job in jobs:
        groups.setdefault(job.group, []).append(job)
    # In no order, as an earlier command that was stopped has seen the first ones only (Knuth's multiplicative hash).
    order = sorted(groups, key=lambda group: group * 2_654_435_761 % 2**32)
    found, asked, ends = _Kinds(), [], [float("inf")]

    def requests() -> Iterator[Request]:
        for group in order:
            if time.monotonic() > ends[0]:
                return
            job = groups[group][0]
            found.looked += len(groups[group])
            with suppress(SourceError):
                request = replace(job.task.requests(job.load(known))[0], measure=True)
                asked.append(group)
                yield request

    kinds: dict[int, str] = {}
    for number, event in run(runner, requests()):
        tell(event)
        if isinstance(event, Measured | Failed):
            ends[0] = min(ends[0], time.monotonic() + LOOK_SECONDS)
            kinds[asked[number]] = _kind(event) if isinstance(event, Measured) else NEW
    for group in sorted(kinds):
        found.of.setdefault(kinds[group], []).extend(groups[group])
        found.known += len(groups[group][0].pictures) if kinds[group] != NEW else 0
    return found


def _kind(event: Measured) -> str:
    if event.kept_rows:
        return READ
    return EMBEDDED if event.inputs and event.kept_inputs == event.inputs else NEW
