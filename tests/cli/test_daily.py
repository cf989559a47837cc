"""The demo model's notice: after the first answer of a day, and not again on that day."""

from datetime import date, timedelta
from pathlib import Path

import pytest

from tests.support.program import ANSWER, NOTICE, SCENE, run, vlm
from vlmcli.cli import daily
from vlmcli.values import Card

ASK = ("ask", "-m", "demo", SCENE, "what is this?")


@pytest.fixture
def fresh(tmp_path, monkeypatch):
    """The state folder of a machine on which nothing has been shown yet."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state" / "vlm"


class Told:
    def __init__(self):
        self.texts = []

    def notice(self, text):
        self.texts.append(text)


def test_it_comes_once_a_day(fresh):
    assert (vlm(*ASK).stderr, vlm(*ASK).stderr) == (NOTICE, "")
    assert vlm("chat", "-m", "demo", SCENE, input="what is this?\n").stderr.count("photographs") == 0
    (fresh / daily.NAME).write_text((date.today() - timedelta(1)).isoformat())
    assert (vlm(*ASK).stderr, vlm(*ASK).stderr) == (NOTICE, "")


def test_it_comes_after_the_first_answer(fresh, tmp_path):
    with (tmp_path / "all").open("w") as stream, Path(SCENE).open() as stdin:
        assert run(ASK, (stdin, stream, stream)) == 0
    assert (tmp_path / "all").read_text() == ANSWER + NOTICE


def test_chat_shows_it_after_the_first_answer_only(fresh):
    done = vlm("chat", "-m", "demo", SCENE, input="what is this?\nwhat is this?\n")
    assert done.stderr.count(NOTICE) == 1
    assert done.stderr.endswith(NOTICE)


@pytest.mark.parametrize("words", [(*ASK[:3], "none.png", "what is this?"), (*ASK[:3], SCENE, "hi", "--ctx", "1")])
def test_an_error_comes_without_it(fresh, words):
    done = vlm(*words)
    assert done.returncode != 0
    assert "the demo model" not in done.stderr
    assert not (fresh / daily.NAME).exists()


def test_an_error_of_the_first_picture_comes_before_it(fresh, tmp_path):
    pics = tmp_path / "pics"
    pics.mkdir()
    (pics / "a.png").write_bytes(b"no picture")
    (pics / "b.png").write_bytes(Path(SCENE).read_bytes())
    done = vlm("ask", "-m", "demo", pics, "what is this?")
    assert done.returncode == 3
    assert done.stderr.count(NOTICE) == 1
    assert done.stderr.index("a.png") < done.stderr.index(NOTICE)


def test_where_it_cannot_be_remembered_it_is_shown_each_time(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    assert (vlm(*ASK).stderr, vlm(*ASK).stderr) == (NOTICE, NOTICE)


@pytest.mark.parametrize("text", [b"", b"\xff\xfe", b"x" * 1000, b"2026-13-45"])
def test_rubbish_in_its_place_is_overwritten(fresh, text):
    fresh.mkdir(parents=True)
    (fresh / daily.NAME).write_bytes(text)
    assert not daily.was_told(fresh)
    daily.remember(fresh)
    assert daily.was_told(fresh)


def test_a_medical_notice_comes_each_time(fresh):
    ui = Told()
    for _ in range(2):
        daily.tell(ui, Card(notice="not a medical device"))
        daily.tell(ui, Card(notice="only drawings", notice_daily=True))
        daily.tell(ui, Card())
    assert ui.texts == ["not a medical device", "only drawings", "not a medical device"]
