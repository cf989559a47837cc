"""The command's end of the process that has Ray: groups go in, replies come out. Does not import Ray."""

from __future__ import annotations

import logging
import pickle
import queue
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from importlib.util import find_spec
from typing import Any

from vlmcli.cluster.messages import Ask, Asked, Broken, FromDriver, Group, Open, Ready, Reply
from vlmcli.errors import ClusterError, UsageError
from vlmcli.settings import variables

log = logging.getLogger("vlmcli.ray")

TICK = 0.2
"""Seconds after which whoever waits for a reply may see to something else."""
WAITING = 256
"""Replies that wait here for whoever takes them; then Ray waits, too."""
END_SECONDS = 30.0
"""In which the process with Ray may end by itself."""
_BOOT = "import sys; sys.path[:] = {path!r}; from vlmcli.cluster.driver import main; main()"
_ENVIRONMENT: Mapping[str, str] = {
    "RAY_USAGE_STATS_ENABLED": "0",  # a local cluster tells nobody that it is there
    "RAY_AIR_NEW_OUTPUT": "0", "PYTHONUNBUFFERED": "1",
}  # fmt: skip


class Cluster:
    """A Ray cluster that asks a plan's questions. One caller at a time."""

    def __init__(self, address: str, opening: Open) -> None:
        """Start the process with Ray, which joins the cluster meanwhile.

        Args:
            address: of the cluster; "auto" for the one this machine belongs to, "local" for one that is made.
            opening: what the process has to know.

        Raises UsageError where Ray is not installed.
        """
        if find_spec("ray") is None:
            raise UsageError("--ray needs the package ray", "install it: pip install 'vlmcli[ray]'")
        command = [sys.executable, "-c", _BOOT.format(path=sys.path), address]
        self._popen = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env={**variables(), **_ENVIRONMENT}, start_new_session=True,
        )  # fmt: skip
        self._words: deque[str] = deque(maxlen=200)
        self._inbox: queue.Queue[FromDriver | None] = queue.Queue(WAITING)
        self._closing = threading.Event()
        for target in (self._read, self._listen):
            threading.Thread(target=target, daemon=True).start()
        self._send(opening)
        self.ready: Ready | None = None
        """What the cluster has, once that is known."""

    @property
    def pid(self) -> int:
        """Of the process with Ray."""
        return self._popen.pid

    def opened(self) -> Ready:
        """What the cluster has, as soon as that is known. Raises VlmError where it cannot be used."""
        while self.ready is None:
            with suppress(queue.Empty):
                self._taken(self._inbox.get(timeout=TICK))
        return self.ready

    def ask(self, groups: Sequence[Group]) -> Iterator[Reply | None]:
        """The replies to groups as they come, and None each time that some time has passed without one.

        A group whose reply has got lost on its way is left out. Raises VlmError where the cluster cannot go on.
        """
        self._send(Ask(tuple(pickle.dumps(group, pickle.HIGHEST_PROTOCOL) for group in groups)))
        while True:
            try:
                message = self._inbox.get(timeout=TICK)
            except queue.Empty:
                yield None
                continue
            if isinstance(message, Asked):
                return
            if (reply := self._taken(message)) is not None:
                yield reply

    def there(self) -> Iterator[Reply]:
        """The replies that have come, without waiting for one."""
        while True:
            try:
                message = self._inbox.get_nowait()
            except queue.Empty:
                return
            if isinstance(message, Reply):
                yield message
            elif message is None:
                return

    def close(self) -> None:
        """End the process with Ray, and what it has started; may be called twice."""
        self._closing.set()
        with suppress(OSError, ValueError):
            assert self._popen.stdin is not None
            self._popen.stdin.close()
        with suppress(queue.Empty):  # whoever waits for room there shall see that nobody takes any more
            while True:
                self._inbox.get_nowait()
        try:
            self._popen.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            self._popen.wait()

    def __enter__(self) -> Cluster:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _taken(self, message: FromDriver | None) -> Reply | None:
        """A message, if it is a reply. Raises VlmError for an end."""
        if isinstance(message, Broken):
            raise message.error
        if isinstance(message, Ready):
            self.ready = message
        if message is None:
            said = next((line for line in reversed(self._words) if line.strip()), "no reason is known")
            raise ClusterError(f"the process with Ray has ended ({said.strip()[:300]})", "run the same command again")
        return message if isinstance(message, Reply) else None

    def _send(self, message: object) -> None:
        with suppress(OSError):  # that it is gone is seen where it is read
            assert self._popen.stdin is not None
            pickle.dump(message, self._popen.stdin, pickle.HIGHEST_PROTOCOL)
            self._popen.stdin.flush()

    def _read(self) -> None:
        """Take what the process with Ray writes; None is the end of it."""
        assert self._popen.stdout is not None
        message: Any = None
        while not self._closing.is_set():
            try:
                message = pickle.load(self._popen.stdout)
            except (EOFError, OSError, ValueError, pickle.UnpicklingError):
                break
            while not self._closing.is_set():
                with suppress(queue.Full):
                    self._inbox.put(message, timeout=TICK)
                    break
        with suppress(queue.Full):
            self._inbox.put(None, timeout=END_SECONDS)

    def _listen(self) -> None:
        """Keep Ray's last words, and log them."""
        assert self._popen.stderr is not None
        for line in self._popen.stderr:
            text = line.decode("utf-8", "replace").rstrip()
            self._words.append(text)
            log.info("%s", text)
