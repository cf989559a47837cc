"""Servers as a runner: a real one on this machine, with the demo model behind it, and everything that goes wrong."""

import hashlib
import io
import json
import shutil
import socket
import subprocess
import threading
import time
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from tests.support.chat_server import Answers, ChatServer, Fault, free_port
from tests.support.engines import THREADS, ask, noise, outcomes, texts
from tests.support.program import ANSWER, SCENE
from vlmcli import demo
from vlmcli.engine import Engine
from vlmcli.errors import Cancelled, NoServer, RequestError, SourceError, TimedOut
from vlmcli.pictures import images
from vlmcli.placement import Fit
from vlmcli.runners import servers
from vlmcli.runners.remote import Remote
from vlmcli.tasks import decide
from vlmcli.values import (
    Answer,
    Delta,
    Done,
    Failed,
    Message,
    ModelFiles,
    Notice,
    Picture,
    Request,
    Server,
    Started,
)

BASE = 0.01
"""Seconds before the second try."""


@pytest.fixture(scope="module")
def answers():
    with Engine(demo.FILES, Fit(n_ctx=4096, threads=THREADS, choices=True)) as engine:
        engine.ready()
        yield Answers(engine)


@pytest.fixture(scope="module")
def scene():
    return images.load(Path(SCENE))


@contextmanager
def remote(*chat_servers, kind="vlm", **how):
    """A runner over these servers."""
    found = tuple(Server(getattr(one, "url", one), kind) for one in chat_servers)
    files = ModelFiles("demo", None, None, demo.CARD, servers=found)
    key = how.pop("key", "")
    with Remote(files, lambda _: key, **{"base": BASE, **how}) as runner:
        yield runner


def one(runner, request):
    """What came of a request, and its other events."""
    id, seen = runner.submit(request), []
    for event in runner.events():
        if event.id == id and isinstance(event, Done | Failed):
            return event.answer if isinstance(event, Done) else event.error, seen
        seen.append(event)
    raise AssertionError("the runner has ended")


def local(request):
    with Engine(demo.FILES, Fit(n_ctx=4096, threads=THREADS, choices=True)) as engine:
        return engine.run([request])[0]


# ---------------------------------------------------------------------------------------------- answers


@pytest.mark.parametrize("kind", ["vlm", "other"])
@pytest.mark.parametrize("stream", [True, False])
def test_an_answer_is_the_engine_s_own_whole_or_in_pieces(answers, scene, kind, stream):
    request = ask("what is this?", scene, stream=stream)
    with ChatServer(answers, own=kind == "vlm") as server, remote(server, kind=kind) as runner:
        answer, seen = one(runner, request)
    assert answer.text.strip() == ANSWER.strip()
    assert (answer.finish_reason, answer.model) == ("stop", "demo")
    assert isinstance(seen[0], Started)
    pieces = [event.text for event in seen if isinstance(event, Delta)]
    assert "".join(pieces) == (answer.text if stream else "")
    assert len(pieces) > 3 or not stream
    known = local(request)
    assert answer.usage.answer_tokens == known.usage.answer_tokens
    assert answer.usage.picture_tokens == (known.usage.picture_tokens if kind == "vlm" else 0)
    assert answer.timings.all > 0
    assert answer.seen[0].size == scene.size


def test_the_server_gets_exactly_the_pixels_and_each_picture_is_encoded_once(answers):
    picture, reads = noise(3, (37, 21)), []
    counted = replace(picture, load=lambda: reads.append(1) or picture.pixels())
    request = Request((Message("user", (counted, "and", counted, "what is this?")),), max_tokens=4)
    with ChatServer(answers) as server, remote(server, kind="other") as runner:
        server.faults.append(Fault(status=503))
        assert isinstance(one(runner, request)[0], Answer)
        assert len(reads) == 1  # also though it was sent twice
        for data in server.pictures:
            image = Image.open(io.BytesIO(data))
            assert (image.size, image.tobytes()) == (picture.size, picture.pixels())
        parts = server.bodies[-1]["messages"][0]["content"]
        assert [part["type"] for part in parts] == ["image_url", "text", "image_url", "text"]


