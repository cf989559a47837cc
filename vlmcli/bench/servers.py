"""Upstream's llama-server over a folder of pictures: a peer of `vlm ask FOLDER`, asked over HTTP."""

from __future__ import annotations

import base64
import json
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from vlmcli import settings
from vlmcli.bench.commands import SERVER, Failure, Job, Run

PATIENCE = 1800  # seconds for one answer, or for loading


def serve(job: Job, slots: int, pictures: Sequence[Path], question: str, tokens: int) -> Run:
    """Ask about all pictures but the first, as many at a time as there are slots; loading and the first are not timed.

    Args:
        job: as all get it.
        slots: requests that the server has under way together.
        pictures: JPEG files; the first is asked about alone, before the time begins.
        question: the same about each.
        tokens: of an answer.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [SERVER, "-m", str(job.model), "--mmproj", str(job.projector), "--port", str(port), "--jinja"]
    command += ["-t", str(job.threads), "-c", str(job.ctx), "-np", str(slots), "--kv-unified", "--no-warmup"]
    base = f"http://127.0.0.1:{port}"
    process = subprocess.Popen(command, env=settings.variables(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait(process, base)
        _ask(base, pictures[0], question, tokens)
        started = time.perf_counter()
        with ThreadPoolExecutor(slots) as pool:
            usages = list(pool.map(lambda picture: _ask(base, picture, question, tokens), pictures[1:]))
        seconds = time.perf_counter() - started
    finally:
        process.kill()
        process.wait()
    return Run(
        seconds,
        prompts=tuple(usage["prompt_tokens"] for usage in usages),
        answers=tuple(usage["completion_tokens"] for usage in usages),
    )


def _wait(process: subprocess.Popen[bytes], base: str) -> None:
    """Until it can be asked. Raises Failure."""
    for _ in range(PATIENCE * 100):
        try:
            with urllib.request.urlopen(f"{base}/health", timeout=2) as reply:
                if reply.status == 200:
                    return
        except (urllib.error.URLError, OSError):
            pass
        if process.poll() is not None:
            break
        time.sleep(0.01)
    raise Failure(f"{SERVER} was not ready")


def _ask(base: str, picture: Path, question: str, tokens: int) -> dict[str, int]:
    """The usage of an answer."""
    url = "data:image/jpeg;base64," + base64.b64encode(picture.read_bytes()).decode()
    content = [{"type": "image_url", "image_url": {"url": url}}, {"type": "text", "text": question}]
    body = {
        "messages": [{"role": "user", "content": content}],
        "temperature": 0,
        "top_k": 1,
        "max_tokens": tokens,
        "cache_prompt": False,
    }
    request = urllib.request.Request(
        f"{base}/v1/chat/completions", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=PATIENCE) as reply:
        usage: dict[str, int] = json.load(reply)["usage"]
    return usage
