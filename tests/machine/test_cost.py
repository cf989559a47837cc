"""Rows of a picture by arithmetic over headers, held to what the engine makes of it, for all nine families."""

import pytest

from tests.support.engines import ask, noise, opened, small_files
from vlmcli.bench import pairs
from vlmcli.machine import cost
from vlmcli.models import gguf

SIZES = [(64, 64), (224, 224), (640, 480), (480, 641), (1024, 768), (900, 120), (100, 700)]


@pytest.mark.parametrize("name", pairs.SMALL)
def test_rows_are_those_of_the_engine(small, name):
    files = small_files(small, name)
    projector = gguf.read(files.projector)
    with opened(files, n_ctx=8192) as engine:
        for number, size in enumerate(SIZES):
            (outcome,) = engine.run([ask("what?", noise(number, size), tokens=1)])
            assert cost.picture_tokens(projector, *size) == outcome.usage.picture_tokens, size
