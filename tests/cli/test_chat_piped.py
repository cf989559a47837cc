"""What `vlm chat` does with a stdin that has no end, or cannot be read."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.program import SCENE, VLM, own_environment

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="files of /proc and /dev that only Linux has"
)


def chat(stdin, *words):
    return subprocess.run(
        [VLM, *(words or ("chat", "-m", "demo", SCENE))], stdin=stdin, capture_output=True, text=True,
        env=own_environment(), timeout=60, check=False,
    )  # fmt: skip


def test_a_line_without_an_end_is_an_error():
    with Path("/dev/zero").open("rb") as source:
        done = chat(source)
    assert (done.returncode, done.stdout) == (2, "")
    assert "stdin: a question of more than 1,048,576 characters" in done.stderr


@pytest.mark.parametrize("text", ['"""\n' + "line\n" * 250_000, "x" * 1_100_000 + "\n"])
def test_a_text_that_is_too_long_is_an_error(tmp_path, text):
    (tmp_path / "lines.txt").write_text(text)
    with (tmp_path / "lines.txt").open("rb") as source:
        done = chat(source)
    assert (done.returncode, "a question of more than" in done.stderr) == (2, True)


@pytest.mark.parametrize("words", [(), ("ask", "-m", "demo", "-", "what is this?")])
def test_a_stdin_that_cannot_be_read_is_said_to_be_that(words):
    with Path("/proc/self/mem").open("rb") as source:
        done = chat(source, *words)
    assert done.returncode == 1
    assert "stdin" in done.stderr
    assert "cannot be read (" in done.stderr
    assert "written" not in done.stderr
