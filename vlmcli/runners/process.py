"""One child process with an engine: started, written to, read from, ended; and why it died.

It knows pipes, signals and shared memory. Which requests are under way in it, and what its death means for them, is
the worker's to know.
"""

from __future__ import annotations

import logging
import queue
import re
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from vlmcli.runners import frames, wire
from vlmcli.settings import variables

log = logging.getLogger("vlmcli.worker")

LEAVE_SECONDS = 1.0
"""How long a process that has been told to end, or has closed its output, may take to be gone."""

STOPPED_SECONDS = 5.0
"""A watch that comes so much too late was not late: this process was stopped, and its children with it."""

_BOOT = (
    "import sys; sys.path[:] = {path!r}; from vlmcli.runners.child import main; main({shared}, observer={observer!r})"
)
_KILLS = tuple(getattr(signal, name) for name in ("SIGKILL", "SIGTERM", "SIGHUP", "SIGINT") if hasattr(signal, name))
_SIGKILL = getattr(signal, "SIGKILL", 0)
_FAMILIAR = {
    "SIGSEGV": "segmentation fault", "SIGABRT": "aborted", "SIGFPE": "division by zero",
    "SIGILL": "illegal instruction", "SIGBUS": "bus error", "SIGKILL": "killed from outside",
}  # fmt: skip


def memory_kills() -> int:
    """How many processes this system has killed because memory was short; 0 where it does not say."""
    with suppress(OSError, ValueError):
        for line in Path("/proc/vmstat").read_text("ascii").splitlines():
            if line.startswith("oom_kill "):
                return int(line.split()[1])
    return 0


@dataclass(frozen=True)
class Cause:
    """Why a process is gone.

    Attributes:
        code: its exit code; negative for a signal.
        reason: the cause in a few words.
        from_outside: whether somebody sent it the signal that ended it, so that no request is to blame.
    """

    code: int
    reason: str
    from_outside: bool


