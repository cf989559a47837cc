"""Likelihoods of an answer's tokens: those of the model's own logits, and those that choices have."""

import math

import numpy as np
import pytest

from tests.support.engines import ask, opened
from vlmcli import demo
from vlmcli.engine import Engine
from vlmcli.placement import Fit
from vlmcli.values import Answer, Delta, Done, Sampling, run

QUESTION = "Describe the picture."


def test_they_are_those_of_the_logits(scene):
    seen = []
    with opened(demo.FILES, tap=lambda *what: seen.append(what)) as engine:
        (answer,) = engine.run([ask(QUESTION, scene, logprobs=4)])
    assert isinstance(answer, Answer)
    assert len(answer.tokens) == answer.usage.answer_tokens > 3
    assert b"".join(token.piece for token in answer.tokens).decode().strip() == answer.text.strip()
    for (_, number, logits), token in zip(seen, answer.tokens, strict=False):
        known = logits.astype(np.float64) - np.logaddexp.reduce(logits.astype(np.float64))
        assert token.logprob == pytest.approx(known.max(), abs=1e-6), number
        assert [one for _, one in token.others] == pytest.approx(sorted(known)[:-5:-1], abs=1e-6)
        assert token.others[0] == (token.piece, token.logprob)  # greedy


def test_a_text_is_as_likely_as_a_choice(scene):
    fit = Fit(n_ctx=1024, threads=2, choices=True)
    with Engine(demo.FILES, fit) as engine:
        (answer,) = engine.run([ask(QUESTION, scene, logprobs=0)])
        (choice,) = engine.run([ask(QUESTION, scene, choices=((answer.text,),), whole=False)])
    assert all(token.others == () for token in answer.tokens)
    assert sum(token.logprob for token in answer.tokens) == pytest.approx(choice.scores[0].logprob, abs=0.02)


def test_chance_and_a_form_do_not_change_them(demo_engine, scene):
    hot = Sampling(temperature=50.0, top_k=0, top_p=1.0, min_p=0.0, seed=7)
    free, forced = demo_engine.run(
        [
            ask(QUESTION, scene, sampling=hot, logprobs=1, tokens=12),
            ask(QUESTION, scene, grammar='root ::= "zzz"', logprobs=1),
        ]
    )
    assert any(token.piece != token.others[0][0] for token in free.tokens)
    assert all(token.logprob <= token.others[0][1] <= 0 for token in (*free.tokens, *forced.tokens))
    assert math.exp(forced.tokens[0].logprob) < 0.1  # nobody would say that


def test_pieces_of_text_bring_their_tokens(demo_engine, scene):
    streamed, answer = [], None
    for _, event in run(demo_engine, [ask(QUESTION, scene, logprobs=0)]):
        if isinstance(event, Delta):
            assert event.tokens
            streamed += event.tokens
        elif isinstance(event, Done):
            answer = event.answer
    assert tuple(streamed) == answer.tokens


def test_without_the_wish_there_are_none(demo_engine, scene):
    (answer,) = demo_engine.run([ask(QUESTION, scene)])
    assert answer.tokens == ()
