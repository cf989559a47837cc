"""The scheduler against a cache of lists: what it believes is there is there, and everything is answered."""

import random

import pytest

from tests.support.fakes import FakeCache
from vlmcli.engine.plan import PictureSegment, Plan, TextSegment, picture_key
from vlmcli.engine.scheduler import LATELY, SOON, Scheduler


def picture(name, rows=20, bidirectional=False):
    return PictureSegment(0, 0, picture_key(name, 0, rows, None), rows, rows, None, bidirectional)


def plan(*parts):
    return Plan([TextSegment(part) if isinstance(part, tuple) else part for part in parts])


class World:
    """A scheduler and a cache, driven as the engine drives them."""

    def __init__(self, n_ctx=300, n_batch=32, n_seq=6, n_parallel=4, can_roll_back=True, first_rows_only=False,
                 crowd=0):  # fmt: skip
        self.scheduler = Scheduler(n_ctx, n_batch, n_seq, n_parallel, can_roll_back, first_rows_only, crowd)
        self.cache = FakeCache(n_ctx, n_seq, can_roll_back)
        self.expected = {}
        self.left = {}
        self.computed = 0
        self.reused = {}
        self.done = []

    def ask(self, id, plan, tokens=3, on_disk=0):
        self.expected[id] = plan.identities.tolist()
        self.left[id] = tokens
        return self.scheduler.enqueue(id, plan, tokens, False, lambda: on_disk)

    def turn(self):
        for admission in self.scheduler.admit():
            self.cache.seat(admission)
            self.reused[admission.ticket.id] = admission.ticket.row
        moved = False
        for step in (self.scheduler.row_step(lambda ticket: True), self.scheduler.token_step()):
            if step is None:
                continue
            moved = True
            for ticket, rows, *_ in step.takes:
                whole = [*ticket.plan.identities.tolist(), *ticket.answered]
                self.cache.append(ticket.seat.seq, whole[ticket.row : ticket.row + rows])
                self.computed += rows
            assert sum(take[1] for take in step.takes) <= self.scheduler.n_batch
            for source, target in self.scheduler.commit((take[0], take[1]) for take in step.takes):
                self.cache.sequences[target] = list(self.cache.sequences[source])
            for ticket, _, output, *rest in step.takes:
                if not rest and output is not None:
                    self.pick(ticket)
        return moved

    def pick(self, ticket):
        assert self.cache.holds(ticket.seat.seq) == self.expected[ticket.id]
        self.left[ticket.id] -= 1
        if self.left[ticket.id] == 0 or ticket.full:
            self.scheduler.leave(ticket)
            self.done.append(ticket.id)
            return
        token = 1000 + len(self.expected[ticket.id])
        self.expected[ticket.id].append(token)
        self.scheduler.picked(ticket, token)

    def run(self):
        for _ in range(10_000):
            if not self.turn() and not self.scheduler.waiting and not self.scheduler.active:
                return self
        raise AssertionError("it never ends")


@pytest.mark.parametrize("can_roll_back", [True, False])
def test_a_picture_that_four_ask_about_is_computed_once(can_roll_back):
    world = World(can_roll_back=can_roll_back, n_seq=8)
    for id in range(4):
        world.ask(id, plan((1, 2), picture("a"), (10 + id, 5)))
    world.run()
    assert world.reused == {0: 0, 1: 22, 2: 22, 3: 22}
    assert world.computed == 24 + 3 * 2 + 4 * 2


@pytest.mark.parametrize("can_roll_back", [True, False])
def test_the_next_question_reuses_the_last_ones_picture(can_roll_back):
    world = World(can_roll_back=can_roll_back)
    for id in range(12):
        world.ask(id, plan((1, 2), picture("a"), (10 + id, 5)))
        world.run()
    assert [world.reused[id] for id in range(12)] == [0] + [22] * 11