def test_what_the_body_says(answers, scene):
    schema = json.dumps({"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]})
    system = Request((Message("system", ("short",)), Message("user", (scene, "what?"))), max_tokens=7, stop=("x",))
    drawn = ask("what?", scene, stream=False, tokens=3)
    drawn = replace(drawn, sampling=replace(drawn.sampling, temperature=0.5, seed=7, repeat_penalty=1.2))
    with ChatServer(answers) as server, remote(server, kind="other") as runner:
        outcomes(runner, [system])
        outcomes(runner, [drawn])
        outcomes(runner, [ask("what?", scene, stream=False, schema=schema, tokens=64)])
        first, second, third = server.bodies
    assert first["messages"][0] == {"role": "system", "content": "short"}
    assert (first["max_tokens"], first["stop"], first["temperature"]) == (7, ["x"], 0.0)
    assert (first["stream"], first["stream_options"]) == (True, {"include_usage": True})
    assert "top_p" not in first
    assert "vlm" not in first
    assert (second["temperature"], second["seed"], second["repeat_penalty"], second["top_k"]) == (0.5, 7, 1.2, 40)
    assert "stream" not in second
    form = third["response_format"]
    assert (form["type"], form["json_schema"]["strict"]) == ("json_schema", True)
    assert form["json_schema"]["schema"] == json.loads(schema)


@pytest.mark.parametrize(("kind", "length"), [("openai", "max_completion_tokens"), ("strict", "max_tokens")])
def test_a_service_gets_no_field_that_it_would_refuse(scene, kind, length):
    from vlmcli.runners.chat_body import body

    drawn = ask("what?", scene)
    drawn = replace(drawn, sampling=replace(drawn.sampling, temperature=0.5, repeat_penalty=1.2))
    fields = json.loads(body(drawn, "gpt", Server("https://a.b", kind), lambda _: "data:,"))
    assert set(fields) == {"model", "messages", length, "temperature", "stream", "stream_options"}


def test_another_vlm_serve_is_told_what_the_protocol_has_no_field_for(answers, scene):
    requests = [
        ask("what?", scene, stream=False, regex="[a-z]{3}"), ask("what?", scene, grammar='root ::= "ab"'),
        ask("what?", scene, end_loops=True), ask("what?", scene, choices=(("a", "A"), ("b",)), whole=False),
    ]  # fmt: skip
    with ChatServer(answers, own=True) as server, remote(server) as runner:
        found = outcomes(runner, requests[:1]) + outcomes(runner, requests[1:2])
        outcomes(runner, requests[2:3])
        outcomes(runner, requests[3:])
        own = [body["vlm"] for body in server.bodies]
    assert [len(found[0].text), found[1].text] == [3, "ab"]
    assert own == [
        {"think": False, "regex": "[a-z]{3}"}, {"think": False, "grammar": 'root ::= "ab"'},
        {"think": False, "end_loops": True}, {"think": False, "choices": [["a", "A"], ["b"]], "whole": False},
    ]  # fmt: skip


@pytest.mark.parametrize("stream", [True, False])
def test_thoughts_come_in_the_tags_of_the_model(answers, scene, stream):
    with ChatServer(answers, think="hm, round") as server, remote(server, kind="other") as runner:
        answer, seen = one(runner, ask("what is this?", scene, stream=stream))
    assert answer.text.strip() == f"<think>hm, round</think>{ANSWER.strip()}"
    assert "".join(event.text for event in seen if isinstance(event, Delta)) == (answer.text if stream else "")


def test_likelihoods_of_tokens_are_the_engine_s(answers, scene):
    request = ask("List the shapes as JSON.", scene, stream=False, logprobs=3)
    with ChatServer(answers, own=True) as server, remote(server) as runner:
        answer, _ = one(runner, request)
        other, seen = one(runner, replace(request, stream=True))
    known = local(request)
    for found in (answer, other):  # the last digits depend on what is computed together
        assert [token.piece for token in found.tokens] == [token.piece for token in known.tokens]
        assert [token.logprob for token in found.tokens] == pytest.approx(
            [token.logprob for token in known.tokens], abs=1e-3
        )
        assert [len(token.others) for token in found.tokens] == [3] * len(known.tokens)
        for token, same in zip(found.tokens, known.tokens, strict=True):
            assert [logprob for _, logprob in token.others] == pytest.approx([one for _, one in same.others], abs=1e-2)
    assert sum(len(event.tokens) for event in seen if isinstance(event, Delta)) == len(answer.tokens)


# ---------------------------------------------------------------------------------------------- choices

YES_NO = (decide.YES, decide.NO)


def test_choices_are_compared_by_another_vlm_serve_as_by_the_engine(answers, scene):
    requests = [ask("Is there a red circle?", scene, choices=YES_NO, whole=False, stream=False),
                ask("What colour is it?", scene, choices=(("red", "Red."), ("blue",)), stream=False)]  # fmt: skip
    with ChatServer(answers, own=True) as server, remote(server) as runner:
        found = outcomes(runner, requests)
    for request, answer in zip(requests, found, strict=True):
        known = local(request)
        assert answer.text == ""
        assert [one.tokens for one in answer.scores] == [one.tokens for one in known.scores]
        expected = pytest.approx([one.logprob for one in known.scores], abs=0.05)
        assert [one.logprob for one in answer.scores] == expected


def test_yes_and_no_are_compared_by_the_likeliest_tokens_of_others(answers, scene):
    asked = ["Is there a red circle?", "Is there a green star?"]
    requests = [ask(text, scene, choices=YES_NO, whole=False, stream=False) for text in asked]
    with ChatServer(answers) as server, remote(server, kind="other") as runner:
        found = outcomes(runner, requests)
        assert {(body["max_tokens"], body["top_logprobs"]) for body in server.bodies} == {(1, 20)}
    for request, answer in zip(requests, found, strict=True):
        known = local(request)
        assert (answer.scores[0].logprob > answer.scores[1].logprob) == (
            known.scores[0].logprob > known.scores[1].logprob
        )
        best = max(range(2), key=lambda number, of=known: of.scores[number].logprob)
        assert answer.scores[best].logprob == pytest.approx(known.scores[best].logprob, abs=0.05)
        assert (answer.finish_reason, answer.text) == ("stop", "")


def test_a_server_that_tells_no_likelihoods_cannot_compare(scene):
    whole = json.dumps({"choices": [{"message": {"content": "yes"}, "finish_reason": "stop"}]}).encode()
    with ChatServer(None) as server, remote(server, kind="other") as runner:
        server.ask = lambda request: pytest.fail("not asked")
        server.faults.append(Fault(garbage=whole))
        error, _ = one(runner, ask("?", scene, choices=YES_NO, whole=False, stream=False))
    assert "logprobs" in error.message
    assert "vlm serve" in error.hint


@pytest.mark.parametrize(("form", "kind", "option"), [
    ({"regex": "a+"}, "other", "--regex"), ({"regex": "a+"}, "llama", "--regex"),
    ({"grammar": 'root ::= "a"'}, "other", "--grammar"),
])  # fmt: skip
def test_a_form_that_a_server_cannot_follow_is_an_error_that_names_the_option(answers, scene, form, kind, option):
    with ChatServer(answers) as server, remote(server, kind=kind) as runner:
        error, _ = one(runner, ask("what?", scene, **form))
        assert server.bodies == []
    assert option in error.message
    assert "vlm serve" in error.hint


def test_llama_server_takes_a_grammar(answers, scene):
    with ChatServer(answers) as server, remote(server, kind="llama") as runner:
        answer, _ = one(runner, ask("what?", scene, grammar='root ::= "ab"'))
    assert answer.text == "ab"


# ---------------------------------------------------------------------------------------------- trouble


@pytest.mark.parametrize("status", [429, 502, 503, 504])
@pytest.mark.parametrize("stream", [True, False])
def test_a_busy_server_is_asked_again(answers, scene, status, stream):
    with ChatServer(answers) as server, remote(server) as runner:
        server.faults.append(Fault(times=3, status=status))
        answer, seen = one(runner, ask("what is this?", scene, stream=stream))
        assert len(server.bodies) == 1
    assert answer.text.strip() == ANSWER.strip()
    assert sum(isinstance(event, Started) for event in seen) == 1


def test_a_server_that_stays_busy_is_given_up_and_its_words_are_shown(answers, scene):
    with ChatServer(answers) as server, remote(server) as runner:
        server.faults.append(Fault(times=99, status=503, message="out of\n\x1b[31mGPUs"))
        error, _ = one(runner, ask("what is this?", scene))
        assert server.faults[0].times == 99 - 5
    assert isinstance(error, RequestError)
    assert error.message == f"{server.url}: out of [31mGPUs"


@pytest.mark.parametrize("asked", ["0.3", "date"])
def test_retry_after_is_respected(answers, scene, asked):
    wait = 0.3 if asked != "date" else 1.0
    with ChatServer(answers) as server, remote(server) as runner:
        after = asked if asked != "date" else time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() + 2.5))
        server.faults.append(Fault(status=429, retry_after=after))
        began = time.monotonic()
        answer, _ = one(runner, ask("what is this?", scene))
        assert isinstance(answer, Answer)
        assert time.monotonic() - began >= wait
        server.faults.append(Fault(status=429, retry_after=100_000))
        error, _ = one(runner, ask("what is this?", scene))
    assert "100000 s" in error.hint


