"""The benchmark of whole commands: a pair of a published shape, its goals, and a run on a very small pair."""

import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import gguf
import numpy as np
import pytest

from vlmcli.bench import goals, published, recipes
from vlmcli.bench.goals import ROWS, Found
from vlmcli.bench.recipes import Recipe
from vlmcli.models.shapes import SHAPES, Words

SERVERS = next(row for row in ROWS if "llama-server -np 4" in row.peers)
SECOND = next(row for row in ROWS if row.large_goal)


def times(*rounds):
    """What the row of the two servers found: seconds of `vlm` and of each server, round by round."""
    names = ("llama-server -np 1", "llama-server -np 4")
    return [Found(ours, dict(zip(names, others, strict=True))) for ours, *others in rounds]


def columns(found, weights=1):
    """The lines of a table, each cut where there are two blanks or more."""
    return [re.split(r"  +", line) for line in goals.table(found, weights).splitlines()[1:]]


def test_a_ratio_is_of_one_round_and_to_the_better_server():
    found = times((20.0, 40.0, 25.0), (30.0, 40.0, 40.0), (22.0, 44.0, 25.0))
    assert columns({SERVERS: found}) == [
        ["5", SERVERS.what, "22.00", "25.00", "0.80", "0.95", "yes", "llama-server -np 4"]
    ]


@pytest.mark.parametrize(("seconds", "holds"), [(95.0, "yes"), (96.0, "no")])
def test_a_goal_holds_up_to_its_ratio(seconds, holds):
    assert columns({SERVERS: times((seconds, 100.0, 300.0))})[0][6] == holds


def test_a_large_model_has_a_goal_of_its_own():
    found = {SECOND: [Found(2.0, {"llama-mtmd-cli": 10.0})]}
    small, large = (columns(found, weights)[0] for weights in (goals.LARGE - 1, goals.LARGE))
    assert (small[5:7], large[5:7]) == (["0.30", "yes"], ["0.15", "no"])


def test_what_is_not_installed_is_said():
    assert columns({SERVERS: []}) == [
        ["5", SERVERS.what, "-", "-", "-", "0.95", "-", "llama-server is not on the PATH"]
    ]


def test_every_goal_of_one_to_six_has_rows():
    assert {row.number for row in ROWS if row.goal} == {1, 2, 3, 4, 5, 6}


@pytest.fixture
def pair(tmp_path, monkeypatch):
    words, eyes = SHAPES["smolvlm2-256m"]
    small = Words(words.arch, 64, 1, 4, 2, 128, 512, 4096, tokenizer=words.tokenizer)
    little = small, replace(eyes, image=64, width=64, layers=1, heads=4, ff=128)
    monkeypatch.setattr(recipes, "OWN", {"little": little})
    return published.pair(tmp_path, Recipe("little", "F16", longest=64))


def test_a_pair_of_a_published_shape_has_random_weights_and_never_ends_an_answer(pair):
    reader = gguf.GGUFReader(pair.model)
    weights = {tensor.name: tensor.data for tensor in reader.tensors}
    up = weights["blk.0.ffn_up.weight"].astype(np.float32)
    assert up.std() == pytest.approx(64**-0.5, rel=0.1)
    assert (weights["output_norm.weight"] == 1).all()
    ends = reader.fields["tokenizer.ggml.eos_token_id"].contents()
    assert not weights["output.weight"][ends].any()
    assert weights["output.weight"].any(axis=1).sum() > 300


def test_a_quantised_pair_is_as_llama_cpp_quantises_it_and_never_ends_an_answer(tmp_path):
    files = published.pair(tmp_path, Recipe("tiny", "Q4_K_M"))
    reader = gguf.GGUFReader(files.model)
    tensors = {tensor.name: tensor for tensor in reader.tensors}
    assert tensors["blk.0.ffn_up.weight"].tensor_type == gguf.GGMLQuantizationType.Q4_K
    output = tensors["token_embd.weight"]
    assert output.tensor_type == gguf.GGMLQuantizationType.Q6_K
    rows = gguf.quants.dequantize(output.data, output.tensor_type)
    assert not rows[reader.fields["tokenizer.ggml.eos_token_id"].contents()].any()
    assert rows.any(axis=1).sum() > 300
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted((files.model.name, files.projector.name))


def bench(*words):
    """The benchmark as a user starts it, on a machine without llama.cpp's programs. Returns its lines."""
    env = os.environ | {"PATH": str(Path(sys.executable).parent)}
    command = [sys.executable, "-m", "vlmcli.bench", *words]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_the_command_asks_each_and_prints_ratios_with_their_goals():
    head, *lines = bench("--pairs", "tiny:Q4_K_M", "--rounds", "1", "--pictures", "1", "--rows", "1", "3", "7")
    assert head.startswith("tiny:Q4_K_M: 1 M weights, 2 layers;")
    number = r"+[0-9]+\.[0-9]{2} "
    handler = [line for line in lines if line.endswith("MTMDChatHandler")]
    assert len(handler) == 1
    assert re.search(rf"cold question, 32 tokens {number}{number}{number} +0\.80  (yes|no) +MTMDChat", handler[0])
    assert any(line.startswith("1") and "llama-mtmd-cli is not on the PATH" in line for line in lines)
    rows = [line for line in lines if "tokens" not in line and not re.match(" *[0-9]", line)]  # a ratio may be 1.32
    work = [re.split(r"  +", line.strip()) for line in rows if "32" in line]
    assert [line[:2] for line in work] == [
        ["vlm, cold", "1"],
        ["MTMDChatHandler, cold", "1"],
        ["vlm, folder", "2"],
        ["vlm, picture of a folder", "1"],
        ["vlm --worker, cold", "1"],
    ]
    assert len({tuple(line[2:4]) for line in work}) == 1, "the work is the same for all"


def test_repacking_is_measured_for_each_quantisation():
    lines = bench("repack", "--shape", "tiny", "--layers", "1", "--rounds", "1", "--quants", "Q4_0", "F16")
    four, half = lines[-2:]
    assert re.fullmatch(r"Q4_0( +([0-9]+\.[0-9]{2}|-)){4}  [0-9]+% repacked", four)
    assert re.fullmatch(r"F16( +-){4}  0% repacked", half)
