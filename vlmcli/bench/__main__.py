"""`python -m vlmcli.bench`: whole commands of `vlm` beside its peers', with the goal beside each ratio.

Each pair has a published model's shape and random weights, quantised as people have them, and is made here. What counts
are the ratios of one round, by their medians; seconds are only there to see that they are large enough to mean
something. llama-mtmd-cli and llama-server are taken from the PATH; without them, their rows stay empty.

`python -m vlmcli.bench repack` measures whether weights are faster in the CPU's own order.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from vlmcli import settings
from vlmcli.bench import commands, goals, photo
from vlmcli.bench.goals import Found, Row
from vlmcli.bench.recipes import Recipe
from vlmcli.bench.turns import LONG, QUESTIONS, Course, Turn
from vlmcli.machine.fit import this_machine

PAIRS = ("llava-460m:Q8_0", "smolvlm2-500m:Q8_0", "qwen2.5-vl-3b:Q4_K_M")
MEGAPIXELS = 1024 * 768 / 1e6
CTX = 8192


def main() -> None:
    """Make each pair and the pictures, run the rounds, and print two tables for each pair."""
    if sys.argv[1:2] == ["repack"]:
        from vlmcli.bench import repack  # it loads llama.cpp here, which sets variables for all children

        repack.main(sys.argv[2:])
        return
    options = _options()
    rows = [row for row in goals.ROWS if row.number in options.rows]
    for text, recipe in options.pairs:
        with tempfile.TemporaryDirectory(prefix="vlm-bench-") as temporary:
            try:
                course = _course(text, recipe, options, Path(temporary))
                found, turns = _rounds(course, rows, options.rounds, Path(temporary))
            except commands.Failure as failure:
                raise SystemExit(f"{text}: {failure}") from failure
        sys.stdout.write(f"{_head(text, recipe, options)}\n{goals.table(found, recipe.weights)}\n{goals.work(turns)}\n")
        sys.stdout.flush()


def _options() -> argparse.Namespace:
    """Those of the command line; `pairs` has each as it was written, and as a recipe."""
    parser = argparse.ArgumentParser(prog="python -m vlmcli.bench", description=__doc__.split("\n")[0])
    parser.add_argument(
        "--pairs", nargs="+", default=PAIRS, metavar="SHAPE:QUANT", help=f"by default {' '.join(PAIRS)}"
    )
    parser.add_argument("--rows", nargs="+", type=int, default=[row.number for row in goals.ROWS], help="by number")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--pictures", type=int, default=16, help="of the folder, after the first")
    parser.add_argument("--threads", type=int, default=this_machine().cores)
    parser.add_argument("--layers", type=int, default=0, help="of the language models; by default all of the shape's")
    parser.add_argument(
        "--longest", type=int, default=0, metavar="PIXELS",
        help="side that SmolVLM's pictures are scaled to before they are cut into tiles; 0 for the published 2048",
    )  # fmt: skip
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="a folder for the pairs, to use them again")
    options = parser.parse_args()
    try:
        options.pairs = [(text, Recipe.parse(text, options.layers, options.longest)) for text in options.pairs]
    except ValueError as error:
        parser.error(str(error))
    return options


def _course(text: str, recipe: Recipe, options: argparse.Namespace, temporary: Path) -> Course:
    """Make what the rounds need, and start each program once."""
    folder = (options.keep or temporary).absolute()
    command = [sys.executable, "-m", "vlmcli.bench.published", str(folder), text]
    subprocess.run([*command, "--layers", str(recipe.layers), "--longest", str(recipe.longest)], check=True)
    files = recipe.files(folder)
    (temporary / "pictures").mkdir()
    pictures = tuple(temporary / "pictures" / f"{number:03}.jpg" for number in range(options.pictures + 1))
    for picture in pictures:
        photo.make(picture, MEGAPIXELS)
    ctx = min(CTX, recipe.dimensions()[0].context)
    job = commands.Job(files.model, files.projector, options.threads, ctx)
    untimed = commands.warm(job, pictures[0], QUESTIONS[0], LONG)
    return Course(job, pictures, lambda line: sys.stderr.write(f"{text}: {line}\n"), untimed)


def _rounds(
    course: Course, rows: Sequence[Row], rounds: int, temporary: Path
) -> tuple[dict[Row, list[Found]], list[Turn]]:
    """What each row measured, round by round, and the rounds. Raises commands.Failure."""
    found: dict[Row, list[Found]] = {row: [] for row in rows}
    turns = []
    for number in range(1, rounds + 1):
        course.say(f"round {number} of {rounds}")
        with tempfile.TemporaryDirectory(dir=temporary) as kept:
            turns.append(Turn(course, Path(kept)))
            for row in rows:
                if not row.needs or commands.available(row.needs):
                    found[row].append(row.measure(turns[-1]))
    return found, turns


def _head(text: str, recipe: Recipe, options: argparse.Namespace) -> str:
    """What was measured, in a line."""
    layers = recipe.dimensions()[0].layers
    cut = f", cut to {layers} layers" if recipe.layers else f", {layers} layers"
    longest = f", pictures scaled to {recipe.longest} pixels" if recipe.longest else ""
    spins = settings.variables().get("GOMP_SPINCOUNT")
    return (
        f"{text}: {recipe.weights / 1e6:.0f} M weights{cut}{longest}; {options.pictures} pictures of 1024x768, "
        f"{options.threads} threads, {options.rounds} rounds, medians"
        f"{f', GOMP_SPINCOUNT={spins} for all' if spins else ''}"
    )


if __name__ == "__main__":
    main()
