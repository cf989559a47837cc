"""What `vlm chat` does with names of pictures that lead to no file, and with pictures that cannot be read."""

import shutil
import sys

import pytest

from tests.support import ROOT
from tests.support.program import piped

if sys.platform == "win32":
    pytest.skip("there are no pseudo-terminals here", allow_module_level=True)

from tests.support.terminal import CTRL_C, UP

SCENE = ROOT / "docs" / "images" / "scene.png"
ATTACHED = "[picture 1: my scene.png 640×480 → 64 tokens]"


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("P2/nothere.jpg", "P2/nothere.jpg: there is no such file"),
        ("P2/dup11.jpg what is this?", "P2/dup11.jpg: there is no such file\n     did you mean P2/dup1.jpg?"),
        ("what is in dup11.jpg?", "dup11.jpg: there is no such file"),
        ("'P2/not here.jpg' what is this?", "P2/not here.jpg: there is no such file"),
        ("P2/not\\ here.jpg", "P2/not here.jpg: there is no such file"),
        ("P2/dup1.jpg P2/nothere.jpg which is larger?", "P2/nothere.jpg: there is no such file"),
        ("/imgae P2/dup11.jpg", "/imgae: no such command"),
    ],
)
def test_a_mistyped_picture_is_not_a_question_about_another_one(home, line, says):
    (home / "P2").mkdir()
    shutil.copy(SCENE, home / "P2" / "dup1.jpg")
    done = piped(home, f"{line}\nwhat is this?\n", "my scene.png", code=3)
    assert done.stderr.count("vlm: there is no") == 0
    assert done.stdout.count("\n") == 1, done.stdout
    assert says in done.stderr
    assert done.stderr.count("there is no such file") == ("no such file" in says)


def test_a_question_may_be_about_the_name_of_a_picture(home):
    (home / "gone").mkdir()
    shutil.copy(SCENE, home / "gone" / "scene.png")
    lines = ["what is a .jpg?", "is it photo.png or a scan?", "what is in SCENE2.PNG?", "what is in scene.png?"]
    done = piped(home, "\n".join(["gone/scene.png", *lines]) + "\n", code=3)
    assert len(done.stdout.splitlines()) == 3
    assert done.stderr.count("there is no such file") == 1
    done = piped(home / "gone", "gone/scene.png what is this?\n", home / "gone" / "scene.png")
    assert len(done.stdout.splitlines()) == 1


def test_without_a_picture_the_missing_one_is_named(home):
    for line in ("nothere.jpg what is this?", "what is in nothere.jpg and where?"):
        done = piped(home, f"{line}\n", code=1)
        assert "nothere.jpg: there is no such file" in done.stderr
        assert "no picture to talk about" not in done.stderr


def test_a_line_of_paths_is_cleared_and_what_can_be_read_is_attached(talk, home):
    (home / "half.png").write_bytes(SCENE.read_bytes()[:60])
    for line, shown in (
        ("half.png", "half.png"),
        ("nothere.png", "nothere.png: there is no such file"),
        ("half.png 'my scene.png'", ATTACHED),
        ("nothere.png 'my scene.png'", ATTACHED),
    ):
        said = talk.line(line)
        assert shown in said, line
        assert said.count("vlm:") == 1, line
        talk.wait(r">>> a question, or drop a picture here\Z")
    talk.type(UP)
    talk.wait(r">>> nothere\.png 'my scene\.png'\Z")
    talk.type(CTRL_C)
    talk.wait(r">>> a question, or drop a picture here\Z")
    talk.type("'my scene.png' half.png which?\r")
    talk.wait(r">>> half\.png which\?\Z")


def test_pictures_that_are_pasted_one_after_another_are_two(talk, home):
    (home / "half.png").write_bytes(SCENE.read_bytes()[:60])
    shutil.copy(SCENE, home / "Grüße.png")
    pasted = "".join(f"\x1b[200~{home}/{name}\x1b[201~" for name in ("half.png", "Grüße.png"))
    said = talk.line(pasted).replace("\n", "")
    assert "[picture 1: Grüße.png 640×480" in said
    assert said.count("vlm:") == 1
    talk.wait(r">>> a question, or drop a picture here\Z")
