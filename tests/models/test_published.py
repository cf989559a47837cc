"""shapes.py against what is published of the models (published.toml), where both know a model."""

import sys
from dataclasses import asdict
from pathlib import Path

import pytest

from vlmcli.models import catalogue, shapes
from vlmcli.models.shapes import SHAPES

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PUBLISHED = tomllib.loads(Path(__file__).with_suffix("").with_name("published.toml").read_text("utf-8"))
BOTH = sorted(name for name in SHAPES.keys() & PUBLISHED.keys() if PUBLISHED[name].get("words"))
PARTS = {
    "experts": "experts.count", "experts_used": "experts.used", "expert_ff": "experts.ff",
    "shared_expert_ff": "experts.shared", "dense_layers": "experts.dense", "state_heads_v": "delta.values",
    "state_heads_k": "delta.keys", "state_head_dim": "delta.head", "conv_kernel": "delta.kernel",
    "attention_every": "delta.every", "head_dim_full": "mixed.head_dim", "kv_heads_full": "mixed.kv_heads",
    "shared_kv_layers": "mixed.shared", "per_layer_width": "mixed.per_layer", "position_table": "places",
    "rope_dims": "rotated", "out": "", "standardize": "standard",
}  # fmt: skip
"""What published.toml and `dimensions` call differently; those of convolutions have no name of their own there."""
PACKED = {"gemma-4-e2b": 0.11, "qwen3.6-35b-a3b": 0.05}
"""Files of unsloth's that mix types in a way of their own: how far they are from llama.cpp's, as a part."""


def ours(dimensions, key):
    """A figure by its name in published.toml; None where `dimensions` has none."""
    found = asdict(dimensions)
    for part in PARTS.get(key, key).split("."):
        found = found.get(part) if isinstance(found, dict) else None
    return found


def test_both_know_some():
    assert len(BOTH) > 35
    assert {"qwen3-vl-2b", "lfm2-vl-450m", "qwen3.5-4b", "gemma-4-e4b", "deepseek-ocr"} <= set(BOTH)


def test_every_row_of_the_catalogue_has_its_figures_here():
    for row in catalogue.entries():
        name = next((name for name in (row.name, *row.also) if name in PUBLISHED), "")
        if name:
            known = PUBLISHED[name]
            assert row.shape == known.get("shape", name)
            assert row.licence == known["licence"]
            assert row.repository in {known["repository"], *(file["repository"] for file in known["files"])}
        else:
            assert row.retired or row.name.startswith("llava"), row.name
            assert row.shape in SHAPES


@pytest.mark.parametrize("name", BOTH)
def test_dimensions_are_those_that_are_published(name):
    words, eyes = SHAPES[name]
    for mine, theirs in ((words, PUBLISHED[name]["words"]), (eyes, PUBLISHED[name]["eyes"])):
        compared = {
            key: value for key, value in theirs.items() if isinstance(value, int) and ours(mine, key) is not None
        }
        if compared.get("patch") == 48:  # Gemma 4's squares without an encoder: patches of 16, three by three
            compared |= {"patch": 16, "merge": 3}
        assert len(compared) >= 5
        assert {key: ours(mine, key) or value for key, value in compared.items()} == compared


def sizes():
    """Files whose size in bytes is known, with their model, part and quantisation."""
    for name in BOTH:
        for file in PUBLISHED[name]["files"]:
            called = file["file"].upper()
            quant = next((one for one in ("Q8_0", "Q4_K_M", "F16") if one in called.replace("PADDLEOCR", "F16")), "")
            if isinstance(file.get("bytes"), int) and quant:
                yield pytest.param(name, file["role"], quant, file["bytes"], id=f"{name}-{file['role']}-{quant}")


@pytest.mark.parametrize(("name", "role", "quant", "size"), list(sizes()))
def test_headers_come_to_the_sizes_that_are_published(name, role, quant, size):
    words, eyes = SHAPES[name]
    if role == "words":
        found = shapes.words_header(name, words, quant).file_size
    else:
        found = shapes.eyes_header(name, eyes, words.width, quant).file_size
    assert found == pytest.approx(size, rel=PACKED.get(name, 0.015))


def test_many_sizes_are_known():
    assert len(list(sizes())) >= 30


@pytest.mark.parametrize("name", PUBLISHED)
def test_every_figure_has_its_source(name):
    row = PUBLISHED[name]
    assert row["seen"]
    assert all(isinstance(one, str) and len(one) > 10 for one in row["seen"])
