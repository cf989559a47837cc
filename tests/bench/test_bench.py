"""The benchmark over a folder: a pair of a published shape, and its table."""

from dataclasses import replace

import gguf
import numpy as np
import pytest

from vlmcli.bench import folder, published
from vlmcli.models.shapes import SHAPES, Words

TIMES = {
    "vlm --worker": (20.0, 30.0, 22.0),
    "llama-server -np 1": (40.0, 40.0, 44.0),
    "llama-server -np 4": (25.0, 40.0, 25.0),
    "MTMDChatHandler": (32.0, 60.0, 40.0),
}


def results(*names: str) -> dict:
    return {name: [{"cold": 1.0, "many": many, "tokens": [32] * 17} for many in TIMES[name]] for name in names}


def test_ratios_are_of_one_round_and_to_the_better_server():
    lines = folder.table(results(*TIMES), 10).splitlines()
    assert [line.split() for line in lines[1:5]] == [
        ["vlm", "--worker", "2.20", "1.00", "544"],
        ["llama-server", "-np", "1", "4.00", "0.50", "544"],
        ["llama-server", "-np", "4", "2.50", "0.80", "544"],
        ["MTMDChatHandler", "4.00", "0.55", "544"],
    ]
    assert lines[5:] == [
        "vlm to the better llama-server: 0.80, at most 1.00 is wanted",
        "vlm to MTMDChatHandler: 0.55, at most 0.80 is wanted",
    ]


def test_without_a_server_there_is_no_ratio_to_it():
    assert "llama-server" not in folder.table(results("vlm --worker", "MTMDChatHandler"), 10)
    assert "wanted" not in folder.table(results("MTMDChatHandler"), 10)


@pytest.fixture
def pair(tmp_path, monkeypatch):
    words, eyes = SHAPES["smolvlm2-256m"]
    small = Words(words.arch, 64, 1, 4, 2, 128, 512, 4096, tokenizer=words.tokenizer)
    monkeypatch.setitem(SHAPES, "little", (small, replace(eyes, image=64, width=64, layers=1, heads=4, ff=128)))
    return published.pair(tmp_path, "little", 64)


def test_a_pair_of_a_published_shape_has_random_weights_and_never_ends_an_answer(pair):
    reader = gguf.GGUFReader(pair.model)
    weights = {tensor.name: tensor.data for tensor in reader.tensors}
    up = weights["blk.0.ffn_up.weight"].astype(np.float32)
    assert up.std() == pytest.approx(64**-0.5, rel=0.1)
    assert (weights["output_norm.weight"] == 1).all()
    ends = reader.fields["tokenizer.ggml.eos_token_id"].contents()
    assert not weights["output.weight"][ends].any()
    assert weights["output.weight"].any(axis=1).sum() > 300