def test_a_connection_that_is_cut_before_an_answer_is_no_answer(answers, scene):
    with ChatServer(answers) as server, remote(server) as runner:
        server.faults.append(Fault(times=2, cut=0))
        answer, _ = one(runner, ask("what is this?", scene))
    assert answer.text.strip() == ANSWER.strip()


def test_a_stream_that_is_cut_is_an_error_and_not_asked_again(answers, scene):
    with ChatServer(answers) as server, remote(server) as runner:
        server.faults.append(Fault(cut=2))
        error, seen = one(runner, ask("what is this?", scene))
        assert len(server.bodies) == 1
    assert "in the middle of the answer" in error.message
    assert sum(isinstance(event, Delta) for event in seen) == 2


@pytest.mark.parametrize("garbage", [
    b"<html>sign in</html>", b"data: {nonsense\n\n", b"\xff\xfe\n", b"data: [1, 2]\n\n",
    b"data: " + b"[" * 100_000 + b"\n\n",
    b'data: {"choices": [{"delta": {"content": "Hel"}}]}\n\n', b"", b'data: {"error": {"message": "no room"}}\n\n',
    b"{}", b"data: [DONE]\n\n", b'{"choices": []}', b'data: {"choices": [7]}\n\ndata: [DONE]\n\n',
])  # fmt: skip
@pytest.mark.parametrize("stream", [True, False])
def test_what_is_not_the_protocol_is_an_error(answers, scene, garbage, stream):
    with ChatServer(answers) as server, remote(server) as runner:
        server.faults.append(Fault(garbage=garbage))
        error, _ = one(runner, ask("what is this?", scene, stream=stream))
        assert isinstance(error, RequestError), error
        assert server.url in error.message
        assert len(server.bodies) == 1
        assert texts(outcomes(runner, [ask("what is this?", scene)])) == [ANSWER.strip()]


