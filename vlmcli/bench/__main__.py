"""`python -m vlmcli.bench`: this engine beside its peers, on one pair, the same pictures, threads and tokens.

What counts are the ratios; seconds are only there to see that they are large enough to mean something.
`python -m vlmcli.bench folder` compares them over a folder of pictures.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from statistics import median

import numpy as np
from PIL import Image

from vlmcli.bench import folder, pairs, rounds
from vlmcli.bench.contestant import Job, available
from vlmcli.machine.fit import this_machine

BASE = "MTMDChatHandler"
NAMES = ("vlm", "vlm --worker", BASE, "llama-mtmd-cli", "llama-server")


def main() -> None:
    """Run the rounds, and print the table."""
    if sys.argv[1:2] == ["folder"]:
        folder.main(sys.argv[2:])
        return
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
        place = options.keep or Path(temporary)
        if not (place / "mmproj-real.gguf").exists():
            pairs.real(place, options.layers)
        job = Job(
            str(place / "real.gguf"),
            str(place / "mmproj-real.gguf"),
            _pictures(Path(temporary), options.pictures + 1),
            options.threads,
            options.tokens,
            8192,
        )
        names = [name for name in available(NAMES) if not options.only or name in options.only]
        results = rounds.run(Path(temporary), job, names, options.rounds)
    _report(results, names, options)


def _pictures(place: Path, count: int) -> tuple[str, ...]:
    """Write so many pictures of noise at the encoder's own size, no two alike; the paths of their files."""
    paths = []
    for number in range(count):
        pixels = np.random.default_rng(number).integers(0, 256, (384, 384, 3), np.uint8)
        path = place / f"{number}.png"
        Image.fromarray(pixels).save(path)
        paths.append(str(path))
    return tuple(paths)


def _report(results: rounds.Rounds, names: list[str], options: argparse.Namespace) -> None:
    write = sys.stdout.write
    base = BASE if BASE in names else names[0]
    write(f"{options.threads} threads, {options.tokens} tokens an answer, {options.rounds} rounds, medians\n")
    many = f"{options.pictures} pictures"
    write(f"{'':18}{'cold, s':>10}{'ratio':>8}{many + ', s':>16}{'ratio':>8}  tokens\n")
    for name in names:
        columns = f"{name:18}"
        for key, width in (("cold", 10), ("many", 16)):
            seconds = [one[key] for one in results[name]]
            if None in seconds:
                columns += f"{'—':>{width}}{'—':>8}"
                continue
            columns += f"{median(seconds):{width}.2f}"
            if None in [one[key] for one in results[base]]:
                columns += f"{'—':>8}"
                continue
            columns += f"{median(rounds.ratios(results, name, base, key)):8.{options.digits}f}"
        write(f"{columns}  {rounds.tokens(results, name)}\n")
    write(f"ratios: to {base}, round by round\n")


if __name__ == "__main__":
    main()