def test_where_only_first_rows_have_logits_a_token_is_picked_after_no_others():
    world = World(first_rows_only=True)
    for id, rows in enumerate((1, 2, 9, 40)):
        world.ask(id, plan(tuple(range(rows)), *([picture("a"), (7, id)] if id % 2 else ())))
    steps = []
    token_step = world.scheduler.token_step
    world.scheduler.token_step = lambda: steps.append(token_step()) or steps[-1]
    world.run()
    assert sorted(world.done) == [0, 1, 2, 3]
    for step in filter(None, steps):
        assert not step.logits[int(step.logits.sum()) :].any()


def test_a_conversation_goes_on_where_it_was():
    world = World()
    first = world.ask(0, plan((1, 2), picture("a"), (3, 4)))
    world.run()
    told = world.expected[0]
    world.ask(1, Plan([*first.plan.segments, TextSegment((*told[first.plan.rows :], 1, 7, 8))]))
    world.run()
    assert world.reused[1] == len(told)


def test_different_pictures_do_not_wait_for_each_other():
    world = World()
    for id, name in enumerate("abc"):
        world.ask(id, plan((1, 2), picture(name), (3,)))
    world.turn()
    assert len(world.scheduler.active) == 3


def test_a_request_waits_for_cells_and_never_takes_anothers():
    world = World(n_ctx=100)
    for id in range(5):
        world.ask(id, plan((1, 2), picture(str(id), rows=40), (3,)), tokens=10)
    world.turn()
    assert len(world.scheduler.active) == 1
    world.run()
    assert world.done == [0, 1, 2, 3, 4]


def test_an_answer_ends_where_the_context_ends():
    world = World(n_ctx=40)
    world.ask(0, plan((1, 2), picture("a"), (3,)), tokens=500)
    world.run()
    assert len(world.expected[0]) == 40


def test_bidirectional_pictures_are_never_split():
    world = World(n_batch=30)
    for id, name in enumerate("ab"):
        world.ask(id, plan((1,), picture(name, 20, bidirectional=True), (3,)))
    world.scheduler.admit()
    world.scheduler.commit((ticket, 1) for ticket in world.scheduler.active)
    step = world.scheduler.row_step(lambda ticket: True)
    assert not step.causal
    assert [take[1] for take in step.takes] == [20]


def test_rows_whose_embedding_is_not_there_wait():
    world = World()
    world.ask(0, plan(picture("a"), (3,)))
    world.scheduler.admit()
    assert world.scheduler.row_step(lambda ticket: False) is None
    assert world.scheduler.token_step() is None


def test_a_rewound_request_computes_its_answer_again():
    world = World()
    ticket = world.ask(0, plan((1, 2), picture("a"), (3, 4)), tokens=6)
    while len(ticket.answered) < 3:
        world.turn()
    world.cache.sequences[ticket.seat.seq].clear()
    world.scheduler.requeue(ticket)
    world.run()
    assert world.done == [0]
    assert len(world.expected[0]) == 24 + 5


@pytest.mark.parametrize("can_roll_back", [True, False])
@pytest.mark.parametrize("seed", range(60))
def test_whatever_is_asked_and_cancelled(seed, can_roll_back):
    rng = random.Random(seed)
    n_seq = rng.choice([1, 2, 3, 6])
    world = World(
        n_ctx=rng.choice([90, 200, 400]),
        n_batch=rng.choice([8, 32, 64]),
        n_seq=n_seq,
        n_parallel=rng.randint(1, n_seq),
        can_roll_back=can_roll_back,
    )
    tickets = {}
    cancelled = set()
    for id in range(40):
        pictures = [picture(rng.choice("abcd"), rng.choice([5, 20])) for _ in range(rng.choice([1, 1, 2]))]
        question = tuple(rng.randrange(20, 24) for _ in range(rng.choice([1, 3, 30])))
        tickets[id] = world.ask(id, plan((1, 2), *pictures, question), rng.choice([1, 4, 12]))
        for _ in range(rng.choice([0, 1, 3, 10])):
            world.turn()
        if rng.random() < 0.2:
            victim = rng.choice(list(tickets))
            if victim not in world.done and victim not in cancelled:
                world.scheduler.leave(tickets[victim])
                cancelled.add(victim)
        live = [ticket for ticket in world.scheduler.active if rng.random() < 0.02]
        for ticket in live:
            world.cache.sequences[ticket.seat.seq].clear()
            world.scheduler.requeue(ticket)
    world.run()
    assert sorted([*world.done, *cancelled]) == list(range(40))


