"""A hostile Hub by the thousand: `python -m tests.fuzz.hub --count 2000 [--seed 1] [--processes 20]`.

A real server on this machine gives answers of which something is wrong: the JSON of a listing, its values and depth,
headers, status, pace, length, where it redirects to, the bytes of a file; and sometimes somebody has put a link, a pipe
or a folder into the cache. `vlm pull`, `ls` and `verify` meet them, as a user's words, in this process; each within
`SECONDS`. Whatever is neither success nor an error with a name counts as a failure: another exception, a hang, a token
that goes to another host, a file outside the cache, content that is not what its name says.

Time runs faster than for a user: what `vlm` waits for is cut (`_hurried`), and nothing else. `--processes` runs so many
of the cases as processes of their own, with a bound on their memory.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.fuzz import hub_answers
from tests.support.program import vlm
from tests.support.raw_server import serving
from vlmcli.bench import pairs
from vlmcli.models import hub, hub_client

SECONDS = 15.0
"""For one command. Several attempts at a file that drips take some of them."""
MEMORY = 512 << 20
"""Bytes that all cases together may add to this process; and twice that is what one of its own may take."""
NAME = "someone/pictures-GGUF"
TOKEN = "hf_a_secret_of_the_user"
CANARY = b"precious"


class TooLongError(BaseException):
    """A command that did not end in its time."""


@dataclass
class Found:
    """What came of the cases.

    Attributes:
        codes: how often each exit code came, of `pull`.
        wrong: what was not as it should be, with the case's number.
        worst: seconds of the slowest command, and the case's number.
        memory: bytes that this process has grown by.
    """

    codes: Counter[int] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    worst: tuple[float, int] = (0.0, -1)
    memory: int = 0


def run(count: int, seed: int = 1, processes: int = 0, first: int = 0, say=lambda _: None) -> Found:
    """Run cases. Returns what came of them.

    Args:
        count: how many.
        seed: of chance; a case is the same for the same seed and number.
        processes: how many of them run as processes of their own, too.
        first: number of the first case.
        say: told of progress.
    """
    found, before = Found(), _memory()
    with tempfile.TemporaryDirectory() as name, _hurried():
        root = Path(name).resolve()
        pairs.small(root / "pairs")
        files = {
            "model-Q8_0.gguf": (root / "pairs" / "smolvlm.gguf").read_bytes(),
            "mmproj-F16.gguf": (root / "pairs" / "mmproj-smolvlm.gguf").read_bytes(),
            "README.md": b"a small file",
        }
        own = set(range(first, first + count, max(1, count // processes))) if processes else set()
        for number in range(first, first + count):
            _case(found, root / f"case-{number}", files, random.Random(f"{seed}:{number}"), number, number in own)
            if (number - first) % 500 == 499:
                say(f"{number - first + 1} of {count}: {dict(found.codes)}, {len(found.wrong)} wrong")
    found.memory = _memory() - before
    if found.memory > MEMORY:
        found.wrong.append(f"this process grew by {found.memory >> 20} MB")
    return found


def _memory() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


@contextmanager
def _hurried():
    """Waits of the code, shorter; and Ctrl-C's handler may be ours."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hub_client, "SECONDS", 0.8)
        patch.setattr(hub_client, "STALL_SECONDS", 0.4)
        patch.setattr(hub, "FIRST_PAUSE", 0.001)
        patch.setattr(hub, "PATIENCE", 0.3)
        yield


def _case(found, place, files, chance, number, in_a_process):
    """One hostile Hub, and what commands make of it."""
    place.mkdir()
    (place / "outside").mkdir()
    (place / "outside" / "precious").write_bytes(CANARY)
    plan = hub_answers.Plan(chance, NAME, files)
    with serving(plan.elsewhere) as elsewhere, serving(plan.answer) as server:
        plan.elsewhere_url = f"http://localhost:{elsewhere.port}"
        env = _environment(place, server.port)
        trap = hub_answers.trap(chance, place / "hub" / "hub", place / "outside", plan) if chance.random() < 0.2 else ""
        wrong = []
        for words in (["pull", "-y", f"{NAME}:Q8_0"], ["ls", "--json"], ["verify"]):
            code, said, took = _command(words, env)
            wrong += [f"{words[0]}: {what}" for what in _faults(code, said, took)]
            found.worst = max(found.worst, (took, number))
            if words[0] == "pull":
                found.codes[code] += 1
                wrong += _results(place, files, code, plan.planted)
        if in_a_process and not plan.slow:
            shutil.rmtree(place / "hub", ignore_errors=True)
            wrong += _as_a_process(["pull", "-y", f"{NAME}:Q8_0"], env)
        if any(TOKEN in head for head in elsewhere.heard):
            wrong.append("the token went to another host")
    found.wrong += [f"case {number} ({plan.described()}{trap}): {what}" for what in wrong]
    shutil.rmtree(place, ignore_errors=True)


