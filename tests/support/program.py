"""`vlm`, as a script meets it: words in; stdout, stderr and an exit code out.

`vlm` runs it in this process, on pipes, which is all that most tests need. `VLM` is the installed command, for tests of
what a process has: its start, signals, a terminal, a stream that is closed.
"""

import json
import logging
import os
import subprocess
import sys
import threading
import warnings
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path

import pytest

from tests.support import ROOT
from vlmcli.cli import app
from vlmcli.engine.place import description
from vlmcli.machine.speed import Speed

VLM = str(Path(sys.executable).with_name("vlm"))
SCENE = str(ROOT / "docs" / "images" / "scene.png")
NOTICE = "vlm: the demo model sees only drawn shapes and short words; it cannot read photographs\n"
"""Shown once a day; the tests' own state folder says that it has been."""
ANSWER = "A red circle and a blue square.\n"


def own_environment(env=None):
    """The environment without settings of the user's, and with these variables; None takes one away."""
    whole = {key: value for key, value in os.environ.items() if not key.startswith("VLM_")} | (env or {})
    return {key: value for key, value in whole.items() if value is not None}


def vlm(*words, env=None, cwd=None, input=b"", text=True):
    """Run a command in this process. Returns a CompletedProcess, as if it had been one of its own."""
    words = [str(word) for word in words]
    with _Pipe() as out, _Pipe() as err, _source(input) as stdin:
        code = run(words, (stdin, out.stream, err.stream), env, cwd)
        said = out.read(), err.read()
    return subprocess.CompletedProcess(words, code, *((one.decode() for one in said) if text else said))


def run(words, streams, env=None, cwd=None):
    """Run a command in this process, with these standard streams. Returns its exit code."""
    with pytest.MonkeyPatch.context() as patch:
        for name in os.environ.keys() - own_environment(env).keys():
            patch.delenv(name)
        for name, value in own_environment(env).items():
            patch.setenv(name, value)
        if cwd is not None:
            patch.chdir(cwd)
        for name, stream in zip(("stdin", "stdout", "stderr"), streams, strict=True):
            patch.setattr(sys, name, stream)
        with warnings.catch_warnings(), _loggers_as_they_were():
            return int(app.main(words))


class _Pipe:
    """A pipe that is read to its end in a thread of its own."""

    def __enter__(self):
        source, sink = os.pipe()
        self.stream = os.fdopen(sink, "w", encoding="utf-8", errors="surrogateescape")
        self._source = os.fdopen(source, "rb")
        self._pieces = []
        self._thread = threading.Thread(target=self._listen)
        self._thread.start()
        return self

    def _listen(self):
        while piece := self._source.read1(1 << 16):
            self._pieces.append(piece)

    def read(self):
        """Close it. Returns all that was written."""
        self.stream.close()
        self._thread.join()
        return b"".join(self._pieces)

    def __exit__(self, *_):
        self.read()
        self._source.close()


@contextmanager
def _source(data):
    """A stdin with these bytes."""
    with _piped(data) if data else Path(os.devnull).open(encoding="utf-8") as stream:
        yield stream


def _piped(data):
    source, sink = os.pipe()

    def write():
        with suppress(BrokenPipeError), os.fdopen(sink, "wb") as file:  # a command may refuse without reading
            file.write(data if isinstance(data, bytes) else data.encode())

    threading.Thread(target=write, daemon=True).start()
    return os.fdopen(source, encoding="utf-8", errors="surrogateescape")


@contextmanager
def _loggers_as_they_were():
    """Pytest's own handlers see what a command logs, and the next command logs as it is told."""
    levels = {name: logging.getLogger(name).level for name in ("", "vlmcli", "vlmcli.llama")}
    handlers = list(logging.getLogger().handlers)
    try:
        yield
    finally:
        logging.getLogger().handlers[:] = handlers
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)


def keep_speed(state):
    """Let this machine's speed be known in a folder of states: that of one on which some models are quick, not all."""
    state.mkdir(parents=True, exist_ok=True)
    known = Speed(encode=1e11, prefill=1e11, read=6e9, machine=description())
    (state / "speed.json").write_text(json.dumps(asdict(known)), "utf-8")


def piped(home, text, *words, code=0):
    """A conversation whose lines are piped."""
    done = vlm("chat", "-m", "demo", *words, input=text, cwd=home)
    assert "Traceback" not in done.stderr
    assert done.returncode == code, done.stderr
    return done
