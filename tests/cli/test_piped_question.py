"""A question on stdin: named with "-", or piped where the command has none; and a stdin that is not meant for it."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.program import ANSWER, SCENE, VLM, own_environment, vlm

ASK = ("ask", "-m", "demo")
RED = "What color is the circle?"
SAYS = "The circle is red.\n"


@pytest.mark.parametrize(
    "words",
    [(SCENE, "-q", "-"), ("-q", "-", SCENE), (SCENE, "-")],
)
def test_a_dash_is_the_question_on_stdin(words):
    done = vlm(*ASK, *words, input=f"  {RED}\n")
    assert (done.stdout, done.stderr, done.returncode) == (SAYS, "", 0)


def test_it_may_have_several_lines_and_a_mark_before_it():
    done = vlm(*ASK, SCENE, "-q", "-", "--json", input=b"\xef\xbb\xbfone\ntwo\n")
    assert json.loads(done.stdout)["question"] == "one\ntwo"


def test_it_is_one_of_several():
    done = vlm(*ASK, SCENE, "-q", "what is this?", "-q", "-", input=RED)
    assert done.stdout == f"{SCENE}\twhat is this?\t{ANSWER}{SCENE}\t{RED}\t{SAYS}"


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "the question on stdin is empty"),
        (b" \n\n", "the question on stdin is empty"),
        (Path(SCENE).read_bytes(), "the question on stdin is not text"),
        (b"\xff\xfeq\0", "the question on stdin is not text"),
        (b"x" * (1 << 20) + b"y", "the question on stdin has more than"),
    ],
)
def test_what_is_no_question_is_an_error(data, says):
    done = vlm(*ASK, SCENE, "-q", "-", input=data)
    assert (done.stdout, done.returncode) == ("", 2)
    assert says in done.stderr


@pytest.mark.parametrize(
    "words",
    [
        ("-", "-q", "-"),
        ("-q", "-", "--", "-#2"),
        (SCENE, "-q", "-", "-q", "-"),
        ("--files-from", "-", "-q", "-"),
        ("-", "-"),
    ],
)
def test_stdin_is_for_one_thing(words):
    done = vlm(*ASK, *words, input="x")
    assert (done.returncode, "stdin can be read only once" in done.stderr) == (2, True), done.stderr


def test_a_piped_question_is_asked_where_there_is_no_other(tmp_path):
    assert vlm(*ASK, SCENE, input=f"{RED}\n").stdout == SAYS
    pics = tmp_path / "pics"
    pics.mkdir()
    (pics / "scene.png").write_bytes(Path(SCENE).read_bytes())
    assert vlm(*ASK, pics, input=RED).stdout == f"{pics / 'scene.png'}\t{SAYS}"
    (tmp_path / "list.txt").write_text(f"{SCENE}\n")
    assert vlm(*ASK, "--files-from", tmp_path / "list.txt", input=RED).stdout == f"{SCENE}\t{SAYS}"
    assert vlm(*ASK, SCENE, "what is this?", input=RED).stdout == ANSWER


@pytest.mark.parametrize(
    ("data", "says", "do"),
    [
        (f"{SCENE}\n", "stdin has the name of a file", "--files-from -"),
        ("a.png\nb.png\n", "several lines on stdin", "-q -"),
        (Path(SCENE).read_bytes(), "is not text", "put the question last"),
        ("x" * ((1 << 20) + 1), "does not end", "-q -"),
    ],
)
def test_what_may_not_be_meant_as_one_is_not_asked(data, says, do):
    done = vlm(*ASK, SCENE, input=data)
    assert (done.stdout, done.returncode) == ("", 2)
    assert says in done.stderr
    assert do in done.stderr


@pytest.mark.parametrize("words", [(SCENE,), (SCENE, SCENE), ("--files-from", "list.txt")])
def test_without_anything_piped_the_error_names_the_way(words):
    done = vlm(*ASK, *words)  # /dev/null
    assert done.returncode == 2
    assert "-q - reads the question from stdin" in done.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="select")
def test_a_pipe_that_stays_silent_is_not_waited_for():
    source, sink = os.pipe()
    try:
        begun = time.monotonic()
        done = subprocess.run(
            [VLM, *ASK, SCENE], stdin=source, capture_output=True, text=True, env=own_environment(),
            timeout=30, check=False,
        )  # fmt: skip
        assert time.monotonic() - begun < 15
        assert (done.returncode, "the command has no question about" in done.stderr) == (2, True)
    finally:
        os.close(source)
        os.close(sink)


@pytest.mark.skipif(sys.platform == "win32", reason="needs a POSIX shell")
def test_a_loop_keeps_its_list(tmp_path):
    """A command with a question does not read stdin at all."""
    for name in ("a", "b"):
        (tmp_path / f"{name}.png").write_bytes(Path(SCENE).read_bytes())
    line = f"ls *.png | while read -r file; do '{VLM}' ask -m demo \"$file\" 'what is this?'; done"
    done = subprocess.run(
        ["sh", "-c", line], cwd=tmp_path, capture_output=True, text=True, env=own_environment(), check=False
    )
    assert done.stdout == ANSWER * 2
