"""A few hostile Hubs; `python -m tests.fuzz.hub` has thousands."""

from tests.fuzz import hub


def test_hostile_hubs_are_refused_by_name():
    found = hub.run(20, seed=22)
    assert found.wrong == []
    assert found.codes[1] >= 10
    assert found.codes[0] >= 1
