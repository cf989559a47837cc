"""How often the demo model is right, asked through the engine: `python -m vlmcli.demo.training.accuracy`.

Pictures that were never trained on (another seed), wordings that were kept out of training, every other picture a
640x480 JPEG. Prints the table of docs/demo-model.md; with `--confusion FOLDER` it draws which colours and shapes are
taken for which.
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from vlmcli.demo import FILES
from vlmcli.demo.training import confusion
from vlmcli.demo.training.cases import SEED, Case, held_out
from vlmcli.demo.training.tables import by_shapes, calibration, report, tally
from vlmcli.demo.world import COLORS, SHAPES, SMALLEST_LETTER
from vlmcli.engine import Engine, Observer
from vlmcli.pictures import images
from vlmcli.values import Answer, Message, ModelFiles, Picture, Request


def requests(cases: Iterable[Case], firsts: dict[int, str] | None = None) -> Iterator[Request]:
    """The cases as requests; a follow-up has the model's own first answer before it."""
    for number, case in enumerate(cases):
        pictures: tuple[Picture, ...] = tuple(images.load(path) for path in case.pictures)
        turns: tuple[Message, ...]
        if case.before is None:
            turns = (Message("user", (*pictures, case.item.question)),)
        elif firsts is None:
            turns = (Message("user", (*pictures, case.before.question)),)
        else:
            turns = (
                Message("user", (*pictures, case.before.question)),
                Message("assistant", (firsts[number],)),
                Message("user", (case.item.question,)),
            )
        yield Request(turns, max_tokens=256)


def answers(engine: Engine, cases: Sequence[Case]) -> list[str]:
    """What the model says to each case."""
    said = [o.text if isinstance(o, Answer) else f"({o})" for o in engine.run(requests(cases))]
    later = [number for number, case in enumerate(cases) if case.before is not None]
    follow_ups = [cases[number] for number in later]
    firsts = {place: said[number] for place, number in enumerate(later)}
    for number, outcome in zip(later, engine.run(requests(follow_ups, firsts)), strict=True):
        said[number] = outcome.text if isinstance(outcome, Answer) else f"({outcome})"
    return said


class YesNo(Observer):
    """Watches each answer's first token: how likely was "Yes" against "No"?"""

    def __init__(self, files: ModelFiles) -> None:
        self.engine = Engine(files, observer=self)
        self._tokens: list[int] = []
        self._seen: dict[int, float] = {}

    def picking(self, id: int, number: int, logits: Any) -> None:
        """Keeps what the first token says."""
        if number:
            return
        if not self._tokens:
            self._tokens = [self.engine.model.tokenize(word, False)[0] for word in ("Yes", "No")]
        yes, no = (float(logits[token]) for token in self._tokens)
        self._seen[id] = 1 / (1 + math.exp(min(50.0, no - yes)))

    def likelihoods(self, cases: Sequence[Case]) -> list[tuple[float, bool]]:
        """(probability of "Yes", whether it was right) of the yes/no cases, which were the engine's first requests."""
        return [
            (self._seen[number], case.item.answer == "Yes.")
            for number, case in enumerate(cases)
            if case.item.answer in ("Yes.", "No.") and number in self._seen
        ]


def main() -> None:
    """Measure the model as the arguments say, print the tables, and draw what was asked for."""
    parser = argparse.ArgumentParser(prog="python -m vlmcli.demo.training.accuracy", description=__doc__.split("\n")[0])
    parser.add_argument("--pictures", type=int, default=1000, help="scenes (default 1000); eight questions about each")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--letters", type=float, default=SMALLEST_LETTER, help="least height in the model's view")
    parser.add_argument("--model", type=Path, help="other files than the package's: the language model")
    parser.add_argument("--mmproj", type=Path, help="and its projector")
    parser.add_argument("--keep", type=Path, help="a folder for the pictures and answers.jsonl")
    parser.add_argument("--confusion", type=Path, help="a folder for confusion-colors.png and confusion-shapes.png")
    parser.add_argument("--wrong", type=int, default=0, help="show so many wrong answers a row")
    options = parser.parse_args()
    files = ModelFiles("demo", options.model, options.mmproj) if options.model else FILES
    with tempfile.TemporaryDirectory(prefix="vlm-demo-") as temporary:
        folder = options.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        cases = list(held_out(folder, options.pictures, seed=options.seed, letters=options.letters))
        watched = YesNo(files)
        try:
            said = answers(watched.engine, cases)
        finally:
            watched.engine.close()
        if options.keep:
            with (folder / "answers.jsonl").open("w", encoding="utf-8") as file:
                for case, answer in zip(cases, said, strict=True):
                    item = case.item
                    file.write(json.dumps({
                        "kind": item.kind, "question": item.question, "right": item.answer, "said": answer,
                        "files": [path.name for path in case.pictures], "shapes": case.shapes, "family": case.family,
                    }) + "\n")  # fmt: skip
    rows = tally(cases, said)
    print(report(rows, by_shapes(cases, said)))  # noqa: T201 — the command's output
    print(f"\n{calibration(watched.likelihoods(cases))}")  # noqa: T201
    for name, row in rows.items():
        for case, answer in row.wrong[: options.wrong]:
            print(f"{name}: {case.pictures[0].name}: {case.item.question} {case.item.answer!r}, said {answer!r}")  # noqa: T201
    if options.confusion:
        options.confusion.mkdir(parents=True, exist_ok=True)
        for kind, names in (("color", tuple(COLORS)), ("shape", SHAPES)):
            counts = confusion.count(cases, said, kind, names)
            confusion.draw(counts, names, options.confusion / f"confusion-{kind}s.png")


if __name__ == "__main__":
    main()