def test_numbers_that_are_none_are_not_taken(scene):
    whole = [{"message": {"content": "a\ud800b"}, "finish_reason": "odd"}]
    own = {"usage": {"encoded": 2.5, "answer_tokens": 9}, "timings": {"load": -1, "encode": True}, "seen": [5]}
    body = {"choices": whole, "usage": {"prompt_tokens": -3, "completion_tokens": "7"}, "timings": {"prompt_ms": [1]}}
    body |= {"vlm": own}
    with ChatServer(None) as server, remote(server) as runner:
        server.faults.append(Fault(garbage=json.dumps(body).encode()))
        answer, _ = one(runner, ask("?", scene, stream=False))
    assert (answer.text, answer.finish_reason) == ("a?b", "stop")
    assert (answer.usage.prompt_tokens, answer.usage.encoded, answer.usage.answer_tokens) == (0, 0, 9)
    assert (answer.timings.load, answer.timings.encode, answer.seen[0].scaled) == (0.0, 0.0, None)


def test_silence_ends_a_request(answers, scene):
    with ChatServer(answers) as server, remote(server, patience=0.3) as runner:
        server.faults.append(Fault(wait=2.0))
        began = time.monotonic()
        error, _ = one(runner, ask("what is this?", scene))
        assert time.monotonic() - began < 1.5
    assert "sent nothing for 0.3 s" in error.message
    assert "VLM_PATIENCE" in error.hint


def test_a_request_has_the_time_that_it_is_given(answers, scene):
    with ChatServer(answers) as server, remote(server) as runner:
        server.faults.append(Fault(wait=2.0))
        error, _ = one(runner, ask("what is this?", scene, timeout=0.3))
    assert isinstance(error, TimedOut)


