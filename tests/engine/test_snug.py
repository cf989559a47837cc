"""A context that is made for one request has the cells that it needs."""

from dataclasses import replace

import pytest

from tests.support.engines import ask, noise, opened, small_files
from vlmcli.engine import Engine
from vlmcli.errors import ContextFull, RequestError
from vlmcli.machine import fit
from vlmcli.models import gguf
from vlmcli.models.gguf import Tensor
from vlmcli.placement import Fit, Machine
from vlmcli.values import Answer

SNUG = Fit(n_ctx=4096, n_parallel=1, threads=1, snug=True)


@pytest.fixture
def files(small):
    return small_files(small, "qwen2vl")


def test_it_is_as_large_as_the_request_and_answers_alike(files):
    request = ask("what is this?", noise(1), tokens=40)
    with Engine(files, replace(SNUG, snug=False)) as engine:
        (expected,) = engine.run([request])
        assert engine.loaded.context.n_ctx == 4096
    with Engine(files, SNUG) as engine:
        (found,) = engine.run([request])
        assert engine.loaded.context.n_ctx == 256
    assert found.text == expected.text
    assert found.usage == expected.usage


def test_a_large_request_gets_a_large_one(files):
    with Engine(files, SNUG) as engine:
        (found,) = engine.run([ask("what is this?", noise(1, (1100, 640)), tokens=600)])
        assert isinstance(found, Answer)
        assert engine.loaded.context.n_ctx == -(-(found.usage.prompt_tokens + 600) // 256) * 256


def test_what_is_too_long_is_told_what_the_most_is(files):
    with Engine(files, replace(SNUG, n_ctx=512)) as engine:
        (found,) = engine.run([ask("what is this?", noise(1, (1100, 640)))])
    assert isinstance(found, ContextFull)
    assert "the context has 512" in found.message


def test_a_request_that_cannot_be_planned_fails_alone(files):
    with Engine(files, SNUG) as engine:
        (found,) = engine.run([ask("what is this?", noise(1), tokens=0)])
        assert isinstance(found, RequestError)
        (found,) = engine.run([ask("what is this?", noise(1), tokens=2)])
    assert isinstance(found, Answer)


def test_whoever_waits_for_the_model_first_gets_the_whole(files):
    with opened(files, snug=True) as engine:
        assert engine.loaded.context.n_ctx == 4096


def test_closed_before_there_is_a_request_it_ends(files):
    engine = Engine(files, SNUG)
    engine.close()


def test_only_one_request_makes_it_so(files):
    header = gguf.read(files.model)
    chosen = {requests: fit.fit(header, Machine(1, 0), requests=requests) for requests in (0, 1, 2)}
    assert [chosen[requests].snug for requests in (0, 1, 2)] == [False, True, False]
    assert [chosen[requests].n_parallel for requests in (0, 1, 2)] == [8, 1, 2]
    assert fit.fit(header, Machine(1, 0), ctx=512, requests=1).snug
    long = replace(header, tensors=(*header.tensors, Tensor("rope_factors_long.weight", (8,), gguf.F32, 0)))
    assert not fit.fit(long, Machine(1, 0), requests=1).snug  # it rotates otherwise in a large context
