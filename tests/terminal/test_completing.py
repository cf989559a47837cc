"""Paths in a typed line, completed: in folders, with spaces, quoted or escaped; what is inserted is read back."""

import sys

import pytest

from vlmcli.chat import dropped
from vlmcli.terminal import completing

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="backslashes part folders there")


@pytest.fixture
def here(tmp_path, monkeypatch):
    for name in ("pics/one.png", "pics/two words.JPG", "pics/deep/three.webp", "pics/.hidden.png", "pics/notes.txt",
                 "pictures/a.png", "my scene.png", "it's.png", "plain.txt"):  # fmt: skip
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def lines(text, found):
    """What each completion makes of the line."""
    return [text[: len(text) - one.back] + one.text for one in found]


@pytest.mark.parametrize(
    ("text", "become"),
    [
        ("pi", ["pics/", "pictures/"]),
        ("what is in pic", ["what is in pics/", "what is in pictures/"]),
        ("pics/", ["pics/deep/", "pics/one.png", "pics/two\\ words.JPG"]),
        ("pics/.h", ["pics/.hidden.png"]),
        ("pics/two", ["pics/two\\ words.JPG"]),
        ("pics/two\\ w", ["pics/two\\ words.JPG"]),
        ("pics/two w", ["pics/two\\ words.JPG"]),
        ("what is my sc", ["what is my\\ scene.png"]),
        ("what is my\\ sc", ["what is my\\ scene.png"]),
        ('what is "my sc', ['what is "my scene.png"']),
        ("'pics/de", ["'pics/deep/"]),
        ("it", ["it\\'s.png"]),
        ('"it', ['"it\'s.png"']),
        ("~", ["~/"]),
        ("~/pics/o", ["~/pics/one.png"]),
        ("plain", []),
        ("pics/notes", []),
        ("", []),
        ("what is ", []),
        ("nowhere/", []),
        ("\0", []),
        ("x" * 5000, []),
    ],
)
def test_a_line_goes_on(here, text, become):
    assert lines(text, completing.in_line(text)) == become


@pytest.mark.parametrize("text", ["pics/two", "what is my sc", '"my sc', "it", "~/pics/o"])
def test_what_is_inserted_is_a_picture_of_the_line(here, text):
    (line,) = lines(text, completing.in_line(text))
    assert len(dropped.find(f"{line} what is this?").words) == 1


def test_after_a_command_the_whole_is_one_path_of_any_kind(here):
    assert lines("pl", completing.whole("pl")) == ["plain.txt"]
    assert lines("my sc", completing.whole("my sc")) == ["my scene.png"]
    assert lines("pics/one.png my sc", completing.whole("pics/one.png my sc")) == ["pics/one.png my\\ scene.png"]
    assert "pics/" in lines("", completing.whole(""))


def test_very_many_names_are_few_completions(here):
    for number in range(completing.MOST + 50):
        (here / "pics" / f"z{number}.png").touch()
    assert len(completing.in_line("pics/z")) == completing.MOST


def test_a_name_that_no_line_can_have_is_not_offered(here):
    (here / "evil\n.png").touch()
    (here / "evil\x1b[2J.png").touch()  # the screen shows it escaped
    assert lines("evil", completing.in_line("evil")) == ["evil\x1b[2J.png"]
