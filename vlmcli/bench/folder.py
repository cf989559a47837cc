"""`python -m vlmcli.bench folder`: seconds a picture over many pictures, as `vlm caption FOLDER` goes through them.

All get the same pair of random weights in F16, the same drawn scenes, one question about each, and give answers of the
same length. Loading is left out for all alike: each is asked about one more picture before its time begins. What counts
are the ratios.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from vlmcli.bench import published, rounds
from vlmcli.bench.contestant import Job, available
from vlmcli.demo import scenes
from vlmcli.machine.fit import this_machine

VLM, HANDLER = "vlm --worker", "MTMDChatHandler"
SERVERS = ("llama-server -np 1", "llama-server -np 4")
AT_MOST = {"the better llama-server": (SERVERS, 1.0), HANDLER: ((HANDLER,), 0.8)}
"""What is wanted of vlm: its seconds by those of the best of these contestants, at most so much."""


def main(words: Sequence[str]) -> None:
    """Draw the scenes, run the rounds, and print the table; `words` are the arguments behind `folder`."""
    parser = argparse.ArgumentParser(prog="python -m vlmcli.bench folder", description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--pictures", type=int, default=16, help="after the first")
    parser.add_argument("--tokens", type=int, default=32)
    parser.add_argument("--threads", type=int, default=this_machine().cores)
    parser.add_argument("--shape", default="smolvlm2-500m", help="of the pair, by its name in vlmcli/models/shapes.py")
    parser.add_argument(
        "--longest", type=int, default=512, metavar="PIXELS",
        help="side that SmolVLM's pictures are scaled to before they are cut into tiles; 0 for the published 2048",
    )  # fmt: skip
    parser.add_argument("--keep", type=Path, help="a folder for the pair, to use it again")
    parser.add_argument("--only", nargs="*", help="names of contestants")
    options = parser.parse_args(words)
    with tempfile.TemporaryDirectory(prefix="vlm-bench-") as temporary:
        files = published.pair(options.keep or Path(temporary), options.shape, options.longest)
        pictures = _scenes(Path(temporary), options.pictures + 1)
        job = Job(str(files.model), str(files.projector), pictures, options.threads, options.tokens, 8192)
        names = [name for name in available((VLM, *SERVERS, HANDLER)) if not options.only or name in options.only]
        results = rounds.run(Path(temporary), job, names, options.rounds)
    sys.stdout.write(
        f"{files.name}, F16: {options.pictures} pictures, {options.tokens} tokens an answer, "
        f"{options.threads} threads, {options.rounds} rounds, medians\n{table(results, options.pictures)}"
    )


def _scenes(folder: Path, count: int) -> tuple[str, ...]:
    """Draw so many scenes of all sizes; the paths of their files."""
    paths = []
    for number in range(count):
        path = folder / f"{number:02}.png"
        scenes.draw(scenes.make(random.Random(number))).save(path)
        paths.append(str(path))
    return tuple(paths)


def table(results: rounds.Rounds, pictures: int) -> str:
    """A line for each contestant, and one for each ratio that is wanted."""
    lines = [f"{'':20}{'s/picture':>10}{'vlm to it':>11}  tokens"]
    for name, times in results.items():
        ratio = f"{_ratio(results, name):11.2f}" if VLM in results else f"{'—':>11}"
        seconds = median(one["many"] for one in times) / pictures
        lines.append(f"{name:20}{seconds:10.2f}{ratio}  {rounds.tokens(results, name)}")
    for target, (bases, most) in AT_MOST.items():
        there = [_ratio(results, base) for base in bases if VLM in results and base in results]
        if there:
            lines.append(f"vlm to {target}: {max(there):.2f}, at most {most:.2f} is wanted")
    return "\n".join(lines) + "\n"


def _ratio(results: rounds.Rounds, base: str) -> float:
    return median(rounds.ratios(results, VLM, base, "many"))
