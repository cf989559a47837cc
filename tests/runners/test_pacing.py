"""How many requests a server gets at once, and which server gets the next one: pure, with a time of its own."""

import heapq
import random
from collections import Counter
from types import SimpleNamespace

import pytest

from vlmcli.runners.lanes import MOVES, Errand, Lane, next_lane, taken_over
from vlmcli.runners.pacing import BOUND, START, Pacing
from vlmcli.values import Server


class Simulated:
    """A server with slots, in which a request takes so many seconds; the others wait in line. Its clock is `now`."""

    def __init__(self, slots, seconds=lambda busy: 1.0, most=1 << 30, jitter=0.0):
        self.slots, self.seconds, self.most, self.jitter = slots, seconds, most, jitter
        self.now, self.busy, self.refused = 0.0, 0, 0
        self.line, self.ends, self.random = [], [], random.Random(1)

    def _serve(self, began):
        self.busy += 1
        took = self.seconds(self.busy) * self.random.uniform(1 - self.jitter, 1 + self.jitter)
        heapq.heappush(self.ends, (self.now + took, self.random.random(), began))

    def take(self, pacing):
        """Send requests until it has as many as it shall have."""
        while pacing.under_way < pacing.limit:
            pacing.begun(self.now)
            if self.busy + len(self.line) >= self.most:
                self.refused += 1
                pacing.ended(self.now)
                pacing.refused(self.now, self.now)
            elif self.busy < self.slots:
                self._serve(self.now)
            else:
                self.line.append(self.now)

    def run(self, pacing, answers, given=1 << 30):
        """Let it answer; it is never given more than so many at once. Returns the limit after each answer."""
        limits = []
        self.take(Scarce(pacing, given))
        for _ in range(answers):
            self.now, _, began = heapq.heappop(self.ends)
            self.busy -= 1
            if self.line:
                self._serve(self.line.pop(0))
            pacing.answered(began, self.now)
            self.take(Scarce(pacing, given))
            limits.append(pacing.limit)
        return limits


class Scarce:
    """A pacing whose work comes in smaller numbers than it could have."""

    def __init__(self, pacing, given):
        self._pacing, self._given = pacing, given

    def __getattr__(self, name):
        return getattr(self._pacing, name)

    @property
    def limit(self):
        return min(self._pacing.limit, self._given)


def usual(limits):
    """The limit of most answers."""
    return Counter(limits).most_common(1)[0][0]


@pytest.mark.parametrize("jitter", [0.0, 0.1])
@pytest.mark.parametrize("slots", [1, 2, 3, 4, 5, 6, 8, 12, 16])
def test_a_server_with_slots_that_says_nothing_gets_as_many_as_it_has(slots, jitter):
    pacing = Pacing()
    limits = Simulated(slots, jitter=jitter).run(pacing, 2500)
    assert abs(usual(limits[800:]) - slots) <= 1
    assert max(limits[800:]) <= slots * 1.5 + 2  # also while it tries others


def test_a_server_that_answers_many_together_gets_many_soon():
    limits = Simulated(1000).run(Pacing(), 400)
    assert limits.index(BOUND) < 120
    assert limits[-1] == BOUND
    slowly = Simulated(1000, lambda busy: 1 + busy / 64).run(Pacing(), 1000)
    assert usual(slowly[500:]) >= 24


def test_where_more_at_once_only_take_longer_the_number_stays_small():
    limits = Simulated(1000, lambda busy: busy / 4).run(Pacing(), 600)
    assert usual(limits[200:]) <= START


@pytest.mark.parametrize("most", [1, 2, 10])
def test_the_user_s_number_is_the_most(most):
    limits = Simulated(1000).run(Pacing(most), 500)
    assert max(limits) == most == limits[-1]


def test_a_server_that_refuses_gets_half_as_many_at_once_and_more_later():
    pacing, server = Pacing(), Simulated(1000, most=20)
    limits = server.run(pacing, 3000)
    first = next(number for number, limit in enumerate(limits) if limit > 12)
    assert 10 <= usual(limits[first:]) <= 20
    assert max(limits) <= BOUND
    assert server.refused < 30