def _environment(place: Path, port: int) -> dict[str, str | None]:
    own = {f"XDG_{name}_HOME": str(place / name.lower()) for name in ("STATE", "CONFIG", "CACHE")}
    none = {f"{name}_{end}": None for name in ("http", "https", "all", "no") for end in ("proxy",)}
    none |= {name.upper(): None for name in none} | {"HF_HUB_CACHE": None}
    hub_variables = {"HF_ENDPOINT": f"http://127.0.0.1:{port}", "HF_HOME": str(place / "hub"), "HF_TOKEN": TOKEN}
    return own | none | hub_variables | {"VLM_MODEL": "demo"}


def _command(words, env):
    """An exit code, what was said, and seconds. An exception is said as its name."""

    def end(*_):
        raise TooLongError

    before = signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    began = time.monotonic()
    try:
        done = vlm(*words, env=env)
        return done.returncode, done.stderr, time.monotonic() - began
    except TooLongError:
        return -1, f"no end within {SECONDS:g} s", SECONDS
    except BaseException as error:
        return -2, f"{type(error).__name__}: {error}"[:300], time.monotonic() - began
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _faults(code, said, took):
    """What is wrong with how a command ended."""
    if code < 0:
        yield said
    if code not in (0, 1, 2) and code >= 0:
        yield f"exit code {code}: {said[-200:]!r}"
    if "Traceback" in said or "the output cannot be written" in said:
        yield f"not an error with a name: {said[-300:]!r}"
    if code > 0 and not said.strip():
        yield "nothing was said"
    if TOKEN in said:
        yield "the token was shown"
    if took > SECONDS:
        yield f"{took:.1f} s"


def _results(place, files, code, planted):
    """What is wrong with the files that are there now."""
    if (place / "outside" / "precious").read_bytes() != CANARY:
        yield "a file outside the cache was changed"
    if [path.name for path in (place / "outside").iterdir()] != ["precious"]:
        yield f"files outside the cache: {sorted(path.name for path in (place / 'outside').iterdir())}"
    if stray := {path.name for path in place.iterdir()} - {"outside", "hub", "state", "config", "cache"}:
        yield f"files beside the cache: {stray}"
    for blob in (place / "hub" / "hub").glob("models--*/blobs/*"):
        if blob.is_symlink() or not blob.is_file() or not re.fullmatch("[0-9a-f]{40,64}", blob.name):
            continue
        if code != 0 and blob == planted:
            continue
        data = blob.read_bytes()
        git = hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()
        if blob.name not in (hashlib.sha256(data).hexdigest(), git):
            yield f"{blob.name} is not what its name says"
    if code == 0:
        taken = {path.read_bytes() for path in (place / "hub" / "hub").glob("models--*/snapshots/*/**/*.gguf")}
        if not {files["model-Q8_0.gguf"], files["mmproj-F16.gguf"]} <= taken:
            yield "exit code 0 without the model's files"


def _as_a_process(words, env):
    """What is wrong with a command that is a process of its own."""
    whole = {key: value for key, value in (os.environ | env).items() if value is not None}
    limit = 2 * MEMORY + (2 << 30)  # of address space, of which libraries take a part
    code = (
        f"import resource, sys; resource.setrlimit(resource.RLIMIT_AS, ({limit}, {limit}))\n"
        "from vlmcli.models import hub; hub.FIRST_PAUSE = 0.001; hub.PATIENCE = 0.3\n"
        "from vlmcli.cli import app; sys.exit(app.main(sys.argv[1:]))"
    )
    try:
        done = subprocess.run([sys.executable, "-c", code, *words], env=whole, capture_output=True, timeout=90,
                              stdin=subprocess.DEVNULL, check=False)  # fmt: skip
    except subprocess.TimeoutExpired:
        return ["as a process: no end within 90 s"]
    return [f"as a process: {what}" for what in _faults(done.returncode, done.stderr.decode("utf-8", "replace"), 0.0)]


def main() -> int:
    """Run the cases that the arguments name. Returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--processes", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="number of the first case")
    chosen = parser.parse_args()
    began = time.monotonic()
    found = run(chosen.count, chosen.seed, chosen.processes, chosen.first, lambda text: print(text, flush=True))
    for what in found.wrong[:50]:
        print(what)
    print(
        f"{chosen.count} hostile Hubs: {found.codes[0]} pulled all the same, "
        f"{sum(found.codes.values()) - found.codes[0]} refused, {len(found.wrong)} wrong; worst {found.worst[0]:.1f} s "
        f"(case {found.worst[1]}), {found.memory >> 20} MB more; {time.monotonic() - began:.0f} s in all"
    )
    return bool(found.wrong)


if __name__ == "__main__":
    sys.exit(main())
