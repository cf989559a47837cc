r"""A terminal for tests: a command on a pseudo-terminal, and what a person would see on its screen.

with Terminal("chat", "-m", "demo", env=env) as terminal:
    terminal.wait(">>>")
    terminal.type("what is this?\r")
"""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time

import pyte

from tests.support import faulty
from tests.support.program import VLM

UP, ESCAPE, CTRL_C, CTRL_D, CTRL_G, TAB, ALT_ENTER = "\x1b[A", "\x1b", "\x03", "\x04", "\x07", "\t", "\x1b\r"


class _Screen(pyte.Screen):
    """pyte's, which answers the questions it is asked."""

    def __init__(self, columns: int, rows: int, answer) -> None:
        super().__init__(columns, rows)
        self._answer = answer

    def write_process_input(self, data: str) -> None:
        self._answer(data)


class Terminal:
    """A command's screen. Its rows are so many that nothing is scrolled away."""

    def __init__(self, *words: str, cwd=None, columns: int = 80, rows: int = 120, fault: str = "", **env: str) -> None:
        self._parent, child = pty.openpty()
        fcntl.ioctl(child, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        unset = ("COLUMNS", "LINES", "NO_COLOR", "TMUX")
        whole = {key: value for key, value in faulty.environment().items() if key not in unset}
        self.process = subprocess.Popen(
            faulty.command(fault, *words) if fault else [VLM, *map(str, words)],
            stdin=child, stdout=child, stderr=child, cwd=cwd, start_new_session=True,
            env=whole | {"TERM": "xterm-256color", "LANG": "C.UTF-8"} | env, preexec_fn=_control,
        )  # fmt: skip
        os.close(child)
        self.screen = _Screen(columns, rows, self.type)
        self._stream = pyte.ByteStream(self.screen)
        self.raw = b""
        self._text: str | None = None

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        os.close(self._parent)

    @property
    def text(self) -> str:
        """The screen, without the space at its lines' ends and its own end."""
        if self._text is None:
            self._text = "\n".join(map(self._row, range(self.screen.lines))).rstrip()
        return self._text

    def _row(self, number: int) -> str:
        """A line of the screen; a character of two columns has nothing in its second. `pyte.Screen.display`, faster."""
        row = self.screen.buffer.get(number)
        return "".join(row[column].data for column in range(max(row) + 1)).rstrip() if row else ""

    def type(self, text: str) -> None:
        """Press keys."""
        os.write(self._parent, text.encode())

    def line(self, text: str) -> str:
        """Type a line, press Enter, and wait for the next prompt. Returns what was shown between the two."""
        before = self.text.count(">>>")
        self.type(text + "\r")
        self.wait(lambda shown: shown.count(">>>") > before and re.search(r">>>[^\n]*\Z", shown) is not None)
        return self.text.rpartition(">>>")[0].rpartition(">>>")[2].partition("\n")[2].strip("\n")

    def wait(self, wanted, seconds: float = 60) -> str:
        """Wait until the screen has a text, or is as a function wishes. Returns it."""
        ends = time.monotonic() + seconds
        while time.monotonic() < ends:
            shown = self.text
            if wanted(shown) if callable(wanted) else re.search(wanted, shown):
                return shown
            self._pump(0.1)
        raise AssertionError(f"not seen in {seconds:g} s: {wanted}\n{self.text}")

    def end(self, seconds: float = 30) -> int:
        """Wait for the command's end. Returns its exit code."""
        ends = time.monotonic() + seconds
        while self.process.poll() is None and time.monotonic() < ends:
            self._pump(0.1)
        while self._pump(0.1):  # a read gives at most 4 KB
            pass
        return self.process.wait(1)

    def _pump(self, seconds: float) -> bool:
        """Show what comes within a time. Returns whether anything came."""
        if not select.select([self._parent], [], [], seconds)[0]:
            return False
        try:
            block = os.read(self._parent, 1 << 16)
        except OSError:  # nobody is at the other end
            time.sleep(seconds)
            return False
        self.raw += block
        self._stream.feed(block)
        self._text = None
        return bool(block)


def _control() -> None:
    """The terminal becomes the command's own, so that Ctrl-C is a signal to it."""
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
