"""A few special files in places where a file can be named; `python -m tests.fuzz.places` has many."""

import sys

import pytest

from tests.fuzz import places


@pytest.mark.skipif(sys.platform == "win32", reason="it has no pipes and devices among its files")
def test_special_files_are_used_or_refused():
    everything = places.cases(22)
    found = list(places.outcomes(22, list(range(12))))
    assert [": ".join(everything[number]) + f": {wrong}: {said}" for number, _, said, _, wrong in found if wrong] == []
    assert len(found) == 12
    assert {code for _, code, *_ in found} & {1, 2, 3}


def test_things_are_told_apart_from_what_they_become(tmp_path):
    """The judge itself: it sees a traceback, a code that is none, an error without a name, and a thing that is gone."""
    thing = tmp_path / "thing.png"
    thing.symlink_to("nowhere")
    kind = places.kind_of(thing)
    assert places.wrong_of(1, "vlm: thing.png: no", kind, thing, "") == ""
    assert places.wrong_of(1, "Traceback (most recent", kind, thing, "") == "a traceback"
    assert places.wrong_of(70, "thing", kind, thing, "") == "exit code 70"
    assert places.wrong_of(1, "vlm: no", kind, thing, "") == "an error that names nothing"
    thing.unlink()
    thing.touch()
    assert "of another kind" in places.wrong_of(0, "", kind, thing, "")
