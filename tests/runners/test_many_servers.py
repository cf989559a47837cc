"""Several servers: how many requests each gets at once, what becomes of one that dies, and who answers the last."""

import socket
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.chat_server import Answers, ChatServer, Fault, free_port
from tests.support.engines import THREADS, ask, noise, outcomes, texts
from tests.support.program import ANSWER, SCENE
from tests.support.slots import Slots
from tests.support.waiting import until
from vlmcli import demo
from vlmcli.engine import Engine
from vlmcli.errors import RequestError
from vlmcli.pictures import images
from vlmcli.placement import Fit
from vlmcli.runners.pacing import START
from vlmcli.runners.remote import CUTS, Remote
from vlmcli.runners.servers import LOOK_SECONDS
from vlmcli.values import Answer, Delta, Done, Failed, ModelFiles, Notice, Server, no_more, room_of, run

BASE = 0.01
"""Seconds before the second try."""


@pytest.fixture(scope="module")
def answers():
    with Engine(demo.FILES, Fit(n_ctx=4096, threads=THREADS)) as engine:
        engine.ready()
        yield Answers(engine)


@contextmanager
def remote(*chat_servers, kind="other", away=(), **how):
    servers = tuple(Server(one.url, kind) for one in chat_servers)
    files = ModelFiles("demo", None, None, demo.CARD, servers=servers, away=away)
    with Remote(files, **{"base": BASE, **how}) as runner:
        yield runner


def quiet(question="what is this?", picture=None, **more):
    """A request of which nobody sees a part."""
    return ask(question, picture or noise(0, (32, 32)), stream=False, **more)


# ---------------------------------------------------------------------------------------------- pace


# How near the number comes to the best one is in test_pacing, with a time of its own. Here it is seen at the server
# that the number goes up and down at all, where this machine's own speed does not matter.


def test_a_server_that_lets_requests_wait_gets_fewer_at_once():
    with Slots(1, 0.06) as server, remote(server, concurrency=START) as runner:
        found = outcomes(runner, [quiet() for _ in range(90)])
        (share,) = runner.shares
    assert {one.text for one in found} == {"yes"}
    assert max(server.seen) == START
    late = server.seen[60:-START]
    assert sum(late) / len(late) < START - 0.5
    assert share.answers == server.answered == 90


def test_a_server_that_answers_many_together_gets_more_at_once():
    with Slots(1000, 0.5) as server, remote(server) as runner:
        assert (room_of(runner), len(runner.shares)) == (2 * START, 1)
        outcomes(runner, [quiet() for _ in range(50)])
        assert max(server.seen) > START
        assert room_of(runner) > 2 * START
    with Slots(1000, 0.02) as server, remote(server, concurrency=3) as runner:
        outcomes(runner, [quiet() for _ in range(60)])
        assert max(server.seen) == 3


def test_a_server_that_refuses_some_gets_fewer_and_no_request_is_lost():
    with Slots(1000, 0.03, most=START - 1) as server, remote(server) as runner:
        found = outcomes(runner, [quiet() for _ in range(60)])
        assert {one.text for one in found} == {"yes"}
        assert 0 < server.refused < 20
        assert server.answered == 60


def test_of_two_servers_the_quicker_one_answers_more():
    with Slots(4, 0.02) as quick, Slots(4, 1.0) as slow, remote(quick, slow) as runner:
        outcomes(runner, [quiet() for _ in range(60)])
        assert quick.answered + slow.answered == 60
        assert quick.answered > 2 * slow.answered > 0


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


# ---------------------------------------------------------------------------------------------- servers that come late


def nowhere():
    """A port where no server is yet, and its address."""
    port = free_port()
    return port, f"http://127.0.0.1:{port}"


def told(runner, requests):
    """What was said while requests were answered."""
    return [event.text for _, event in run(runner, requests) if isinstance(event, Notice)]


def test_a_server_that_was_away_gets_requests_once_it_answers(answers):
    port, url = nowhere()
    with ChatServer(answers) as first, remote(first, away=(url,)) as runner:
        assert texts(outcomes(runner, [quiet()] * 4)) == texts(outcomes(runner, [quiet()])) * 4
        assert [one.name for one in runner.shares] == [first.url]
        with ChatServer(answers, port=port) as second:
            until(lambda: len(runner.shares) == 2)
            assert told(runner, [quiet(picture=noise(n, (32, 32))) for n in range(30)]) == [
                f"{url} answers now, and gets requests, too"
            ]
            assert first.bodies
            assert second.bodies
            assert [one.name for one in runner.shares] == [first.url, url]


def test_a_server_that_was_away_must_have_the_model(answers):
    port, url = nowhere()
    second = ChatServer(answers, port=port, models=("another",))
    with ChatServer(answers) as first, second, remote(first, away=(url,)) as runner:
        until(lambda: len(second.headers) > 4)
        assert len(runner.shares) == 1
        second.models = ("another", "demo")
        until(lambda: len(runner.shares) == 2)


def test_a_server_that_was_away_must_be_one_like_the_others(answers):
    port, url = nowhere()
    with ChatServer(answers) as first, ChatServer(answers, port=port, props=True) as second:
        with remote(first, away=(url,)) as runner:
            heard = []
            until(lambda: heard.extend(told(runner, [quiet()])) or heard)
            assert heard == [f"{url} answers now, but not as the other servers do; it is left out"]
            assert len(runner.shares) == 1
        assert not second.bodies


def test_a_runner_does_not_wait_at_its_end_for_what_hangs(answers):
    with socket.create_server(("127.0.0.1", 0)) as silent, ChatServer(answers) as first:  # takes, and says nothing
        with remote(first, away=(f"http://127.0.0.1:{silent.getsockname()[1]}",)) as runner:
            connection, _ = silent.accept()
            outcomes(runner, [quiet()])
            began = time.monotonic()
        assert time.monotonic() - began < LOOK_SECONDS / 2
        connection.close()
