"""Wordings: enough of each kind, and those that are kept for measuring are never trained on."""

from random import Random

import pytest

from vlmcli.demo.training import patterns, phrasing, unanswerable, wordings


@pytest.mark.parametrize("kind", phrasing.LISTS)
def test_every_kind_has_many_wordings_and_keeps_half_of_them_back(kind):
    trained, kept = phrasing.wordings_of(kind, False), phrasing.wordings_of(kind, True)
    family = [k for k in phrasing.LISTS if k.startswith("is ")] if kind.startswith("is ") else [kind]
    assert sum(len(phrasing.LISTS[k]) for k in family) >= 15
    assert abs(len(trained) - len(kept)) <= 1
    assert not set(trained) & set(kept)


@pytest.mark.parametrize("kind", phrasing.LISTS)
def test_patterns_give_many_wordings_and_none_that_is_kept(kind):
    rng = Random(kind)
    found = {phrasing.plain(phrasing.choose_wording(rng, kind, held_out=False)) for _ in range(1500)}
    assert len(found) > 60
    for other in phrasing.LISTS:
        assert not found & {phrasing.plain(wording) for wording in phrasing.wordings_of(other, True)}


def test_patterns_are_whole():
    for some in (*patterns.BY_KIND.values(), patterns.OUTSIDE):
        for pattern in some:
            made = phrasing.expand(Random(1), pattern)
            assert pattern.count("[") == pattern.count("]")
            assert not set("[]|") & set(made), pattern
    assert set(patterns.BY_KIND) == set(phrasing.LISTS)


def test_outside_questions_that_measure_are_not_trained_on(everything):
    count = 20_000 if everything else 5_000
    assert not set(wordings.OUTSIDE) & set(wordings.UNSEEN_OUTSIDE)
    assert not set(unanswerable.THINGS) & set(wordings.UNSEEN_NOUNS)
    assert len(wordings.UNSEEN_OUTSIDE) >= 50
    asked = {phrasing.plain(unanswerable.ask(Random(seed)).question) for seed in range(count)}
    assert len(asked) > count / 2
    assert not asked & {phrasing.plain(wording) for wording in wordings.UNSEEN_OUTSIDE}
