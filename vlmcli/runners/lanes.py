"""Which server gets a request: one that has room, and is expected to be quick. Pure: time is a parameter.

A server that has failed rests, and is then tried with one request. When no more requests will come, those that a slow
server would still work on for long can be taken over by a quicker one that has nothing left to do.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from vlmcli.runners.pacing import Pacing
from vlmcli.values import Server, Share

if TYPE_CHECKING:
    import httpx2

WORTH = 1.5
"""A request is taken over if it would take so many times as long where it is."""
OVERDUE = 3.0
"""A server that has worked so many times as long on a request as usual takes over no other."""
MOVES = 3
"""So often a request is taken over at most."""


@dataclass(eq=False)
class Lane:
    """A server, and how it is doing.

    Attributes:
        server: where it is.
        client: which speaks to it.
        key: what it wants to see.
        pacing: how many requests it gets at once.
        under_way: requests that it has, and those that are made ready for it.
        fails: times in a row that it could not be reached.
        rest: until when nothing is sent to it, on the clock of `now`.
        left_out: whether a person has been told that it is.
        sent: bytes of requests.
    """

    server: Server
    client: httpx2.AsyncClient
    key: str
    pacing: Pacing = field(default_factory=Pacing)
    under_way: int = 0
    fails: int = 0
    rest: float = 0.0
    left_out: bool = False
    sent: int = 0

    @property
    def room(self) -> int:
        """Requests that it may have at once; one if it could not be reached the last time."""
        return 1 if self.fails else self.pacing.limit

    def is_free(self, now: float) -> bool:
        """Whether it can get a request."""
        return self.rest <= now and self.under_way < self.room

    @property
    def share(self) -> Share:
        """What it has done."""
        pacing = self.pacing
        return Share(self.server.url, pacing.answers, pacing.seconds, pacing.limit, self.sent)


@dataclass(eq=False)
class Errand:
    """A request on its way.

    Attributes:
        lane: the server that has it; None while it waits.
        since: when it was sent there.
        moves: how often it was taken over; `MOVES` if it must not be, because somebody sees its answer come.
    """

    lane: Lane | None = None
    since: float = 0.0
    moves: int = 0


AnErrand = TypeVar("AnErrand", bound=Errand)


def next_lane(lanes: Iterable[Lane], now: float) -> Lane | None:
    """The server that gets the next request; None if none has room."""
    free = [lane for lane in lanes if lane.is_free(now)]
    return min(free, key=lambda one: _expected(one, lanes), default=None)


def _expected(lane: Lane, lanes: Iterable[Lane]) -> float:
    """Seconds that a request may take, a little more where others are under way, too."""
    known = [one.pacing.seconds for one in lanes if one.pacing.seconds]
    usual = sum(known) / len(known) if known else 1.0
    return (lane.pacing.seconds or usual) * (1 + lane.under_way / lane.room)


def taken_over(lanes: Sequence[Lane], errands: Iterable[AnErrand], now: float) -> tuple[AnErrand, Lane] | None:
    """The request that would be answered much sooner elsewhere, and where; None if there is none."""
    sent = [one for one in errands if one.lane is not None]
    overdue = {id(one.lane) for one in sent if _is_overdue(one, now)}  # perhaps they have gone silent
    last = max((one for one in sent if one.moves < MOVES), key=lambda one: _remaining(one, now), default=None)
    if last is None:
        return None
    able = [
        lane
        for lane in lanes
        if lane is not last.lane and lane.is_free(now) and lane.pacing.seconds and id(lane) not in overdue
    ]
    here = min(able, key=lambda one: _expected(one, lanes), default=None)
    if here is None or here.fails or _remaining(last, now) <= WORTH * _expected(here, lanes):
        return None
    return last, here


def _is_overdue(errand: Errand, now: float) -> bool:
    """Whether a request has taken much longer than is usual where it is."""
    assert errand.lane is not None
    return now - errand.since > OVERDUE * errand.lane.pacing.seconds


def _remaining(errand: Errand, now: float) -> float:
    """Seconds that a request may still take: as long as it has taken already, if that is more than usual there."""
    assert errand.lane is not None
    usual, passed = errand.lane.pacing.seconds, now - errand.since
    return max(usual - passed, 0.0) if passed < usual else passed
