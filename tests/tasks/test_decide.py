"""Scores become decisions: what is compared with what, and what a record says."""

import math

import pytest

from vlmcli.decisions import Decision, Option, Question
from vlmcli.errors import RequestError
from vlmcli.records import lines
from vlmcli.tasks.calibration import NONE, Scaling
from vlmcli.tasks.decide import Decide, asked, grey, ways
from vlmcli.tasks.task import joined
from vlmcli.values import Answer, Score, Timings, Usage

CAT = Question("predicate", "Is there a cat?", "cat")
ANIMAL = Question("choice", "Which animal?", "", (Option("cat"), Option("dog house"), Option(True)))
SHARP = Question("score", "How sharp?", "sharp", (Option("blurred"), Option("fair"), Option("sharp")))


def answer(*likelihoods, tokens=2):
    scores = tuple(Score(math.log(one), tokens) for one in likelihoods)
    return Answer("", "stop", Usage(10, 30, 5), Timings(prefill=1.0), "m", scores)


def test_each_kind_is_decided_by_its_likelihoods():
    task = Decide((CAT, ANIMAL, SHARP))
    outcome = joined([answer(0.6, 0.2), answer(0.1, 0.3, 0.1), answer(0.1, 0.2, 0.1)])
    result = task.result(["a.png"], outcome, "m")
    cat, animal, sharp = result.decisions
    assert cat.probabilities == pytest.approx((0.75, 0.25))
    assert (cat.value, cat.text, cat.coverage) == (True, "yes", pytest.approx(0.8))
    assert animal.probabilities == pytest.approx((0.2, 0.6, 0.2))
    assert (animal.value, animal.confidence) == ("dog house", pytest.approx(0.6))
    assert sharp.value == pytest.approx(0 * 0.25 + 1 * 0.5 + 2 * 0.25)
    assert result.text == "cat: yes; Which animal?: dog house; sharp: fair"
    assert (outcome.usage.prompt_tokens, outcome.timings.prefill) == (90, 3.0)


def test_an_average_token_is_compared_where_that_is_wanted():
    scores = (Score(math.log(0.04), 1), Score(math.log(0.01), 4), Score(math.log(0.01), 1))
    outcome = Answer("", "stop", Usage(), Timings(), "m", scores)
    assert Decide((ANIMAL,)).result(["a"], outcome, "m").decisions[0].best == 0
    assert Decide((ANIMAL,), per_token=True).result(["a"], outcome, "m").decisions[0].best == 1


def test_what_a_grey_picture_gives_is_subtracted():
    task = Decide((CAT, ANIMAL), neutral=True)
    about, nothing = [answer(0.6, 0.2), answer(0.1, 0.3, 0.1)], [answer(0.6, 0.1), answer(0.1, 0.6, 0.2)]
    assert task.count == 4
    cat, animal = task.result(["a"], joined(about + nothing), "m").decisions
    assert cat.probabilities == pytest.approx((1 / 3, 2 / 3))  # 1 to 2
    assert animal.probabilities == pytest.approx((0.5, 0.25, 0.25))  # 1 to 1/2 to 1/2
    assert animal.coverage == pytest.approx(0.5)
    requests = task.requests([grey()])
    assert [request.choices for request in requests[:2]] == [request.choices for request in requests[2:]]
    assert all(request.pictures == (grey(),) for request in requests[2:])
    width, height = grey().size
    assert len(grey().pixels()) == 3 * width * height


def test_a_model_that_would_not_answer_so_is_an_error():
    result = Decide((CAT,)).result(["a.png"], answer(1e-7, 1e-7), "m")
    assert isinstance(result.error, RequestError)
    assert "would not answer with yes or no" in result.error.message


def test_a_calibration_changes_probabilities_and_says_so():
    hot = NONE.with_("predicate", Scaling(2.0, samples=9))
    (decision,) = Decide((CAT,), calibration=hot).result(["a"], answer(0.9, 0.1), "m").decisions
    assert decision.probabilities[0] == pytest.approx(0.75)  # the root of 9 to 1
    assert decision.calibrated


def test_how_an_option_is_written():
    assert ways(ANIMAL, Option("cat")) == ("cat", "cat.", "Cat", "Cat.")
    assert ways(ANIMAL, Option(True)) == ("yes", "yes.", "Yes", "Yes.")
    assert ways(Question("choice", "x", form="It is {}."), Option("red")) == ("It is red.",)


def test_how_a_model_is_asked():
    assert asked(CAT, {}).startswith("Is there a cat?\n")
    assert "Is this true" in asked(Question("predicate", "A cat is here."), {})
    assert asked(CAT, {"predicate": "{instructions}"}) == "Is there a cat?"
    assert "cat, dog house, yes" in asked(ANIMAL, {})
    described = Question("choice", "x", options=(Option("a", "the {first}"), Option("b")))
    assert "\n- a: the {first}\n- b" in asked(described, {})


def test_cells_of_a_table_are_those_of_the_record():
    task = Decide((CAT, ANIMAL, SHARP))
    outcome = joined([answer(0.2, 0.6), answer(0.1, 0.1, 0.3), answer(0.1, 0.2, 0.1)])
    record = lines.record(task.result(["a.png"], outcome, "m"))
    assert task.cells(record) == {
        "cat": "no", "cat: probability": "0.2500",
        "Which animal?": "true", "Which animal?: probability": "0.6000",
        "sharp": "1", "sharp: probability": "0.5000",
    }  # fmt: skip
    assert set(task.cells(record)) == set(task.columns)


def test_a_decision_with_two_equal_options_takes_the_first():
    assert Decision(ANIMAL, (0.4, 0.4, 0.2), 1.0).best == 0