def test_a_state_is_put_back_only_where_there_is_room_for_cells_of_its_own():
    """Two prompts share 50 of 60 rows, and each may answer with 10 tokens: 90 cells, but 140 if nothing is shared."""
    one, other = (Plan([TextSegment((*range(50), *range(start, start + 10)))]) for start in (100, 200))
    for n_ctx, room in ((100, False), (139, False), (140, True)):
        scheduler = Scheduler(n_ctx, 64, 4, 2, can_roll_back=True)
        first = scheduler.enqueue(0, one, 10)
        scheduler.admit()
        scheduler.commit([(first, 60)])
        second = scheduler.enqueue(1, other, 10)
        (admission,) = scheduler.admit()
        assert (admission.ticket, second.row) == (second, 50)
        assert scheduler.may_restore(second) == room


def kept(world):
    """How many sequences hold rows that nobody computes any more."""
    return sum(bool(seat.rows) and seat.ticket is None for seat in world.scheduler.seats)


@pytest.mark.parametrize(("crowd", "left"), [(0, 8), (160, 4), (110, 3), (40, 2)])
def test_sequences_that_nobody_waits_for_are_forgotten_but_the_newest(crowd, left):
    """Pictures one after the other leave no more behind than these, so that attention has less to look at.

    Each has 25 cells. The last one was still under way when the others were looked at.
    """
    world = World(n_ctx=3000, n_seq=10, n_parallel=1, crowd=crowd)
    for number in range(8):
        world.ask(number, plan((number, 1), picture(str(number)), (2, 3)))
        world.run()
    assert kept(world) == left


def alone(number):
    """A prompt about a picture of its own; all begin with the same two tokens, as prompts of one template do."""
    return plan((7, 7), picture(str(number)), (2, 3))


def test_what_the_disk_has_too_is_forgotten_when_another_begins():
    """Attention then looks at one picture's cells, however many came before, and whoever else waits."""
    world = World(n_ctx=3000, n_seq=10, n_parallel=1, crowd=40)
    for number in range(8):
        world.ask(number, alone(number))
    while world.turn():
        cells = {serial for seat in world.scheduler.seats for serial in seat.serials}
        assert len(cells) <= alone(0).rows + 3
        for ticket in world.scheduler.active:
            ticket.seat.stored = ticket.row >= 22
    assert len(world.done) == 8


def test_a_question_about_the_same_picture_finds_what_the_disk_has_too():
    world = World(n_ctx=3000, n_seq=10, n_parallel=1)
    for number in range(2):
        world.ask(number, plan((7, 7), picture("same"), (2, 3 + number)))
        while world.turn():
            for ticket in world.scheduler.active:
                ticket.seat.stored = True
    assert world.reused[1] == 23
    assert [seat.stored for seat in world.scheduler.seats if seat.rows] == [True, True]


def test_a_request_waits_where_all_would_be_slower_together():
    world = World(n_ctx=3000, n_seq=10, n_parallel=4, crowd=60)
    for number in range(6):
        world.ask(number, alone(number), tokens=10)
    most = 0
    while world.turn():
        most = max(most, len(world.scheduler.active))
    assert (most, len(world.done)) == (2, 6)  # two prompts have 48 rows, three have 72


