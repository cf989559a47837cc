"""Shared by the tests of commands."""

import shutil

import pytest

from tests.support.hub import Hub
from tests.support.place import MODEL, PROJECTOR, REPOSITORY, Place, publish
from tests.support.program import SCENE, keep_speed
from vlmcli.cli import daily


@pytest.fixture
def place(tmp_path):
    with Hub() as hub:
        publish(hub, REPOSITORY, MODEL, PROJECTOR)
        keep_speed(tmp_path / "state" / "vlm")
        yield Place(hub, tmp_path)


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A folder with a picture that has a space in its name, and a state of its own."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    daily.remember(tmp_path / "state" / "vlm")
    keep_speed(tmp_path / "state" / "vlm")
    monkeypatch.chdir(tmp_path)
    shutil.copy(SCENE, tmp_path / "my scene.png")
    return tmp_path


@pytest.fixture
def talk(home):
    """A conversation with the demo model, at its first prompt."""
    from tests.support.terminal import Terminal  # POSIX has it

    with Terminal("chat", "-m", "demo", cwd=home, columns=100) as terminal:
        terminal.wait(r">>> a question")
        yield terminal
