"""Ctrl-C where Python itself would lose it, or would end with another exit code: neither happens."""

import subprocess
import sys

import pytest

from tests.support import faulty

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")


def ended(code, *words, seconds=20):
    """A process of Python that runs this code, and then `vlm words...`, in which Ctrl-C is not ignored."""
    start = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    program = (
        f"{start}{code}\nimport sys; sys.argv[1:] = {list(words)!r}\nfrom vlmcli.__main__ import main\nsys.exit(main())"
    )
    return subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=seconds, check=False,
        env=faulty.environment(),
    )  # fmt: skip


IGNORES = """
class Gone:
    def __del__(self):
        signal.raise_signal(signal.SIGINT)
"""
"""Whatever is raised where an object ends is ignored."""


def test_what_python_ignores_is_not_lost():
    """As a module is imported, or an object ends: here in the midst of a run, whose first answer never comes."""
    code = f"""{IGNORES}
from vlmcli import values
def events_of(outbox):
    Gone()
    while True:
        import time
        time.sleep(0.1)
        yield values.Notice("nothing")
from vlmcli.runners import worker
worker.events_of = events_of
"""
    done = ended(code, "caption", "-m", "demo", "docs/images/scene.png", "--worker")
    assert (done.returncode, done.stdout) == (130, "")
    assert "Exception ignored" not in done.stderr
    assert "Traceback" not in done.stderr


def test_an_error_that_is_no_ctrl_c_is_told_as_ever():
    code = """
class Gone:
    def __del__(self):
        raise ValueError("told")
from vlmcli.cli import app
old = app._parsed_and_done
app._parsed_and_done = lambda words: (Gone(), old(words))[1]
"""
    done = ended(code, "--version")
    assert done.returncode == 0
    assert "Exception ignored in" in done.stderr
    assert "ValueError: told" in done.stderr


AT_THE_END = "import atexit, os; atexit.register(os.kill, os.getpid(), signal.SIGINT)"
WAITED_FOR = """
import os, threading, time
def press():
    threading.main_thread().join()
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(60)
threading.Thread(target=press).start()
"""


@pytest.mark.parametrize("code", [AT_THE_END, WAITED_FOR], ids=["at exit", "as a thread is waited for"])
@pytest.mark.parametrize(("words", "exit"), [(["--version"], 0), (["ask", "--nonsense"], 2)])
def test_a_ctrl_c_as_python_ends_changes_nothing(code, words, exit):
    done = ended(code, *words)
    assert done.returncode == exit
    assert "Traceback" not in done.stderr
    assert ("vlm 0." in done.stdout) == (exit == 0)
