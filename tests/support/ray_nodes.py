"""A Ray cluster whose nodes are processes of this machine, as `ray start` makes them: with a token, as is usual."""

import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from contextlib import ExitStack, suppress
from pathlib import Path

from tests.support.chat_server import free_port
from vlmcli.bench.cluster import below

RAY = str(Path(sys.executable).with_name("ray"))
TRIES = 3
"""On a busy machine Ray's own patience, 30 seconds, may be too short."""
STORE = "--object-store-memory=100000000"


class Nodes:
    """A head and some more nodes, each with one core to give away. Use it as a context manager."""

    def __init__(self, more=2):
        self.home = Path(tempfile.mkdtemp(prefix="ray"))  # short, as sockets have their places in it
        self.address = f"127.0.0.1:{free_port()}"
        self.environment = os.environ | {
            "HOME": str(self.home), "RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "token",
        }  # fmt: skip
        self.others = []
        self._stack = ExitStack()
        self._more = more

    def __enter__(self):
        self._stack.callback(shutil.rmtree, self.home, ignore_errors=True)
        self._stack.callback(end_all, self.home)
        (self.home / ".ray").mkdir()
        (self.home / ".ray" / "auth_token").write_text(secrets.token_hex(32))
        port = self.address.rpartition(":")[2]
        self._start("--head", f"--port={port}", "--include-dashboard=false", f"--temp-dir={self.home}")
        self.others = [self.join() for _ in range(self._more)]
        return self

    def __exit__(self, *_):
        self._stack.close()

    def join(self):
        """Start another node; the process that is its end when it is killed."""
        return self._start(f"--address={self.address}")

    def _start(self, *options):
        command, said = [RAY, "start", *options, "--num-cpus=1", STORE, "--block"], []
        for _ in range(TRIES):
            process = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=self.environment,
                start_new_session=True, text=True,
            )  # fmt: skip
            self._stack.callback(self.take_away, process)
            for line in process.stdout:
                said.append(line)
                if "Ray runtime started" in line:
                    threading.Thread(target=process.stdout.read, daemon=True).start()  # what else it says
                    return process
            self.take_away(process)
        raise AssertionError("".join(said))

    def take_away(self, process):
        """Kill a node with all that runs on it, as a power cut does."""
        for pid in [*below(process.pid), process.pid]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.wait()

    def actors(self):
        """The processes of the actors that are there now, of this cluster."""
        return processes_of(self.home, b"ray::MapWorker")


def processes_of(home, mark=b""):
    """All processes whose home folder this is, and whose command has a mark in it."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            ours = f"HOME={home}\0".encode() in (path / "environ").read_bytes()
            if ours and mark in (path / "cmdline").read_bytes():
                found.append(int(path.name))
    return sorted(found)


def end_all(home):
    """Kill all of them."""
    for pid in processes_of(home):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
