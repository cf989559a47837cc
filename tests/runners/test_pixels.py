"""What a worker is asked and answers goes through the pipe and back unharmed, its pictures' pixels among it."""

import os
import sys

import pytest

from tests.support.engines import ask, noise, outcomes, small_files, texts
from vlmcli import demo
from vlmcli.engine import Engine
from vlmcli.errors import SourceError
from vlmcli.placement import Fit
from vlmcli.runners import wire
from vlmcli.runners.worker import Worker
from vlmcli.values import Answer, Message, Picture, Request, Sampling

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="inherited memory")

FIT = Fit(n_ctx=4096, threads=1)
SCENE = "A red circle and a blue square."


def test_in_process_and_worker_say_the_same(scene, small):
    """Pixels, text, several turns, sampling with a seed, errors: all of it goes through the pipe and back."""
    picture = noise(5, (300, 200))
    requests = [
        ask("what is this?", scene),
        Request((Message("system", ("be brief",)), Message("user", (scene, "what is left?"))), max_tokens=5),
        Request((ask("what is this?", scene).messages[0], Message("assistant", (SCENE,)), Message("user", ("left?",)))),
        ask("which one has a circle?", scene, picture),
        ask("what is this?", scene, sampling=Sampling(temperature=1.5, seed=7)),
        ask("no picture"),
        ask("too long " * 5000, scene),
    ]  # fmt: skip
    for files in (demo.FILES, small_files(small, "qwen2vl")):
        with Engine(files, FIT) as engine, Worker(files, fit=FIT) as worker:
            for request in requests:  # one by one: batches, and so last digits, are the same
                (one,), (other,) = outcomes(engine, [request]), outcomes(worker, [request])
                assert type(one) is type(other)
                if isinstance(one, Answer):
                    assert (one.text, one.finish_reason, one.usage) == (other.text, other.finish_reason, other.usage)
                else:
                    assert (one.message, one.hint) == (other.message, other.hint)


@pytest.mark.parametrize("shared", [True, False])
def test_pixels_arrive_as_they_are(small, monkeypatch, shared):
    monkeypatch.setattr(wire.Shared, "is_possible", lambda: shared)
    files = small_files(small, "pixtral")
    requests = [ask("how many?", noise(n, (200 + 10 * n, 333))) for n in range(12)]
    with Engine(files, FIT) as engine:
        expected = [outcomes(engine, [request])[0].text for request in requests]
    with Worker(files, fit=FIT) as worker:
        assert [outcomes(worker, [request])[0].text for request in requests] == expected
        process = worker._process
        assert (process.shared is not None) is shared
        if shared:
            assert os.fstat(process.shared.fd).st_size == 0  # all of it has been taken, and given back


def test_shared_memory_that_is_full_is_gone_around(scene, monkeypatch):
    def full(self, data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(wire.Shared, "put", full)
    with Worker(demo.FILES, fit=FIT) as worker:
        assert texts(outcomes(worker, [ask("what is this?", scene)])) == [SCENE]


def test_a_picture_is_read_only_when_it_has_to_be_encoded(scene):
    reads = []

    def load():
        reads.append(1)
        return scene.pixels()

    picture = Picture(scene.identity, scene.size, "scene.png", load)
    with Worker(demo.FILES, fit=FIT) as worker:
        for question in ("what is this?", "what is left?", "how many shapes are there?"):
            outcomes(worker, [ask(question, picture)])
    assert len(reads) == 1


def test_a_picture_that_cannot_be_read_fails_alone(scene):
    def load():
        raise SourceError("gone.png: there is no such file", "check the name")

    def bug():
        raise KeyError("x")

    gone, odd = (Picture(c * 64, (64, 64), f"{n}.png", f) for c, n, f in (("a", "gone", load), ("b", "odd", bug)))
    with Worker(demo.FILES, fit=FIT) as worker:
        found = outcomes(worker, [ask("what is this?", one) for one in (scene, gone, odd, scene)])
        assert texts(found) == [SCENE, "SourceError", "SourceError", SCENE]
        assert "there is no such file" in found[1].message
        assert found[2].message.startswith("odd.png: ")
        assert worker.restarts == 0
