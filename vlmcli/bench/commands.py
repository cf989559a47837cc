"""Whole commands, as a user starts them: each is one process, with its seconds, its memory and what it read and wrote.

All get the same files, threads, context and length of answer, and pick the likeliest token. Nothing that
computes is imported here, because what a child takes at most begins with what its parent took.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from vlmcli import settings

CLI, SERVER = "llama-mtmd-cli", "llama-server"
COUNTING = ("--perf", "--verbosity", "4")


@dataclass(frozen=True)
class Job:
    """What every contestant is given.

    Attributes:
        model: path of the language model's file.
        projector: path of the projector's.
        threads: of the CPU.
        ctx: cells of the context.
    """

    model: Path
    projector: Path
    threads: int
    ctx: int


@dataclass(frozen=True)
class Run:
    """What one command did.

    Attributes:
        seconds: from its start to its end.
        peak: bytes of memory that its largest process had at most; 0 where the system does not say.
        prompts: tokens of each prompt; empty where the command does not say.
        answers: tokens of each answer; the same.
        encode: seconds in the encoder; None where the command does not say.
    """

    seconds: float
    peak: int = 0
    prompts: tuple[int, ...] = ()
    answers: tuple[int, ...] = ()
    encode: float | None = None


class Failure(Exception):
    """A command did not end well; its text has what it said."""


def available(program: str) -> bool:
    """Whether a program of llama.cpp is on the PATH."""
    return shutil.which(program) is not None


def vlm(job: Job, cache: Path, pictures: Sequence[Path], questions: Sequence[str], tokens: int, *more: str) -> Run:
    """`vlm ask`.

    Args:
        job: as all get it.
        cache: the folder in which it keeps what it has computed.
        pictures: files, or a folder.
        questions: each is asked about each group of pictures.
        tokens: of an answer.
        more: options.
    """
    command = [sys.executable, "-m", "vlmcli", "ask", *map(str, pictures), "-m", str(job.model)]
    command += ["--mmproj", str(job.projector), "--max-tokens", str(tokens), "--threads", str(job.threads)]
    command += ["--ctx", str(job.ctx), "--json", *more]
    for question in questions:
        command += ["-q", question]
    seconds, peak, said = timed(command, own(cache))
    records = [json.loads(line) for line in said.splitlines()]
    if any("error" in record for record in records):
        raise Failure(said)
    usages = [record["usage"] for record in records]
    return Run(
        seconds,
        peak,
        tuple(usage["prompt_tokens"] for usage in usages),
        tuple(usage["answer_tokens"] for usage in usages),
        sum(record["timings"]["encode"] for record in records),
    )


def cli(job: Job, picture: Path, question: str, tokens: int, *more: str) -> Run:
    """`llama-mtmd-cli`, which answers one question a process. With `COUNTING` it says how many tokens there were."""
    command = [CLI, "-m", str(job.model), "--mmproj", str(job.projector), "--image", str(picture), "-p", question]
    command += ["-n", str(tokens), "--temp", "0", "--top-k", "1", "--jinja", "-t", str(job.threads), "-c", str(job.ctx)]
    seconds, peak, said = timed([*command, *more], settings.variables())
    prompts = re.findall(r"prompt eval time = .*? / +([0-9]+) tokens", said)
    decodes = re.findall(r" {2}eval time = .*? / +([0-9]+) runs", said)  # after the prompt's; the last is not counted
    return Run(seconds, peak, tuple(map(int, prompts)), tuple(int(count) + 1 for count in decodes))


def chat_handler(job: Job, picture: Path, question: str, tokens: int) -> Run:
    """A script of a few lines with llama-cpp-python's `MTMDChatHandler`."""
    words = [str(job.model), str(job.projector), str(picture), question, str(tokens), str(job.threads), str(job.ctx)]
    seconds, peak, said = timed([sys.executable, "-m", "vlmcli.bench.handler", *words], compiled())
    usage = json.loads(said.splitlines()[-1])
    return Run(seconds, peak, (usage["prompt_tokens"],), (usage["completion_tokens"],))


def warm(job: Job, picture: Path, question: str, tokens: int) -> Run | None:
    """Start every program once, so that none is the one who reads files from the disk, or compiles modules.

    Returns:
        What llama-mtmd-cli read and wrote, which it does not say where it is timed; None without it.
    """
    for weights in (job.model, job.projector):
        with weights.open("rb") as file:
            while file.read(1 << 24):
                pass
    with tempfile.TemporaryDirectory(prefix="vlm-bench-") as cache:
        command = [sys.executable, "-m", "vlmcli", "ask", "-m", "demo", str(picture), "-q", "what is this?", "--json"]
        timed([*command, "--in-process"], own(Path(cache)))
        timed([*command, "--worker", "-q", "why?"], own(Path(cache)))
    timed([sys.executable, "-c", "import llama_cpp, llama_cpp.llama_chat_format"], compiled())
    if available(SERVER):
        timed([SERVER, "--version"], settings.variables())
    return cli(job, picture, question, tokens, *COUNTING) if available(CLI) else None


def compiled() -> dict[str, str]:
    """The user's environment, in which Python keeps what it has compiled, as it does unless it is told not to."""
    return {key: value for key, value in settings.variables().items() if key != "PYTHONDONTWRITEBYTECODE"}


def own(cache: Path) -> dict[str, str]:
    """An environment in which `vlm` has no settings, and remembers nothing but what is in `cache`."""
    own = {key: value for key, value in compiled().items() if not key.startswith(settings.PREFIX)}
    folders = {f"XDG_{kind}_HOME": str(cache / kind.lower()) for kind in ("STATE", "CONFIG", "CACHE")}
    return own | folders | {"VLM_CACHE_DIR": str(cache / "vlm")}


def timed(command: Sequence[str], environment: Mapping[str, str]) -> tuple[float, int, str]:
    """Seconds, bytes of memory at most, and what the command said. Raises Failure."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        started = time.perf_counter()
        process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=out, stderr=err)
        try:
            peak = _ended(process)
        finally:
            process.kill()  # does nothing to one that has ended
        seconds = time.perf_counter() - started
        said = [_content(file) for file in (out, err)]
    if process.returncode:
        raise Failure(f"{' '.join(command)} ended with {process.returncode}:\n{said[1][-2000:]}{said[0][-500:]}")
    return seconds, peak, said[0] if command[0] == sys.executable else said[0] + said[1]


def _ended(process: subprocess.Popen[bytes]) -> int:
    """Wait for a process; the bytes of memory that the largest one of it and its children had at most."""
    if sys.platform == "win32":
        process.wait()
        return 0
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return usage.ru_maxrss * (1 if sys.platform == "darwin" else 1 << 10)


def _content(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode("utf-8", "replace")
