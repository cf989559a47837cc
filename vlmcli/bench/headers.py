"""Spoilt headers of every family by the thousand: `python -m vlmcli.bench.headers --mutants 5000`.

Each is one of the 63 small pairs with one thing in the header of one of its files spoilt (`mutants.header_mutant`), or
with the projector of another, asked through `vlm ask --in-process` about a small picture. There is no second process
that survives what llama.cpp does, so that what the checks of headers let through shows: a mutant that ends the process
is counted, with its files and llama.cpp's last words, and another process goes on behind it. The same seed spoils the
same way.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from vlmcli.bench import broken, families, mutants, pairs

ALL = (*pairs.SMALL, *families.PAIRS)
"""Names of all pairs."""

AT_ONCE = 500
"""Mutants that one process is asked about: what engines leave of its address space, which is limited, adds up."""


@dataclass(frozen=True)
class Outcome:
    """What came of a mutant.

    Attributes:
        number: the mutant's, of its seed.
        words: the language model's file.
        eyes: the projector's.
        how: it was spoilt.
        code: the exit code; negative for a signal that ended the process.
        said: stderr.
        seconds: the command took.
        died: whether the process is gone that asked.
    """

    number: int
    words: str
    eyes: str
    how: str
    code: int
    said: str
    seconds: float
    died: bool = False

    @property
    def wrong(self) -> str:
        """What must not be, if it is; empty otherwise."""
        if self.died:
            return f"died ({_signal(-self.code) if self.code < 0 else f'exit code {self.code}'})"
        if "Traceback" in self.said:
            return "a traceback"
        if self.code not in (0, 1, 70):
            return f"exit code {self.code}"
        return "" if not self.code or "\n     " in self.said else "an error without a hint"

    @property
    def kind(self) -> str:
        """Answered, refused before llama.cpp saw it, by llama.cpp, or in the middle of a request; or what is wrong."""
        if self.wrong:
            return self.wrong
        if self.code == 0:
            return "answered"
        if self.code == 70:
            return "llama.cpp failed"
        return "refused by llama.cpp" if "llama.cpp cannot" in self.said.replace("so llama.cpp", "") else "refused"


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


class _Both(io.StringIO):
    """What is written here goes to stderr, too, at once: a process that dies does not hand over what it has kept."""

    def write(self, text: str) -> int:
        """Write to both."""
        os.write(2, text.encode("utf-8", "replace"))
        return super().write(text)


def child(seed: int, numbers: Sequence[int], whole: Path, names: Sequence[str], seconds: float) -> None:
    """Ask about mutants, one after another. A line of JSON before each says which, another what came of it.

    Args:
        seed: of all mutants.
        numbers: which of them; each is spoilt by `seed` and its number alone.
        whole: where the whole pairs are.
        names: of the pairs.
        seconds: a mutant may take; then the process ends by SIGALRM.
    """
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (broken.ADDRESSES, broken.ADDRESSES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    from vlmcli.cli import app

    with tempfile.TemporaryDirectory(prefix="vlm-headers-") as name:
        folder = Path(name)
        picture = broken._picture(folder / "noise.png")
        for number in numbers:
            words, eyes, how = mutants.header_mutant(Random(f"{seed} {number}"), whole, folder, names)
            line = (number, words.name, eyes.name, how)
            sys.stdout.write(json.dumps(line) + "\n")
            sys.stdout.flush()
            arguments = ["ask", str(picture), "what is this?", "-m", str(words), "--mmproj", str(eyes)]
            arguments += ["--threads", "1", "--max-tokens", "4", "--in-process"]
            said = _Both()
            start = time.monotonic()
            signal.setitimer(signal.ITIMER_REAL, seconds)
            try:
                with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
                    code = int(app.main(arguments))
            except BaseException as error:
                code = 1
                said.write(f"Traceback: {type(error).__name__}: {error}")
            signal.setitimer(signal.ITIMER_REAL, 0)
            took = time.monotonic() - start
            sys.stdout.write(json.dumps((*line, code, said.getvalue(), took)) + "\n")
            sys.stdout.flush()
            for path in folder.glob("*.gguf"):
                path.unlink()


def outcomes(seed: int, numbers: Sequence[int], whole: Path, names: Sequence[str], seconds: float) -> Iterator[Outcome]:
    """What came of each mutant, in a process that outlives it or is followed by another."""
    left = list(numbers)
    with tempfile.TemporaryDirectory(prefix="vlm-headers-") as state:
        environment = os.environ | {"XDG_STATE_HOME": state, "GGML_NO_BACKTRACE": "1"}
        while left:
            command = [sys.executable, "-m", "vlmcli.bench.headers", "--seed", str(seed), "--seconds", str(seconds)]
            command += ["--folder", str(whole), "--families", *names, "--child", json.dumps(left[:AT_ONCE])]
            said = Path(state) / "said"
            begun: list[Any] = []
            with (
                said.open("wb") as errors,
                subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True, env=environment) as process,
            ):
                assert process.stdout is not None
                for line in process.stdout:
                    found = json.loads(line)
                    if len(found) > 4:
                        yield Outcome(*found)
                        left.pop(0)
                        begun = []
                    else:
                        begun = found
            if begun:
                last = said.read_bytes()[-2000:].decode("utf-8", "replace")
                number, words, eyes, how = begun
                yield Outcome(number, words, eyes, how, process.returncode, last, 0.0, died=True)
                left.pop(0)
            elif process.returncode:
                raise SystemExit(f"the process that asks ends before it begins ({process.returncode})")
            for note in Path(state).glob("vlm/running/*"):  # or the next command would be careful
                note.unlink()


def last_words(said: str) -> str:
    """Why llama.cpp ended the process, as it said; empty where it said nothing."""
    line = " ".join(said.rpartition("vlm: ")[2].split())
    crashed = re.search(r"crashed on .*? with .*?\.gguf \((.*)\) check that", line)
    thrown = re.findall(r"what\(\): *(.*)", said)
    return crashed[1] if crashed else thrown[-1] if thrown else ""


def main() -> int:
    """Ask about every mutant, and print the counts; 1 if anything came that must not."""
    parser = argparse.ArgumentParser(prog="python -m vlmcli.bench.headers", description=__doc__.split("\n")[0])
    parser.add_argument("--mutants", type=int, default=5000)
    parser.add_argument("--first", type=int, default=0, help="number of the first (default 0)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=20, help="a mutant may take (default 20)")
    parser.add_argument(
        "--families", nargs="*", choices=ALL, metavar="NAME", default=ALL, help="pairs; all without one"
    )
    parser.add_argument("--folder", type=Path, help="a folder for the whole pairs, to use them again")
    parser.add_argument("--child", type=json.loads, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options.seed, options.child, options.folder, options.families, options.seconds)
        return 0
    numbers = range(options.first, options.first + options.mutants)
    counts: Counter[str] = Counter()
    bad: dict[tuple[str, str], list[str]] = defaultdict(list)
    slowest, start = 0.0, time.monotonic()
    with tempfile.TemporaryDirectory(prefix="vlm-headers-") as temporary:
        whole = options.folder or Path(temporary)
        if not (whole / f"mmproj-{ALL[-1]}.gguf").exists():
            families.write(pairs.small(whole))
        for one in outcomes(options.seed, numbers, whole, options.families, options.seconds):
            counts[one.kind] += 1
            slowest = max(slowest, one.seconds)
            if one.wrong:
                why = last_words(one.said) if one.died else one.said[-200:].replace("\n", " ")
                case = f"{one.number} {one.words} + {one.eyes}: {one.how}"
                bad[one.wrong, why].append(case)
                sys.stderr.write(f"{case}: {one.wrong}: {why}\n")
            if sum(counts.values()) % 500 == 0:
                sys.stderr.write(f"{sum(counts.values())} mutants, {time.monotonic() - start:.0f} s\n")
    for kind, count in counts.most_common():
        sys.stdout.write(f"{count:6} {kind}\n")
    sys.stdout.write(
        f"{len(numbers)} mutants, {time.monotonic() - start:.0f} s, slowest {slowest:.1f} s, "
        f"{sum(map(len, bad.values()))} neither answered nor a named error\n"
    )
    for (wrong, why), cases in sorted(bad.items(), key=lambda item: -len(item[1])):
        sys.stdout.write(f"{len(cases)} {wrong}: {why}\n")
        for case in cases[:20]:
            sys.stdout.write(f"    {case}\n")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