@dataclass
class Process:
    """A process with an engine, from its start until its death is explained.

    Attributes:
        popen: the process itself; all three standard streams are pipes.
        shared: the memory that pixels go through, where there is any.
        patience: seconds without a sign of life, while it is busy, after which `watch` kills it.
        heard: when it last gave a sign of life, on the monotonic clock.
        loaded: whether its model is loaded.
        answered: whether it has answered a request.
        retiring: whether it gets no more requests, and ends when it has answered those it has.
        gone: set when it has ended.
    """

    popen: subprocess.Popen[bytes]
    shared: wire.Shared | None
    patience: float
    heard: float = field(default_factory=time.monotonic)
    loaded: bool = False
    answered: bool = False
    retiring: bool = False
    gone: threading.Event = field(default_factory=threading.Event)
    _outgoing: queue.SimpleQueue[object] = field(default_factory=queue.SimpleQueue)
    _words: deque[str] = field(default_factory=lambda: deque(maxlen=400))  # the last lines of its standard error
    _listener: threading.Thread | None = None
    _resident: int = 0
    _first_resident: int = 0  # after its first answer: for its first picture it takes what it then keeps
    _stalled: bool = False  # killed by `watch`
    _garbled: bool = False  # it sent what is no message
    _ended: bool = False  # it had to be killed by `end`
    _memory_kills: int = field(default_factory=memory_kills)  # the system's count when it started

    @classmethod
    def spawn(cls, patience: float, observer: str = "", environment: Mapping[str, str] | None = None) -> Process:
        """Start a Python with this one's modules; Ctrl-C does not reach it, and it ends when its input does.

        Args:
            patience: as the attribute.
            observer: as `child.main`'s.
            environment: variables that it has in addition to this process's.

        Raises OSError when no process can be started.
        """
        shared = None
        if wire.Shared.is_possible():
            with suppress(OSError):
                shared = wire.Shared()
        code = _BOOT.format(path=sys.path, shared=shared.fd if shared else -1, observer=observer)
        command = [sys.executable, *(["-X", "utf8"] if sys.flags.utf8_mode else []), "-c", code]
        flags = 0
        if sys.platform == "win32":
            flags = subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW
        mask = None
        if hasattr(signal, "pthread_sigmask"):  # blocked until the child has decided to ignore it
            mask = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
        try:
            popen = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                pass_fds=(shared.fd,) if shared else (), creationflags=flags,
                env={**variables(), **environment} if environment else None,
            )  # fmt: skip
        except BaseException:
            if shared:
                shared.close()
            raise
        finally:
            if mask is not None:
                signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        process = cls(popen, shared, patience)
        process._listener = threading.Thread(target=process._listen, daemon=True)
        process._listener.start()
        threading.Thread(target=process._write, daemon=True).start()
        return process

    @property
    def pid(self) -> int:
        """The process's id, for messages and tests."""
        return self.popen.pid

    # ------------------------------------------------------------------------------------------ messages

    def send(self, message: wire.ToEngine) -> None:
        """Put a message in line for it; returns at once, and is forgotten if the process dies before."""
        self._outgoing.put(message)

    def send_pixels(self, need: int, data: bytes) -> None:
        """Hand over the pixels that it needs, through the shared memory where that has room."""
        if self.shared is not None:
            with suppress(OSError):
                offset = self.shared.put(data)
                self.send(wire.Pixels(need, len(data), offset))
                return
        self.send(wire.Pixels(need, data=data))

    def finish(self) -> None:
        """Close its input once all messages are sent, and so end it; returns at once."""
        self._outgoing.put(None)

    def receive(self) -> wire.FromEngine | None:
        """Wait for its next message; None when it is gone, or sent what is no message."""
        assert self.popen.stdout is not None
        try:
            message: wire.FromEngine | None = frames.receive(self.popen.stdout, wire.FromEngine)
        except frames.Garbled:
            self._garbled = True
            return None
        self.heard = time.monotonic()
        return message

    def _write(self) -> None:
        """Its own thread: send it its messages."""
        sink = self.popen.stdin
        assert sink is not None
        writer = frames.Writer(sink)
        try:
            while (message := self._outgoing.get()) is not None:
                writer.send(message)
        except (OSError, ValueError):
            pass  # it is gone, which the reader sees
        finally:
            with suppress(OSError):
                sink.close()

    def _listen(self) -> None:
        """Its own thread: keep the last lines of its standard error."""
        assert self.popen.stderr is not None
        with suppress(OSError, ValueError):
            for line in self.popen.stderr:
                text = line.decode("utf-8", "replace").rstrip()
                self._words.append(text)
                log.debug("process %d: %s", self.pid, text)

    # ------------------------------------------------------------------------------------------ memory and time

    @property
    def grown_by(self) -> int:
        """Bytes that it holds more than after its first answer; 0 where that is unknown."""
        return self._resident - self._first_resident if self._first_resident else 0

    def holds(self, resident: int) -> None:
        """Note how many bytes it says it holds."""
        self._resident = resident
        if self.answered and not self._first_resident:
            self._first_resident = resident

    def watch(self, is_busy: Callable[[], bool]) -> None:
        """Kill it when it is busy and gives no sign of life; not when both were stopped (Ctrl-Z), and go on.

        Returns when it is gone: for a thread of its own.
        """
        pause, last = min(0.5, self.patience / 4), time.monotonic()
        while not self.gone.wait(pause):
            now = time.monotonic()
            if now - last > pause + STOPPED_SECONDS:
                self.heard = now
            last = now
            if is_busy() and now - self.heard > self.patience:
                self._stalled = True
                self.popen.kill()
                return

    # ------------------------------------------------------------------------------------------ its end

    def end(self) -> None:
        """End it, and free what this side holds of it: its input is closed, and a second later it is killed."""
        self.finish()
        try:
            self.popen.wait(LEAVE_SECONDS)
        except subprocess.TimeoutExpired:
            self._ended = True
            self.popen.kill()
            self.popen.wait()
        self.gone.set()
        if self.shared is not None:
            self.shared.close()

    def bury(self) -> Cause:
        """Once `receive` has given None: see that it is gone, and find out why."""
        if not self._garbled:
            with suppress(subprocess.TimeoutExpired):
                self.popen.wait(LEAVE_SECONDS)
        self.end()
        code = self.popen.wait()
        if self._listener is not None:
            self._listener.join(LEAVE_SECONDS)  # its last words may be on their way
        if -code == _SIGKILL and memory_kills() > self._memory_kills:
            return Cause(code, "memory ran out", from_outside=False)
        return Cause(code, self._reason(code), -code in _KILLS and not (self._stalled or self._ended))

    def _reason(self, code: int) -> str:
        """Why it has died, in a few words."""
        if self._stalled:
            return f"no progress for {self.patience:g} s"
        if self._ended or (self._garbled and code == 0):
            return "it sent something that is not a message"
        words = list(self._words)
        for line in reversed(words):
            if line.startswith(wire.GAVE_UP):
                return line.removeprefix(wire.GAVE_UP)[:300]
        thrown = next((m[1] for line in words if (m := re.search(r"throwing an instance of '([^']+)'", line))), "")
        if thrown:
            what = next((line.split("what():", 1)[1].strip() for line in words if "what():" in line), "")
            return f"{thrown}: {what}"[:300] if what else thrown
        if code < 0:
            with suppress(ValueError):
                name = signal.Signals(-code).name
                return _FAMILIAR.get(name, name)
        return f"exit code {code}" + (f": {words[-1][:200]}" if words else "")
