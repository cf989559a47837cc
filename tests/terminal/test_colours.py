"""Red for the beginning of an error, dim for what to do: on terminals only, and never where nobody wants colours."""

import os
import pty
import re

import pytest

from tests.support.evil import on
from tests.support.program import vlm
from tests.support.terminal import CTRL_D, Terminal
from vlmcli import settings
from vlmcli.terminal.ui import Ui

WRONG = ("ask", "-m", "demo", "none.png", "what is this?")
RED, DIM, PLAIN = b"\x1b[1;31m", b"\x1b[2m", b"\x1b[0m"
COLOUR = re.compile(rb"\x1b\[(?:[0-9;]*;)?(?:3[0-8]|4[0-8]|9[0-7]|10[0-7])[0-9;]*m")
NONE = [{"NO_COLOR": "1"}, {"TERM": "dumb"}, {"TERM": "unknown"}]


@pytest.mark.parametrize(
    ("environment", "wanted"),
    [
        ({}, True),
        ({"TERM": "xterm-256color"}, True),
        ({"NO_COLOR": ""}, True),  # as if it were not set, says no-color.org
        ({"NO_COLOR": "0"}, False),
        ({"NO_COLOR": "1", "TERM": "xterm"}, False),
        ({"TERM": "dumb"}, False),
        ({"TERM": "Unknown"}, False),
    ],
)
def test_who_wants_colours(environment, wanted):
    assert settings.wants_colours(environment) is wanted


def test_an_error_is_red_and_its_hint_dim():
    _, raw, code = on("tty", WRONG)
    lines = raw.splitlines()
    assert code == 1
    assert lines[-2].startswith(RED + b"vlm:" + PLAIN + b" none.png: ")
    assert lines[-1].startswith(DIM + b"     ")
    assert lines[-1].endswith(PLAIN)
    assert raw.count(RED) == 1


@pytest.mark.parametrize("env", NONE)
def test_an_error_has_no_codes_where_nobody_wants_them(env):
    _, raw, code = on("tty", WRONG, env)
    assert code == 1
    assert b"vlm: none.png: " in raw
    assert not re.search(rb"\x1b\[[0-9;]*m", raw)


@pytest.mark.parametrize("words", [WRONG, ("nonsense",), ("ask", "--threads", "x"), ()])
def test_pipes_get_no_codes(words):
    done = vlm(*words)
    assert "\x1b" not in done.stdout + done.stderr


@pytest.mark.parametrize("env", [{"NO_COLOR": "1"}, {}])
def test_the_bar_of_a_download(env, monkeypatch):
    for name, value in ({"TERM": "xterm-256color", "NO_COLOR": ""} | env).items():
        monkeypatch.setenv(name, value)
    parent, child = pty.openpty()
    with os.fdopen(child, "w", encoding="utf-8") as stream:
        with Ui(stderr=stream).transfer("a model", 1000) as bar:
            bar.at(0)
            bar.at(500)
        raw = os.read(parent, 1 << 16)
    os.close(parent)
    assert b"a model" in raw
    assert bool(COLOUR.search(raw)) is not bool(env)


@pytest.mark.parametrize("env", [{}, {"NO_COLOR": "1"}])
def test_what_stands_in_the_empty_line_of_a_conversation(tmp_path, env):
    with Terminal("chat", "-m", "demo", cwd=tmp_path, XDG_STATE_HOME=str(tmp_path), **env) as talk:
        talk.wait(r">>> \(?a question")
        assert bool(COLOUR.search(talk.raw)) is not bool(env)
        assert (">>> (a question" in talk.text) is bool(env)  # or it would look as if it had been typed
        talk.type(CTRL_D)
        assert talk.end() == 0