def test_a_cancelled_request_ends_at_once_and_its_connection_is_closed(answers):
    long = ask("what is this?", noise(1), tokens=300, grammar='root ::= "a"{290}')
    with ChatServer(answers, own=True) as server, remote(server) as runner:
        server.faults.append(Fault(pace=0.1))
        id = runner.submit(long)
        events = runner.events()
        assert isinstance(next(event for event in events if not isinstance(event, Started)), Delta)
        began = time.monotonic()
        runner.cancel(id)
        last = next(event for event in events if isinstance(event, Failed))
        assert time.monotonic() - began < 0.5
        assert isinstance(last.error, Cancelled)
        until(lambda: server.cancelled == 1)
        until(lambda: server.under_way == 0)
        assert texts(outcomes(runner, [ask("what?", noise(2), tokens=1, grammar='root ::= "b"')])) == ["b"]


def until(true, seconds=10):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_closing_fails_what_is_under_way(answers, scene):
    with ChatServer(answers) as server:
        server.faults.append(Fault(times=9, wait=1.0))
        with remote(server, concurrency=2) as runner:
            ids = [runner.submit(ask("what is this?", scene)) for _ in range(5)]
            runner.close()
            last = [event for event in runner.events() if isinstance(event, Failed)]
            assert sorted(event.id for event in last) == ids
            with pytest.raises(RequestError, match="closed"):
                runner.submit(ask("?", scene))


def test_a_picture_that_cannot_be_read_fails_its_request_alone(answers, scene):
    def gone():
        raise SourceError("a.png: the file has changed", "try again")

    bad = Picture("0" * 64, (8, 8), "a.png", gone)
    with ChatServer(answers) as server, remote(server) as runner:
        found = outcomes(runner, [ask("?", bad), ask("what is this?", scene)])
    assert texts(found) == ["SourceError", ANSWER.strip()]


def test_a_wrong_key_is_an_error_that_does_not_show_it(answers, scene):
    with ChatServer(answers, key="right") as server:
        for key, said in (("sk-wrong-1234", "does not accept the key"), ("", "needs a key")):
            with remote(server, key=key) as runner:
                error, _ = one(runner, ask("what is this?", scene))
            assert isinstance(error, NoServer)
            assert said in error.message
            assert "VLM_API_KEY" in error.hint
            assert "wrong" not in str(error)
        with remote(server, key="right") as runner:
            assert isinstance(one(runner, ask("what is this?", scene))[0], Answer)


def test_a_key_in_a_server_s_words_is_not_shown(answers, scene):
    with ChatServer(answers) as server, remote(server, key="sk-secret") as runner:
        server.faults.append(Fault(status=400, message="bad: sk-secret!"))
        error, _ = one(runner, ask("what is this?", scene))
    assert error.message == f"{server.url}: bad: …!"


def test_a_redirect_is_not_followed(answers, scene):
    with ChatServer(answers) as server, ChatServer(answers) as other, remote(server, key="k") as runner:
        server.faults.append(Fault(status=307, location=f"{other.url}/v1/chat/completions?secret"))
        error, _ = one(runner, ask("what is this?", scene))
        assert other.headers == []
    assert f"redirects to {other.url}/v1/chat/completions" in error.message
    assert "secret" not in str(error)


# ---------------------------------------------------------------------------------------------- several


def test_no_server_has_more_requests_at_once_than_it_may(answers):
    requests = [ask("what is this?", noise(number, (64, 64)), tokens=8) for number in range(12)]
    with ChatServer(answers) as server, remote(server, concurrency=3) as runner:
        server.faults.append(Fault(times=12, wait=0.05))
        found = outcomes(runner, requests)
        assert 1 <= server.most <= 3
        assert len(server.bodies) == 12
    assert all(isinstance(one, Answer) for one in found)


def test_each_answer_is_to_its_own_request(answers):
    grammars = [f'root ::= "{number:03d}"' for number in range(24)]
    requests = [
        ask("?", noise(0, (32, 32)), grammar=one, stream=bool(number % 2)) for number, one in enumerate(grammars)
    ]
    with ChatServer(answers, own=True) as server, remote(server, concurrency=8) as runner:
        assert texts(outcomes(runner, requests)) == [f"{number:03d}" for number in range(24)]


def test_requests_go_to_the_server_with_the_fewest_under_way(answers):
    requests = [ask("?", noise(0, (32, 32)), tokens=2) for _ in range(16)]
    with ChatServer(answers) as first, ChatServer(answers) as second, remote(first, second, concurrency=2) as runner:
        for server in (first, second):
            server.faults.append(Fault(times=99, wait=0.1))
        outcomes(runner, requests)
        assert abs(len(first.bodies) - len(second.bodies)) <= 4
        assert 16 <= len(first.bodies) + len(second.bodies) <= 20  # each may take over the last two of the other


