"""The plugin through `llm`'s command line, as a wheel of it is installed, with the demo model and a drawn scene."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

PLUGIN = Path(__file__).parents[1]
ROOT = PLUGIN.parent
SCENE = ROOT / "docs" / "images" / "scene.png"
pytest.importorskip("llm", reason="llm is not installed: pip install '.[dev]'")
build = pytest.importorskip("hatchling.build", reason="hatchling, which builds the plugin, is not installed")

ASK = ("-m", "vlm/demo", "-a", SCENE)
SHAPES = {
    "type": "object",
    "properties": {
        "shapes": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "shape": {"type": "string"},
                    "color": {"enum": ["red", "blue", "green"]},
                    "box": {"type": "array", "items": {"type": "integer"}, "minItems": 4, "maxItems": 4},
                },
                "required": ["shape", "color", "box"],
                "additionalProperties": False,
            },
        },
        "text": {"type": ["string", "null"]},
    },
    "required": ["shapes", "text"],
    "additionalProperties": False,
}
"""As the demo model lists shapes."""


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder with the installed plugin."""
    folder = tmp_path_factory.mktemp("llm")
    source = shutil.copytree(PLUGIN, folder / "source")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(source)
        wheel = build.build_wheel(str(folder))
    with zipfile.ZipFile(folder / wheel) as packed:
        packed.extractall(folder / "installed")
    return folder


@pytest.fixture(scope="module")
def own(home):
    """The user's folders of `llm` and `vlm` are a test's own, here and in processes, which have the plugin."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith(("VLM_", "LLM_"))]:
            patch.delenv(name)
        for name in ("CONFIG", "CACHE", "STATE"):
            patch.setenv(f"XDG_{name}_HOME", str(home / name.lower()))
        patch.setenv("HF_HOME", str(home / "hub"))
        patch.setenv("LLM_USER_PATH", str(home / "user"))
        patch.setenv("PYTHONPATH", os.pathsep.join((str(home / "installed"), str(ROOT))))
        patch.syspath_prepend(str(home / "installed"))
        yield


@pytest.fixture(scope="module")
def run(own):
    """Run `llm` in this process, where its model stays open. Returns click's result."""
    from click.testing import CliRunner
    from llm.cli import cli

    yield lambda *words: CliRunner().invoke(cli, [str(word) for word in words])
    import llm_vlm

    while llm_vlm._opened:
        llm_vlm._opened.popitem()[1].close()


def process(*words):
    """Run `llm` in a process of its own, as a user does."""
    words = [sys.executable, "-m", "llm", *map(str, words)]
    return subprocess.run(words, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)


def test_a_picture_is_asked_about_logged_and_asked_about_again(own, run):
    first = process(*ASK, "What is this?")
    assert (first.stdout, first.stderr, first.returncode) == ("A red circle and a blue square.\n", "", 0)
    again = process("-c", "What color is the circle?")
    assert (again.stdout, again.stderr, again.returncode) == ("The circle is red.\n", "", 0)
    before, newest = json.loads(run("logs", "-n", "2", "--json").stdout)
    assert (newest["prompt"], newest["response"]) == ("What color is the circle?", "The circle is red.")
    assert newest["model"] == "vlm/demo"
    assert newest["conversation_id"] == before["conversation_id"]
    assert newest["input_tokens"] > before["input_tokens"] > 60
    assert 5 < before["output_tokens"] < 20
    assert before["attachments"][0]["path"] == str(SCENE)


def test_the_models_of_vlm_are_listed_with_their_options(run):
    done = run("models", "--options", "-q", "vlm/demo")
    assert done.exit_code == 0, done.stderr
    assert "Vlm: vlm/demo (aliases: vlm-demo)" in done.stdout
    assert "max_tokens" in done.stdout
    assert "image/png" in done.stdout


def test_it_streams_or_not_and_reads_bytes(run):
    import llm

    done = run("-m", "vlm-demo", "--no-stream", "-a", SCENE, "What is on the right?")
    assert (done.stdout, done.exit_code) == ("A blue square.\n", 0), done.stderr
    picture = llm.Attachment(content=SCENE.read_bytes())
    response = llm.get_model("vlm/demo").prompt("What is on the left?", attachments=[picture])
    assert list(response) == ["A", " red", " circle", "."]
    assert response.response_json == {"model": "demo", "finish_reason": "stop"}


def test_an_answer_follows_a_schema(run):
    done = run(*ASK, "--schema", json.dumps(SHAPES), "")
    assert done.exit_code == 0, done.stderr
    shapes = json.loads(done.stdout)["shapes"]
    assert [(one["shape"], one["color"]) for one in shapes] == [("circle", "red"), ("square", "blue")]


def test_options_reach_the_model_and_are_checked(run):
    short = run(*ASK, "-o", "max_tokens", "2", "What is this?")
    assert (short.stdout, short.exit_code) == ("A red\n", 0), short.stderr
    wrong = run(*ASK, "-o", "max_tokens", "0", "What is this?")
    assert wrong.exit_code == 1
    assert "max_tokens" in wrong.stderr
    wrong = run(*ASK, "-o", "detail", "huge", "What is this?")
    assert wrong.stderr == (
        "Error: detail huge: not low, high, parts, or a number of pixels of at least 16\n"
        "for example detail low, or detail 768\n"
    )


def test_errors_say_what_is_wrong_and_what_to_do(run, home):
    none = run("-m", "vlm/demo", "What is this?")
    assert (none.stdout, none.stderr) == ("", "Error: there is no picture to ask about\nattach one: -a photo.jpg\n")
    cut = home / "cut.png"
    cut.write_bytes(SCENE.read_bytes()[:60])
    done = run("-m", "vlm/demo", "-a", cut, "What is this?")
    assert (done.stdout, done.exit_code) == ("", 1)
    assert done.stderr.startswith(f"Error: {cut}: ")
    assert len(done.stderr.splitlines()) == 2
    default = run("-m", "vlm", "-a", SCENE, "What is this?")
    assert default.stderr.startswith("Error: no model chosen\n")
