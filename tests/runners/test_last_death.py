"""A command that dies inside llama.cpp is explained by the next one; one that is ended is not."""

import re
import signal
import subprocess
import sys
import time

import pytest

from tests.support import ROOT, faulty
from tests.support.program import VLM
from vlmcli import demo
from vlmcli.runners import last_death

SCENE = ROOT / "docs" / "images" / "scene.png"
SAYS = "A red circle and a blue square.\n"
NOTICE = 0  # lines on stderr: it was shown before

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals")


def vlm(*words, fault="", **more):
    command = faulty.command(fault, *words) if fault else [VLM, *map(str, words)]
    env = faulty.environment()
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env, **more)


def ask(*words, fault=""):
    process = vlm("ask", SCENE, "what is this?", "-m", "demo", *words, fault=fault)
    out, err = process.communicate(timeout=60)
    busy = re.compile(r"vlm: (loading the model|looking at the picture|reading|answering)( +[0-9]+%)?")  # it is told of
    return process.returncode, out, [line for line in err.splitlines() if not busy.fullmatch(line)]


@pytest.mark.parametrize(
    ("fault", "code", "says"),
    [
        ("segfault", -signal.SIGSEGV, "segmentation fault"),
        ("throw", -signal.SIGABRT, "aborted"),
        ("kill", -signal.SIGKILL, "killed; perhaps memory ran out"),
    ],
)
def test_a_death_is_explained_once(state, fault, code, says):
    assert ask(fault=f"{fault} scene.png")[0] == code
    code, out, err = ask()
    assert (code, out) == (0, SAYS)
    assert f"vlm: the last command crashed in llama.cpp ({says}): {SCENE}, with {demo.FILES.model}" in err
    assert "vlm: this command runs llama.cpp in a separate process, as with --worker" in err
    code, out, err = ask()
    assert (code, out, len(err)) == (0, SAYS, NOTICE)
    assert list((state / "running").iterdir()) == []


def test_after_a_death_the_next_command_names_what_kills(state):
    assert ask(fault="segfault scene.png")[0] == -signal.SIGSEGV
    code, out, err = ask(fault="segfault scene.png")
    assert (code, out) == (70, "")
    assert f"vlm: {SCENE}: llama.cpp crashed on it each time (segmentation fault)" in err


def test_a_death_with_another_model_changes_nothing(state):
    (state / "running").mkdir(parents=True)
    (state / "running" / "1.txt").write_text(
        '{"model": "other.gguf", "pictures": ["a.png"]}\nFatal Python error: Bus\n'
    )
    code, _, err = ask(fault="segfault scene.png")
    assert code == -signal.SIGSEGV  # in process, as ever
    assert "vlm: the last command crashed in llama.cpp (bus): a.png, with other.gguf" in err


def test_what_is_explained_at_once_leaves_nothing(state):
    code, _, err = ask(fault="abort scene.png")
    assert code == 70
    assert any("GGML_ASSERT(fault) failed" in line for line in err)
    assert list((state / "running").iterdir()) == []
    assert len(ask()[2]) == NOTICE


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_to_be_ended_is_no_death(state, tmp_path, number):
    process = vlm("ask", SCENE, "what is this?", "-m", "demo", fault=f"hang scene.png {tmp_path / 'hangs'}")
    end = time.monotonic() + 60
    while not (tmp_path / "hangs").exists():
        assert time.monotonic() < end
        time.sleep(0.02)
    assert list((state / "running").glob("*.txt"))
    process.send_signal(number)
    if number == signal.SIGINT:  # asks llama.cpp to end, which here it does not; the second does not ask
        time.sleep(1.0)
        assert process.poll() is None
        process.send_signal(number)
    process.communicate(timeout=20)
    assert process.returncode == (130 if number == signal.SIGINT else -number)
    assert len(ask()[2]) == NOTICE


def test_a_command_that_runs_is_not_dead(state):
    process = vlm("ask", SCENE, "what is this?", "-m", "demo", fault="hang scene.png")
    while not list((state / "running").glob("*.txt")):
        time.sleep(0.02)
    assert len(ask()[2]) == NOTICE
    process.kill()
    process.communicate(timeout=20)
    assert any("killed" in line for line in ask()[2])


def test_where_nothing_can_be_written_nothing_is_said(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    assert ask() == (0, SAYS, ask()[2])
    assert len(ask()[2]) == 1  # the demo's notice, each time


def test_rubbish_is_removed(tmp_path):
    for name, text in (
        ("1", ""),
        ("2", "x"),
        ("3", "[]"),
        ("4", '{"model": 1}'),
        ("5", '{"pictures": 3, "model": ""}'),
        ("6", "[" * 60_000),
        ("7", '{"model": "m", "pictures": [' + "[" * 60_000),
    ):
        (tmp_path / f"{name}.txt").write_text(text)
    assert last_death.take(tmp_path) is None
    assert list(tmp_path.iterdir()) == []
