"""A few hostile Hubs; `python -m tests.fuzz.hub` has thousands."""

from tests.fuzz import hub


def test_forty_hostile_hubs_are_refused_by_name():
    found = hub.run(40, seed=22)
    assert found.wrong == []
    assert found.codes[1] >= 20
    assert found.codes[0] >= 3
