"""`main` called many times in one process: each call is what a process of its own would have been."""

import contextlib
import io
import logging
import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.support.program import ANSWER, SCENE, VLM, own_environment
from vlmcli import demo
from vlmcli.cli import app, flags

RED = "What color is the circle?"
ASK = ("ask", "-m", "demo", SCENE, "what is this?")


class Stream(io.TextIOWrapper):
    """A text stream over bytes in memory, which is no file of the system's."""

    def __init__(self, data=b""):
        super().__init__(io.BytesIO(data), encoding="utf-8", errors="surrogateescape", write_through=True)

    @property
    def text(self):
        return self.buffer.getvalue().decode()


def here(words, env=None, cwd=None, data=b""):
    """Code, stdout and stderr of a command in this process."""
    with pytest.MonkeyPatch.context() as patch:
        environment = own_environment(env)
        for name in os.environ.keys() - environment.keys():
            patch.delenv(name)
        for name, value in environment.items():
            patch.setenv(name, value)
        if cwd is not None:
            patch.chdir(cwd)
        out, err = Stream(), Stream()
        for name, stream in (("stdin", Stream(data)), ("stdout", out), ("stderr", err)):
            patch.setattr(sys, name, stream)
        code = app.main([str(word) for word in words])
        assert (sys.stdout, sys.stderr) == (out, err)
        return int(code), out.text, err.text


def apart(words, env=None, cwd=None, data=b""):
    """The same of the installed command, in a process of its own."""
    done = subprocess.run(
        [VLM, *map(str, words)], env=own_environment(env), cwd=cwd, input=data, capture_output=True, check=False
    )
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def lasting(outcome):
    """An outcome without what differs: seconds, memory, what is said of a long wait, and where a copy is installed."""
    code, *said = outcome
    out, err = (re.sub(r'"[^"\s]*[/\\](vlmcli[/\\])', r'"\1', one) for one in said)
    out = re.sub(r'"timings": ?\{[^}]*\}', "", out)
    err = re.sub(r"^vlm: (loading the model|looking at the picture|reading).*\n", "", err, flags=re.MULTILINE)
    return code, out, re.sub(r"\d+(\.\d+)?", "N", err)


