"""shapes.py against what is published of the models (published.toml), where both know a model."""

import sys
from pathlib import Path

import pytest

from vlmcli.models.shapes import SHAPES

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PUBLISHED = tomllib.loads(Path(__file__).with_suffix("").with_name("published.toml").read_text("utf-8"))
BOTH = sorted(name for name in SHAPES.keys() & PUBLISHED.keys() if PUBLISHED[name].get("words"))


def test_both_know_some():
    assert {"qwen3-vl-2b", "lfm2-vl-450m"} <= set(BOTH)


@pytest.mark.parametrize("name", BOTH)
def test_dimensions_are_those_that_are_published(name):
    words, eyes = SHAPES[name]
    for ours, theirs in ((words, PUBLISHED[name]["words"]), (eyes, PUBLISHED[name]["eyes"])):
        compared = {key: value for key, value in theirs.items() if isinstance(value, int) and hasattr(ours, key)}
        assert len(compared) >= 5
        assert {key: getattr(ours, key) or value for key, value in compared.items()} == compared


@pytest.mark.parametrize("name", PUBLISHED)
def test_every_figure_has_its_source(name):
    row = PUBLISHED[name]
    assert row["seen"]
    assert all(isinstance(one, str) and len(one) > 10 for one in row["seen"])
