"""`python -m vlmcli.bench.warm [MODEL MMPROJ]`: `vlm ask` with a model in memory already, beside one that loads it.

Both ask about the same picture in turn, which has been asked about before, so that neither encodes it; a third one
loads the model, too, and has not seen the picture. Without files, the demo model is asked. Printed are the medians,
their ratios, and whether the answers are the same.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from pathlib import Path
from random import Random

from vlmcli.bench.commands import Failure, own, timed
from vlmcli.demo import scenes

QUESTION = "What is in this picture?"


def main() -> int:
    """Measure, and print. Returns an exit code."""
    parser = argparse.ArgumentParser(prog="python -m vlmcli.bench.warm", description=__doc__)
    parser.add_argument("files", nargs="*", type=Path, metavar="MODEL MMPROJ", help="the demo model without them")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--tokens", type=int, default=8, help="of an answer at most")
    given = parser.parse_args()
    if len(given.files) not in (0, 2):
        parser.error("give a model and its projector, or neither")
    model = ["-m", str(given.files[0]), "--mmproj", str(given.files[1])] if given.files else ["-m", "demo"]
    with tempfile.TemporaryDirectory(prefix="vlm-warm-") as place:
        try:
            return _measured(Path(place), model, given.rounds, given.tokens)
        except Failure as error:
            sys.stderr.write(f"{error}\n")
            return 1


def _measured(place: Path, model: list[str], rounds: int, tokens: int) -> int:
    picture = place / "scene.png"
    scenes.draw(scenes.make(Random("warm"), size=(640, 480), shapes=2, text=False)).save(picture)
    vlm, environment = [sys.executable, "-m", "vlmcli"], own(place)
    ask = [*vlm, "ask", str(picture), QUESTION, *model, "--max-tokens", str(tokens), "--json"]
    serve = [*vlm, "serve", "--background", "--port", "0"]
    named = {"VLM_MODEL": model[1]} | ({"VLM_MMPROJ": model[3]} if len(model) > 2 else {})
    timed([*ask, "--in-process"], environment)
    timed(serve, environment | named)
    seconds: dict[str, list[float]] = {"new": [], "cold": [], "warm": []}
    texts: dict[str, set[str]] = {name: set() for name in seconds}
    try:
        timed(ask, environment)
        for number in range(rounds):
            for name, command in (("new", [*ask, "--in-process"]), ("cold", [*ask, "--in-process"]), ("warm", ask)):
                cache = {"VLM_CACHE_DIR": str(place / f"cache-{number}")} if name == "new" else {}
                took, _peak, said = timed(command, environment | cache)
                record = json.loads(said)
                if bool(record["timings"]["encode"]) != (name == "new"):
                    raise Failure(f"the picture was encoded by the wrong command: {name}")
                seconds[name].append(took)
                texts[name].add(record["answer"])
        standing = timed([*vlm, "serve", "--status"], environment)[2]
    finally:
        timed([*vlm, "serve", "--stop"], environment)
    new, cold, warm = (statistics.median(seconds[name]) for name in ("new", "cold", "warm"))
    _show(f"of {rounds} rounds: warm {warm:.3f} s, cold {cold:.3f} s, cold with a new picture {new:.3f} s")
    _show(f"warm is {warm / cold:.2f} x cold, and {warm / new:.2f} x cold with a new picture")
    answered = next(line for line in standing.splitlines() if line.startswith("requests"))
    _show(f"texts {'are the same' if len(set.union(*texts.values())) == 1 else f'differ: {texts}'}; {answered}")
    return 0


def _show(line: str) -> None:
    sys.stdout.write(f"{line}\n")


if __name__ == "__main__":
    sys.exit(main())
