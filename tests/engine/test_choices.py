"""Choices as a tree of tokens: every likelihood is that of its tokens one after the other, however they are decoded."""

import math
import random

import numpy as np
import pytest

from vlmcli.engine.choices import LONGEST, WAVE, Choices

VOCABULARY = 40
ENDS = (7, 9)


def logits_behind(path):
    """What a model says behind these tokens: any numbers, always the same."""
    return np.random.default_rng([*path, 1]).normal(0, 3, VOCABULARY).astype(np.float32)


def expected(ways, ends):
    """The logarithm of the sum of the likelihoods of some ways."""
    total = []
    for way in ways:
        known = 0.0
        for depth, token in enumerate(way):
            values = logits_behind(way[:depth]).astype(np.float64)
            known += values[token] - np.logaddexp.reduce(values)
        if ends:
            values = logits_behind(way).astype(np.float64)
            known += np.logaddexp.reduce(values[list(ends)]) - np.logaddexp.reduce(values)
        total.append(known)
    return np.logaddexp.reduce(total)


def decoded(choices, branches):
    """Decode them in waves; the waves."""
    choices.take((), logits_behind(()))
    waves = []
    while (wave := choices.wave(branches)) is not None:
        for path in wave.rows:
            choices.take(path, logits_behind(path))
        waves.append(wave)
    return waves


@pytest.mark.parametrize("ends", [(), ENDS])
@pytest.mark.parametrize("branches", [1, 3, WAVE])
def test_every_likelihood_is_that_of_its_tokens(ends, branches):
    draw = random.Random(branches)
    ways = [
        [tuple(draw.randrange(4) for _ in range(draw.randint(1, 6))) for _ in range(draw.randint(1, 3))]
        for _ in range(60)
    ]
    choices = Choices(ways, ends)
    waves = decoded(choices, branches)
    for score, one in zip(choices.scores(), ways, strict=True):
        assert score.logprob == pytest.approx(expected(dict.fromkeys(one), ends), abs=1e-6)
        assert score.tokens in {len(way) + bool(ends) for way in one}
    for wave in waves:
        assert len(wave.rows) <= WAVE
        assert wave.branches <= branches


def test_a_wave_has_each_row_once_and_behind_those_before_it():
    ways = [((1, 2, 3),), ((1, 2, 4),), ((1, 5),), ((6,),)]
    (wave,) = decoded(Choices(ways, ENDS), WAVE)
    assert wave.rows == ((1,), (1, 2), (1, 2, 3), (1, 2, 4), (1, 5), (6,))
    assert wave.owners == ((0, 1, 2), (0, 1), (0,), (1,), (2,), (3,))
    assert wave.depths == [0, 1, 2, 2, 1, 0]
    assert wave.tokens == [1, 2, 3, 4, 5, 6]


def test_where_the_first_token_says_it_all_nothing_is_decoded():
    choices = Choices([[(1,), (2,)], [(3,)]])
    assert choices.rows == 0
    assert decoded(choices, WAVE) == []
    assert choices.scores()[0].logprob == pytest.approx(expected([(1,), (2,)], ()))


def test_the_same_way_twice_counts_once():
    choices = Choices([[(1,), (1,)], [(1,)]])
    decoded(choices, WAVE)
    one, other = choices.scores()
    assert one == other


def test_the_longest_choice_fits_into_a_wave():
    choices = Choices([[tuple(range(LONGEST))]], ENDS)
    (wave,) = decoded(choices, 1)
    assert len(wave.rows) == LONGEST <= WAVE


def test_what_cannot_come_has_no_likelihood():
    choices = Choices([[(1,)], [(2,)]])
    logits = np.full(VOCABULARY, -np.inf, np.float32)
    logits[1] = 0.0
    choices.take((), logits)
    assert [score.logprob for score in choices.scores()] == [0.0, -math.inf]
