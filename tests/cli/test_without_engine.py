"""Where llama-cpp-python cannot be imported: what needs no engine works, all else says how to install it."""

import os
import subprocess
import sys

import pytest

from tests.support import ROOT
from tests.support.place import objects
from tests.support.program import SCENE
from vlmcli.errors import NativeError
from vlmcli.models import catalogue
from vlmcli.runners.worker import Worker

HIDE = """
import sys
from importlib.machinery import PathFinder
class Without(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name == "llama_cpp" else super().find_spec(name, path, target)
sys.meta_path = [Without if one is PathFinder else one for one in sys.meta_path]
"""
"""A sitecustomize.py, after which llama-cpp-python is not installed."""
MISSING = "libgomp.so.1: cannot open shared object file: No such file or directory"
COMMAND = "llama-cpp-python==0.3.36 --extra-index-url https://abetlen.github.io/llama-cpp-python/whl/"
KINDS = {
    "not installed": ({"sitecustomize.py": HIDE}, "is not installed"),
    "not importable": (
        {"llama_cpp/__init__.py": "raise ImportError('no engine')"},
        "cannot be loaded (No module named",
    ),
    "not loadable": (
        {"llama_cpp/__init__.py": "", "llama_cpp/llama_cpp.py": f"raise OSError({MISSING!r})"},
        f"cannot be loaded ({MISSING})",
    ),
}


def spoil(place, kind):
    """Let every process of a place be without an engine. Returns the place, with what is said of it as `says`."""
    files, says = KINDS[kind]
    for name, text in files.items():
        path = place.folder / "broken" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    place.env["PYTHONPATH"] = os.pathsep.join([str(place.folder / "broken"), str(ROOT)])
    place.says = f"llama-cpp-python, which runs the models, {says}"
    return place


@pytest.fixture(params=KINDS)
def without(place, request):
    """That place, without an engine of each kind."""
    return spoil(place, request.param)


@pytest.fixture
def broken(place):
    """That place, where the kind makes no difference."""
    return spoil(place, "not loadable")


def vlm(place, *words, code=0, input=""):
    done = subprocess.run(
        [sys.executable, "-m", "vlmcli", *words], env=place.environment(), cwd=place.folder, input=input,
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert "Traceback" not in done.stderr, done.stderr
    assert done.returncode == code, done.stderr
    return done


def assert_told(place, stderr):
    """Two lines: what is wrong, and the one command."""
    said = stderr.splitlines()
    assert len(said) == 2, said
    assert said[0].startswith(f"vlm: {place.says}")
    assert said[1].startswith("     install it: ")
    assert COMMAND in said[1]


def test_it_is_really_not_there(without):
    code = "import vlmcli, vlmcli.engine, vlmcli.cli.app; import llama_cpp.llama_cpp"
    env = without.environment()
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(("ModuleNotFoundError", "ImportError", "OSError"))
    assert "vlmcli" not in done.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    "words",
    [
        ["ask", "-m", "demo", SCENE, "what is this?"],
        ["caption", "-m", "demo", SCENE, SCENE, "--output", "o.jsonl"],
    ],
)
def test_what_asks_a_model_says_what_is_wrong_and_the_command(without, words):
    done = vlm(without, *words, code=70)
    assert_told(without, done.stderr)
    assert done.stdout == ""
    assert not (without.folder / "o.jsonl").exists() or not (without.folder / "o.jsonl").read_text()


@pytest.mark.parametrize(
    "words",
    [
        ["ask", SCENE, "what is this?"],
        ["ask", "-m", "demo", "--worker", SCENE, "what is this?"],
        ["chat", "-m", "demo"],
        ["describe", "-m", "demo", SCENE],
        ["ocr", "-m", "demo", SCENE],
        ["explain", "-m", "demo", SCENE, "what is this?"],
        ["ask", "-m", "smolvlm2-500m", "-y", SCENE, "what is this?"],
        ["show", "-m", "demo", SCENE],
        ["show", SCENE, "-m", "demo", "--preview", "seen.png"],
    ],
)
def test_every_verb_that_needs_it_does(broken, words):
    assert_told(broken, vlm(broken, *words, code=70, input="what is this?\n").stderr)
    assert broken.hub.asked == []  # nothing is downloaded that cannot be used