def test_questions_about_one_picture_are_no_crowd():
    world = World(n_ctx=3000, n_seq=10, n_parallel=4, crowd=40)
    for number in range(4):
        world.ask(number, plan((7, 7), picture("same"), (2, 3 + number)))
    most = 0
    while world.turn():
        most = max(most, len(world.scheduler.active))
    assert (most, len(world.done)) == (4, 4)


@pytest.mark.parametrize(("on_disk", "together"), [(0, 1), (22, 4)])
def test_what_comes_from_the_disk_need_not_wait_for_others(on_disk, together):
    """It has little to compute but its answer, and each token's batch is shared."""
    world = World(n_ctx=3000, n_seq=10, n_parallel=4, crowd=30)
    for number in range(4):
        world.ask(number, alone(number), tokens=10, on_disk=on_disk)
    most = 0
    while world.turn():
        most = max(most, len(world.scheduler.active))
    assert (most, len(world.done)) == (together, 4)


def test_it_is_looked_for_on_the_disk_once():
    looks = []
    world = World(n_ctx=3000, n_seq=10, n_parallel=4, crowd=30)
    for number in range(2):
        prompt = alone(number)
        world.expected[number], world.left[number] = prompt.identities.tolist(), 10
        world.scheduler.enqueue(number, prompt, 10, False, lambda number=number: looks.append(number) or 0)
    world.run()
    assert looks == [1], "the first had nobody to wait for"


@pytest.mark.parametrize(("pictures", "found"), [(4, 4), (5, 1)])
def test_pictures_that_are_asked_about_again_and_again_are_kept(pictures, found):
    """Three times as many cells are kept of them, though the disk has them, too; the last one is still under way."""
    world = World(n_ctx=3000, n_seq=10, n_parallel=1, crowd=28)
    asked = 0
    for _ in range(3):
        for number in range(pictures):
            world.ask(asked, plan((7, 7), picture(str(number)), (2, 3 + number, 4)))
            while world.turn():
                for ticket in world.scheduler.active:
                    ticket.seat.stored = ticket.row >= 22
            asked += 1
    assert sum(world.reused[id] > 22 for id in range(asked - pictures, asked)) == found


def test_a_picture_that_was_asked_about_again_is_forgotten_after_many_others():
    world = World(n_ctx=6000, n_seq=10, n_parallel=1, crowd=40)
    for id, name in enumerate(["same", "same", *map(str, range(LATELY + 1)), "same"]):
        world.ask(id, plan((7, 7), picture(name), (2, 3)))
        while world.turn():
            for ticket in world.scheduler.active:
                ticket.seat.stored = True
        if id == 10:
            assert kept(world) >= 2
    assert world.reused[id] <= 2


def test_nobody_waits_for_the_end_of_a_long_answer():
    world = World(n_ctx=3000, n_seq=10, n_parallel=4, crowd=30)
    world.ask(0, alone(0), tokens=3 * SOON)
    for _ in range(SOON // 2):
        world.turn()
    world.ask(1, alone(1))
    world.turn()
    assert [ticket.id for ticket in world.scheduler.active] == [0]
    for _ in range(SOON):
        world.turn()
    assert world.done == [1]
    world.run()


def test_what_somebody_waits_for_and_conversations_are_kept():
    world = World(n_ctx=3000, n_seq=10, n_parallel=1, crowd=60)
    talk = world.scheduler
    for number in range(4):
        prompt = plan((number, 1), picture(str(number)), (2, 3))
        world.expected[number], world.left[number] = prompt.identities.tolist(), 3
        talk.enqueue(number, prompt, 3, continues=True)
        world.run()
    for number in range(4, 8):
        world.ask(number, plan((number, 1), picture(str(number)), (2, 3)))
        world.run()
    assert kept(world) == 4 + 2
    world.ask(8, plan((0, 1), picture("0"), (2, 9)))
    world.run()
    assert world.reused[8] >= 22  # the conversation's picture
