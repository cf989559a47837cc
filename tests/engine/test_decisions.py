"""How right the demo model decides on scenes it was not trained on; `python -m tests.decisions` takes 300 of each."""

import pytest

from tests import decisions
from tests.support.engines import opened
from vlmcli import demo
from vlmcli.tasks.calibration import Scaling, expected_error, fitted

SCENES = 25


@pytest.fixture(scope="module")
def engine():
    with opened(demo.FILES, choices=True) as engine:
        yield engine


@pytest.mark.parametrize("items", [decisions.matches, decisions.colours, decisions.shapes])
def test_the_demo_model_decides_right(engine, items):
    assert decisions.share_right(engine, items(SCENES)) >= 0.95


def test_it_finds_shapes(engine):
    mean, f1 = decisions.found(engine, SCENES)
    assert mean >= 0.85
    assert f1 >= 0.95


def test_what_it_extracts_is_valid(engine):
    assert decisions.share_valid(engine, SCENES) == 1


def test_a_calibration_on_some_scenes_holds_on_others(engine):
    fit, held_out = (decisions.samples(engine, decisions.blurred(100, seed)) for seed in (4, 5))
    before, after = (expected_error(held_out, one) for one in (Scaling(), fitted("predicate", fit)))
    assert after < 0.1 < before