def test_models_are_downloaded_listed_shown_checked_and_removed(broken):
    (fetched,) = objects(vlm(broken, "pull", "-y", "--json", "smolvlm2-500m"))
    assert vlm(broken, "pull", "smolvlm2-500m").stderr.count("already downloaded") == 1
    assert "smolvlm2-500m" in vlm(broken, "ls").stdout
    assert vlm(broken, "default").stdout == "smolvlm2-500m\n"
    (shown,) = objects(vlm(broken, "show", "--json", "smolvlm2-500m"))
    assert (shown["model"], shown["picture_tokens"]) == (fetched["model"], 64)
    assert vlm(broken, "verify").returncode == 0
    assert vlm(broken, "rm", "-y", "smolvlm2-500m").returncode == 0


def test_help_templates_and_versions_need_none(broken):
    for words in (["--help"], ["ask", "--help"], ["templates"], ["show", "demo"], ["default", "demo"]):
        done = vlm(broken, *words)
        assert broken.says not in done.stderr
    assert "vlm 0." in vlm(broken, "--version").stdout


def test_models_are_ordered_without_their_times(broken):
    done = vlm(broken, "models", "--json")
    rows = objects(done)
    assert [row["name"] for row in rows if row["recommended"]] == [catalogue.listed()[0].name]
    assert {row["seconds"] for row in rows} == {None}
    assert_told(broken, "\n".join(done.stderr.splitlines()[:2]))
    assert "speed is unknown" in done.stderr.splitlines()[2]


def test_a_picture_is_shown_without_what_the_default_model_sees(broken):
    broken.env["VLM_MODEL"] = "demo"
    done = vlm(broken, "show", SCENE)
    assert done.stdout.splitlines()[1:] == ["  upright, RGB: 640×480"]
    assert_told(broken, "\n".join(done.stderr.splitlines()[:2]))
    (shown,) = objects(vlm(broken, "show", "--json", SCENE))
    assert (shown["upright"], shown["model"], shown["picture_tokens"]) == ([[640, 480]], None, None)


def test_doctor_goes_on_and_has_the_command(broken):
    found = {one["area"]: one for one in objects(vlm(broken, "doctor", "--json", code=1))}
    assert found["llama.cpp"]["ok"] is False
    assert found["llama.cpp"]["what"].startswith(broken.says)
    assert COMMAND in found["llama.cpp"]["mend"]
    assert {"python", "memory", "disk", "cache", "settings"} <= set(found)
    assert "model" not in found


@pytest.mark.parametrize(
    ("code", "says", "command"),
    [
        (f"raise OSError({MISSING!r})", f"cannot be loaded ({MISSING})", COMMAND),
        (
            "raise OSError('libcudart.so.12: cannot open shared object file')",
            "cannot be loaded (libcudart.so.12: ",
            "install that library, or the CPU build: ",
        ),
        (
            "import os, signal; os.kill(os.getpid(), signal.SIGILL)",
            "was built for another CPU (illegal instruction)",
            "llama-cpp-python==0.3.36 --no-binary llama-cpp-python",
        ),
    ],
)
def test_a_worker_without_an_engine_says_so_and_not_that_it_died(tmp_path, monkeypatch, code, says, command):
    """The asking process has one; only the worker's is broken."""
    from vlmcli import demo

    (tmp_path / "llama_cpp").mkdir()
    (tmp_path / "llama_cpp" / "__init__.py").touch()
    (tmp_path / "llama_cpp" / "llama_cpp.py").write_text(code, "utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    with Worker(demo.FILES, back_off=(0.0,)) as worker, pytest.raises(NativeError) as caught:
        worker.ready()
    assert f"llama-cpp-python, which runs the models, {says}" in caught.value.message
    assert command in caught.value.hint
