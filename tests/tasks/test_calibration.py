"""Probabilities that mean what they say: known temperatures are found again, and the error is that of the bins."""

import random

import pytest

from vlmcli.tasks.calibration import NONE, Calibration, Sample, Scaling, expected_error, fitted, reliability


def samples(kind, scaling, count=4_000, seed=1):
    """Made-up logits whose truths are drawn as a scaling says."""
    draw = random.Random(seed)
    found = []
    for _ in range(count):
        logits = tuple(draw.gauss(0, 3) for _ in range(2 if kind == "predicate" else 4))
        found.append(Sample(logits, draw.choices(range(len(logits)), scaling.probabilities(logits))[0]))
    return found


@pytest.mark.parametrize("kind", ["predicate", "choice", "score"])
@pytest.mark.parametrize("temperature", [0.4, 1.0, 2.5, 6.0])
def test_a_known_temperature_is_found_again(kind, temperature):
    given = samples(kind, Scaling(temperature))
    found = fitted(kind, given)
    assert found.temperature == pytest.approx(temperature, rel=0.05)
    assert found.samples == len(given)
    assert expected_error(given, found) < 0.02
    if temperature != 1:
        assert expected_error(given, Scaling()) > 2 * expected_error(given, found)


def test_a_predicates_bias_is_found_again():
    found = fitted("predicate", samples("predicate", Scaling(2.0, 1.5), count=10_000))
    assert found.bias == pytest.approx(1.5, abs=0.15)
    assert found.temperature == pytest.approx(2.0, rel=0.05)


def test_what_is_always_right_gets_sure_and_not_infinitely_so():
    found = fitted("choice", [Sample((3.0, 1.0), 0)] * 20)
    assert 0.5 < found.probabilities((3.0, 1.0))[0] <= 1.0
    assert 0.02 <= found.temperature <= 50


def test_the_error_is_that_of_the_bins():
    """Two bins by hand: 0.95 sure and half right, 0.55 sure and all right."""
    sure, unsure = Scaling().probabilities((2.944439, 0.0)), Scaling().probabilities((0.200671, 0.0))
    assert (round(sure[0], 3), round(unsure[0], 3)) == (0.95, 0.55)
    given = [Sample((2.944439, 0.0), truth) for truth in (0, 1)] + [Sample((0.200671, 0.0), 0)] * 2
    assert [(one.count, round(one.right, 2)) for one in reliability(given, Scaling())] == [(2, 1.0), (2, 0.5)]
    assert expected_error(given, Scaling()) == pytest.approx(0.5 * 0.45 + 0.5 * 0.45, abs=1e-4)


def test_probabilities_are_those_of_the_kind():
    both = NONE.with_("choice", Scaling(2.0, samples=3)).with_("predicate", Scaling(1.0, 1.0, 3))
    assert both.has("choice")
    assert not both.has("score")
    assert both.probabilities("score", (0.0, 0.0)) == (0.5, 0.5)
    assert both.probabilities("predicate", (0.0, 1.0)) == (0.5, 0.5)
    assert sum(both.probabilities("choice", (5.0, 1.0, -3.0))) == pytest.approx(1)
    assert Calibration(both.scalings) == both


def test_scores_that_say_nothing_are_no_error():
    assert Scaling().probabilities((float("-inf"), float("-inf"))) == (0.5, 0.5)
