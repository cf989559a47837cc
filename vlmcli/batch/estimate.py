"""How long jobs take, by doing the first of them; their answers go nowhere. Knows jobs and a runner.

What earlier commands have kept makes jobs shorter, by very different amounts. So each kind of job is done on its own,
and how many there are of each is asked for first, which reads no more than a picture's identity.

Servers do not tell what they have kept. They are asked as many of the questions as keep all of them busy, for some
seconds in which they may be found to take more at once, and the pace at the end of that time counts.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from vlmcli.amounts import about, pace, size
from vlmcli.batch.course import Job
from vlmcli.errors import NoServer, SourceError
from vlmcli.pictures.kept import Kept
from vlmcli.values import Done, Event, Failed, Measured, Request, Runner, Share, run, shares_of

if TYPE_CHECKING:
    from vlmcli.pictures.known import Known

SAMPLE = 3
"""Jobs of a kind that are done to know how long all of them take."""
LOOK_SECONDS = 10.0
"""So long it is looked what is known of pictures, in no order; of the others it is reckoned by these."""

ROUNDS = 3
"""Questions that servers are asked to know their pace, for each that they get at once."""
FILES = 1000
"""Files whose sizes are looked at to know those of all."""
SERVER_SECONDS = 20.0
"""After so long they are asked no more of them."""

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
    if shares_of(runner):
        return _several(runner, jobs, timeout, tell, known)
    kinds = _kinds(runner, jobs, tell, known) if cached else _Kinds(len(jobs), {NEW: list(jobs)})
    share = len(jobs) / max(1, kinds.looked)
    took = {kind: _seconds(runner, some[:SAMPLE], timeout, tell, known) for kind, some in kinds.of.items()}
    took = {kind: seconds for kind, seconds in took.items() if seconds}
    if not took:
        return "time unknown, as none of the first pictures can be read"
    whole = sum(_mean(seconds) * len(kinds.of[kind]) for kind, seconds in took.items()) * share
    said = f"the question takes {about(whole)}"
    if len(jobs) > 1:
        said = f"the questions take {about(whole)} ({_by_kind(took)})"
    if not kinds.known:
        return said
    pictures = sum(map(len, {job.group: job.pictures for job in jobs}.values()))
    if pictures == 1:
        return f"{said}; the picture is known from an earlier command"
    number = f"{kinds.known:,}" if share == 1 else f"about {min(pictures, round(kinds.known * share)):,}"
    are = "is" if number == "1" else "are"
    return f"{said}; {number} of {pictures:,} pictures {are} known from earlier commands"


def _several(
    runner: Runner, jobs: Sequence[Job], timeout: float | None, tell: Callable[[Event], None], known: Known | None
) -> str:
    """How long the jobs take at servers, in words, the pace of each, and how many bytes are read and sent."""
    sample = _Sample(runner, jobs, timeout, known)
    for _, event in run(runner, sample.requests()):
        tell(event)
        if isinstance(event, Failed) and isinstance(event.error, NoServer):
            raise event.error
        if isinstance(event, Done | Failed):
            sample.ends.append(time.monotonic())
    if not sample.ends:
        return "time unknown, as none of the first pictures can be read"
    rate, shares = sample.rate(), shares_of(runner)
    pictures = sum(map(len, {job.group: job.pictures for job in jobs}.values()))
    said = f"the question{'s take' if len(jobs) > 1 else ' takes'} {about(len(jobs) / rate)}"
    said += f" ({_by_server(shares, rate * pictures / len(jobs))})"
    sent = sum(share.sent for share in shares) * len(jobs) // len(sample.jobs)
    moved = [f"{size(count)} to {what}" for count, what in ((sample.to_read(), "read"), (sent, "send")) if count]
    return f"{said}; about {', '.join(moved)}" if moved else said


def _by_server(shares: Sequence[Share], per_second: float) -> str:
    """Pictures per minute, of all servers and of each."""
    answers = sum(share.answers for share in shares)
    said = pace(per_second, "pictures")
    if len(shares) == 1 or not answers:
        return said
    rates = ((share.name, pace(per_second * share.answers / answers)) for share in shares if share.answers)
    each = [f"{name} {rate.removesuffix(' a minute')}" for name, rate in rates]
    return f"{said}: {', '.join(each)}"


class _Sample:
    """The jobs that servers are asked to know their pace.

    Attributes:
        jobs: those whose pictures could be read.
        ends: when their requests were answered.
    """

    def __init__(self, runner: Runner, jobs: Sequence[Job], timeout: float | None, known: Known | None) -> None:
        self.jobs: list[Job] = []
        self.ends: list[float] = []
        self._runner, self._all, self._timeout, self._known = runner, jobs, timeout, known
        self._began = self._fed = time.monotonic()
        self._made = 0

    def requests(self) -> Iterator[Request]:
        """Requests for as long as they are needed; the jobs are taken from all places of the run."""
        for tried, place in enumerate(sorted(range(len(self._all)), key=_no_order)):
            lanes = sum(share.at_once for share in shares_of(self._runner))
            late = time.monotonic() - self._began > SERVER_SECONDS
            if len(self.jobs) >= max(SAMPLE, ROUNDS * lanes) or (late and tried >= lanes):
                return
            made = list(_loadable([self._all[place]], self._timeout, self._known))
            self._made += len(made)
            self.jobs += [self._all[place]] if made else []
            for request in made:
                self._fed = time.monotonic()
                yield request

    def rate(self) -> float:
        """Jobs per second in the second half of the time in which all servers were busy; else in the whole time."""
        middle = (self._began + self._fed) / 2
        late = [end for end in self.ends if middle < end <= self._fed]
        span, count = (late[-1] - late[0], len(late) - 1) if len(late) > ROUNDS else (0.0, 0)
        if not span:
            span, count = self.ends[-1] - self._began, len(self.ends)
        return count / max(span, 1e-3) * len(self.jobs) / self._made

    def to_read(self) -> int:
        """Bytes of all pictures, by some of them; 0 where nobody knows before they are read."""
        files = list(dict.fromkeys(source.file for job in self._all for source in job.pictures))  # of many pages, once
        some = sorted(range(len(files)), key=_no_order)[:FILES]
        return sum(_file_size(files[place]) for place in some) * len(files) // max(1, len(some))


def _file_size(file: object) -> int:
    if isinstance(file, Kept):
        return file.mark().size
    with suppress(OSError):
        return file.stat().st_size if isinstance(file, Path) else len(file) if isinstance(file, bytes) else 0
    return 0


def _no_order(number: int) -> int:
    """A key by which numbers are mixed, always in the same way (Knuth's multiplicative hash)."""
    return number * 2_654_435_761 % 2**32


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
    # In no order, as an earlier command that was stopped has seen the first ones only.
    order = sorted(groups, key=_no_order)
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