def test_a_server_that_is_away_is_left_out_and_the_others_answer(answers, scene):
    away = f"http://127.0.0.1:{free_port()}"
    requests = [ask("what is this?", scene) for _ in range(6)]
    with ChatServer(answers) as server, remote(away, server) as runner:
        seen = []
        ids = {runner.submit(request) for request in requests}
        for event in runner.events():
            seen.append(event)
            if isinstance(event, Done | Failed):
                ids.discard(event.id)
            if not ids:
                break
    assert sum(isinstance(event, Done) for event in seen) == 6
    told = [event.text for event in seen if isinstance(event, Notice)]
    assert told == [f"{away} cannot be reached (connection refused); its requests go to the other servers"]


def test_where_no_server_can_be_reached_a_request_fails_and_the_next_one_may_not(answers, scene):
    port = free_port()
    with remote(f"http://127.0.0.1:{port}") as runner:
        error, seen = one(runner, ask("what is this?", scene))
        assert isinstance(error, NoServer)
        assert error.message == f"http://127.0.0.1:{port} cannot be reached (connection refused)"
        assert not any(isinstance(event, Notice) for event in seen)


def test_a_server_that_comes_back_gets_requests_again(answers, scene):
    with ChatServer(answers) as server, ChatServer(answers) as other, remote(server, other, concurrency=1) as runner:
        server.faults.append(Fault(times=1, cut=0))
        other.faults.append(Fault(times=99, wait=0.05))
        found, told = [], []
        ids = {runner.submit(ask("what is this?", scene)) for _ in range(12)}
        for event in runner.events():
            told += [event.text] if isinstance(event, Notice) else []
            if isinstance(event, Done | Failed):
                found.append(event)
            if len(found) == len(ids):
                break
        assert len(server.bodies) > 1
    assert all(isinstance(event, Done) for event in found)
    assert [text.rpartition("; ")[2] for text in told] == [
        "its requests go to the other servers",
        f"{server.url} answers again",
    ]


def test_bodies_are_only_made_for_requests_that_are_under_way(answers):
    """A body is made when the answer before it has left the server, whoever has heard of it."""
    made, most, lock = [0], [0], threading.Lock()

    def load():
        with lock:
            made[0] += 1
            most[0] = max(most[0], made[0] - server.answered)
        return bytes(3 * 64 * 64)

    def request(number):
        name = hashlib.sha256(bytes([number])).hexdigest()
        return ask("?", Picture(name, (64, 64), f"{number}.png", load), tokens=1)

    with ChatServer(answers) as server, remote(server, concurrency=2) as runner:
        server.faults.append(Fault(times=99, wait=0.02))
        found = outcomes(runner, [request(number) for number in range(10)])
    assert all(isinstance(one, Answer) for one in found), found
    assert (made[0], most[0]) == (10, 2)


# ---------------------------------------------------------------------------------------------- llama-server


@pytest.fixture(scope="module")
def llama_server():
    program = shutil.which("llama-server")
    if program is None:
        pytest.skip("llama-server is not on the PATH")
    port = free_port()
    command = [program, "-m", demo.FILES.model, "--mmproj", demo.FILES.projector, "--port", str(port), "--no-webui",
               "-c", "4096", "-np", "2", "-t", "1"]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until(lambda: listens(port) or process.poll() is not None, 60)
        assert process.poll() is None
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(20)


def listens(port):
    with socket.socket() as asked:
        return asked.connect_ex(("127.0.0.1", port)) == 0


def test_llama_server_answers_as_the_engine_does(llama_server, scene):
    found = servers.look([llama_server], "", "", lambda _: "", pytest.fail, BASE)
    assert [server.kind for server in found.servers] == ["llama"]
    files = ModelFiles(found.model, None, None, servers=found.servers)
    requests = [ask("what is this?", scene), ask("what is this?", scene, stream=False),
                ask("what?", scene, grammar='root ::= "ab"'),
                ask("Is there a red circle?", scene, choices=YES_NO, whole=False, stream=False)]  # fmt: skip
    with Remote(files, base=BASE) as runner:
        first, second, third, fourth = outcomes(runner, requests)
    assert first.text.strip() == second.text.strip() == ANSWER.strip()
    assert third.text == "ab"
    assert fourth.scores[0].logprob > fourth.scores[1].logprob
    assert first.usage.prompt_tokens > 60
    assert first.timings.prefill > 0
