"""Sixty scenes the model was never trained on, in wordings it was never trained on, each asserted by itself.

They were chosen by seed before there was a model.
"""

import pytest

from vlmcli.demo.training import accuracy, cases, judging


@pytest.fixture(scope="module")
def answered(tmp_path_factory, demo_engine):
    fixed = cases.fixed(tmp_path_factory.mktemp("fixed"))
    return list(zip(fixed, accuracy.answers(demo_engine, fixed), strict=True))


@pytest.mark.parametrize("number", range(60))
def test_a_fixed_scene_is_answered_rightly(answered, number):
    case, said = answered[number]
    assert judging.is_right(case.item, said), f"{case.item.question} {case.item.answer!r}, said {said!r}"
