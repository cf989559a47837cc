"""What it costs to hold an answer to a form: `python -m vlmcli.bench.forms MODEL MMPROJ`.

Prints, for a JSON Schema and for no form, how long the first token takes from the opening of the model on, and how many
tokens a second follow, in turns, each on an engine of its own. The vocabulary is kept, as it is from one command to the
next; the first round, which has to read it, is printed apart.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from vlmcli.engine import Engine
from vlmcli.engine.place import this_machine
from vlmcli.memo import kept_in
from vlmcli.pictures import images
from vlmcli.placement import Fit
from vlmcli.values import Answer, Card, Delta, Done, Failed, Message, ModelFiles, Request, Sampling, run

SCHEMA = {
    "type": "array",
    "minItems": 40,
    "items": {
        "type": "object",
        "properties": {"name": {"type": "string", "minLength": 8}, "count": {"type": "integer"}},
        "required": ["name", "count"],
        "additionalProperties": False,
    },
}
"""Of an answer that does not end within the tokens that are measured."""
HOT = Sampling(temperature=1.0, top_k=40, seed=1)


def main() -> None:
    """Measure, and print a row for each."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("projector", type=Path)
    parser.add_argument("--template", type=Path, help="a Jinja file, for a model without a chat template")
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    template = options.template.read_text("utf-8") if options.template else None
    files = ModelFiles(options.model.stem, options.model, options.projector, Card(chat_template=template))
    fit = Fit(n_ctx=2048, threads=this_machine().cores)
    rows: dict[str, list[tuple[float, float]]] = {"free": [], "schema": []}
    with tempfile.TemporaryDirectory(prefix="vlm-bench-") as folder, kept_in(Path(folder)):
        for number in range(options.rounds + 1):
            for name, schema in (("free", ""), ("schema", json.dumps(SCHEMA))):
                began = time.monotonic()
                with Engine(files, fit) as engine:
                    rows[name] += _measured(engine, schema, options.tokens, number, began)
    free, held = (
        (median(first for first, _ in rows[name][1:]), median(speed for _, speed in rows[name][1:]))
        for name in ("free", "schema")
    )
    print(  # noqa: T201
        f"{options.model.name}: first token {free[0]:.2f} s free, {held[0]:.2f} s by a schema"
        f" (the first time {rows['free'][0][0]:.2f} and {rows['schema'][0][0]:.2f} s)\n"
        f"tokens a second: {free[1]:.1f} free, {held[1]:.1f} by a schema; ratio {held[1] / free[1]:.2f}"
    )


def _measured(engine: Engine, schema: str, tokens: int, number: int, began: float) -> Iterator[tuple[float, float]]:
    """Seconds from the opening of the model to the first piece of text, and tokens a second from then on."""
    picture = images.from_pixels(bytes([number]) * (3 * 64 * 64), (64, 64), "plain.png")
    request = Request((Message("user", (picture, "What is this?")),), HOT, tokens, schema=schema)
    first, answer = 0.0, None
    for _, event in run(engine, [request]):
        if isinstance(event, Delta) and not first:
            first = time.monotonic()
        if isinstance(event, Failed):
            raise event.error
        if isinstance(event, Done):
            answer = event.answer
    assert isinstance(answer, Answer)
    seconds = time.monotonic() - first
    yield first - began, (answer.usage.answer_tokens - 1) / seconds


if __name__ == "__main__":
    main()
