"""--picture-tokens: how many image tokens a picture may take, where the family lets anybody say."""

import json
from dataclasses import replace

import pytest
from PIL import Image

from tests.support.engines import ask, noise, opened, small_files
from tests.support.program import SCENE, vlm
from vlmcli.bench import families
from vlmcli.machine import tiling
from vlmcli.models import gguf
from vlmcli.values import Answer, Card

ANY_SIZE = ("qwen2vl", "qwen25vl", "qwen3vl", "pixtral")
OTHERS = ("llava", "gemma3", "smolvlm", "internvl", "lfm2vl")


@pytest.fixture
def large(tmp_path):
    """A picture that takes more tokens than the tests let it have."""
    path = tmp_path / "large.png"
    Image.effect_noise((900, 700), 90).convert("RGB").save(path)
    return path


def tokens(folder, name, picture, *words, **more):
    """How many image tokens the picture took."""
    done = vlm("ask", "-m", folder / f"{name}.gguf", picture, "what?", "--json", "--max-tokens", "1", *words, **more)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["usage"]["picture_tokens"]


@pytest.mark.parametrize("name", ANY_SIZE)
def test_a_picture_takes_no_more_than_is_said(small, large, name):
    usual = tokens(small, name, large)
    for most in (64, 200):
        assert most * 0.6 < tokens(small, name, large, "--picture-tokens", most) <= most * 1.1 < usual


@pytest.mark.parametrize("name", OTHERS)
def test_where_nothing_can_be_said_it_is_an_error(small, name):
    done = vlm("ask", "-m", small / f"{name}.gguf", SCENE, "what?", "--picture-tokens", "64")
    assert done.returncode == 2
    assert done.stderr.startswith("vlm: --picture-tokens does nothing with ")
    assert "\n     leave it out; --detail changes the size of pictures\n" in done.stderr
    assert tokens(small, name, SCENE, env={"VLM_PICTURE_TOKENS": "64"}) == tokens(small, name, SCENE)


def test_it_can_be_a_setting(small, large):
    said = tokens(small, "qwen2vl", large, "--picture-tokens", 100)
    assert tokens(small, "qwen2vl", large, env={"VLM_PICTURE_TOKENS": "100"}) == said
    done = vlm("ask", "-m", "demo", SCENE, "what?", env={"VLM_PICTURE_TOKENS": "5"})
    assert (done.returncode, "VLM_PICTURE_TOKENS=5: out of range" in done.stderr) == (2, True)


@pytest.mark.parametrize("name", ANY_SIZE)
@pytest.mark.parametrize("budget", [(0, 0), (0, 100), (300, 600)])
@pytest.mark.parametrize("size", [(900, 700), (120, 90)])
def test_a_cards_budget_holds_and_what_is_foretold_is_what_comes(small, name, budget, size):
    files = replace(small_files(small, name), card=Card(budget=budget))
    with opened(files, n_ctx=8192) as engine:
        (answer,) = engine.run([ask("what?", noise(1, size), tokens=1)])
    assert isinstance(answer, Answer), answer
    rows = answer.usage.picture_tokens
    assert rows == tiling.picture_tokens(gguf.read(files.projector), *size, budget)
    least, most = budget
    assert least * 0.9 <= rows
    assert not most or rows <= most * 1.1


def test_another_budget_is_other_work_of_a_folder(small, tmp_path, large):
    words = ("caption", "-m", small / "qwen2vl.gguf", large, "--output", tmp_path / "o.jsonl", "--max-tokens", "1")
    assert vlm(*words).returncode == 0
    assert "1 was done before" in vlm(*words).stderr
    assert "was done before" not in vlm(*words, "--picture-tokens", "64").stderr
    assert "1 was done before" in vlm(*words, "--picture-tokens", "64").stderr


@pytest.mark.parametrize("most", [16, 69, 200, 256])
@pytest.mark.parametrize("name", ["gemma4v", "glm4v"])
def test_fewer_than_the_least_of_the_family_is_no_error(tmp_path, name, most):
    """llama.cpp loads no projector whose least is more than its most."""
    files = replace(small_files(families.write(tmp_path, [name]), name), card=Card(budget=(0, most)))
    with opened(files) as engine:
        (answer,) = engine.run([ask("what?", noise(1, (640, 480)), tokens=1)])
    assert isinstance(answer, Answer), answer
    assert 4 <= answer.usage.picture_tokens <= most


def test_text_is_read_with_the_budget_that_the_card_has_for_it(small, large, monkeypatch):
    from vlmcli.cli import servers

    find = servers.find_model

    def find_model(*words):
        files = find(*words)
        return replace(files, card=replace(files.card, budget=(0, 50), reading_budget=(0, 150)))

    monkeypatch.setattr(servers, "find_model", find_model)
    took = []
    for verb in ("caption", "ocr"):
        done = vlm(verb, "-m", small / "qwen2vl.gguf", large, "--json", "--max-tokens", "1")
        took.append(json.loads(done.stdout)["usage"]["picture_tokens"])
    assert took[0] <= 50 < 100 < took[1] <= 150