def handlers():
    """What a command might leave behind: handlers of signals, loggers and exceptions, and filters of warnings."""
    loggers = [logging.getLogger(name) for name in ("", "vlmcli", "vlmcli.llama")]
    return (
        [(logger.level, list(logger.handlers)) for logger in loggers],
        [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)],
        sys.excepthook,
        os.fstat(1).st_ino,
        Path.cwd(),
    )


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Two folders of the same names, with a picture, a template and a cache; what is in them differs."""
    from PIL import Image, ImageDraw

    found = []
    for colour in ("red", "blue"):
        folder = tmp_path_factory.mktemp(colour)
        image = Image.new("RGB", (384, 384), (250, 250, 250))
        ImageDraw.Draw(image).ellipse((120, 120, 260, 260), (214, 40, 40) if colour == "red" else (40, 70, 200))
        image.save(folder / "circle.png")
        templates = folder / "vlm" / "templates"
        templates.mkdir(parents=True)
        snapshot = folder / "hub" / f"models--o--{colour}" / "snapshots" / "a"
        snapshot.mkdir(parents=True)
        for file in (demo.FILES.model, demo.FILES.projector):
            (snapshot / file.name).symlink_to(file)
        (templates / "mine.toml").write_text(f'description = "{colour}"\nprompt = "{RED}"\n')
        found.append(folder)
    return found


def test_each_call_is_what_a_process_of_its_own_would_have_been(folders):
    one, other = folders
    asked = ("ask", "-m", "demo", "circle.png", RED)
    calls = [
        ((*ASK, "-v"), {}),
        (ASK, {}),
        (("ask", "-m", "demo", "none.png", "?"), {"env": {"VLM_DEBUG": "1"}}),
        (("ask", "-m", "demo", "none.png", "?", "--json"), {}),
        (asked, {"cwd": one}),
        (asked, {"cwd": other}),
        (("caption", SCENE, SCENE, "--json"), {"env": {"VLM_MODEL": "demo", "NO_COLOR": "1"}}),
        (("caption", SCENE), {"env": {"VLM_MODEL": "demo", "FORCE_COLOR": "1"}}),
        (("templates",), {"env": {"XDG_CONFIG_HOME": str(one)}}),
        (("default", "demo"), {"env": {"XDG_CONFIG_HOME": str(one)}}),
        (("default",), {"env": {"XDG_CONFIG_HOME": str(one)}}),
        (("default",), {"env": {"XDG_CONFIG_HOME": str(other)}}),
        (("ask", "-m", "demo", "-", "what is this?"), {"data": Path(SCENE).read_bytes()}),
        (("chat", "-m", "demo", SCENE), {"data": f"what is this?\n{RED}\n".encode()}),
        (("ls", "--json"), {"env": {"HF_HOME": str(one)}}),
        (("ls", "--json"), {"env": {"HF_HOME": str(other)}}),
        (("ask", "--nonsense"), {}),
        ((), {"env": {"COLUMNS": "70"}}),
    ]
    assert flags.log.handlers  # what a module does when it is imported has been done
    before = handlers()
    for words, world in calls:
        assert lasting(here(words, **world)) == lasting(apart(words, **world)), (words, world)
        assert handlers() == before, words


def test_the_log_is_of_the_call_that_asks_for_it(monkeypatch):
    monkeypatch.setattr(logging.getLogger(), "handlers", [])  # pytest's
    _, _, loud = here((*ASK, "-vv"))
    assert "llama.cpp: " in loud
    _, _, less = here((*ASK, "-v"))
    assert "vlm: " in less
    assert "vlmcli" not in less
    assert "llama.cpp: " not in less
    assert here(ASK) == (0, ANSWER, "")
    assert here(("ask", "-v", "-m", "demo", "none.png", "?"))[0] == 1
    assert here(ASK) == (0, ANSWER, "")


@pytest.mark.parametrize("where", ["--in-process", "--worker"])
@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_signals_are_given_back(monkeypatch, where):
    for found in (signal.SIG_DFL, signal.default_int_handler):
        old = signal.signal(signal.SIGINT, found)
        try:
            assert here((*ASK, where)) == (0, ANSWER, "")
            assert signal.getsignal(signal.SIGINT) is found
        finally:
            signal.signal(signal.SIGINT, old)


def test_it_may_be_called_in_another_thread():
    found = []
    thread = threading.Thread(target=lambda: found.append(here(ASK)))
    thread.start()
    thread.join()
    assert found == [(0, ANSWER, "")]


def test_a_reader_that_goes_away_is_of_one_call_only(monkeypatch):
    before = handlers()
    for words in (ASK, ("--help",)):
        source, sink = os.pipe()
        os.close(source)
        with monkeypatch.context() as patch:
            stream = os.fdopen(sink, "w")
            patch.setattr(sys, "stdout", stream)
            assert app.main(list(words)) == 141
            assert sys.stdout is stream
        with contextlib.suppress(BrokenPipeError):
            stream.close()
        assert here(ASK) == (0, ANSWER, "")
        assert handlers() == before


def test_what_was_written_to_stdout_before_comes_before(tmp_path, monkeypatch):
    with (tmp_path / "out").open("w") as stream, monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", stream)
        stream.write("before\n")
        assert app.main(list(ASK)) == 0
        stream.write("after\n")
    assert (tmp_path / "out").read_text() == f"before\n{ANSWER}after\n"


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX terminals")
def test_each_conversation_is_on_the_terminal_of_its_own_call(monkeypatch):
    import pty

    before = handlers()
    for question in ("what is this?", RED):
        parent, child = pty.openpty()
        seen = bytearray()
        talking = threading.Thread(target=_talk, args=(parent, seen, [question, "/exit"]))
        talking.start()
        with os.fdopen(os.dup(child)) as stdin, os.fdopen(child, "w") as stdout, monkeypatch.context() as patch:
            for name, stream in (("stdin", stdin), ("stdout", stdout), ("stderr", stdout)):
                patch.setattr(sys, name, stream)
            assert app.main(["chat", "-m", "demo", SCENE, "--no-thumbnails"]) == 0
        talking.join()
        os.close(parent)
        assert (b"blue square" if question != RED else b"circle is red") in seen
        assert handlers() == before


def _talk(parent, seen, lines):
    """Type each line when the terminal shows that it is waited for; read until nobody has the terminal any more."""
    prompts = 0
    while True:
        try:
            piece = os.read(parent, 4096)
        except OSError:
            return
        if not piece:
            return
        seen += piece
        if piece.count(b"\x1b[6n"):
            os.write(parent, b"\x1b[1;1R")  # where the cursor is
        if lines and seen.count(b">>> ") > prompts:
            prompts = seen.count(b">>> ")
            os.write(parent, lines.pop(0).encode() + b"\r")
