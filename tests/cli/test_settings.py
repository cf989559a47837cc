"""The settings system, detail and max_tokens: in the file, in the environment, and under flags and templates."""

import json

import pytest

from tests.support.program import SCENE, vlm

ASK = ("ask", "-m", "demo", SCENE, "what is this?")


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A folder of settings of one's own."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    (tmp_path / "vlm" / "templates").mkdir(parents=True)
    return tmp_path / "vlm"


def stopped(home, *words, env=None):
    """After how many tokens an answer was cut off; 0 where it was not."""
    done = vlm(*(words or ASK), "--json", env=env)
    record = json.loads(done.stdout)
    return record["usage"]["answer_tokens"] if record["finish_reason"] == "length" else 0


def test_max_tokens_is_the_flags_then_the_templates_then_the_variables_then_the_files(home):
    assert stopped(home) == 0
    (home / "settings.toml").write_text("max_tokens = 4\n")
    assert stopped(home) == 4
    assert stopped(home, env={"VLM_MAX_TOKENS": "3"}) == 3
    (home / "templates" / "t.toml").write_text('description = "d"\nprompt = "what is this?"\nmax_tokens = 2\n')
    template = ("ask", "-m", "demo", "-t", "t", SCENE)
    assert stopped(home, *template, env={"VLM_MAX_TOKENS": "3"}) == 2
    assert stopped(home, *template, "--max-tokens", "1", env={"VLM_MAX_TOKENS": "3"}) == 1
    assert stopped(home, *ASK, "-o", "max_tokens=1") == 1


def test_chat_and_explain_obey_them_too(home):
    (home / "settings.toml").write_text('max_tokens = 2\nsystem = "be brief"\ndetail = "low"\n')
    done = vlm("chat", "-m", "demo", SCENE, input="what is this?\n/system\n/set\n/detail\n")
    assert "cut off after 2 tokens" in done.stderr
    assert "be brief\nsampling: max_tokens 2\nnew pictures are scaled down to 512 pixels\n" in done.stderr
    assert "be brief" in vlm("explain", "-m", "demo", SCENE, "what is this?").stdout


@pytest.mark.parametrize(
    ("text", "env", "words", "size"),
    [
        ("", {}, (), "640×480"),
        ("detail = 300", {}, (), "300×225"),
        ('detail = "300"', {}, (), "300×225"),
        ('detail = "low"', {}, (), "512×384"),
        ('detail = "low"', {"VLM_DETAIL": "64"}, (), "64×48"),
        ('detail = "low"', {"VLM_DETAIL": "64"}, ("--detail", "high"), "640×480"),
        ('detail = "parts"', {}, (), "640×480"),
    ],
)
def test_detail_is_the_size_of_pictures(home, text, env, words, size):
    (home / "settings.toml").write_text(text)
    done = vlm("explain", "-m", "demo", SCENE, "what is this?", *words, env=env)
    assert size in done.stdout
    chat = vlm("chat", "-m", "demo", SCENE, *words, env=env, input="/images\n")
    assert (chat.returncode, size in chat.stderr) == (0, True)


@pytest.mark.parametrize("value", ["wide", "15", "100000", "-1", "parts ", "0"])
def test_a_detail_that_is_none_is_an_error(home, value):
    done = vlm(*ASK, env={"VLM_DETAIL": value})
    assert (done.returncode, f"VLM_DETAIL={value}: not low, high, parts" in done.stderr) == (2, True)
    (home / "settings.toml").write_text(f'detail = "{value}"\n')
    done = vlm(*ASK)
    assert (done.returncode, f"settings.toml: detail = {value}: not low" in done.stderr) == (2, True)


def test_system_is_the_flags_then_the_templates_then_the_settings(home):
    (home / "settings.toml").write_text('system = "of the file"\n')
    (home / "templates" / "t.toml").write_text('description = "d"\nprompt = "what?"\nsystem = "of the template"\n')
    told = []
    for words, env in (
        (ASK, {}),
        (ASK, {"VLM_SYSTEM": "of the variable"}),
        (("ask", "-m", "demo", "-t", "t", SCENE), {"VLM_SYSTEM": "of the variable"}),
        ((*ASK, "-s", "of the flag"), {"VLM_SYSTEM": "of the variable"}),
    ):
        usage = json.loads(vlm(*words, "--json", env=env).stdout)["usage"]
        told.append(usage["prompt_tokens"])
    bare = []
    for words in (("-s", "of the file"), ("-s", "of the variable"), (), ("-s", "of the flag")):
        command = ("ask", "-m", "demo", "-t", "t", SCENE) if not words else (*ASK, *words)
        bare.append(json.loads(vlm(*command, "--json").stdout)["usage"]["prompt_tokens"])
    (home / "settings.toml").write_text("")
    assert told == bare
    assert json.loads(vlm(*ASK, "--json").stdout)["usage"]["prompt_tokens"] < told[0]


@pytest.mark.parametrize("number", ["0", "x", str(2**31)])
def test_max_tokens_has_bounds(home, number):
    assert vlm(*ASK, env={"VLM_MAX_TOKENS": number}).returncode == 2
