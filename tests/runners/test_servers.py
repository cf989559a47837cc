"""Servers before anything is asked: their addresses, what is learnt of them; and choices by the tokens they tell of."""

import pytest

from tests.support.chat_server import ChatServer, free_port
from vlmcli.errors import ModelError, RequestError, UsageError
from vlmcli.runners import likelihood, servers
from vlmcli.tasks import decide
from vlmcli.values import Request, Token

BASE = 0.01
"""Seconds before the second try."""
YES_NO = (decide.YES, decide.NO)


# ---------------------------------------------------------------------------------------------- addresses and models


@pytest.mark.parametrize(("text", "urls"), [
    ("http://localhost:8080/v1", ["http://localhost:8080"]), ("http://a.b/v1/", ["http://a.b"]),
    ("https://openrouter.ai/api/v1", ["https://openrouter.ai/api"]), ("http://[::1]:80", ["http://[::1]"]),
    ("http://a:1, http://b:2 http://a:1/v1", ["http://a:1", "http://b:2"]), ("", []),
    ("https://x.y:443", ["https://x.y"]), ("HTTP://LocalHost:8080", ["http://localhost:8080"]),
])  # fmt: skip
def test_addresses_are_written_with_or_without_v1(text, urls):
    assert servers.addresses(text) == urls


@pytest.mark.parametrize("text", [
    "localhost:8080", "ftp://a", "http://", "http://a:0", "http://a:99999", "http://a b", "http://u:p@a", "http://a?q=1",
    "http://a/#x", "file:///etc/passwd", "http://a\\b", "http://[::1", "http://a%2fb", "8080",
])  # fmt: skip
def test_what_is_not_the_address_of_a_server_is_an_error(text):
    with pytest.raises(UsageError) as caught:
        servers.addresses(text)
    assert "p@a" not in str(caught.value)


@pytest.mark.parametrize(("host", "own"), [
    ("127.0.0.1", True), ("127.8.9.1:99", True), ("localhost", True), ("[::1]:1", True), ("10.0.0.1", False),
    ("0.0.0.0", False), ("localhost.evil.com", False), ("[::ffff:127.0.0.1]", False), ("127.1", False),
    ("2130706433", False), ("0x7f000001", False), ("api.openai.com", False), ("127.0.0.1.nip.io", False),
])  # fmt: skip
def test_only_this_machine_s_own_addresses_are(host, own):
    assert servers.is_loopback(f"http://{host}") is own


def looked(*urls, named="", usual="", key=""):
    told = []
    return servers.look(
        [getattr(one, "url", one) for one in urls], named, usual, lambda _: key, told.append, BASE
    ), told


def test_what_runs_at_an_address():
    with ChatServer(None, own=True) as own, ChatServer(None, props=True) as llama, ChatServer(None) as other:
        found, told = looked(own, llama, other)
    assert [server.kind for server in found.servers] == ["vlm", "llama", "other"]
    assert (found.model, told) == ("demo", [])
    assert found.card["boxes"] == "0-1000"


def test_the_model_is_the_one_that_is_named_or_the_usual_one_or_the_first():
    with ChatServer(None, models=("a", "b")) as server, ChatServer(None, models=("b",)) as second:
        assert looked(server)[0].model == "a"
        assert looked(server, usual="b")[0].model == "b"
        assert looked(server, usual="x")[0].model == "a"
        assert looked(server, named="x", usual="b")[0].model == "x"
        found, told = looked(server, second)
        assert found.away == ()  # it does answer
        assert [one.url for one in found.servers] == [server.url]
        assert told == [f"{second.url} does not have the model a; it is left out"]


def test_servers_that_cannot_be_looked_at():
    away = f"http://127.0.0.1:{free_port()}"
    with ChatServer(None, key="k") as closed, ChatServer(None) as server, ChatServer(None, models=()) as empty:
        found, told = looked(away, server)
        assert [one.url for one in found.servers] == [server.url]
        assert told == [f"{away} cannot be reached (connection refused); it is left out until it answers"]
        assert found.away == (away,)
        with pytest.raises(ModelError, match="cannot be reached"):
            looked(away)
        with pytest.raises(ModelError, match="needs a key"):
            looked(closed)
        with pytest.raises(ModelError, match="does not accept the key"):
            looked(closed, key="z")
        with pytest.raises(ModelError, match="lists no model"):
            looked(empty)
        assert looked(closed, key="k")[0].model == "demo"


# ---------------------------------------------------------------------------------------------- choices


def chosen(choices, whole, *others):
    request = Request((), choices=choices, whole=whole)
    return [one.logprob for one in likelihood.scores(request, Token(b"", 0.0, others), "http://x")]


def test_the_spellings_of_a_choice_are_summed_and_what_is_not_listed_is_less_likely_than_the_last():
    found = chosen(YES_NO, False, (b" Yes", -0.5), (b"yes", -1.5), (b"maybe", -3.0), (b"?", -9.0))
    assert found == [pytest.approx(-0.186738, abs=1e-5), -9.0]
    assert chosen(YES_NO, False, (b"Well", -0.1), (b"No doubt", -2.0)) == [float("-inf")] * 2


def test_choices_that_begin_alike_are_not_compared_by_their_first_tokens():
    numbers = (("1",), ("10",), ("2",))
    with pytest.raises(RequestError, match="begin alike"):
        chosen(numbers, True, (b"1", -0.1), (b"2", -2.5))
    found = chosen(numbers, True, (b"2", -0.01), (b"10", -3.0), (b"1", -9.0), (b"x", -12.0))
    assert found == [-12.0, pytest.approx(-3.0), pytest.approx(-0.01)]


def test_a_server_that_is_loading_is_waited_for():
    with ChatServer(None) as server:
        server.busy = 2
        assert looked(server)[0].model == "demo"
        server.busy = 99
        with pytest.raises(ModelError, match="loading"):
            looked(server)
        with ChatServer(None) as other:
            found, told = looked(server, other)
        assert found.away == (server.url,)
        assert [one.endswith("it is left out until it answers") for one in told] == [True]


def test_where_a_look_is_redirected_nobody_follows():
    with ChatServer(None) as other, ChatServer(None) as server:
        server.moved = f"{other.url}/v1/models?key=secret"
        with pytest.raises(ModelError, match=f"redirects to {other.url}/v1/models") as caught:
            looked(server, key="k")
        assert "secret" not in str(caught.value)
        assert other.headers == []
