"""How many requests a server gets at once, learned from how long its answers take. Pure: time is a parameter.

A server does not say how many requests it works on. One may answer 32 together in hardly more time than one (vLLM);
another has four slots, and lets the rest wait without a word (llama-server), so that more requests at once only take
longer. So a `Pacing` counts the answers per second with so many requests under way, tries other numbers from time to
time, and compares: a number is better if the answers become more frequent in proportion.

The unit of measurement is a round: three answers for each request that may be under way, counted from the moment in
which so many are. If the work runs out before, nothing is learned.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

START = 4
"""Requests at once at the beginning."""
BOUND = 32
"""Requests at once that are learned at most, where nobody has said how many there may be."""
ANSWERS, LEAST = 3, 12
"""Answers in a round: so many for each request that may be under way, and so many at least."""
FULL = 0.8
"""A round counts if on average this share of the requests that may be under way were."""
PROPORTIONAL, WORTH, IDLE = 0.85, 0.4, 0.3
"""What more requests at once give: 1 is answers in proportion, 0 none at all. From the first number on, more are
tried at once; from the second on, the number grows; below the third, fewer are as good."""
JUMP = 2.0
"""Requests take so many times as long as the best ones with as many at once: the number is halved."""
HOLD, LONGEST = 4, 32
"""Rounds before another number is tried; twice as many whenever that was in vain, up to the second number."""
SHARE = 0.3
"""What the last answer counts in the time that an answer takes."""


@dataclass
class Pacing:
    """One server's pace.

    Attributes:
        most: requests at once that there may be.
        limit: requests at once that there may be now.
        under_way: requests that are.
        answers: how many have been given.
        seconds: that an answer takes now, most of all the last ones; 0 before the first.
    """

    most: int = BOUND
    limit: int = 0
    under_way: int = 0
    answers: int = 0
    seconds: float = 0.0

    def __post_init__(self) -> None:
        self.limit = self.limit or min(START, self.most)
        self._ceiling = self.most  # below a number that was refused
        self._known: tuple[int, float] | None = None  # a number that was measured last, and answers per second with it
        self._best: dict[int, float] = {}  # the fewest seconds of a request, by the limit
        self._doubling, self._down, self._grown = True, False, False
        self._hold, self._held = 0, 0  # rounds to wait before another number is tried, and rounds waited
        self._changed = -math.inf
        self._full: float | None = None  # since when as many are under way as may be
        self._forget()

    # ------------------------------------------------------------------------------------------ what happens

    def begun(self, now: float) -> None:
        """A request is sent."""
        self._pass(now)
        self.under_way += 1
        if self._full is None and self.under_way == self.limit:
            self._full = self._last = now

    def answered(self, began: float, now: float) -> None:
        """A request that was sent at a time has been answered. All times are seconds of one clock."""
        self.ended(now)
        took = max(1e-6, now - began)
        self.seconds = took if not self.seconds else self.seconds + SHARE * (took - self.seconds)
        self.answers += 1
        if self._full is None or began < self._full:
            return
        self._counted += 1
        self._took += took
        if self._counted >= max(LEAST, ANSWERS * self.limit):
            held, mean = self._area / (now - self._full), self._took / self._counted
            if held >= FULL * self.limit:
                self._learn(held / mean, mean, now)
            else:
                self._forget()

    def ended(self, now: float) -> None:
        """A request has ended; by itself this says nothing about the server."""
        self._pass(now)
        self.under_way -= 1

    def refused(self, began: float, now: float) -> None:
        """A request that was sent at a time was too much: half as many at once from now on, once for all of them."""
        if began < self._changed:
            return
        self._ceiling = max(1, min(self._ceiling, self.limit) - 1)
        self._halve(now)

    def lost(self, now: float) -> None:
        """The server is gone. It may be another one when it is back, and its pace is learned again."""
        self._known, self._best, self._doubling, self._down, self._grown = None, {}, True, False, False
        self._hold = self._held = 0
        self._ceiling = self.most
        self._to(START, now)

    # ------------------------------------------------------------------------------------------ what is learned

    def _pass(self, now: float) -> None:
        if self._full is not None:
            self._area += self.under_way * (now - self._last)
            self._last = now

    def _forget(self) -> None:
        """Begin a round."""
        self._full = None
        self._counted, self._took, self._area, self._last = 0, 0.0, 0.0, 0.0

    def _to(self, limit: int, now: float) -> None:
        self.limit = max(1, min(limit, self._ceiling))
        self._changed = now
        self._forget()

    def _halve(self, now: float) -> None:
        self._known, self._best, self._doubling, self._down = None, {}, False, False
        self._hold = self._held = 0
        self._to(self.limit // 2, now)

    def _learn(self, rate: float, seconds: float, now: float) -> None:
        """A round is over, in which there were so many answers per second, and a request took so many."""
        self._forget()
        if seconds > JUMP * self._best.get(self.limit, math.inf):
            self._halve(now)
            return
        self._best[self.limit] = min(seconds, self._best.get(self.limit, math.inf))
        known = self._known
        if known is None or known[0] == self.limit:
            self._known = (self.limit, rate)
            self._held += 1
            if self._held > self._hold:
                self._try(now)
        elif self.limit > known[0]:
            self._judge_more(known, rate, now)
        else:
            self._judge_fewer(known, rate, now)

    def _try(self, now: float) -> None:
        """Try another number: a larger one if there may be, else a smaller one."""
        self._held = 0
        step = self.limit if self._doubling else max(1, self.limit // 4)
        if self.limit == self._ceiling < self.most:  # what was refused once may be possible now
            self._ceiling += max(1, self._ceiling // 4)
        if not self._down and self.limit < min(self._ceiling, self.most):
            self._to(min(self.limit + step, self.most), now)
        elif self.limit > 1 and not self._grown:
            self._to(self.limit - max(1, self.limit // 4), now)
        else:
            self._rest()

    def _rest(self) -> None:
        """Stay with this number for a while."""
        self._down = self._grown = self._doubling = False
        self._hold = min(max(HOLD, 2 * self._hold), LONGEST)

    def _judge_more(self, known: tuple[int, float], rate: float, now: float) -> None:
        gain = math.log(rate / known[1]) / math.log(self.limit / known[0])
        if gain >= PROPORTIONAL:
            self._known, self._grown, self._hold = (self.limit, rate), True, 0
            self._try(now)
            return
        self._doubling = False
        if gain >= WORTH:
            self._grown, self._hold, self._known = True, 0, None
            self._to(max(known[0] + 1, round(known[0] * rate / known[1])), now)
            return
        self._to(known[0], now)
        if self._grown:
            self._rest()
        else:
            self._down = True
            self._try(now)

    def _judge_fewer(self, known: tuple[int, float], rate: float, now: float) -> None:
        gain = math.log(known[1] / rate) / math.log(known[0] / self.limit)
        if gain < IDLE:
            self._known, self._hold, self._down = (self.limit, rate), 0, True
            self._try(now)
            return
        self._to(known[0], now)
        self._rest()
