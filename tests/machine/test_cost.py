"""Rows of a picture by arithmetic over headers, held to what the engine makes of it, for all families known here."""

import pytest

from tests.support.engines import ask, noise, opened, small_files
from vlmcli.bench import families, pairs
from vlmcli.machine import tiling
from vlmcli.models import gguf

SIZES = [(64, 64), (224, 224), (640, 480), (480, 641), (1024, 768), (900, 120), (100, 700)]
TODAY = (
    "deepseekocr", "dots_ocr", "gemma4uv", "gemma4v", "gemma4v-e2b", "glm4v", "hunyuanvl", "idefics3-docling",
    "lightonocr", "minicpmv4_6", "minicpmv4_6-4x", "mlp-granite", "paddleocr", "pixtral-mistral3",
    "qwen3vl_merger-qwen35", "resampler", "resampler-qwen3",
)  # fmt: skip
"""Pairs of `families` whose projectors `tiling` knows."""


@pytest.mark.parametrize("name", pairs.SMALL)
def test_rows_are_those_of_the_engine(small, name):
    assert_rows(small_files(small, name))


@pytest.mark.parametrize("name", TODAY)
def test_rows_are_those_of_the_engine_in_the_later_families(tmp_path, name):
    assert_rows(small_files(families.write(tmp_path, [name]), name))


def assert_rows(files):
    projector = gguf.read(files.projector)
    with opened(files, n_ctx=8192) as engine:
        for number, size in enumerate(SIZES):
            (outcome,) = engine.run([ask("what?", noise(number, size), tokens=1)])
            assert tiling.picture_tokens(projector, *size) == outcome.usage.picture_tokens, size
