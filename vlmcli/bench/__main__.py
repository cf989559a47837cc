"""`python -m vlmcli.bench`: this engine beside its peers, on one pair, the same pictures, threads and tokens.

Rounds go through the contestants in turn, each in a fresh process, so that a machine that slows down slows all.
What counts are the ratios; seconds are only there to see that they are large enough to mean something.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from PIL import Image

from vlmcli.bench import pairs
from vlmcli.bench.contestant import Job, available
from vlmcli.fit import this_machine

BASE = "MTMDChatHandler"


def main() -> None:
    """Parse, run the rounds, print the tables."""
    parser = argparse.ArgumentParser(prog="python -m vlmcli.bench", description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--pictures", type=int, default=8, help="after the first")
    parser.add_argument("--tokens", type=int, default=32)
    parser.add_argument("--threads", type=int, default=this_machine().cores)
    parser.add_argument("--layers", type=int, default=12, help="of the language model that is made for this")
    parser.add_argument("--keep", type=Path, help="a folder for the pair, to use it again")
    parser.add_argument("--digits", type=int, default=2, help="of a ratio, behind the point")
    parser.add_argument("--only", nargs="*", help="names of contestants")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="vlm-bench-") as temporary:
        folder = options.keep or Path(temporary)
        if not (folder / "mmproj-real.gguf").exists():
            pairs.real(folder, options.layers)
        job = Job(
            str(folder / "real.gguf"),
            str(folder / "mmproj-real.gguf"),
            _pictures(Path(temporary), options.pictures + 1),
            options.threads,
            options.tokens,
            8192,
        )
        names = [name for name in available() if not options.only or name in options.only]
        rounds = _run(Path(temporary), job, names, options.rounds)
    _report(rounds, names, options)


def _pictures(folder: Path, count: int) -> tuple[str, ...]:
    """Pictures of noise at the encoder's own size, each another."""
    paths = []
    for number in range(count):
        pixels = np.random.default_rng(number).integers(0, 256, (384, 384, 3), np.uint8)
        path = folder / f"{number}.png"
        Image.fromarray(pixels).save(path)
        paths.append(str(path))
    return tuple(paths)


def _run(folder: Path, job: Job, names: list[str], rounds: int) -> dict[str, list[dict[str, Any]]]:
    file = folder / "job.json"
    file.write_text(json.dumps(asdict(job)), "utf-8")
    results: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
    for weights in (job.model, job.projector):
        Path(weights).read_bytes()  # nobody shall be the one who reads them from the disk
    for number in range(rounds):
        for name in names:
            command = [sys.executable, "-m", "vlmcli.bench.contestant", name, str(file)]
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode:
                raise SystemExit(f"{name} failed:\n{done.stderr[-2000:]}")
            results[name].append(json.loads(done.stdout.splitlines()[-1]))
            sys.stderr.write(f"round {number + 1} of {rounds}: {name}\n")
    return results


def _report(rounds: dict[str, list[dict[str, Any]]], names: list[str], options: argparse.Namespace) -> None:
    write = sys.stdout.write
    base = BASE if BASE in names else names[0]
    write(f"{options.threads} threads, {options.tokens} tokens an answer, {options.rounds} rounds, medians\n")
    many = f"{options.pictures} pictures"
    write(f"{'':18}{'cold, s':>10}{'ratio':>8}{many + ', s':>16}{'ratio':>8}  tokens\n")
    for name in names:
        columns = f"{name:18}"
        for key, width in (("cold", 10), ("many", 16)):
            seconds = [one[key] for one in rounds[name]]
            if None in seconds:
                columns += f"{'—':>{width}}{'—':>8}"
                continue
            columns += f"{median(seconds):{width}.2f}"
            if None in [one[key] for one in rounds[base]]:
                columns += f"{'—':>8}"
                continue
            pairwise = [one[key] / other[key] for one, other in zip(rounds[name], rounds[base], strict=True)]
            columns += f"{median(pairwise):8.{options.digits}f}"
        tokens = {sum(one["tokens"]) for one in rounds[name] if one["tokens"]}
        write(f"{columns}  {', '.join(map(str, sorted(tokens))) or '—'}\n")
    write(f"ratios: to {base}, round by round\n")


if __name__ == "__main__":
    main()
