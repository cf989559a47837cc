"""A server as users start it: `vlm serve` in a process of its own, on a free port, with the demo model."""

import base64
import http.client
import io
import json
import re
import signal
import socket
import subprocess
import threading
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from random import Random

from tests.support import ROOT
from tests.support.program import VLM, own_environment
from vlmcli.demo import scenes

WORDS = (VLM, "serve", "--port", "0")
QUESTION = "What is in this picture?"


class Live:
    """A server that runs.

    Attributes:
        process: its own.
        port: where it listens.
        url: what clients are told.
        said: what has come to stderr.
    """

    def __init__(self, process):
        self.process, self.said = process, []
        self._ready, self.port = threading.Event(), 0
        threading.Thread(target=self._listen, daemon=True).start()
        assert self._ready.wait(60), self.said
        assert self.port, self.said
        self.url = f"http://127.0.0.1:{self.port}"

    def _listen(self):
        for line in self.process.stderr:
            self.said.append(line)
            found = re.search(r" at http://\S+:(\d+)/v1", line)
            if found:
                self.port = int(found[1])
                self._ready.set()
        self._ready.set()

    def metric(self, name):
        """A figure of /metrics, by its name with labels."""
        page = self.get("/metrics")[1].decode()
        return next((float(line.split()[-1]) for line in page.splitlines() if line.startswith(f"{name} ")), 0.0)

    def get(self, path, **headers):
        """Status and body of what is there."""
        return self.ask("GET", path, None, **headers)[:2]

    def post(self, body, path="/v1/chat/completions", **headers):
        """Status, body and headers of an answer."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.ask("POST", path, data, **headers)

    def ask(self, method, path, data, **headers):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, path, data, headers)
            answer = connection.getresponse()
            return answer.status, answer.read(), dict(answer.getheaders())
        finally:
            connection.close()

    def raw(self, data, wait=20.0, end=False):
        """All that comes back for bytes on a connection, until the server closes it, or for so many seconds."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=wait) as sock:
            came = b""
            try:
                sock.sendall(data)
                if end:
                    sock.shutdown(socket.SHUT_WR)
                while piece := sock.recv(65536):
                    came += piece
            except OSError:
                pass
            return came

    def idle(self, seconds=20.0):
        """Wait until no request is under way."""
        ends = time.monotonic() + seconds
        while self.metric("vlm_requests_under_way"):
            assert time.monotonic() < ends, "requests are still under way"
            time.sleep(0.02)

    def children(self):
        """The processes that it has started."""
        found = []
        for task in Path(f"/proc/{self.process.pid}/task").glob("*/children"):
            with suppress(FileNotFoundError):  # a thread that has just ended
                found += map(int, task.read_text("ascii").split())
        return found

    def stop(self, how=signal.SIGTERM, seconds=30):
        """End it. Returns its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(how)
        return self.process.wait(seconds)


@contextmanager
def serving(*words, env=None, model="demo", command=WORDS):
    """A server with these options."""
    environment = own_environment({"VLM_MODEL": model, "PYTHONPATH": str(ROOT), "OMP_THREAD_LIMIT": "1"} | (env or {}))
    process = subprocess.Popen(
        [*command, *map(str, words)], env=environment, cwd=ROOT, text=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    )  # fmt: skip
    live = None
    try:
        live = Live(process)
        yield live
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        process.stderr.close()


def png(image, kind="PNG", **how):
    """A picture's file."""
    kept = io.BytesIO()
    image.save(kept, kind, **how)
    return kept.getvalue()


def uri(file, kind="image/png"):
    """It as a data URI."""
    return f"data:{kind};base64,{base64.b64encode(file).decode()}"


def one_shape(number):
    """A scene with one shape, and its name: "red circle"."""
    scene = scenes.make(Random(f"server-{number}"), size=(200, 200), shapes=1, text=False)
    return scenes.draw(scene), str(scene.shapes[0])


def message(*parts, role="user"):
    """A turn: pictures are bytes or data URIs, the rest is text."""
    content = []
    for part in parts:
        if isinstance(part, bytes):
            part = uri(part)
        if part.startswith("data:"):
            content.append({"type": "image_url", "image_url": {"url": part}})
        else:
            content.append({"type": "text", "text": part})
    return {"role": role, "content": content}


def asked(*parts, **more):
    """A body of chat completions about pictures."""
    return {"model": "demo", "messages": [message(*parts)], "max_tokens": 40} | more


SCENE = (ROOT / "docs" / "images" / "scene.png").read_bytes()
"""A red circle and a blue square."""
