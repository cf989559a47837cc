"""One contestant in a process of its own: `python -m vlmcli.bench.contestant NAME JOB.json` prints its times as JSON.

Each opens the same pair, answers one question about the first picture, then one about each of the others. All get
the same picture files, threads, context and number of tokens, and pick greedily.
"""

from __future__ import annotations

import base64
import json
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vlmcli.values import Runner

QUESTION = "what is this?"


@dataclass(frozen=True)
class Job:
    """What every contestant is given.

    Attributes:
        model: path of the language model's file.
        projector: path of the projector's.
        pictures: paths; the first is asked about alone.
        threads: of the CPU.
        tokens: of an answer, at most.
        ctx: cells of the context.
    """

    model: str
    projector: str
    pictures: tuple[str, ...]
    threads: int
    tokens: int
    ctx: int


@dataclass
class Times:
    """How long a contestant took.

    Attributes:
        cold: seconds from nothing to the first answer.
        many: seconds for all the other pictures; None where a contestant answers only one.
        tokens: of each answer, so that it shows when the work was not the same.
    """

    cold: float
    many: float | None
    tokens: list[int]


def vlm(job: Job) -> Times:
    """This project's engine, in this process."""
    started = time.perf_counter()
    from vlmcli.engine import Engine
    from vlmcli.values import Fit, ModelFiles

    files = ModelFiles("bench", Path(job.model), Path(job.projector))
    with Engine(files, Fit(n_ctx=job.ctx, threads=job.threads)) as engine:
        return _ask(engine, job, started)


def worker(job: Job) -> Times:
    """The same in a process of its own, put onto the machine as a command puts it."""
    started = time.perf_counter()
    from vlmcli.runners.worker import Worker
    from vlmcli.values import ModelFiles, Wanted

    files = ModelFiles("bench", Path(job.model), Path(job.projector))
    with Worker(files, Wanted(job.ctx, job.threads)) as runner:
        return _ask(runner, job, started)


def _ask(runner: Runner, job: Job, started: float) -> Times:
    from vlmcli.pictures import images
    from vlmcli.tasks.ask import Ask
    from vlmcli.values import Done, run

    task = Ask(QUESTION, max_tokens=job.tokens)

    def ask(paths: Sequence[str]) -> list[int]:
        requests = (replace(task.request([images.load(Path(path))]), stream=False) for path in paths)
        return [event.answer.usage.answer_tokens for _, event in run(runner, requests) if isinstance(event, Done)]

    tokens = ask(job.pictures[:1])
    cold = time.perf_counter() - started
    started = time.perf_counter()
    tokens += ask(job.pictures[1:])
    return Times(cold, time.perf_counter() - started, tokens)


def handler(job: Job) -> Times:
    """llama-cpp-python's Llama with its MTMDChatHandler."""
    started = time.perf_counter()
    import llama_cpp
    from llama_cpp.llama_chat_format import MTMDChatHandler

    llama = llama_cpp.Llama(
        model_path=job.model,
        chat_handler=MTMDChatHandler(clip_model_path=job.projector, verbose=False),
        n_ctx=job.ctx,
        n_threads=job.threads,
        n_threads_batch=job.threads,
        verbose=False,
    )

    def ask(path: str) -> int:
        content = [
            {"type": "image_url", "image_url": {"url": _data_url(path)}},
            {"type": "text", "text": QUESTION},
        ]
        reply: Any = llama.create_chat_completion(
            messages=[{"role": "user", "content": content}], temperature=0.0, max_tokens=job.tokens, repeat_penalty=1.0
        )
        return int(reply["usage"]["completion_tokens"])

    tokens = [ask(job.pictures[0])]
    cold = time.perf_counter() - started
    started = time.perf_counter()
    tokens += [ask(path) for path in job.pictures[1:]]
    return Times(cold, time.perf_counter() - started, tokens)


def mtmd_cli(job: Job) -> Times:
    """Upstream's llama-mtmd-cli, which answers one question a process."""
    command = [
        *("llama-mtmd-cli", "-m", job.model, "--mmproj", job.projector, "--image", job.pictures[0], "-p", QUESTION),
        *("-n", str(job.tokens), "--temp", "0", "--top-k", "1", "--jinja", "-t", str(job.threads), "-c", str(job.ctx)),
    ]
    started = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return Times(time.perf_counter() - started, None, [])


def server(job: Job, slots: int = 0) -> Times:
    """Upstream's llama-server, asked over HTTP; the other pictures `slots` at a time, or all at once."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    slots = slots or max(1, len(job.pictures) - 1)
    command = [
        *("llama-server", "-m", job.model, "--mmproj", job.projector, "--port", str(port), "-t", str(job.threads)),
        *("-c", str(job.ctx), "-np", str(slots), "--kv-unified", "--jinja", "--no-warmup"),
    ]
    base = f"http://127.0.0.1:{port}"
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while not _healthy(base):
            if process.poll() is not None:
                raise SystemExit("llama-server ended before it was ready")
            time.sleep(0.01)

        def ask(path: str) -> int:
            content = [
                {"type": "image_url", "image_url": {"url": _data_url(path)}},
                {"type": "text", "text": QUESTION},
            ]
            body = {
                "messages": [{"role": "user", "content": content}],
                "temperature": 0,
                "top_k": 1,
                "max_tokens": job.tokens,
                "cache_prompt": False,
            }
            request = urllib.request.Request(
                f"{base}/v1/chat/completions", json.dumps(body).encode(), {"Content-Type": "application/json"}
            )
            with urllib.request.urlopen(request, timeout=600) as reply:
                return int(json.load(reply)["usage"]["completion_tokens"])

        tokens = [ask(job.pictures[0])]
        cold = time.perf_counter() - started
        started = time.perf_counter()
        with ThreadPoolExecutor(slots) as pool:
            tokens += pool.map(ask, job.pictures[1:])
        return Times(cold, time.perf_counter() - started, tokens)
    finally:
        process.kill()
        process.wait()


def _healthy(base: str) -> bool:
    try:
        with urllib.request.urlopen(f"{base}/health", timeout=2) as reply:
            return bool(reply.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _data_url(path: str) -> str:
    return "data:image/png;base64," + base64.b64encode(Path(path).read_bytes()).decode()


CONTESTANTS: dict[str, Callable[[Job], Times]] = {
    "vlm": vlm,
    "vlm --worker": worker,
    "MTMDChatHandler": handler,
    "llama-mtmd-cli": mtmd_cli,
    "llama-server": server,
    "llama-server -np 1": partial(server, slots=1),
    "llama-server -np 4": partial(server, slots=4),
}


def available(names: Iterable[str]) -> list[str]:
    """Those of these contestants that can run here."""
    return [name for name in names if not name.startswith("llama-") or shutil.which(name.split()[0])]


def main() -> None:
    """Run one contestant and print its times."""
    name, path = sys.argv[1:]
    fields = json.loads(Path(path).read_text("utf-8"))
    times = CONTESTANTS[name](Job(**{**fields, "pictures": tuple(fields["pictures"])}))
    sys.stdout.write(json.dumps(vars(times)) + "\n")


if __name__ == "__main__":
    main()