def test_all_that_is_refused_together_halves_the_number_once():
    pacing = Pacing(limit=16)
    for _ in range(16):
        pacing.begun(1.0)
    for _ in range(16):
        pacing.ended(2.0)
        pacing.refused(1.0, 2.0)
    assert pacing.limit == 8


def test_where_the_work_runs_out_nothing_is_learned():
    pacing = Pacing()
    limits = Simulated(1000).run(pacing, 500, given=2)
    assert set(limits) == {START}
    assert pacing.answers == 500
    pacing, server = Pacing(), Simulated(1000)
    for _ in range(50):  # for a moment there is enough
        assert server.run(pacing, 1) == [START]
        assert set(server.run(pacing, 19, given=1)) == {START}


def test_a_server_that_suddenly_takes_twice_as_long_gets_half_as_many():
    pacing, pace = Pacing(), [1.0]
    server = Simulated(1000, lambda busy: pace[0])
    assert server.run(pacing, 400)[-1] == BOUND
    pace[0] = 3.0
    limits = server.run(pacing, 300)
    assert min(limits) <= BOUND // 2
    assert server.run(pacing, 2000)[-1] > BOUND // 2  # and again more, as it can


def test_a_server_that_was_gone_begins_as_at_first():
    pacing, server = Pacing(), Simulated(1000)
    server.run(pacing, 400)
    pacing.lost(server.now)
    assert pacing.limit == START


# ---------------------------------------------------------------------------------------------- which server


def lane(name, seconds=0.0, under_way=0, limit=4, **more):
    pacing = Pacing(limit=limit)
    pacing.seconds = seconds
    return Lane(Server(f"http://{name}"), SimpleNamespace(), "", pacing, under_way, **more)


def test_the_server_with_the_fewest_under_way_is_next_and_of_those_the_quicker():
    a, b = lane("a", under_way=1), lane("b")
    assert next_lane([a, b], 0.0) is b
    quick, slow = lane("quick", 1.0, 2), lane("slow", 5.0, 0)
    assert next_lane([quick, slow], 0.0) is quick
    quick.under_way = 4  # it has no room: the slow one works, too
    assert next_lane([quick, slow], 0.0) is slow
    slow.under_way = 4
    assert next_lane([quick, slow], 0.0) is None


def test_a_server_that_has_failed_rests_and_is_tried_with_one_request():
    resting = lane("a", rest=10.0, fails=1)
    assert next_lane([resting], 9.0) is None
    assert next_lane([resting], 10.0) is resting
    resting.under_way = 1
    assert next_lane([resting], 10.0) is None


def test_a_quick_server_takes_over_what_a_slow_one_would_still_work_on_for_long():
    quick, slow = lane("quick", 1.0), lane("slow", 10.0, 2)
    new, old = Errand(slow, since=9.0), Errand(slow, since=1.0)
    assert taken_over([quick, slow], [old, new], 10.0) == (new, quick)
    assert taken_over([quick, slow], [old], 10.0) is None  # it is nearly ready there
    shown = Errand(slow, since=9.0, moves=MOVES)
    assert taken_over([quick, slow], [shown], 10.0) is None
    silent = lane("silent", under_way=1)  # which has never answered
    assert taken_over([quick, silent], [Errand(silent, since=9.5)], 10.0) is None
    assert taken_over([quick, silent], [hung := Errand(silent, since=0.0)], 10.0) == (hung, quick)
    hung = lane("hung", 0.5, 1)  # it has room, and would be the quickest if it answered
    stuck = Errand(hung, since=0.0)
    assert taken_over([quick, hung], [stuck], 10.0) == (stuck, quick)
    late = Errand(hung, since=7.0)
    assert taken_over([slow, hung], [new, late], 10.0) is None
    assert taken_over([slow, quick, hung], [new, late], 10.0) == (new, quick)
    busy = lane("busy", 1.0, 4)
    assert taken_over([busy, slow], [new], 10.0) is None
