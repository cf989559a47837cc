"""On a node: vLLM as an actor's engine, for models that fill a large GPU (`--engine vllm`).

The actor starts vLLM's own server, on this machine alone, and asks it as any server is asked: questions, pictures,
parsing and records are the same as with llama.cpp. What vLLM has to be told beside its model is in its own variables
and its configuration file. Source: https://docs.vllm.ai/en/latest/serving/openai_compatible_server.html
"""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from importlib.util import find_spec

import httpx2

from vlmcli.cluster.messages import Plan
from vlmcli.errors import ModelError
from vlmcli.runners.remote import Remote
from vlmcli.values import Event, ModelFiles, Request, Server

LOAD_SECONDS = 3600.0
"""In which vLLM must have loaded its model, which it may have to download."""
CONCURRENCY = 64
"""Requests that it has at once; it makes its own batches of them."""
POLL_SECONDS = 1.0


class Served:
    """vLLM's server and the questions to it: a `values.Runner` that ends the server when it is closed."""

    def __init__(self, remote: Remote, server: subprocess.Popen[bytes]) -> None:
        self._remote, self._server = remote, server

    def submit(self, request: Request) -> int:
        """As `Remote`."""
        return self._remote.submit(request)

    def cancel(self, id: int) -> None:
        """As `Remote`."""
        self._remote.cancel(id)

    def events(self) -> Iterator[Event]:
        """As `Remote`."""
        return self._remote.events()

    def close(self) -> None:
        """End the questions, and the server."""
        self._remote.close()
        self._server.terminate()
        with suppress(subprocess.TimeoutExpired):
            self._server.wait(10)
        self._server.kill()


def engine(plan: Plan, files: ModelFiles, _threads: int) -> Served:
    """Start vLLM with a model of the Hub, and wait until it answers. Raises ModelError."""
    if find_spec("vllm") is None:
        raise ModelError(
            "--engine vllm needs the package vllm", "install it on every node with a GPU, or leave out --engine"
        )
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", files.name]
    server = subprocess.Popen(
        [*command, "--host", "127.0.0.1", "--port", str(port)],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    )  # fmt: skip
    words: deque[bytes] = deque(maxlen=50)
    assert server.stderr is not None
    threading.Thread(target=words.extend, args=(server.stderr,), daemon=True).start()
    url = f"http://127.0.0.1:{port}"
    try:
        _wait(server, url, words)
    except BaseException:
        server.kill()
        raise
    there = replace(files, servers=(Server(url, "other"),))
    return Served(Remote(there, concurrency=CONCURRENCY, patience=plan.settings.patience), server)


def _wait(server: subprocess.Popen[bytes], url: str, words: deque[bytes]) -> None:
    """Wait until a server answers. Raises ModelError where it ends, or takes too long."""
    ends = time.monotonic() + LOAD_SECONDS
    with httpx2.Client(trust_env=False, timeout=10.0) as client:
        while time.monotonic() < ends:
            if server.poll() is not None:
                last = next((line for line in reversed(words) if line.strip()), b"").decode("utf-8", "replace").strip()
                raise ModelError(
                    f"the vLLM server ended ({last[:300]})", "try the same model with `vllm serve` on the node"
                )
            with suppress(httpx2.HTTPError):
                if client.get(f"{url}/health").status_code == 200:
                    return
            time.sleep(POLL_SECONDS)
    raise ModelError(f"the vLLM server loaded no model in {LOAD_SECONDS:.0f} s", "choose a smaller model")
