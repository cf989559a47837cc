"""Several servers: how many requests each gets at once, what becomes of one that dies, and who answers the last."""

from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.chat_server import Answers, ChatServer, Fault
from tests.support.engines import THREADS, ask, noise, outcomes, texts
from tests.support.program import ANSWER, SCENE
from tests.support.slots import Slots
from vlmcli import demo
from vlmcli.engine import Engine
from vlmcli.errors import RequestError
from vlmcli.pictures import images
from vlmcli.placement import Fit
from vlmcli.runners.remote import CUTS, Remote
from vlmcli.values import Answer, Delta, Done, Failed, ModelFiles, Notice, Server, no_more, run

BASE = 0.01
"""Seconds before the second try."""


@pytest.fixture(scope="module")
def answers():
    with Engine(demo.FILES, Fit(n_ctx=4096, threads=THREADS)) as engine:
        engine.ready()
        yield Answers(engine)


@contextmanager
def remote(*chat_servers, kind="other", **how):
    files = ModelFiles("demo", None, None, demo.CARD, servers=tuple(Server(one.url, kind) for one in chat_servers))
    with Remote(files, **{"base": BASE, **how}) as runner:
        yield runner


def quiet(question="what is this?", picture=None, **more):
    """A request of which nobody sees a part."""
    return ask(question, picture or noise(0, (32, 32)), stream=False, **more)


# ---------------------------------------------------------------------------------------------- pace


@pytest.mark.parametrize(("slots", "requests", "fewest", "most"), [(2, 220, 1.0, 3.2), (6, 180, 4.5, 8.0)])
def test_a_server_with_few_slots_is_not_given_many_more(slots, requests, fewest, most):
    with Slots(slots, 0.04 if slots == 2 else 0.1) as server, remote(server) as runner:
        found = outcomes(runner, [quiet() for _ in range(requests)])
        (share,) = runner.shares
    assert {one.text for one in found} == {"yes"}
    late = server.seen[requests // 2 : -slots]
    assert fewest <= sum(late) / len(late) <= most
    assert share.answers == len(found)


def test_a_server_that_answers_many_together_gets_many():
    with Slots(1000, 0.1) as server, remote(server) as runner:
        outcomes(runner, [quiet() for _ in range(120)])
        assert max(server.seen) > 12
        assert runner.wants > 24
    with Slots(1000, 0.02) as server, remote(server, concurrency=3) as runner:
        outcomes(runner, [quiet() for _ in range(100)])
        assert max(server.seen) == 3


def test_a_server_that_refuses_some_gets_fewer_and_no_request_is_lost():
    with Slots(1000, 0.03, most=6) as server, remote(server) as runner:
        found = outcomes(runner, [quiet() for _ in range(150)])
        assert {one.text for one in found} == {"yes"}
        assert 0 < server.refused < 40
        assert server.answered == 150


def test_of_two_servers_the_quicker_one_answers_more():
    with Slots(4, 0.01) as quick, Slots(4, 0.1) as slow, remote(quick, slow) as runner:
        outcomes(runner, [quiet() for _ in range(200)])
        assert quick.answered + slow.answered == 200
        assert quick.answered > 3 * slow.answered > 0


# ---------------------------------------------------------------------------------------------- a server that dies


def cut_in_the_middle(question="what is this?"):
    """A request whose answer comes in pieces to this program only, which ends loops itself."""
    return quiet(question, images.load(Path(SCENE)), end_loops=True)


def test_an_answer_that_breaks_off_is_asked_again_elsewhere_where_nobody_has_seen_it(answers):
    with ChatServer(answers) as dying, ChatServer(answers) as other, remote(dying, other, concurrency=1) as runner:
        dying.faults.append(Fault(cut=2))
        other.faults.append(Fault(times=99, wait=0.05))
        seen = list(run(runner, [cut_in_the_middle() for _ in range(6)]))
        assert dying.answered + other.answered >= 6
    ended = [event for _, event in seen if isinstance(event, Done | Failed)]
    assert texts([one.answer for one in ended]) == [ANSWER.strip()] * 6
    assert not any(isinstance(event, Delta) for _, event in seen)
    told = [event.text for _, event in seen if isinstance(event, Notice)]
    cut = f"{dying.url} closed the connection in the middle of the answer"
    assert told[0] == f"{cut}; its requests go to the other servers"


def test_a_single_server_is_asked_again_too(answers):
    with ChatServer(answers) as server, remote(server) as runner:
        server.faults.append(Fault(times=CUTS - 1, cut=2))
        assert texts(outcomes(runner, [cut_in_the_middle()])) == [ANSWER.strip()]


def test_a_request_under_which_servers_die_again_and_again_is_given_up_and_the_others_are_not(answers):
    with ChatServer(answers) as server, remote(server, concurrency=1) as runner:
        server.faults.append(Fault(times=CUTS, cut=2))
        bad, good = outcomes(runner, [cut_in_the_middle(), cut_in_the_middle()])
    assert isinstance(bad, RequestError)
    assert "in the middle of the answer" in bad.message
    assert isinstance(good, Answer)


def test_a_server_that_has_gone_silent_is_replaced_by_another(answers):
    with ChatServer(answers) as silent, ChatServer(answers) as other, remote(silent, other, patience=0.5) as runner:
        silent.faults.append(Fault(times=99, wait=5.0))
        found = outcomes(runner, [quiet(picture=images.load(Path(SCENE))) for _ in range(6)])
    assert texts(found) == [ANSWER.strip()] * 6


# ---------------------------------------------------------------------------------------------- the last ones


def test_the_last_requests_are_taken_over_from_a_server_that_would_take_long():
    with Slots(4, 0.02) as quick, Slots(4, 600.0) as stuck, remote(quick, stuck) as runner:
        ids = {runner.submit(quiet()) for _ in range(40)}
        no_more(runner)
        for event in runner.events():
            ids -= {event.id} if isinstance(event, Done) else set()
            if not ids:
                break
        assert (quick.answered, stuck.answered) == (40, 0)
        assert stuck.seen  # it had some


def test_what_somebody_reads_as_it_comes_is_not_taken_over():
    with Slots(4, 0.02) as quick, Slots(4, 1.0) as slow, remote(quick, slow) as runner:
        ids = {runner.submit(ask("what?", noise(0, (32, 32)))) for _ in range(12)}
        no_more(runner)
        for event in runner.events():
            ids -= {event.id} if isinstance(event, Done) else set()
            if not ids:
                break
        assert slow.answered > 0
        assert quick.answered + slow.answered == 12
