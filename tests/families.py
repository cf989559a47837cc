"""What was seen to hold of every family of projectors: `python -m tests.families` writes docs/families.md.

It runs the checks of `tests.support.families` on all pairs, as `pytest -m families` and the rest of the suite do, and
writes "yes" or what went wrong. It takes about ten minutes.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tests.support.families import CHECKS, NAMES, files_of
from vlmcli.bench import families, pairs
from vlmcli.engine import stages
from vlmcli.models import gguf
from vlmcli.pictures import images

PAGE = Path(__file__).parent.parent / "docs" / "families.md"
SIZE = (1024, 768)
HEAD = """# Families of models

A vision model is a language model, a vision encoder, and a *projector* between the two. llama.cpp has a name for each
kind of projector, and each has its own way to cut a picture, to encode it, and to tell the language model where it is.
This page lists every kind for pictures that this version's llama.cpp knows. `python -m tests.families` wrote it, from
what it saw.

Large weights are not needed to see whether a program handles a kind correctly: a small pair of files of the same make,
with random weights, goes the same way. There is at least one for each kind
(`python -m vlmcli.bench.families FOLDER` writes most of them), and this is what was seen on it:

- **equal to upstream**: its greedy answers of 24 tokens are, byte for byte, those of llama.cpp's own `llama-mtmd-cli`
  to two questions about a small picture and about a large one that is cut into tiles, and to one about both together.
  The two may part only where the two likeliest tokens are as good as equally likely.
- **reuse**: what is kept of a picture and of a prompt's beginning changes no answer.
- **restore**: a later process that asks something else about the same pictures reads no pixel, does not load the
  projector, and computes the same logits, bit for bit.
- **choices**: choices that are compared together have the likelihood that each has alone, and that its tokens have one
  after the other, and cost one prefill of the picture (`vlm match`, `classify`, `decide`).
- **cancel**: Ctrl-C inside the encoder ends it there, and the next question is answered as ever.
- **explain**: `vlm explain` accounts for every token of the prompt, and `vlm show` says the same of a picture.
- **memory**: what loading it takes is foreseen: the KV cache within 3 %, and the sum within 10 % for the pairs that are
  not too small for that.
- **worker**: the engine in a separate process gives the same answers.

*Tokens* are those of a picture of 1024×768 pixels for the small pair. A real model of the kind may have other limits:
`vlm show photo.jpg -m MODEL` tells.

"""
COLUMNS = ("projector", "models", "language model", "tokens", *CHECKS)


def row(name: str, folder: Path) -> list[str]:
    """A pair's line of the table."""
    files = files_of(name, folder)
    with stages.looking(files) as look:
        picture = images.from_pixels(bytes(SIZE[0] * SIZE[1] * 3), SIZE, "black.png")
        tokens = sum(part.rows for part in look(picture))
    found = [gguf.read(files.projector).projector_type, models(name), gguf.read(files.model).architecture, str(tokens)]
    for check in CHECKS.values():
        try:
            check(files, folder)
            found.append("yes")
        except Exception as error:
            found.append(f"no: {type(error).__name__} {' '.join(str(error).split())[:80]}")
    return found


def models(name: str) -> str:
    """Whose shape a pair has."""
    return pairs.MODELS[name] if name in pairs.SMALL else families.PAIRS[name]().models


def main() -> None:
    """Check every pair, and write the page."""
    rows = []
    for name in NAMES:
        with tempfile.TemporaryDirectory() as folder:
            rows.append(row(name, Path(folder)))
        sys.stderr.write(f"{name}: {', '.join(rows[-1][3:])}\n")
    lines = [list(COLUMNS), ["---"] * len(COLUMNS), *sorted(rows)]
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    kinds = {line[0] for line in rows}
    held = {kind for kind in kinds if all(one == "yes" for line in rows if line[0] == kind for one in line[4:])}
    PAGE.write_text(f"{HEAD}{table}\n\n{len(kinds)} kinds; everything held for {len(held)} of them.\n", "utf-8")


if __name__ == "__main__":
    main()
