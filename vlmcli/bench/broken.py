"""Broken models by the thousand: `python -m vlmcli.bench.broken --mutants 20000`.

Each is one of nine small pairs with one of its two files spoilt in one way (`mutants`), asked through
`vlm ask --worker` about a picture of noise. It is answered (a weight that is another number is still a model), or an
error names it and says what to do. Everything else is counted: a process that ends in another way, a traceback, an
error without a name, more than `--seconds`, more memory than `--memory`. The same seed spoils the same way.

Commands are run one after another in a few processes that have the command loaded, so that 20,000 take minutes; the
engine of each is in a process of its own, as always with --worker.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

from vlmcli.amounts import size

ADDRESSES = 4 << 30
"""Address space of every process, in bytes: what would take all memory is refused some."""


@dataclass(frozen=True)
class Outcome:
    """What came of a mutant.

    Attributes:
        number: the mutant's, of its seed.
        name: of the pair that was spoilt.
        how: it was spoilt.
        code: the exit code.
        said: stderr.
        seconds: the command took.
        resident: the most bytes any engine's process so far has had in memory.
    """

    number: int
    name: str
    how: str
    code: int
    said: str
    seconds: float
    resident: int

    def wrong(self, seconds: float, memory: int) -> str:
        """What must not be, if it is; empty otherwise."""
        if "Traceback" in self.said:
            return "a traceback"
        if self.code not in (0, 1, 70):
            return f"exit code {self.code}"
        if self.code and not (self.name in self.said and "\n     " in self.said):
            return "an error that names nothing, or says nothing to do"
        if self.seconds > seconds:
            return f"took {self.seconds:.1f} s"
        return f"{size(self.resident)} in memory" if self.resident > memory else ""

    @property
    def reason(self) -> str:
        """Why llama.cpp gave up, as the error says it."""
        return self.said.partition("each time (")[2].partition("\n")[0].removesuffix(")")

    @property
    def kind(self) -> str:
        """Answered, refused before llama.cpp saw it, by llama.cpp, in the middle of a request, or contained."""
        if self.code == 0:
            return "answered"
        if self.code == 70:
            return "llama.cpp gave up" if "gave up on" in self.said else "llama.cpp failed"
        return "refused by llama.cpp" if "llama.cpp cannot" in self.said.replace("so llama.cpp", "") else "refused"


def child(seed: int, numbers: Sequence[int], *, hostile: bool = False) -> None:
    """Ask about mutants, and write a line of JSON for each: the fields of its `Outcome`.

    Args:
        seed: of all mutants.
        numbers: which of them; each is spoilt by `seed` and its number alone.
        hostile: spoilt as somebody does who means harm.
    """
    with contextlib.suppress(ImportError):
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (ADDRESSES, ADDRESSES))
    from vlmcli.bench import hostile_models, mutants, pairs
    from vlmcli.cli import app

    with tempfile.TemporaryDirectory(prefix="vlm-broken-") as name:
        whole = pairs.small(Path(name) / "whole")
        picture = _picture(Path(name) / "noise.png")
        for number in numbers:
            rng, folder = Random(f"{seed} {number}"), Path(name) / str(number)
            folder.mkdir()
            family, how = mutants.mutant(rng, whole, folder, hostile_models.WAYS if hostile else ())
            words = ["ask", str(picture), "what is this?", "-m", str(folder / f"{family}.gguf"), "--max-tokens", "4",
                     "--mmproj", str(folder / f"mmproj-{family}.gguf"), "--threads", "1", "--worker"]  # fmt: skip
            said = io.StringIO()
            start = time.monotonic()
            try:
                with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
                    code = int(app.main(words))
            except BaseException as error:
                code, said = -1, io.StringIO(f"Traceback: {type(error).__name__}: {error}")
            seconds = time.monotonic() - start
            line = (number, family, how, code, said.getvalue(), seconds, _largest_child())
            sys.stdout.write(json.dumps(line) + "\n")
            sys.stdout.flush()
            for path in folder.iterdir():
                path.unlink()
            folder.rmdir()


def _picture(path: Path) -> Path:
    from PIL import Image

    Image.frombytes("RGB", (160, 120), Random(1).randbytes(160 * 120 * 3)).save(path)
    return path


def _largest_child() -> int:
    """The most bytes that a process started by this one has had in memory, as far as that is known.

    0 where it is no more than what this process itself has had, which makes the mutants: a new process counts as one as
    large as whoever starts it, until it runs another program, and that is remembered.
    """
    try:
        import resource
    except ImportError:
        return 0
    most, own = (resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_CHILDREN, resource.RUSAGE_SELF))
    if most <= own:
        return 0
    return most if sys.platform == "darwin" else most << 10


def outcomes(seed: int, numbers: Sequence[int], patience: int, *, hostile: bool = False) -> Iterator[Outcome]:
    """What came of mutants, each of which is asked about in a process that outlives it, or is reported if not."""
    left = list(numbers)
    environment = os.environ | {"VLM_PATIENCE": str(patience), "XDG_STATE_HOME": tempfile.gettempdir()}
    while left:
        command = [sys.executable, "-m", "vlmcli.bench.broken", "--seed", str(seed), "--child", json.dumps(left)]
        command += ["--hostile"] if hostile else []
        begun = len(left)
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
            assert process.stdout is not None
            for line in process.stdout:
                yield Outcome(*json.loads(line))
                left.pop(0)
        if left:
            if process.returncode == 1 and begun == len(left):
                raise SystemExit("the process that asks ends before it begins")
            yield Outcome(left.pop(0), "", "", process.returncode, "the command's own process has died", 0.0, 0)


def main() -> int:
    """Ask about every mutant, and print the counts; 1 if anything came that must not."""
    parser = argparse.ArgumentParser(prog="python -m vlmcli.bench.broken", description=__doc__.split("\n")[0])
    parser.add_argument("--mutants", type=int, default=20_000)
    parser.add_argument("--first", type=int, default=0, help="number of the first (default 0)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=10, help="a command may take (default 10)")
    parser.add_argument("--memory", type=int, default=1000, help="MB an engine may hold (default 1000)")
    parser.add_argument("--jobs", type=int, default=2, help="commands at once (default 2)")
    parser.add_argument("--hostile", action="store_true", help="spoilt as somebody does who means harm")
    parser.add_argument("--child", type=json.loads, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options.seed, options.child, hostile=options.hostile)
        return 0
    numbers = range(options.first, options.first + options.mutants)
    counts: Counter[str] = Counter()
    died: Counter[str] = Counter()
    bad: list[str] = []
    slowest = 0.0
    largest = 0
    start = time.monotonic()
    patience = max(1, int(options.seconds / 2 - 1))  # a model is tried twice

    def work(job: int) -> None:
        nonlocal slowest, largest
        most = 0  # what is known is the most so far: only the mutant that has raised it is to blame
        for one in outcomes(options.seed, numbers[job :: options.jobs], patience, hostile=options.hostile):
            counts[one.kind] += 1
            slowest, largest = max(slowest, one.seconds), max(largest, one.resident)
            told = replace(one, resident=one.resident if one.resident > most else 0)
            most = max(most, one.resident)
            if wrong := told.wrong(options.seconds, options.memory * 1_000_000):
                bad.append(f"mutant {one.number} ({one.name}: {one.how}): {wrong}: {one.said[-300:]!r}")
            elif one.kind == "llama.cpp gave up":
                died[f"{one.reason} ({one.number}: {one.how})"] += 1
            if sum(counts.values()) % 1000 == 0:
                sys.stderr.write(f"{sum(counts.values())} mutants, {time.monotonic() - start:.0f} s\n")

    with ThreadPoolExecutor(options.jobs) as pool:
        list(pool.map(work, range(options.jobs)))
    for kind, count in sorted(counts.items(), key=lambda one: -one[1]):
        sys.stdout.write(f"{count:6} {kind}\n")
    sys.stdout.write(
        f"{len(numbers)} mutants, slowest {slowest:.1f} s, at most {size(largest)} in memory, "
        f"{len(bad)} neither answered nor a named error\n"
    )
    for line in bad[:50]:
        sys.stdout.write(line + "\n")
    if died:
        sys.stdout.write("what llama.cpp gave up on, contained:\n")
        for line in list(died)[:50]:
            sys.stdout.write(f"  {line}\n")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
