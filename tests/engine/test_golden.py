"""Greedy answers equal those of upstream's own llama-mtmd-cli on every family of projectors.

golden_families.json is what `python -m tests.golden` wrote down. golden.json, of the nine pairs of `bench.pairs`:
`llama-mtmd-cli -m X.gguf --mmproj mmproj-X.gguf --image golden.png -p QUESTION -n 24 --temp 0 --top-k 1 --jinja`, the
answer's bytes in hex without the white space around them. Upstream prints special tokens too, so they are taken out
before comparing.
"""

import pytest

from tests import golden
from tests.support.families import GOLDEN, GOLDEN_NINE, NAMES, equals_upstream
from vlmcli.bench import families, pairs


@pytest.mark.parametrize("family", NAMES, indirect=True)
def test_answers_equal_upstreams(family, tmp_path):
    equals_upstream(family, tmp_path)


def test_upstream_has_been_asked_about_every_family():
    assert set(GOLDEN_NINE) == set(pairs.SMALL)
    assert set(GOLDEN) == set(families.PAIRS)
    for name, pair in families.PAIRS.items():
        assert list(GOLDEN[name]) == [called for called, _, _ in golden.cases(pair().together)]
